"""Plugins: found, owned, broken and survived; observers; every hook documented and tested."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from core_world import Cli, document, environment, install, make_folder, salmon

from salmon_core import Component, PluginError, SalmonError
from salmon_core.api import Engine, hooks
from salmon_core.plugins.options import validate_options
from salmon_core.plugins.registry import Registry
from salmon_core.testing import build_component, make_rollout, registry_of

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "plugins"
HOOKS = hooks.NAMES

GOOD = """
from salmon_core import Component, hookimpl

@hookimpl
def salmon_bonuses():
    yield Component("NAME", "json:dumps", "for a test")
"""


def broken_of(registry: Registry, plugin: str) -> str:
    """Why it is broken."""
    (reason,) = (item.reason for item in registry.broken if item.owner.plugin == plugin)
    return reason


def file_plugin(folder: Path, source: str, name: str = "mine") -> Path:
    path = folder / f"{name}.py"
    path.write_text(source)
    return path


# -- installed plugins -----------------------------------------------------------------------------------------------


def test_installed_plugins_are_found_with_their_owners() -> None:
    registry = Registry.discover()
    owners = {(owned.kind, owned.name): owned.owner for owned in registry}
    assert owners["prompts", "jsonl"].distribution == "salmon-core"
    assert owners["engines", "transformers"].distribution == "salmon-transformers"
    assert owners["backends", "trl"].distribution == "salmon-trl"
    assert owners["principle_sets", "salmon-rm"].version == "0.1.0"
    assert issubclass(registry.find("engines", "transformers").load(), Engine)


@pytest.fixture
def pip_install(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """pip_install(name) -> a folder with that test plugin, built by hatchling and installed by pip."""

    def run(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        shutil.copytree(FIXTURES / name, folder / "source")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-compile"]
        words = ["--disable-pip-version-check", "--target", str(folder / "site"), str(folder / "source")]
        done = subprocess.run([*pip, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return folder / "site"

    return run


def test_a_really_installed_distribution_of_twenty_lines(tmp_path: Path, pip_install: Callable[[str], Path]) -> None:
    """Built by hatchling, installed by pip, found by the command in another process."""
    source = FIXTURES / "salmon-vowels"
    assert len((source / "salmon_vowels" / "__init__.py").read_text().splitlines()) <= 20
    target = pip_install("salmon-vowels")
    config = make_folder(
        tmp_path / "run", reward={"principles": "rules.yaml", "engine": "bytes", "bonuses": ["vowels"]}
    )
    listed = salmon("plugins", "--json", "--kind", "bonuses", cwd=tmp_path, env=environment(target))
    (found,) = [item for item in json.loads(listed.out)["components"] if item["name"] == "vowels"]
    assert found["distribution"] == "salmon-vowels"
    assert found["version"] == "0.3.1"
    assert found["options"]["properties"]["letters"]["default"] == "aeiou"
    checked = salmon("check", config, cwd=tmp_path, env=environment(target))
    assert checked.code == 0, checked.text
    assert "1 x vowels" in checked.out


def test_one_name_in_two_distributions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "salmon-left", GOOD.replace("NAME", "same"))
    install(tmp_path, "salmon-right", GOOD.replace("NAME", "same"))
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry.discover()
    with pytest.raises(SalmonError) as error:
        registry.find("bonuses", "same")
    assert "salmon-left/same" in str(error.value)
    assert "salmon-right/same" in str(error.value)
    assert registry.find("bonuses", "salmon-right/same").owner.distribution == "salmon-right"
    assert registry.find("bonuses", "salmon-left/same").load() is json.dumps


def test_broken_distributions_are_listed_and_hurt_nobody(tmp_path: Path) -> None:
    install(tmp_path, "salmon-syntax", "def broken(:\n")
    install(tmp_path, "salmon-import", "import os\nimport nowhere_to_be_found\n")
    install(tmp_path, "salmon-exits", "import sys\n\nsys.exit(7)\n")
    install(tmp_path, "salmon-good", GOOD.replace("NAME", "good"))
    listed = salmon("plugins", cwd=tmp_path, env=environment(tmp_path))
    assert listed.code == 0
    assert "Traceback" not in listed.text
    lines = {line.split()[1]: line for line in listed.out.splitlines() if line.startswith("broken")}
    assert set(lines) == {"salmon_syntax", "salmon_import", "salmon_exits"}
    assert "SyntaxError" in lines["salmon_syntax"]
    assert "salmon_syntax.py, line 1" in lines["salmon_syntax"]
    assert "No module named 'nowhere_to_be_found'" in lines["salmon_import"]
    assert "salmon_import.py, line 2" in lines["salmon_import"]
    assert "salmon_exits.py, line 3" in lines["salmon_exits"]
    assert "good" in listed.out
    assert "transformers" in listed.out
    # Nor does a broken plugin that is not used hurt a configuration.
    checked = salmon("check", make_folder(tmp_path / "run"), cwd=tmp_path, env=environment(tmp_path))
    assert checked.code == 0, checked.text
    assert "salmon-syntax" in checked.out


def test_a_missing_component_mentions_broken_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "salmon-hurt", "raise RuntimeError('no luck today')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SalmonError, match="no luck today") as error:
        Registry.discover().find("engines", "transformer")
    assert "did you mean 'transformers'?" in str(error.value)


def test_plugins_json_describes_every_component(cli: Cli) -> None:
    listed = cli("plugins", "--json")
    assert listed.code == 0
    found = json.loads(listed.out)
    assert set(found) == {"components", "broken"}
    keys = {"kind", "name", "plugin", "distribution", "version", "summary", "default", "options", "broken"}
    assert all(set(item) == keys for item in found["components"])
    assert {item["kind"] for item in found["components"]} <= set(hooks.KINDS)
    by_name = {item["name"]: item for item in found["components"]}
    assert "path" in by_name["jsonl"]["options"]["properties"]
    assert {"sft", "train-rm", "train-policy: grpo"} <= set(by_name["trl"]["options"])
    assert by_name["salmon-rm"]["options"] is None
    assert cli("plugins", "--kind", "fish").code == 1


# -- file plugins ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("x = 1\ndef f(:\n    pass\n", r"SyntaxError.*line 2"),
        ("import json\n\nimport not_a_module\n", r"line 3.*No module named 'not_a_module'"),
        ("from salmon_core import hookimpl\n\n@hookimpl\ndef salmon_bonus():\n    return []\n",
         r"no hook 'salmon_bonus'; did you mean 'salmon_bonuses'"),
        ("def salmon_bonuses():\n    return []\n", r"salmon_bonuses lacks the marker @hookimpl"),
        ("x = 1\n", r"implements no hook"),
        ("from salmon_core import hookimpl\n\n@hookimpl\ndef salmon_bonuses():\n    raise KeyError('oh')\n",
         r"salmon_bonuses: KeyError: 'oh'"),
        ("from salmon_core import hookimpl\n\n@hookimpl\ndef salmon_bonuses():\n    yield 'length'\n",
         r"yields str, not a Component"),
        ("from salmon_core import hookimpl\n\n@hookimpl\ndef salmon_bonuses():\n    return None\n", r"TypeError"),
        ("from salmon_core import hookimpl\n\n@hookimpl\ndef salmon_event(run, colour):\n    pass\n", r"colour"),
        ("from salmon_core import Component, hookimpl\n\n@hookimpl\ndef salmon_bonuses():\n"
         "    yield Component('one', int, '')\n    yield Component('one', str, '')\n", r"yields 'one' twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_plugin(tmp_path: Path, source: str, reason: str) -> None:
    good = file_plugin(tmp_path, GOOD.replace("NAME", "good"), "good")
    registry = Registry.discover([file_plugin(tmp_path, source), good])
    assert re.search(reason, broken_of(registry, "mine"))
    assert registry.find("bonuses", "good").owner.distribution == str(good)
    assert registry.find("prompts", "jsonl")


def test_what_a_plugin_yielded_before_it_failed_twice_stays(tmp_path: Path) -> None:
    """The first of two components of one name is kept, so nothing is replaced silently."""
    source = GOOD.replace("NAME", "one") + "    yield Component('one', int, '')\n    yield Component('two', int, '')\n"
    registry = Registry.discover([file_plugin(tmp_path, source)])
    assert registry.find("bonuses", "one").component.summary == "for a test"
    assert registry.find("bonuses", "two").load() is int


def test_a_target_that_cannot_be_loaded(tmp_path: Path) -> None:
    source = GOOD.replace("NAME", "gone").replace("json:dumps", "json:no_such_thing")
    owned = registry_of(file_plugin(tmp_path, source)).find("bonuses", "gone")
    with pytest.raises(PluginError, match="no_such_thing") as error:
        owned.load()
    assert str(tmp_path / "mine.py") in str(error.value)
    with pytest.raises(PluginError, match=r"package\.module:attribute"):
        registry_of(file_plugin(tmp_path, source.replace("json:no_such_thing", "json"))).find("bonuses", "gone").load()


def test_options_that_pydantic_cannot_describe_name_the_plugin(tmp_path: Path) -> None:
    source = """
