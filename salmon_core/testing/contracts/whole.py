"""What commands, models and starting points keep to."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from salmon_core.api.starter import Starter
from salmon_core.config.names import PLUGIN, resolve_model
from salmon_core.data.yaml import parse_yaml
from salmon_core.testing.contracts.base import ComponentContract
from salmon_core.testing.elsewhere import Made


class CommandContract(ComponentContract):
    """A command that explains itself, and is imported only when it is called."""

    kind: ClassVar[str] = "commands"

    def portable(self) -> bool:
        return False

    @staticmethod
    def ask(made: Made, inputs: Any) -> str:
        import click
        from click.testing import CliRunner

        command = made.registry.owned(made.spec).load()
        assert isinstance(command, click.Command), f"is a {type(command).__name__}, not a click.Command"
        done = CliRunner().invoke(command, ["--help"])
        assert done.exit_code == 0, f"--help ends with exit code {done.exit_code}: {done.output}"
        return done.output

    def test_it_explains_itself(self) -> None:
        command = self.owned.load()
        assert (command.help or "").strip(), "the command has no help"
        for parameter in command.params:
            assert parameter.param_type_name == "argument" or parameter.help, f"{parameter.name} has no help"


class ModelContract(ComponentContract):
    """A folder of the package."""

    kind: ClassVar[str] = "models"

    @staticmethod
    def ask(made: Made, inputs: Any) -> str:
        return resolve_model(made.registry, f"{PLUGIN}{made.spec.owner}/{made.spec.name}", Path())

    def test_the_folder_holds_a_model(self) -> None:
        folder = Path(self.answer(self.inputs()))
        assert folder.is_absolute(), f"{folder} depends on the working directory"
        assert any(folder.iterdir()), f"{folder} is empty"


class StarterContract(ComponentContract):
    """Files that become a configuration when they are filled in."""

    kind: ClassVar[str] = "starters"

    @staticmethod
    def ask(made: Made, inputs: Any) -> dict[str, str]:
        starter = made.registry.owned(made.spec).load()
        assert isinstance(starter, Starter), f"is a {type(starter).__name__}, not a salmon_core.api.Starter"
        return starter.texts(name="first", model=starter.model or "org/model")

    def test_it_begins_with_a_configuration(self) -> None:
        texts = self.answer(self.inputs())
        assert "salmon.yaml" in texts, f"writes {sorted(texts)}, and no salmon.yaml"
        document: Any = parse_yaml(texts["salmon.yaml"], "salmon.yaml")
        assert document["run"]["name"] == "first", "the run is not named as it was asked for"
        assert document["policy"]["model"], "the configuration names no model"

    def test_files_stay_in_the_folder(self) -> None:
        for path in self.answer(self.inputs()):
            assert not Path(path).is_absolute(), f"{path} is outside the folder"
            assert ".." not in Path(path).parts, f"{path} is outside the folder"


class ReportContract(ComponentContract):
    """Writes a run's report as one file; override `inputs` with the folder of a finished run."""

    kind: ClassVar[str] = "reports"

    def inputs(self) -> Any:
        raise AssertionError("override `inputs` with the folder of a finished run")

    @staticmethod
    def ask(made: Made, inputs: Any) -> bytes:
        write = made.registry.owned(made.spec).load()
        assert callable(write), f"{write!r} is no function of a run's folder and a file"
        with TemporaryDirectory() as folder:
            out = Path(folder) / "report"
            assert write(inputs, out) is None, "returns something"
            assert [each.name for each in Path(folder).iterdir()] == ["report"], "leaves something else than its file"
            return out.read_bytes()

    def test_it_leaves_the_run_as_it_is(self) -> None:
        run = Path(self.inputs())
        before = {each: each.stat().st_mtime_ns for each in run.rglob("*")}
        assert self.answer(run), "the file is empty"
        assert {each: each.stat().st_mtime_ns for each in run.rglob("*")} == before, "it changed the run"
