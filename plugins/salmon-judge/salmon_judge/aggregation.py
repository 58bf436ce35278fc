"""From judgments to preferences (arXiv 2310.05910, 3.2). Row order and pair order carry no information, so the paper's
random swap of the two completions has no counterpart here: a row says which one was chosen."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

from salmon_core.api import Labels, Principle, judged_by
from salmon_core.errors import DataError, SalmonError
from salmon_core.records import Judgment, Pair, PreferenceRow, ShownPrinciple
from salmon_core.rng import named_rng
from salmon_judge.draw import draw_for_reward_model
from salmon_judge.options import PAPER_EXCLUDES, Options
from salmon_judge.rules import Verdict
from salmon_judge.scores import ByPair, Scale, Tally, scale_of

#: in statistics, the principles that prompts bring along; each is judged on too few pairs to have a scale of its own
PER_PROMPT = "(of the prompts)"


class Aggregation:
    """One aggregation: prepared by the constructor, drawn by `run`. Each goes through the pairs once.

    Between the two, a number is kept of each pair and principle, and nothing else of a pair.

    Raises:
        SalmonError: judgments are missing or not finite, or no principle is left to show.
    """

    def __init__(
        self, options: Options, pairs: Iterable[Pair], judgments: Iterable[Judgment], principles: Sequence[Principle]
    ):
        self._options = options
        self._without = _excluded(principles, options.exclude)
        self._principles = tuple(principles)
        self._names = [principle.name for principle in principles]
        self._pairs = pairs
        self._dropped_pairs = Counter({"short": 0, "identical": 0})
        self._judged = {name: Tally() for name in self._names}
        #: by principle, in the order of the usable pairs; those that prompts bring along are taken together
        self._scores = {name: array("d") for name in self._names}
        self._count = 0
        self._read(judgments)
        self._scales: dict[str, Scale] = {
            name: scale_of(scores, options.normalise)
            for name, scores in self._scores.items()
            if name not in self._without
        }
        self._decide = [(rule, rule.decider()) for rule in options.rules]
        self._tallies: dict[str, Counter[str]] = {
            key: Counter() for key in ("dropped", "decided", "shown", "negated", "flipped")
        }

    def _read(self, judgments: Iterable[Judgment]) -> None:
        found, before = ByPair(judgments), None
        for pair in self._pairs:
            if pair.id == before:
                raise DataError("the pair is given twice", where=f"pair {pair.id}")
            before = pair.id
            if useless := _useless(pair, self._options.min_characters):
                self._dropped_pairs[useless] += 1
                found.without(pair.id)
                continue
            self._count += 1
            for judgment in found.of(pair.id, [each.name for each in judged_by(pair, self._principles)]):
                group = self._group(judgment.principle)
                self._judged.setdefault(group, Tally()).add(judgment)
                self._scores.setdefault(group, array("d")).append(judgment.score)
        if left := found.left():
            for pair in self._pairs:
                again = left.get(pair.id, {}).keys() & {each.name for each in judged_by(pair, self._principles)}
                if again:
                    raise DataError("is given twice", where=f"judgment of {pair.id} under {min(again)}")

    def _group(self, name: str) -> str:
        return name if name in self._names else PER_PROMPT

    def run(self, rng: Random) -> Labels:
        """Draws all rows, as they are asked for."""
        return Labels(self._rows(rng.getrandbits(64)), self._statistics)

    def _rows(self, seed: int) -> Iterator[PreferenceRow]:
        left = {group: iter(scores) for group, scores in self._scores.items()}
        for pair in self._pairs:
            if _useless(pair, self._options.min_characters):
                continue
            verdicts = [decide(pair) for _, decide in self._decide]
            scores = {each.name: next(left[self._group(each.name)]) for each in judged_by(pair, self._principles)}
            for repeat in range(self._options.repeats):
                row = self._row(pair, scores, verdicts, named_rng(seed, "aggregate", pair.id, repeat))
                if row is not None:
                    yield row

    def _row(
        self, pair: Pair, scores: Mapping[str, float], verdicts: Sequence[Verdict], rng: Random
    ) -> PreferenceRow | None:
        options = self._options
        used = [principle for principle in judged_by(pair, self._principles) if principle.name not in self._without]
        if not used:
            self._tallies["dropped"]["no_principle"] += 1
            return None
        shown = draw_for_reward_model(
            used, rng, p=options.geometric_p, cap=options.cap, negate=options.negate_probability
        )
        score, decided_by = self._label(scores, shown)
        if score == 0 or abs(score) < options.min_margin:
            self._tallies["dropped"]["tie" if score == 0 else "below_margin"] += 1
            return None
        first_wins, noise = score > 0, options.flip
        for rule, verdict in zip(options.rules, verdicts, strict=True):
            if verdict is None or rng.random() >= rule.probability:
                continue
            if verdict == "drop":
                self._tallies["dropped"][f"rule:{rule.name}"] += 1
                return None
            first_wins, noise, decided_by = verdict == "first", options.flip_by_rule, f"rule:{rule.name}"
            break
        flipped = rng.random() < noise
        self._tell(shown, decided_by, flipped)
        texts = (pair.first.text, pair.second.text)
        chosen, rejected = texts if first_wins != flipped else texts[::-1]
        return PreferenceRow(
            pair_id=pair.id,
            messages=pair.prompt.messages,
            category=pair.prompt.category,
            principles=shown,
            chosen=chosen,
            rejected=rejected,
            margin=abs(score),
            decided_by=decided_by,
            flipped=flipped,
        )

    def _label(self, said: Mapping[str, float], shown: Sequence[ShownPrinciple]) -> tuple[float, str]:
        """-> the combined score, positive for completion 1; the principle that decided."""
        scores = [(-1 if each.negated else 1) * self._scales[self._group(each.name)](said[each.name]) for each in shown]
        if self._options.label == "dominant":
            score = max(scores, key=abs)  # the first of equals, in the order shown
            return score, shown[scores.index(score)].name
        score = math.fsum(scores) / len(scores)
        # The name of the one that weighed most on the winning side.
        strongest = max(range(len(scores)), key=lambda i: math.copysign(1.0, score) * scores[i])
        return score, shown[strongest].name

    def _tell(self, shown: Sequence[ShownPrinciple], decided_by: str, flipped: bool) -> None:
        by = decided_by if decided_by.startswith("rule:") else self._group(decided_by)
        self._tallies["decided"][by] += 1
        self._tallies["flipped"][by] += flipped
        for each in shown:
            self._tallies["shown"][self._group(each.name)] += 1
            self._tallies["negated"][self._group(each.name)] += each.negated

    def _statistics(self) -> dict[str, Any]:
        """JSON-ready, after the last row; see the README for what the numbers mean."""
        principles = {}
        for name in self._judged:
            principles[name] = self._judged[name].describe()
            if name not in self._without:
                principles[name] |= {
                    "divisor": self._scales[name].divisor,
                    **{key: self._tallies[key][name] for key in ("shown", "negated", "decided")},
                }
        rules = [f"rule:{rule.name}" for rule in self._options.rules]
        dropped = self._tallies["dropped"]
        more = [key for key in ("no_principle",) if dropped[key]]
        return {
            "pairs": self._count + self._dropped_pairs.total(),
            "dropped_pairs": dict(self._dropped_pairs),
            "drawn": self._count * self._options.repeats,
            "rows": self._tallies["decided"].total(),
            "dropped_rows": {key: dropped[key] for key in ("tie", "below_margin", *rules, *more)},
            "decided_by_rules": {rule: self._tallies["decided"][rule] for rule in rules},
            "flipped": sum(self._tallies["flipped"].values()),
            "excluded": [name for name in self._names if name in self._without],
            "without_variance": [name for name, scale in self._scales.items() if scale.divisor is None],
            "principles": principles,
        }


def _excluded(principles: Sequence[Principle], exclude: Sequence[str] | None) -> frozenset[str]:
    names = {principle.name for principle in principles}
    unknown = [name for name in exclude or () if name not in names]
    if unknown:
        raise SalmonError(
            f"there is no principle named {', '.join(unknown)}",
            where="label.exclude",
            hint=f"the set has {', '.join(sorted(names))}",
        )
    without = frozenset(PAPER_EXCLUDES if exclude is None else exclude)
    if names <= without:
        raise SalmonError("all principles are excluded", where="label.exclude", hint="leave some to show")
    return without


def _useless(pair: Pair, min_characters: int) -> str:
    """Why a pair teaches nothing; empty where it can."""
    if min(len(pair.first.text.strip()), len(pair.second.text.strip())) < min_characters:
        return "short"
    return "identical" if pair.first.text == pair.second.text else ""
