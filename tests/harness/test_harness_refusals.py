"""What is wrong with tasks and options is said in one line, before anything is loaded."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from core_world import clear, environment, salmon
from harness_tasks import CONFIG, tasks

from salmon_core.config.resolve import load
from salmon_core.errors import DataError, SalmonError
from salmon_core.testing import build_component, registry_of
from salmon_lm_eval import plugin
from salmon_lm_eval.options import Options


def check(*named: str | Path, **options: Any) -> None:
    from salmon_lm_eval.tasks import Tasks

    Tasks(Options(tasks=[str(name) for name in named], **options)).check()  # type: ignore[arg-type]


def test_tasks_that_there_are_not(tmp_path: Path) -> None:
    """A name of the harness with near ones; and what runs a model's code needs both opt-ins of the harness."""
    from salmon_lm_eval.tasks import Tasks

    own = Tasks(Options(tasks=["truthfulqa_mc3"]))  # type: ignore[list-item]
    with pytest.raises(SalmonError, match="has no task 'truthfulqa_mc3'") as caught:
        own.check()
    assert "truthfulqa_mc" in str(caught.value)
    for options, allowed in (({}, "1"), ({"confirm_run_unsafe_code": True}, "0")):
        own._options = Options(tasks=["humaneval"], **options)  # type: ignore[list-item, arg-type]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HF_ALLOW_CODE_EVAL", allowed)
            with pytest.raises(SalmonError, match="task humaneval: runs code that the model wrote"):
                own.check()
    own._options = Options(tasks=["truthfulqa_mc2"])  # type: ignore[list-item]
    with pytest.raises(DataError, match=r"the data set .*truthful_?qa cannot be had") as offline:
        own.check()
    assert "HF_HUB_OFFLINE" in str(offline.value)
    known = own._manager.all_tasks
    assert {"bbh", "humaneval", "truthfulqa", "truthfulqa_mc2", "truthfulqa_gen"} <= set(known)


def test_files_that_are_no_tasks(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("task: [unclosed\n")
    with pytest.raises(DataError, match=r"broken\.yaml: is no task: .*line"):
        check(broken)
    with pytest.raises(DataError, match=r"broken\.yaml"):
        check(tmp_path)
    broken.write_text("- a list\n")
    with pytest.raises(DataError, match="is no task"):
        check(broken)
    broken.unlink()
    with pytest.raises(SalmonError, match="has no task"):
        check(tmp_path)
    folder = tasks(tmp_path / "tasks")
    check(folder, folder / "spoken.yaml")
    (folder / "docs.jsonl").unlink()
    with pytest.raises(DataError, match=r"task .*capitals.*: the data set json cannot be had"):
        check(folder / "capitals.yaml")


def test_the_check_of_a_configuration_says_it(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("nudging.py"), tmp_path)
    (tmp_path / "bad.yaml").write_text("task: {\n")
    config = CONFIG | {"evaluate": {"name": "lm-eval", "tasks": ["bad.yaml"]}}
    (tmp_path / "salmon.yaml").write_text(yaml.safe_dump(config))
    done = salmon("check", "salmon.yaml", cwd=tmp_path, env=environment(SALMON_QUICK=""))
    assert done.code == 2, done.text
    clear(done.text)
    assert f"evaluate[0]: {tmp_path / 'bad.yaml'}: is no task" in done.err


def test_the_example_is_a_configuration() -> None:
    root = Path(__file__).resolve().parents[2] / "examples"
    config = load(root / "evaluate-lm-eval.yaml", [f"prompts={root / 'real' / 'prompts.jsonl'}"])
    named = [task for spec in config.evaluators if spec.name == "lm-eval" for task in spec.options["tasks"]]
    assert named == ["bbh", "truthfulqa_mc2", "humaneval"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tasks": []}, "at least 1 item"),
        ({"tasks": ["x"], "limit": 1.5}, "whole number"),
        ({"tasks": ["x"], "limit": 0}, "greater than 0"),
        ({"tasks": ["x"], "batch_size": 0}, "1 at least"),
        ({"tasks": ["x"], "model_args": {"peft": "y"}}, "cannot set peft"),
        ({"tasks": ["x"], "seed": 2**32}, "less than"),
        ({"tasks": ["x"], "trust": True}, "no such option"),
    ],
)
def test_options_are_checked(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SalmonError, match=said):
        build_component(registry_of(plugin), "evaluators", "lm-eval", **options)


def test_the_plugin_is_light() -> None:
    import subprocess

    code = "import salmon_lm_eval.evaluator, sys; print(sorted({'torch', 'lm_eval', 'datasets'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
