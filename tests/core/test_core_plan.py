"""`salmon plan`: how much a run would do, then what it would start."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from core_world import Cli, document, make_folder, prompt_lines

Counts = dict[str, Any]


@pytest.fixture(autouse=True)
def _read_for_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SALMON_QUICK", raising=False)


def counts(cli: Cli, config: Path, *args: str) -> dict[str, Counts]:
    done = cli("plan", "--json", config, *args)
    assert done.code == 0, done.text
    return {stage: plan["counts"] for stage, plan in json.loads(done.out).items()}


def numbers(text: str) -> dict[str, str]:
    """By name, of the lines before the first stage."""
    head = text[: text.index("prompts:\n")]
    return dict(re.findall(r"^  ([A-Za-z ]+?) {2,}([\d,?]+)  ", head, re.M))


def test_counts_come_first_and_agree_with_a_run(tmp_path: Path, cli: Cli) -> None:
    config = make_folder(tmp_path)
    found = counts(cli, config)
    assert found["prompts"] == {"train": 9, "test": 3}
    assert found["sample"] == {"completions": 18, "tokens": 18 * 48}
    assert (found["judge"]["pairs"], found["judge"]["calls"]) == (9, 36)
    assert 0 < found["judge"]["tokens_if_shared"] < found["judge"]["tokens"] <= 36 * 512
    assert found["verdict"] == {"pairs": 9, "calls": 9 * 2 * 2}
    assert found["evaluate"] == {"prompts": 3}
    shown = cli("plan", config)
    assert shown.out.startswith("toy\n  prompts ")
    said = numbers(shown.out)
    assert said.items() >= {
        "prompts": "9", "completions": "18", "completion tokens": "864", "pairs": "9", "judge calls": "36",
        "RM rows": str(found["train-rm"]["rows"]), "RL rows": str(found["train-policy"]["rows"]), "held out": "3",
    }.items()  # fmt: skip
    assert not (tmp_path / "runs").exists()
    assert cli("run", config, "--until", "judge").code == 0
    made = json.loads((tmp_path / "runs/toy/prompts/manifest.json").read_text())["metrics"]
    assert {key: made[key] for key in ("train", "test")} == found["prompts"]


def test_files_and_environment_only_in_full(tmp_path: Path, cli: Cli) -> None:
    config = make_folder(tmp_path)
    short, full = cli("plan", config).out, cli("plan", "--full", config).out
    for text in (short, full):
        assert "train-policy:\n  step train-policy: " in text
        assert "  step " in text
    assert "expects: " in full
    assert "expects: " not in short
    assert "  file " not in short
    assert len(short) < len(full)
    stages = json.loads(cli("plan", "--json", config).out)
    assert list(stages) == ["prompts", "sample", "judge", "verdict", "label", "train-rm", "train-policy", "evaluate"]
    assert all({"steps", "services", "files", "expects", "counts", "memory"} == set(plan) for plan in stages.values())


def test_more_samples_epochs_and_principles(tmp_path: Path, cli: Cli) -> None:
    config = make_folder(tmp_path)
    (tmp_path / "prompts.jsonl").write_text(prompt_lines(40))
    found = counts(
        cli, config, "--set", "sample.samples=5", "--set", "judge.principles={name: rules.yaml, only: [kind]}"
    )
    train = found["prompts"]["train"]
    assert train + found["prompts"]["test"] == 40
    assert found["sample"]["completions"] == 5 * train
    assert (found["judge"]["pairs"], found["judge"]["calls"]) == (2 * train, 4 * train)


@pytest.mark.parametrize("how", ["add", "only"])
def test_principles_of_single_prompts_are_counted(how: str, tmp_path: Path, cli: Cli) -> None:
    """As many judge calls as the run then makes; at most as many again."""
    reward = {**document()["reward"], "principles": {"name": "rules.yaml", "per_prompt": how}}
    config = make_folder(tmp_path, reward=reward, prompts={"name": "prompts.jsonl", "columns": {}})
    own = [[], ["It names a dose."], ["not short", "It is calm.", {"text": "It is old.", "negated": "It is new."}]]
    rows = [{"id": f"p{i}", "prompt": f"Question number {i}?", "principles": own[i % 3]} for i in range(12)]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = counts(cli, config)
    said = re.search(r"for each pair (\d) to (\d) principles in 2 orders", cli("plan", config).out)
    assert said is not None
    assert said.groups() == (("2", "4") if how == "add" else ("1", "3"))
    assert "principles and its prompt's own in" in cli("plan", "--quick", config, "--set", "prompts.limit=5").out
    assert cli("run", config, "--until", "judge").code == 0
    judged = sum(pq.read_metadata(file).num_rows for file in (tmp_path / "runs/toy/judge").glob("part-*.parquet"))
    assert found["judge"]["calls"] == 2 * judged
    assert found["judge"]["calls"] != 2 * 2 * found["judge"]["pairs"]
    one = counts(cli, config, "--set", "judge.probe=1")["verdict"]
    assert one == {"pairs": 1, "calls": 2 * (3 if how == "add" else 2)}  # those that have an opposite
    assert one["calls"] * found["judge"]["pairs"] > found["verdict"]["calls"] > 0


@pytest.mark.parametrize("limit", [None, 5])
def test_quick_reads_nothing(limit: int | None, tmp_path: Path, cli: Cli) -> None:
    config = make_folder(tmp_path, prompts={"name": "prompts.jsonl", "limit": limit})
    (tmp_path / "prompts.jsonl").write_text("broken\n")
    done = cli("plan", "--quick", config)
    assert done.code == 0, done.text
    shown = numbers(done.out)
    assert shown["prompts"] == ("?" if limit is None else "5")
    assert shown["judge calls"] == ("?" if limit is None else "20")
    assert all("memory is not known" in line for line in done.out.splitlines() if "note" in line)
    assert counts(cli, config, "--quick")["prompts"] == {"train": limit, "test": None}


def test_prompts_that_cannot_be_read_are_said(tmp_path: Path, cli: Cli) -> None:
    config = make_folder(tmp_path)
    (tmp_path / "prompts.jsonl").write_text("broken\n")
    done = cli("plan", config)
    assert done.code == 0, done.text
    assert "note the prompts cannot be read: " in done.out
    assert "prompts.jsonl: line 1" in done.out
    assert numbers(done.out)["prompts"] == "?"


def test_a_policy_that_is_not_there_yet(tmp_path: Path, cli: Cli) -> None:
    """Its tokenizer measures nothing then, and the prompts are counted all the same."""
    config = make_folder(tmp_path)
    with (tmp_path / "world.py").open("a") as world:
        world.write(
            "\n\ndef _gone(self, model):\n    from salmon_core.errors import SalmonError\n\n"
            "    raise SalmonError('is not there', where='lab/model')\n\n\n"
            "for _each in list(vars().values()):\n"
            "    if isinstance(_each, type) and hasattr(_each, 'codec') and hasattr(_each, 'sampler'):\n"
            "        _each.codec = _gone\n"
        )
    done = cli("plan", config)
    assert done.code == 0, done.text
    assert "so no prompt is measured: " in done.out
    assert "is not there" in done.out
    assert numbers(done.out)["prompts"] == "9"
    assert counts(cli, config)["judge"]["tokens"] == 36 * 512  # what limits.total allows
    assert counts(cli, config)["judge"]["tokens_if_shared"] is None


def test_preferences_of_ones_own(tmp_path: Path, cli: Cli) -> None:
    config = make_folder(tmp_path, preferences="own.parquet")
    pq.write_table(
        pa.table({"prompt": ["a", "b", "c"], "chosen": ["x"] * 3, "rejected": ["y"] * 3}), tmp_path / "own.parquet"
    )
    found = counts(cli, config)
    assert found["train-rm"] == {"rows": 3}
    assert not {"sample", "judge", "label"} & set(found)
    (tmp_path / "own.parquet").write_text("no table")
    assert "the preferences cannot be read" in cli("plan", config).out


def test_a_labeller_that_fails_is_no_reason_to_stop(tmp_path: Path, cli: Cli) -> None:
    config = make_folder(tmp_path, **{"label": {"name": "toy-labels"}})
    with (tmp_path / "world.py").open("a") as world:
        world.write(
            "\n\ndef _fails(self, *_):\n    raise KeyError('oh')\n\n\n"
            "for _each in list(vars().values()):\n"
            "    if isinstance(_each, type) and 'label' in vars(_each):\n"
            "        _each.label = _fails\n"
        )
    done = cli("plan", config)
    assert done.code == 0, done.text
    assert "as the labeller toy-labels makes them" in done.out
    assert numbers(done.out)["RM rows"] == "?"


def test_the_embedded_world(tmp_path: Path, cli: Cli) -> None:
    """With the installed plugins: the trainer's own options say how many rows and steps there are."""
    example = Path(__file__).resolve().parents[2] / "examples/minnow.yaml"
    found = counts(cli, example)
    assert found["train-policy"] == {"rows": 960, "completions": 960, "steps": 24}
    pairs = found["judge"]["pairs"]
    assert pairs == 3 * found["prompts"]["train"]
    assert 0.9 * 26 * pairs <= found["train-rm"]["rows"] <= 26 * pairs  # `label.repeats`
    assert (
        counts(cli, example, "--set", "train.options.max_steps=null", "--set", "train.epochs=2")["train-policy"]["rows"]
        == 2 * found["prompts"]["train"]
    )