from salmon_core import Component, hookimpl

class Odd:
    pass

class Strange:
    def __init__(self, odd: Odd):
        self.odd = odd

@hookimpl
def salmon_bonuses():
    yield Component("strange", Strange, "")
"""
    owned = registry_of(file_plugin(tmp_path, source)).find("bonuses", "strange")
    with pytest.raises(PluginError, match="strange"):
        validate_options(owned, {"odd": 1}, "reward.bonuses[0]", tmp_path)


def test_the_kit_for_plugin_authors(tmp_path: Path) -> None:
    registry = registry_of(FIXTURES / "salmon-vowels" / "salmon_vowels" / "__init__.py")
    bonus = build_component(registry, "bonuses", "vowels", letters="x")
    assert bonus.score_one(make_rollout("Hi?", "xx.")) == pytest.approx(2 / 3)
    assert build_component(registry, "bonuses", "vowels").letters == "aeiou"
    with pytest.raises(AssertionError, match="implements no hook"):
        registry_of(file_plugin(tmp_path, "x = 1\n"))


# -- hooks of every kind ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", hooks.KINDS)
def test_every_kind_of_component(tmp_path: Path, kind: str) -> None:
    """The hooks salmon_principle_sets, salmon_judges, salmon_labellers, salmon_bonuses, salmon_backends,
    salmon_engines, salmon_prompts, salmon_models, salmon_templates, salmon_evaluators, salmon_oracles,
    salmon_monitors, salmon_commands, salmon_reports and salmon_starters."""
    hook = hooks.PREFIX + kind
    source = GOOD.replace("salmon_bonuses", hook).replace("NAME", "thing")
    registry = registry_of(file_plugin(tmp_path, source))
    assert [(owned.kind, owned.name) for owned in registry] == [(kind, "thing")]
    with pytest.raises(SalmonError, match="there are: thing"):
        registry.find(kind, "nothing")


WATCHER = """
import json, os
from pathlib import Path
from salmon_core import hookimpl

