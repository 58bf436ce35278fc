"""`salmon check` says what would fail hours later, in a process of its own with a time limit."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from core_world import document, environment, make_folder, salmon

BROKEN = """

class NoScore:
    pass


class WrongSignature:
    def score(self) -> list[float]:
        return []


class Short:
    def score(self, rollouts: Sequence[Any]) -> list[float]:
        return [1.0]


class Exits:
    def score(self, rollouts: Sequence[Any]) -> list[float]:
        sys.exit(0)


class Blocks:
    def score(self, rollouts: Sequence[Any]) -> list[float]:
        import time

        time.sleep(600)


class Asks(Judge):
    def __init__(self, room: int = 0):
        self.room = room

    def judge(self, pairs, principles, context):
        shown = [principle.shown() for principle in principles]
        request, _ = context.ask(pairs[0], shown, "Why?\\n", room=self.room)
        assert request.prefix + request.suffixes[0] == request.texts[0]
        context.sampler.sample([(pairs[0].prompt, request.texts[0])], None)
        raise AssertionError("a check went on")


class Knows(Judge):
    def __init__(self, bad: bool = False):
        self.bad = bad

    def check(self, principles):
        if self.bad:
            raise SalmonError("is no file of judgments", where="said.jsonl")

    def judge(self, pairs, principles, context):
        raise AssertionError("asked about a pair that is made up")


@hookimpl(specname="salmon_judges")
def more_judges() -> Iterable[Component]:
    yield Component("asks", Asks, "by a question of its own")
    yield Component("knows", Knows, "looks at its file")


class Samples(Engine):
    def codec(self, model: ModelSpec) -> ByteCodec:
        return ByteCodec()

    def sampler(self, model: ModelSpec) -> Sampler:
        raise AssertionError("a check opens no model")


class NeedsMore(Evaluator):
    needs = frozenset({"crowd"})

    def evaluate(self, run: EvaluatedRun) -> Metrics:
        raise AssertionError


class Here(ToyBackend):
    uses_python = False


@hookimpl(specname="salmon_backends")
def more_backends() -> Iterable[Component]:
    yield Component("here", Here, "trains in this interpreter")


@hookimpl(specname="salmon_bonuses")
def more_bonuses() -> Iterable[Component]:
    for kind in (NoScore, WrongSignature, Short, Exits, Blocks):
        yield Component(kind.__name__.lower(), kind, "broken")


@hookimpl(specname="salmon_engines")
def more_engines() -> Iterable[Component]:
    yield Component("samples", Samples, "opens no chooser")


@hookimpl(specname="salmon_evaluators")
def more_evaluators() -> Iterable[Component]:
    yield Component("needsmore", NeedsMore, "broken")


TOY_TOO = replace(TOY, choices=("yes", "no"))


@hookimpl(specname="salmon_templates")
def more_templates() -> Iterable[Component]:
    yield Component("words", TOY_TOO, "choices of several tokens")