def test_memory_of_the_embedded_world(tmp_path: Path, cli: Cli) -> None:
    """A table of all stages that load a model, and the same in bytes."""
    example = Path(__file__).resolve().parents[2] / "examples/minnow.yaml"
    shown = cli("plan", "--quick", example).out
    assert re.search(r"^  GiB per process +number +parameters +gradients +optimizer +activations", shown, re.M)
    assert re.search(r"^  train-policy  +1( +\d+\.\d\d){7}$", shown, re.M)
    assert "\n  train-policy fits GPUs of 16, " in shown
    stages = json.loads(cli("plan", "--quick", "--json", example).out)
    assert stages["prompts"]["memory"] is None
    for name in ("sample", "judge", "train-rm", "train-policy", "evaluate"):
        (process,) = stages[name]["memory"]["processes"]
        parts = ("parameters", "gradients", "optimizer", "activations", "cache", "context")
        assert process["total"] == pytest.approx(sum(process[part] for part in parts), abs=3)
        assert stages[name]["memory"]["fits"][0] == 16
    cpu = json.loads(cli("plan", "--quick", "--json", example, "--set", "policy.device=cpu").out)
    assert cpu["train-policy"]["memory"]["fits"] == []
    assert cpu["train-policy"]["memory"]["processes"][0]["context"] == 0