@hookimpl
def salmon_event(event):
    with open(Path(__file__).parent / "seen.jsonl", "a") as file:
        values = {name: getattr(event, name) for name in event.__slots__}
        line = {"event": type(event).__name__, "pid": os.getpid(), "run": event.run, **values}
        file.write(json.dumps(line, default=str) + "\\n")
"""
FAILING = """
from salmon_core import hookimpl
from salmon_core.api.events import StageFinished

@hookimpl
def salmon_event(event):
    if isinstance(event, StageFinished):
        raise RuntimeError("the observer fell asleep")
"""


def test_observers_see_the_stream_of_events(world: Path, cli: Cli) -> None:
    """In the process of `salmon run` only; the run's file has the same; one that fails is noted and stops nothing."""
    file_plugin(world, WATCHER, "watcher")
    file_plugin(world, FAILING, "asleep")
    make_folder(world, plugins=["world.py", "watcher.py", "asleep.py"])
    before = len((world / "runs/toy/events.jsonl").read_text().splitlines())
    done = cli("run", "salmon.yaml", "--from", "train-policy", "--until", "train-policy")
    assert done.code == 0, done.text
    seen = [json.loads(line) for line in (world / "seen.jsonl").read_text().splitlines()]
    assert {item["pid"] for item in seen} == {os.getpid()}
    assert {item["run"] for item in seen} == {str(world / "runs/toy")}
    assert seen[0]["event"] == "RunStarted"
    assert seen[0]["config"]["run"]["name"] == "toy"
    finished = {item["stage"]: item["skipped"] for item in seen if item["event"] == "StageFinished"}
    assert finished["prompts"]
    assert finished["train-rm"]
    assert not finished["train-policy"]
    assert [item["stage"] for item in seen if item["event"] == "StageStarted"] == ["train-policy"]
    steps = [item for item in seen if item["event"] == "StepLogged"]
    losses = [(0, 1.0), (1, 0.5), (2, pytest.approx(1 / 3))]
    assert [(item["step"], item["values"]["loss"]) for item in steps] == losses
    assert seen[-1]["event"] == "RunFinished"
    assert seen[-1]["error"] is None
    assert "the observer fell asleep" in done.err
    assert "asleep.py" in done.err
    # Only the note that an observer failed is for the others alone.
    written = [json.loads(line) for line in (world / "runs/toy/events.jsonl").read_text().splitlines()[before:]]
    kinds = [[line["event"] for line in lines if line["event"] != "Note"] for lines in (written, seen)]
    assert kinds[0] == kinds[1]


