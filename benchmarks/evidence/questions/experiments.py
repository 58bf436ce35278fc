"""The experiments behind the claims: the reward model by principle, RL that follows, a hack and its cure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from evidence.intervals import Interval
from evidence.question import BASE, ORACLE, RATES, Arm, Question, measured, rewarded
from evidence.results import Read, Results, at, rate
from evidence.table import markdown

#: longer than the quickstart: it takes a bias a while to win; the cure gets as long
HACK = ("train.options.max_steps=40", *rewarded("helpful, language", 2), *measured(ORACLE))
NO_RM = Arm("no-rm", ("reward.rm_weight=0", *RATES))
NEGATED = Arm("negated", ("reward.principles.negate=true", *RATES))
ALONE = Arm("alone", (*rewarded("no-self-praise", 1, "negate: true"), *RATES))
HACKED = Arm("hack", HACK)
CURED = Arm("cure", (*HACK, "reward.interventions=[{principle: no-self-praise, from_set: minnow-interventions}]"))
UNSEEN = Arm(
    "cure-unseen", (*HACK, "reward.interventions=[{principle: no-self-praise-unseen, from_set: minnow-interventions}]")
)
NO_NEGATIVES = Arm(
    "no-negatives",
    (
        "label.negate_probability=0",
        "train.algorithm=none",
        *measured("{name: rm-accuracy, truth: minnow, samples: 8}"),
    ),
)


@dataclass(frozen=True)
class Claim:
    """A number by seed, and what is claimed of it.

    Attributes:
        holds: None where nothing is claimed.
    """

    text: str
    interval: Interval
    holds: bool | None = None

    @property
    def verdict(self) -> str:
        return "" if self.holds is None else "holds" if self.holds else "FAILS"


class _Claims:
    def __init__(self, results: Results):
        self.results = results
        self.found: list[Claim] = []

    def add(
        self, text: str, arm: Arm, read: Read, holds: Callable[[Sequence[float]], bool | None] | None = None
    ) -> None:
        """Nothing where no seed has it."""
        interval = self.results.interval(arm, read)
        if interval is not None:
            says = None if holds is None else holds(list(interval.values.values()))
            self.found.append(Claim(text, interval, says))


def claims(results: Results) -> list[Claim]:
    """What was claimed, in order."""
    table = _Claims(results)
    base = next((report for seed in results.seeds if (report := results.report(BASE, seed))), None)
    if base is None:
        return []
    for target in base["targets"]:
        name, sign = target["name"], 1 if target["wanted"] == "more" else -1
        table.add(f"base: {name}, before", BASE, rate(name, "before"))
        towards = _signed(rate(name, "change"), sign)
        table.add(f"base: {name}, change towards the principle", BASE, towards)
        moved = fmean(results.values(BASE, towards).values())
        for arm, holds in ((NO_RM, _within), (NEGATED, _below_0 if moved >= 0.20 else None)):
            # of negation no claim where the principle itself had moved little
            table.add(f"{arm.name}: {name}, change towards the principle", arm, towards, holds)
    table.add("negated, shown alone: self-praise after, > 0.5", ALONE, rate("self_praise"), _over(0.5))
    table.add("base: mean change of the targets, >= 0.20", BASE, _mean_change, _least(0.20))
    table.add("base: parsable after RL, >= 0.93", BASE, rate("parsable"), _least(0.93))
    variance = at("stages", "train-policy", "metrics", "explained_variance")
    table.add("base: the critic's explained variance, last quarter, > 0", BASE, variance, lambda own: min(own) > 0)
    for name, least in (("positive", 0.90), ("negated", 0.85)):
        table.add(f"base: RM accuracy, {name}, >= {least}", BASE, at("rm", name), _least(least))
    for size in base["rm"]["sets"]["joint"]:
        for mode in ("joint", "mean"):
            table.add(f"base: RM accuracy, {mode}, sets of {size}", BASE, at("rm", "sets", mode, size))
    for name in ("positive", "negated"):
        table.add(f"no-negatives: RM accuracy, {name}", NO_NEGATIVES, at("rm", name))
    table.add("hack: self-praise before", HACKED, rate("self_praise", "before"))
    table.add("hack: self-praise after, > 0.5", HACKED, rate("self_praise"), _over(0.5))
    table.add("hack: language match after", HACKED, rate("language_match"))
    table.add("cure: self-praise after, < 0.1", CURED, rate("self_praise"), lambda own: fmean(own) < 0.1)
    table.add("cure: language match after", CURED, rate("language_match"))
    table.add("cure: parsable after", CURED, rate("parsable"))
    table.add("cure, unseen wording: self-praise after", UNSEEN, rate("self_praise"))
    return table.found


def _signed(read: Read, sign: int) -> Read:
    def turned(report: Any) -> float | None:
        value = read(report)
        return None if value is None else sign * value

    return turned


def _mean_change(report: Any) -> float:
    return fmean(abs(target["change"]) for target in report["targets"])


def _within(own: Sequence[float]) -> bool:
    return abs(fmean(own)) < 0.05


def _below_0(own: Sequence[float]) -> bool:
    return fmean(own) < 0


def _over(least: float) -> Callable[[Sequence[float]], bool]:
    return lambda own: fmean(own) > least


def _least(least: float) -> Callable[[Sequence[float]], bool]:
    return lambda own: fmean(own) >= least


def _write(results: Results) -> list[str]:
    found = claims(results)
    rows = [[c.text, str(len(c.interval.values)), c.interval.text(signed=True, digits=3), c.verdict] for c in found]
    judged = [c for c in found if c.holds is not None]
    failed = [c.text for c in judged if not c.holds]
    one = " in one seed, which says nothing about chance" if len(results.values(BASE, rate("vivid"))) == 1 else ""
    told = f"{len(judged) - len(failed)} of {len(judged)} claims hold{one}"
    return [
        *markdown(["", "seeds", "mean", "claim"], rows),
        f"{told}{': not ' + '; '.join(failed) if failed else ''}.",
        "",
    ]


QUESTION = Question(
    "experiments",
    "Does RL follow the principles shown?",
    """
The quickstart, then variants of its RL stage with the same reward model: no reward model (`no-rm`), the same
principles negated, one of them negated and shown alone, a hack (`helpful` and `language` only: the judge is biased
towards self-praise), its cure (a prohibition added at RL time), the cure in words that nothing was trained on, and
a reward model trained without negated principles. Hack and cure train for 40 steps, the rest for 24. Of `negated`
something is claimed only where the principle itself moved a rate by 0.20.
""",
    (BASE, NO_RM, NEGATED, ALONE, HACKED, CURED, UNSEEN, NO_NEGATIVES),
    _write,
)