"""


def check(folder: Path, *args: str, **changes: Any) -> Any:
    make_folder(folder, **changes)
    (folder / "more.py").write_text((folder / "world.py").read_text() + BROKEN)
    text = (folder / "salmon.yaml").read_text().replace("- world.py", "- more.py")
    (folder / "salmon.yaml").write_text(text)
    env = environment(SALMON_QUICK="")
    return salmon("check", "salmon.yaml", *args, cwd=folder, env=env)


def bonus(name: str) -> dict[str, Any]:
    return {"reward": {**document()["reward"], "bonuses": [name]}}


def test_what_is_well_passes_and_says_the_counts(tmp_path: Path) -> None:
    done = check(tmp_path)
    assert done.code == 0, done.text
    assert "9 prompts to train on, 3 held out" in done.out
    assert not (tmp_path / "runs").exists()


CASES: list[tuple[str, dict[str, Any], str]] = [
    ("no score", bonus("noscore"), "reward.bonuses[0]: plugin "),
    ("wrong signature", bonus("wrongsignature"), "takes 1 positional argument but 2 were given"),
    ("too few scores", bonus("short"), "gave 1 scores for 2 rollouts"),
    ("exits", bonus("exits"), "called sys.exit(0) (at "),
    (
        "an engine without the capability",
        {"judge": {**document()["judge"], "engine": "samples"}},
        "judge.judge: engine 'samples' opens no chooser (choose another engine)",
    ),
    ("an evaluator's needs", {"evaluate": ["needsmore"]}, "needs crowd; there are base, initial, policy, reward,"),
    (
        "choices of several tokens",
        {"policy": {"model": "./policy", "template": "words"}},
        "judge.judge: the choice 'yes' of the template is not one single token of ",
    ),
    ("a judge's own check", {"judge": {**document()["judge"], "judge": {"name": "knows", "bad": True}}},
     "judge.judge: said.jsonl: is no file of judgments"),
    ("no room for an answer", {"judge": {**document()["judge"], "judge": {"name": "asks", "room": 5000}}},
     "judge.judge: the template and the principles alone need"),
    ("a folder that is a file", {"run": {"name": "toy", "folder": "rules.yaml"}}, "is no folder, so no run can lie"),
    ("python for nobody", {"train": {"backend": "here", "algorithm": "toy", "python": "./python"}},
     "train: python: this backend trains in salmon's own interpreter"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "says"), [pytest.param(*rest, id=name) for name, *rest in CASES])
def test_what_will_fail_is_said(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    done = check(tmp_path, **changes)
    assert done.code == 2, done.text
    assert says in done.err
    assert "Traceback" not in done.err


def test_a_judge_that_samples_needs_no_chooser_and_one_that_knows_is_not_asked(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text("{}")
    own = {**document()["judge"], "engine": "samples", "model": "./other"}
    done = check(tmp_path, judge={**own, "judge": "asks"})
    assert done.code == 0, done.text
    assert "/other is asked as plain text (judge.form: auto)" in done.out
    done = check(tmp_path, judge={**own, "judge": "knows"}, evaluate=["toy-agreement"])
    assert done.code == 0, done.text
    assert "is asked" not in done.out
    assert "evaluator toy-agreement asks the judge about pairs that are sampled after training, and kn" in done.out


def test_all_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"prompt": "Why?"}\n{"prompt": ""}\n')
    (tmp_path / "sft.jsonl").write_text('{"prompt": "Why?"}\n')
    done = check(
        tmp_path,
        prompts="bad.jsonl",
        sft={"data": "sft.jsonl", "backend": "toy"},
        **bonus("short"),
        evaluate=["needsmore"],
    )
    assert done.code == 2
    assert "4 problems in salmon.yaml" in done.err
    for place in (
        "bad.jsonl: line 2",
        "sft.jsonl: line 1: has no text in 'completion'",
        "reward.bonuses[0]",
        "evaluate[0]",
    ):
        assert place in done.err


def test_preferences_of_other_columns(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"chosen": ["a"], "rejected": ["b"]}), tmp_path / "mine.parquet")
    done = check(tmp_path, preferences="mine.parquet")
    assert done.code == 2
    assert "preferences: " in done.err
    assert "mine.parquet: row 0: has no prompt, and the answers are texts without one" in done.err


def test_a_component_that_blocks_is_named(tmp_path: Path) -> None:
    started = time.monotonic()
    done = check(tmp_path, "--time-limit", "8", **bonus("blocks"))
    assert time.monotonic() - started < 40
    assert done.code == 2
    assert "bonus blocks: did not return within 8 s" in done.err


def test_quick_only_reads(tmp_path: Path) -> None:
    done = check(tmp_path, "--quick", **bonus("short"))
    assert done.code == 0, done.text


def test_a_run_is_checked_before_it_starts_and_once(tmp_path: Path) -> None:
    env = environment(SALMON_QUICK="")
    make_folder(tmp_path)
    (tmp_path / "prompts.jsonl").write_text(json.dumps({"prompt": "a"}) + "\n" + json.dumps({"prompt": ""}) + "\n")
    done = salmon("run", "salmon.yaml", cwd=tmp_path, env=env)
    assert done.code == 2
    assert "prompts.jsonl: line 2: has an empty 'prompt'" in done.err
    assert not (tmp_path / "runs").exists()
    make_folder(tmp_path)
    done = salmon("run", "salmon.yaml", "--until", "prompts", cwd=tmp_path, env=env)
    assert done.code == 0, done.text
    assert "check 9 prompts to train on, 3 held out" in done.err
    again = salmon("run", "salmon.yaml", "--until", "prompts", cwd=tmp_path, env=env)
    assert "check " not in again.err


# -- a run at a small scale ------------------------------------------------------------------------------------------


def test_a_limited_run_goes_through_all_stages_and_says_what_it_did_not_show(tmp_path: Path) -> None:
    make_folder(tmp_path, expect=[{"metric": "rm.positive", "min": 0.9}])
    done = salmon("run", "salmon.yaml", "--limit", "6", cwd=tmp_path)
    assert done.code == 0, done.text
    assert "what this did not show" in done.out
    run = tmp_path / "runs" / "toy-limit"
    report = json.loads((run / "report.json").read_text())
    assert report["expect"] == []
    assert report["stages"]["prompts"]["metrics"] | {"train": 6, "test": 2} == report["stages"]["prompts"]["metrics"]
    assert not (tmp_path / "runs" / "toy").exists()