def test_a_monitor_of_fifteen_lines_sees_rollouts(world: Path, pip_install: Callable[[str], Path]) -> None:
    """Rollouts that a trainer logs reach an installed plugin while the run goes on, with their rewards."""
    source = FIXTURES / "salmon-monitor" / "salmon_monitor" / "__init__.py"
    assert len([line for line in source.read_text().splitlines() if line.strip()]) <= 15
    env = environment(pip_install("salmon-monitor"))
    done = salmon("run", "salmon.yaml", "--from", "train-policy", "--until", "train-policy", cwd=world, env=env)
    assert done.code == 0, done.text
    seen = (world / "runs/toy/seen.txt").read_text().splitlines()
    assert seen == ["stage train-policy", "rollouts 0 2 5.0", "rollouts 1 2 5.0"]


def test_an_engine_of_sixty_lines(tmp_path: Path, pip_install: Callable[[str], Path]) -> None:
    """The one of the page on engines samples, judges and scores a whole run."""
    source = FIXTURES / "salmon-bytes" / "salmon_bytes" / "__init__.py"
    assert len(source.read_text().splitlines()) <= 60
    assert source.read_text() in (ROOT / "docs" / "engines.md").read_text()
    sections = {name: {**document()[name], "engine": "letters"} for name in ("sample", "judge", "reward")}
    make_folder(tmp_path, evaluate=["toy-agreement"], **sections)
    env = environment(pip_install("salmon-bytes"))
    done = salmon("run", "salmon.yaml", cwd=tmp_path, env=env)
    assert done.code == 0, done.text
    report = json.loads((tmp_path / "runs/toy/report.json").read_text())
    assert report["evaluators"]["toy-agreement"]["judged"] > 0


def test_an_engine_that_answers_too_little_is_at_fault(tmp_path: Path) -> None:
    config = make_folder(tmp_path)
    with (tmp_path / "world.py").open("a") as file:
        file.write("\nByteModel.choose = lambda self, requests, choices: []\n")
    done = salmon("run", config, "--until", "judge", cwd=tmp_path)
    assert done.code == 1
    assert "engine 'bytes', choose" in done.err
    assert "gave answers for 0 of 2 requests" in done.err
    assert "Traceback" not in done.text


def test_a_command_of_a_plugin(world: Path, pip_install: Callable[[str], Path]) -> None:
    """Listed without being imported; works on a run; its errors are salmon's."""
    env = environment(pip_install("salmon-lengths"))
    listed = salmon("--help", cwd=world, env={**env, "PYTHONPROFILEIMPORTTIME": "1"})
    assert "lengths" in listed.out
    assert "Print how long the sampled completions" in listed.out
    assert "salmon_lengths.command" not in listed.err
    done = salmon("lengths", "runs/toy", cwd=world, env=env)
    assert done.code == 0, done.text
    assert done.out.startswith("18 completions")
    assert sum(json.loads((world / "runs/toy/lengths.json").read_text()).values()) == 18
    wrong = salmon("lengths", "runs/toy", "--least", "99", cwd=world, env=env)
    assert (wrong.code, wrong.err) == (1, "error: runs/toy: no completion is that long (lower --least)\n")
    assert "Usage: salmon lengths" in salmon("lengths", "--help", cwd=world, env=env).out
    assert "No such command 'lenghts'" in salmon("lenghts", cwd=world, env=env).err


def test_a_command_that_is_none(tmp_path: Path) -> None:
    install(tmp_path, "salmon-odd", GOOD.replace("salmon_bonuses", "salmon_commands").replace("NAME", "odd"))
    install(tmp_path, "salmon-hurt", GOOD.replace("salmon_bonuses", "salmon_commands").replace("NAME", "hurt")
            .replace("json:dumps", "nowhere:command"))  # fmt: skip
    env = environment(tmp_path)
    for name, says in (("odd", "is no click.Command"), ("hurt", "No module named 'nowhere'")):
        done = salmon(name, cwd=tmp_path, env=env)
        assert done.code == 1
        assert f"plugin salmon-{name}" in done.err
        assert says in done.err
        assert "Traceback" not in done.text
    assert salmon("--help", cwd=tmp_path, env=env).code == 0


# -- the hooks themselves --------------------------------------------------------------------------------------------


@pytest.mark.xfail(not (ROOT / "docs" / "plugins.md").is_file(), reason="not written yet", strict=False)
@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented(hook: str) -> None:
    assert hook in (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_docstring_and_a_test(hook: str) -> None:
    assert getattr(hooks.Hooks, hook).__doc__
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    assert any(re.search(rf"\b{hook}\b", text) for text in texts)


def test_a_component_is_a_plain_record() -> None:
    assert Component("a", "b:c", "d") == Component("a", "b:c", "d")
