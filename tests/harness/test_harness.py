"""The evaluator `lm-eval` with the real harness, offline, on tasks of files."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from core_world import environment, salmon
from harness_tasks import CONFIG, tasks

from salmon_core.api import ModelSpec
from salmon_lm_eval.options import Options

pytestmark = pytest.mark.slow


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