def test_memory_of_an_evaluators_own_judge(cli: Cli) -> None:
    """It is larger than all else that evaluates here, so it makes the peak."""
    examples = Path(__file__).resolve().parents[2] / "examples"
    judge = "{model: meta-llama/Meta-Llama-3-8B-Instruct, engine: transformers}"
    plan = [
        "plan",
        "--quick",
        "--json",
        examples / "minnow.yaml",
        "--set",
        f"evaluate={{name: win-rate, judge: {judge}}}",
    ]
    sizes = f"meta-llama/Meta-Llama-3-8B-Instruct={examples / 'shapes' / 'llama-3-8b.json'}"
    (process,) = json.loads(cli(*plan, "--model-config", sizes).out)["evaluate"]["memory"]["processes"]
    assert process["parameters"] > 10 * 2**30


def test_memory_that_is_not_known_is_said(tmp_path: Path, cli: Cli) -> None:
    config = make_folder(tmp_path)
    said = cli("plan", "--quick", config).out
    assert re.search(r"note sample.*: memory is not known: the engine \S+ does not say what it keeps", said)
    assert "note train-rm, train-policy: memory is not known: the backend does not say" in said
    done = cli("plan", "--quick", config, "--model-config", "lab/model=nowhere.json")
    assert done.code == 2
    assert "--model-config: 'lab/model=nowhere.json' names no file (write MODEL=FILE" in done.text
