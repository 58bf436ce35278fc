"""The evaluator `lm-eval` with the real harness, offline, on tasks of files."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from core_world import clear, environment, salmon
from hypothesis import given
from hypothesis import strategies as st

from salmon_core.api import ModelSpec
from salmon_core.config.resolve import load
from salmon_core.errors import DataError, SalmonError
from salmon_core.testing import build_component, registry_of
from salmon_lm_eval import plugin
from salmon_lm_eval.answers import Answers
from salmon_lm_eval.comparing import compared
from salmon_lm_eval.options import Options

COUNTRIES = {"Spain": "Madrid", "France": "Paris", "Italy": "Rome", "Germany": "Berlin", "Portugal": "Lisbon"}
CHOICE = {
    "task": "capitals",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "docs.jsonl"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "What is the capital of {{country}}?",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{answer}}",
    "metadata": {"version": 2},
}
SPOKEN = {
    "task": "spoken",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "docs.jsonl"}},
    "test_split": "test",
    "output_type": "generate_until",
    "doc_to_text": "What is the capital of {{country}}?",
    "doc_to_target": "{{choices[answer]}}",
    "generation_kwargs": {"until": ["."], "max_gen_toks": 12, "do_sample": False},
    "metric_list": [{"metric": "exact_match"}, {"metric": "bleu"}],
}
GROUP = {
    "group": "both",
    "task": ["capitals", "turned"],
    "aggregate_metric_list": [{"metric": "acc", "weight_by_size": True}],
}


def tasks(folder: Path) -> Path:
    """A folder of a group of two tasks, one more task, and their documents."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "country": country,
            "choices": [f" The capital of {country} is {each}." for each in COUNTRIES.values()],
            "answer": i,
        }
        for i, country in enumerate(COUNTRIES)
    ]
    (folder / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    turned = CHOICE | {"task": "turned", "doc_to_text": "The capital of {{country}}:"}
    for name, config in {"capitals": CHOICE, "turned": turned, "spoken": SPOKEN, "both": GROUP}.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    return folder


CONFIG: dict[str, Any] = {
    "run": {"name": "asked", "seed": 3},
    "plugins": ["nudging.py"],
    "policy": {"model": "plugin:minnow", "template": "minnow", "dtype": "float32"},
    "prompts": "plugin:minnow",
    "limits": {"prompt": 48, "completion": 80, "total": 256},
    "sample": {"max_new_tokens": 16},
    "judge": {"principles": "minnow"},
    "reward": {"principles": "minnow", "rm_weight": 0, "bonuses": [{"name": "missing-stop"}]},
    "train": {"backend": "nudge", "algorithm": "nudge"},
    "evaluate": {"name": "lm-eval", "tasks": ["./tasks"], "batch_size": 4},
}


@dataclass(frozen=True)
class Asked:
    """A finished run, and the models it compared."""

    folder: Path
    killed: str
    printed: str

    @property
    def report(self) -> Any:
        return json.loads((self.folder / "runs/asked/report.json").read_text())


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """Killed after some answers of the policy after, and gone on with."""
    folder = tmp_path_factory.mktemp("asked")
    tasks(folder / "tasks")
    shutil.copy(Path(__file__).with_name("nudging.py"), folder)
    (folder / "salmon.yaml").write_text(yaml.safe_dump(CONFIG))
    env = environment(HF_DATASETS_CACHE=str(folder / "cache"))
    killed = salmon("run", "salmon.yaml", cwd=folder, env={**env, "HARNESS_DIES_AT": "70"})
    assert killed.code == 1, killed.text
    own = folder / "runs/asked/evaluate/00-own"
    left = sorted(file.name for file in own.iterdir())
    (folder / "left").write_text(
        json.dumps({"files": left, "lines": len((own / "answers-after.jsonl").open().readlines())})
    )
    done = salmon("run", "salmon.yaml", cwd=folder, env=env)
    assert done.code == 0, done.text
    return Asked(folder, killed.text, done.text)


def harness(model: Path, folder: Path, names: list[str], monkeypatch: pytest.MonkeyPatch, **model_args: Any) -> Any:
    """What the harness itself says, called as its documentation has it."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    monkeypatch.chdir(folder)
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    args = {"pretrained": str(model), "dtype": "float32", **model_args}
    return simple_evaluate(
        "hf", model_args=args, tasks=names, task_manager=manager, batch_size=4, device="cpu", bootstrap_iters=1000,
        random_seed=3, numpy_random_seed=3, torch_random_seed=3, fewshot_random_seed=3,
    )  # fmt: skip


def metrics_of(results: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    return {
        (task, key): value
        for task, own in results["results"].items()
        for key, value in own.items()
        if isinstance(value, int | float) and "," in key
    }


@pytest.mark.parametrize(("side", "model"), [("before", None), ("after", "runs/asked/train-policy/model")])
def test_numbers_are_the_harness_s_own(
    asked: Asked, side: str, model: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those after too, though the run was killed among them."""
    import salmon_minnow

    path = asked.folder / model if model else Path(salmon_minnow.__file__).parent / "data" / "model"
    direct = metrics_of(harness(path, asked.folder / "tasks", ["both", "spoken"], monkeypatch))
    values = asked.report["evaluators"]["lm-eval"]["tasks"]
    compared_too = 0
    for (task, key), value in direct.items():
        name, _, rest = key.partition(",")
        if name.endswith("_stderr"):
            own = values[task][f"{name.removesuffix('_stderr')},{rest}"][side]["stderr"]
        else:
            own = values[task][key][side]["value"]
            compared_too += 1
        assert own == pytest.approx(value, abs=1e-9), (task, key)
    assert compared_too == sum(map(len, values.values())) >= 6


def test_before_and_after_in_the_report(asked: Asked) -> None:
    report = asked.report
    values = report["evaluators"]["lm-eval"]
    assert set(values["tasks"]) == {"both", "capitals", "turned", "spoken"}
    capitals = values["tasks"]["capitals"]["acc,none"]
    assert capitals["change"]["paired"]
    assert (capitals["change"]["n"], values["tasks"]["both"]["acc,none"]["change"]["n"]) == (5, 10)
    assert values["tasks"]["both"]["acc,none"]["change"]["paired"]
    assert not values["tasks"]["spoken"]["bleu,none"]["change"]["paired"], "a corpus's score is no mean of documents"
    assert capitals["before"]["value"] != capitals["after"]["value"], "the policy after is another one"
    targets = {target["name"]: target for target in report["targets"]}
    assert {"both acc", "spoken exact_match"} <= set(targets)
    assert not [name for name in targets if name.startswith(("capitals", "turned"))], (
        "parts of a group are in its number"
    )
    own = targets["both acc"]
    assert own["ci"][0] < own["change"] < own["ci"][1]
    assert (own["wanted"], own["n"]) == ("more", 10)
    (section,) = report["sections"]
    assert {row[0] for row in section["rows"]} == set(values["tasks"])
    assert "Tasks of the LM Evaluation Harness" in asked.printed
    assert values["versions"]["capitals"] == "2"


def test_the_paired_interval_is_that_of_the_differences(asked: Asked) -> None:
    own = asked.folder / "runs/asked/evaluate/00-own"
    sides = [
        json.loads((own / f"{side}.json").read_text())["scores"]["capitals"]["acc,none"] for side in ("before", "after")
    ]
    differences = [sides[1][doc] - sides[0][doc] for doc in sides[0]]
    mean = sum(differences) / 5
    half = 1.96 * math.sqrt(sum((each - mean) ** 2 for each in differences) / 4 / 5)
    change = asked.report["evaluators"]["lm-eval"]["tasks"]["capitals"]["acc,none"]["change"]
    assert (change["low"], change["high"]) == pytest.approx((mean - half, mean + half), abs=1e-4)


def test_a_killed_run_keeps_its_answers(asked: Asked) -> None:
    """All of the policy before, and those after that were there; nothing is asked twice."""
    left = json.loads((asked.folder / "left").read_text())
    asked_in_all = 2 * 5 * 5 + 5
    assert left["files"] == ["answers-after.jsonl", "answers-before.jsonl", "before.json", "samples-before.jsonl"]
    assert left["lines"] == 70 - asked_in_all
    own = asked.folder / "runs/asked/evaluate/00-own"
    for side in ("before", "after"):
        keys = [json.loads(line)[0] for line in (own / f"answers-{side}.jsonl").read_text().splitlines()]
        assert len(keys) == len(set(keys)) == asked_in_all
        samples = [json.loads(line) for line in (own / f"samples-{side}.jsonl").read_text().splitlines()]
        assert {row["task"] for row in samples} == {"capitals", "turned", "spoken"}


def test_adapters_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers as the harness with `peft`, and others than without."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    import salmon_minnow
    from salmon_lm_eval.harness import results_of
    from salmon_lm_eval.tasks import Tasks

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    base = Path(salmon_minnow.__file__).parent / "data" / "model"
    plain = AutoModelForCausalLM.from_pretrained(base)
    lora = LoraConfig(r=4, lora_alpha=64, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(plain, lora).save_pretrained(tmp_path / "adapter")
    folder = tasks(tmp_path / "tasks")
    found = {}
    for adapter in (None, str(tmp_path / "adapter")):
        options = Options(tasks=[str(folder / "capitals.yaml")], batch_size=4)  # type: ignore[list-item]
        spec = ModelSpec(str(base), dtype="float32", device="cpu", adapter=adapter)
        own = tmp_path / f"own-{adapter is None}"
        own.mkdir()
        load = Tasks(options).load
        found[adapter] = results_of(
            "x", spec, load, options, seed=3, folder=own, progress=lambda kind, total: lambda done: None
        )["results"]["capitals"]
    peft = harness(base, folder, ["capitals"], monkeypatch, peft=str(tmp_path / "adapter"))["results"]["capitals"]
    with_adapter = found[str(tmp_path / "adapter")]
    for key in ("acc,none", "acc_norm,none", "acc_stderr,none"):
        assert with_adapter[key] == pytest.approx(peft[key])
    first = [(tmp_path / f"own-{plain}" / "answers-x.jsonl").read_text() for plain in (True, False)]
    assert first[0] != first[1]


# -- what is wrong is said in one line ---------------------------------------------------------------------------------


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


# -- parts -------------------------------------------------------------------------------------------------------------


class Model:
    """Answers with the number of its calls."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def set_cache_hook(self, hook: Any) -> None:
        self.hook = hook

    def generate_until(self, requests: list[Any]) -> list[str]:
        self.asked.append([each.args for each in requests])
        for each in requests:
            self.hook.add_partial("generate_until", each.args, f"said to {each.args[0]}")
        return [f"said to {each.args[0]}" for each in requests]

    loglikelihood = loglikelihood_rolling = generate_until


@dataclass(frozen=True)
class Request:
    args: tuple[Any, ...]


@given(st.binary(max_size=80))
def test_torn_answers_are_asked_again(tail: bytes) -> None:
    import tempfile

    requests = [Request((name, {"do_sample": name == "chance"})) for name in ("one", "two", "chance")]
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "answers.jsonl"
        for _ in range(2):
            model = Model()
            with Answers(model, file, lambda kind, total: lambda done: None):
                assert model.generate_until(requests) == ["said to one", "said to two", "said to chance"]
            with file.open("ab") as torn:
                torn.write(tail.replace(b"\n", b"") + b"\n")
        assert model.asked == [[requests[2].args]], "the second time, only what chance decides"


def results(value: float, error: float | str, scores: dict[str, float]) -> dict[str, Any]:
    own = {"alias": "t", "sample_len": 3, "acc,none": value, "acc_stderr,none": error}
    return {"results": {"t": own}, "scores": {"t": {"acc,none": scores}}, "higher_is_better": {"t": {"acc": True}}}


def test_intervals_without_documents_come_from_standard_errors() -> None:
    (own,) = compared(results(0.5, 0.03, {}), results(0.6, 0.04, {}))
    assert own.ci == pytest.approx((0.1 - 1.96 * 0.05, 0.1 + 1.96 * 0.05), abs=1e-5)
    assert not own.paired
    (bare,) = compared(results(0.5, "N/A", {}), results(0.6, 0.04, {}))
    assert bare.ci is None
    assert bare.to_json()["change"] == {"value": pytest.approx(0.1), "paired": False, "n": 0}


def test_other_documents_are_not_paired() -> None:
    before, after = results(0.5, 0.1, {"0": 0.0, "1": 1.0}), results(0.5, 0.1, {"0": 0.0, "2": 1.0})
    (own,) = compared(before, after)
    assert not own.paired
    (same,) = compared(before, results(1.0, 0.1, {"0": 1.0, "1": 1.0}))
    assert same.paired
