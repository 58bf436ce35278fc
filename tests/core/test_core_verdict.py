"""Whether a judge can be believed: made-up judges of every kind, by the statistics and through a real run."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from core_world import Cli, make_folder, prompt_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from salmon_core.kit.statistics import clustered_rate, correlation, rate
from salmon_core.records import Completion, Judgment, Pair, Prompt
from salmon_core.stages.judge_verdict import Answers, Evidence, judge_verdict

# -- correlation -----------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), max_size=30), st.integers(1, 5))
@settings(max_examples=150, deadline=None)
def test_a_correlation_and_its_interval(values: list[tuple[float, float]], clusters: int) -> None:
    by_cluster: dict[str, list[tuple[float, float]]] = {}
    for index, pair in enumerate(values):
        by_cluster.setdefault(str(index % clusters), []).append(pair)
    found = correlation([by_cluster])
    assert -1 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1
    assert found.n == len(by_cluster)
    turned = correlation([{key: [(x, -y) for x, y in own] for key, own in by_cluster.items()}])
    assert turned.value == pytest.approx(-found.value, abs=1e-6)


def test_it_is_spearmans_and_its_interval_covers_the_truth() -> None:
    """Of 300 samples with a correlation of 0.6, and of 300 with none, about 95 % of the intervals hold that."""

    def ranks(values: list[float]) -> list[float]:
        return [float(sorted(values).index(value)) for value in values]

    for truth in (0.6, 0.0):
        held = 0
        for seed in range(300):
            rng = Random(f"{truth} {seed}")
            x = [rng.gauss(0, 1) for _ in range(60)]
            y = [truth * a + math.sqrt(1 - truth**2) * rng.gauss(0, 1) for a in x]
            found = correlation([{str(i): [pair] for i, pair in enumerate(zip(x, y, strict=True))}])
            assert found.value == pytest.approx(statistics.correlation(ranks(x), ranks(y)), abs=1e-9)
            ranked = 6 / math.pi * math.asin(truth / 2)  # what it is of two normal values
            held += found.low <= ranked <= found.high
        assert 270 <= held <= 297


def test_samples_of_one_prompt_are_no_further_evidence() -> None:
    rng = Random(0)
    once = {str(i): [(rng.gauss(0, 1), rng.gauss(0, 1))] for i in range(30)}
    often = {key: own * 20 for key, own in once.items()}
    assert correlation([often]).low == pytest.approx(correlation([once]).low, abs=1e-6)
    assert (correlation([{}]).n, correlation([]).n) == (0, 0)
    same = correlation([{str(i): [(1.0, float(i))] for i in range(9)}])
    assert (same.value, same.low, same.high) == (0.0, -1.0, 1.0)


def test_a_share_of_clusters() -> None:
    """Alike within prompts: as many trials as prompts; independent: as many as values. It covers the truth."""
    alike = clustered_rate({str(i): [float(i % 4 == 0)] * 25 for i in range(40)})
    alone = rate(10, 40)
    assert (alike.value, alike.n) == (0.25, 40)
    assert alike.low == pytest.approx(alone.low, abs=0.01)
    assert alike.high == pytest.approx(alone.high, abs=0.01)
    held = 0
    for seed in range(300):
        rng = Random(f"rate {seed}")
        shares = [rng.choice((0.5, 0.9)) for _ in range(50)]
        found = clustered_rate({str(i): [float(rng.random() < p) for _ in range(8)] for i, p in enumerate(shares)})
        held += found.low <= 0.7 <= found.high
    assert 270 <= held <= 297
    assert clustered_rate({"a": [1.0, 1.0], "b": [1.0]}).low == rate(2, 2).low
    assert (clustered_rate({"a": []}).low, clustered_rate({}).high) == (0.0, 1.0)


# -- judges ----------------------------------------------------------------------------------------------------------

PROMPTS = [Prompt.from_text(f"Question {i}?") for i in range(60)]
PAIRS = [
    Pair(p, *(Completion(p.id, i, "x" * (5 + Random(f"{p.id}{i}").randrange(9)) + str(i), (), 1, True) for i in (0, 1)))
    for p in PROMPTS
]


def said(score: Callable[[Pair, Random], float], *, bias: float = 0.0, noise: float = 1.0, seed: str = "") -> Any:
    """By (pair, principle): the same score in both orders, a bias for what is shown first, noise of each."""
    found = {}
    for pair in PAIRS:
        for name in ("kind", "short"):
            rng = Random(f"{seed} {name} {pair.id}")
            value = score(pair, Random(f"{name} {pair.id}"))
            s12, s21 = value + bias + rng.gauss(0, noise), value - bias + rng.gauss(0, noise)
            found[pair.id, name] = Judgment(pair.id, name, s12, s21)
    return found


def knows(pair: Pair, rng: Random) -> float:
    """Something of its own under each principle; of most pairs nothing."""
    return rng.choice([0, 0, 0, 0, -3, 3])


def length(pair: Pair, rng: Random) -> float:
    return float(len(pair.first.text) - len(pair.second.text))


def verdict(answers: Answers) -> Evidence:
    found = judge_verdict(answers, ("kind", "short"))
    assert found.to_json() == json.loads(json.dumps(found.to_json()))
    assert found.whole.orders.n == len(PROMPTS)
    return found.whole


def turned(of: Callable[[Pair, Random], float]) -> Callable[[Pair, Random], float]:
    return lambda pair, rng: -of(pair, rng)


def test_a_good_judge_whatever_its_bias() -> None:
    for bias in (0.0, 2.0):
        own = verdict(Answers(said(knows, bias=bias).values(), said(turned(knows), seed="n"), said(knows, seed="r")))
        assert own.verdict == "good"
        assert own.orders.low > 0.3
        assert own.turns_round is not None
        assert own.turns_round.low > 0.3
        assert own.stays is not None
        assert own.stays.low > 0.3
    assert own.first_shown.value > 0.8, "told, and no reason against it"
    assert own.agreement.value < 0.5


def test_a_good_judge_of_pairs_of_which_most_are_alike() -> None:
    """A fine-tuned policy answers so evenly that few pairs differ; a little position bias decides the others."""

    def alike(*, turned: bool = False) -> Any:
        found = {}
        for key, own in said(lambda pair, rng: 0.0, bias=0.1, noise=0.05).items():
            prompt = Random(str(key))
            value = prompt.choice([-3.3, 3.3]) if prompt.random() < 0.15 else 0.0
            drift = abs(prompt.gauss(0, 0.1))  # larger for some pairs, whichever is shown first
            value = -value if turned else value
            found[key] = replace(own, s12=own.s12 + value + drift, s21=own.s21 + value - drift)
        return found

    own = verdict(Answers(alike().values(), alike(turned=True)))
    assert own.agreement.value < 0.4
    assert own.orders.low > 0.5
    assert own.verdict == "good"


def test_a_judge_that_goes_by_position_or_by_nothing() -> None:
    nothing = turned(turned(lambda pair, rng: 0.0))
    for bias in (0.0, 5.0):
        own = verdict(Answers(said(nothing, bias=bias).values(), said(nothing, bias=bias, seed="n")))
        assert own.verdict == "unclear"
        assert own.orders.low < 0 < own.orders.high


def test_a_judge_that_goes_by_something_else() -> None:
    """Sure of itself in both orders, and it says the same when asked for the opposite."""
    own = verdict(Answers(said(length).values(), said(length, seed="n")))
    assert own.orders.low > 0.5
    assert own.verdict == "backwards"
    assert verdict(Answers(said(length).values())).verdict == "good", "nobody asked for the opposite"


def test_known_answers_decide() -> None:
    negated = said(length, seed="n")
    for right, expected in ((1.0, "good"), (0.5, "unclear"), (0.0, "backwards")):
        gold = {}
        for index, (key, judgment) in enumerate(said(length, noise=0.01).items()):
            first = (judgment.s12 > 0) == (index % 2 < 2 * right)
            gold[key] = (judgment, first)
        assert verdict(Answers(said(length).values(), negated, gold=gold)).verdict == expected


def test_too_few_prompts_say_nothing() -> None:
    few = {key: own for key, own in said(knows).items() if key[0] in {pair.id for pair in PAIRS[:19]}}
    assert judge_verdict(Answers(few.values()), ("kind", "short")).whole.verdict == "too few"
    ties = {key: replace(own, tie=True, s12=0.0, s21=0.0) for key, own in said(knows).items()}
    assert judge_verdict(Answers(ties.values()), ("kind", "short")).whole.verdict == "unclear"


# -- in a run --------------------------------------------------------------------------------------------------------

#: appended to world.py: a judge of each kind, which counts what it is asked
JUDGES = '''

class MadeUp(Judge):
    """Goes by what is asked for."""

    class Options(BaseModel):
        goes_by: str = "text"

    def __init__(self, options: Options):
        self.options = options

    def judge(self, pairs, principles, context):
        with open("asked.txt", "a") as file:
            file.write(f"{len(pairs)} {[p.text for p in principles]}\\n")
        counted = {"answers": 4, "unread": 1} if self.options.goes_by == "counted" else {}
        return [Judgment(pair.id, p.name, *self.scores(pair, p), **counted) for pair in pairs for p in principles]

    def scores(self, pair, principle):
        rng = Random(f"{pair.id} {principle.text}")
        value = float(len(pair.first.text) - len(pair.second.text))
        if self.options.goes_by == "position":
            return 3 + rng.gauss(0, 1), -3 + rng.gauss(0, 1)
        if self.options.goes_by == "length":
            return value, value
        value *= -1 if principle.text in ("The answer is long.", "The answer is harsh.") else 1
        return value + rng.gauss(0, 0.1), value + rng.gauss(0, 0.1)


@hookimpl
def salmon_judges():
    yield Component("toy-judge", ToyJudge, "")
    yield Component("made-up", MadeUp, "")
'''


def folder_with(tmp_path: Path, goes_by: str, **judge: Any) -> Path:
    section = {"judge": {"name": "made-up", "goes_by": goes_by}, "principles": "rules.yaml", "engine": "bytes"}
    config = make_folder(tmp_path, judge={**section, **judge})
    (tmp_path / "prompts.jsonl").write_text(prompt_lines(60))
    world = (tmp_path / "world.py").read_text().replace("def salmon_judges(", "def _earlier_judges(")
    (tmp_path / "world.py").write_text(world.replace("@hookimpl\ndef _earlier", "def _earlier") + JUDGES)
    return config


def asked(folder: Path) -> list[str]:
    return (folder / "runs/toy/verdict/asked.txt").read_text().splitlines()


def table(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "runs/toy/verdict/verdict.json").read_text())
    return found


def test_a_judge_that_can_be_believed(tmp_path: Path, cli: Cli) -> None:
    config = folder_with(tmp_path, "text", probe=25)
    done = cli("run", config)
    assert done.code == 0, done.text
    assert table(tmp_path)["whole"]["verdict"] == "good"
    assert asked(tmp_path) == ["25 ['The answer is long.', 'The answer is harsh.']"]
    report = json.loads((tmp_path / "runs/toy/report.json").read_text())
    assert report["judge"] == table(tmp_path)
    shown = cli("report", "runs/toy").out
    assert "verdict" in shown
    assert "turns: minus the correlation" in shown
    assert "right: known answers" not in shown
    assert "unread" not in shown
    again = cli("run", config)
    assert again.code == 0
    assert len(asked(tmp_path)) == 1
    more = cli("run", config, "--set", "judge.probe=30")
    assert more.code == 0, more.text
    assert (tmp_path / "runs/toy/judge/asked.txt").read_text().count("\n") == 1, "what was judged is not judged again"


def test_answers_that_are_no_verdict_are_counted_and_told(tmp_path: Path, cli: Cli) -> None:
    done = cli("run", folder_with(tmp_path, "counted", probe=25))
    assert done.code == 0, done.text
    found = table(tmp_path)
    assert found["whole"]["answers"] == 4 * found["whole"]["unread"] == 2 * found["principles"]["short"]["answers"]
    half = found["principles"]["short"]["unread"]
    said = f"{2 * half} of {8 * half} answers of the judge are no verdict or missing, and were left out:"
    assert f"judge: {said} short {half}, kind {half}" in done.text
    shown = cli("report", "runs/toy").out
    assert f"{2 * half}/{8 * half}" in shown
    assert "unread: answers that are no verdict, or missing" in shown


@pytest.mark.parametrize(("goes_by", "says"), [("position", "cannot be told from chance"), ("length", "says the same")])
def test_one_that_cannot_ends_the_run_before_the_reward_model(
    goes_by: str, says: str, tmp_path: Path, cli: Cli
) -> None:
    config = folder_with(tmp_path, goes_by)
    done = cli("run", config)
    assert done.code == 1, done.text
    last = done.err.strip()
    assert "error: verdict: the judge " in last
    assert says in last
    assert "correlation of the orders" in last
    assert "judge.orders: mean" in last
    assert not (tmp_path / "runs/toy/label").exists()
    count = len(asked(tmp_path))
    on = cli("run", config, "--set", "judge.on_weak=warn")
    assert on.code == 0, on.text
    assert says in on.err
    assert len(asked(tmp_path)) == count, "nothing is asked again"
    assert (tmp_path / "runs/toy/report.json").exists()


def test_few_prompts_are_said_and_no_reason_to_stop(tmp_path: Path, cli: Cli) -> None:
    config = folder_with(tmp_path, "position")
    (tmp_path / "prompts.jsonl").write_text(prompt_lines(12))
    done = cli("run", config)
    assert done.code == 0, done.text
    assert "too few prompts to tell whether the judge can be believed" in done.err
    assert "judge: too few prompts" in cli("report", "runs/toy").out


def test_the_pairs_asked_about_again_are_those_of_which_it_said_most(tmp_path: Path, cli: Cli) -> None:
    import pyarrow.parquet as pq

    from salmon_core.stages.judge import read_judgments

    config = folder_with(tmp_path, "length", probe=5, on_weak="warn")
    assert cli("run", config, "--until", "verdict").code == 0
    run = tmp_path / "runs/toy"
    again = {row["pair_id"] for row in pq.read_table(run / "verdict/negated.parquet").to_pylist()}
    said = {each.pair_id: abs(each.s12 + each.s21) for each in read_judgments(run / "judge")}
    assert len(again) == 5
    assert min(said[pair] for pair in again) >= max(size for pair, size in said.items() if pair not in again)
    assert max(said.values()) > min(said.values())


def gold(rows: int, better: str = "longer") -> str:
    lines = []
    for index in range(rows):
        first, second = "a" * (3 + index % 7), "b" * (6 - index % 4)
        first += "a" * (len(first) == len(second))
        longer = "first" if len(first) > len(second) else "second"
        lines.append({"prompt": f"Gold {index}?", "first": first, "second": second, "principle": "kind"})
        lines[-1]["better"] = longer if better == "longer" else {"first": "second", "second": "first"}[longer]
    return "".join(json.dumps(line) + "\n" for line in lines)


def test_known_answers_in_a_run(tmp_path: Path, cli: Cli) -> None:
    config = folder_with(tmp_path, "length", gold="gold.jsonl")
    (tmp_path / "gold.jsonl").write_text(gold(30))
    done = cli("run", config)
    assert done.code == 0, done.text
    assert table(tmp_path)["principles"]["kind"]["right"]["value"] == 1
    assert table(tmp_path)["principles"]["short"]["right"] is None
    assert asked(tmp_path)[-1] == "30 ['The answer is kind.']"
    assert "right: known answers" in cli("report", "runs/toy").out
    (tmp_path / "gold.jsonl").write_text(gold(30, "shorter"))
    wrong = cli("run", config)
    assert wrong.code == 1
    assert "right on known answers 0.00" in wrong.err


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"principle": "kin"}, "no principle 'kin' is judged by"),
        ({"better": "third"}, "column better"),
        ({"first": None}, "column first"),
        ({"second": "a"}, "has the same text twice"),
        ({"prompt": ""}, "gold.jsonl: line 2"),
    ],
)
def test_known_answers_that_are_none(
    row: dict[str, Any], says: str, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = folder_with(tmp_path, "text", gold="gold.jsonl")
    plain = {"prompt": "Why?", "first": "a", "second": "b", "principle": "kind", "better": "first"}
    (tmp_path / "gold.jsonl").write_text("".join(json.dumps(each) + "\n" for each in (plain, {**plain, **row})))
    monkeypatch.setenv("SALMON_QUICK", "")
    for done in (cli("check", config), cli("run", "--quick", config, "--until", "verdict")):
        assert done.code in (1, 2), done.text
        assert says in done.err
        assert "gold.jsonl: line 2" in done.err
        assert "Traceback" not in done.text
    missing = cli("check", config, "--set", "judge.gold=none.jsonl")
    assert "judge.gold: there is no file 'none.jsonl'" in missing.err


# -- orders ----------------------------------------------------------------------------------------------------------


def test_a_mean_keeps_what_a_bias_turns_round(tmp_path: Path, cli: Cli) -> None:
    def scores(orders: str) -> Sequence[float]:
        from salmon_core.stages.judge import read_judgments

        done = cli("run", config, "--until", "judge", "--set", f"judge.orders={orders}")
        assert done.code == 0, done.text
        return [judgment.score for judgment in read_judgments(tmp_path / "runs/toy/judge")]

    config = folder_with(tmp_path, "position")
    agree, mean = scores("agree"), scores("mean")
    assert sum(score == 0 for score in agree) > len(agree) * 0.9
    assert not any(score == 0 for score in mean)
    assert abs(sum(mean) / len(mean)) < 0.3, "the bias is gone"
    assert Judgment("p", "kind", 2.0, -1.0, mean=True).score == 0.5
    assert Judgment("p", "kind", 0.0, 0.0, tie=True, mean=True).score == 0.0
    assert Judgment("p", "kind", 2.0, -1.0).score == 0.0
