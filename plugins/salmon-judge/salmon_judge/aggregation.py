"""From judgments to preferences (arXiv 2310.05910, 3.2). Row order and pair order carry no information, so the paper's
random swap of the two completions has no counterpart here: a row says which one was chosen."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any

from salmon_core.api import Labels, Principle
from salmon_core.errors import DataError, SalmonError
from salmon_core.records import Judgment, Pair, PreferenceRow, ShownPrinciple
from salmon_core.rng import named_rng
from salmon_judge.draw import draw_for_reward_model
from salmon_judge.options import PAPER_EXCLUDES, Options
from salmon_judge.rules import Verdict
from salmon_judge.scores import Scale, by_principle, describe, scale_of


class Aggregation:
    """One aggregation: prepared by the constructor, drawn by `run`.

    Raises:
        SalmonError: judgments are missing or not finite, or no principle is left to show.
    """

    def __init__(
        self, options: Options, pairs: Sequence[Pair], judgments: Sequence[Judgment], principles: Sequence[Principle]
    ):
        self._options = options
        self._used = _used(principles, options.exclude)
        self._names = [principle.name for principle in principles]
        self._pairs, self._dropped_pairs = _usable(pairs, options.min_characters)
        self._judgments = by_principle(self._pairs, judgments, self._names)
        self._scores = {
            name: {judgment.pair_id: judgment.score for judgment in self._judgments[name]} for name in self._names
        }
        self._scales: dict[str, Scale] = {
            principle.name: scale_of(list(self._scores[principle.name].values()), options.normalise)
            for principle in self._used
        }
        self._verdicts: list[list[Verdict]] = [rule.verdicts(self._pairs) for rule in options.rules]
        self._tallies: dict[str, Counter[str]] = {
            key: Counter() for key in ("dropped", "decided", "shown", "negated", "flipped")
        }

    def run(self, rng: Random) -> Labels:
        """Draws all rows."""
        seed = rng.getrandbits(64)
        rows = []
        for index, pair in enumerate(self._pairs):
            for repeat in range(self._options.repeats):
                row = self._row(index, pair, named_rng(seed, "aggregate", pair.id, repeat))
                if row is not None:
                    rows.append(row)
        return Labels(rows, self._statistics(len(rows)))

    def _row(self, index: int, pair: Pair, rng: Random) -> PreferenceRow | None:
        options = self._options
        shown = draw_for_reward_model(
            self._used, rng, p=options.geometric_p, cap=options.cap, negate=options.negate_probability
        )
        score, decided_by = self._label(pair, shown)
        if score == 0 or abs(score) < options.min_margin:
            self._tallies["dropped"]["tie" if score == 0 else "below_margin"] += 1
            return None
        first_wins, noise = score > 0, options.flip
        for rule, verdicts in zip(options.rules, self._verdicts, strict=True):
            verdict = verdicts[index]
            if verdict is None or rng.random() >= rule.probability:
                continue
            if verdict == "drop":
                self._tallies["dropped"][f"rule:{rule.name}"] += 1
                return None
            first_wins, noise, decided_by = verdict == "first", options.flip_by_rule, f"rule:{rule.name}"
            break
        flipped = rng.random() < noise
        self._count(shown, decided_by, flipped)
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

    def _label(self, pair: Pair, shown: Sequence[ShownPrinciple]) -> tuple[float, str]:
        """-> the combined score, positive for completion 1; the principle that decided."""
        scores = [
            (-1 if each.negated else 1) * self._scales[each.name](self._scores[each.name][pair.id]) for each in shown
        ]
        if self._options.label == "dominant":
            score = max(scores, key=abs)  # the first of equals, in the order shown
            return score, shown[scores.index(score)].name
        score = math.fsum(scores) / len(scores)
        # The name of the one that weighed most on the winning side.
        strongest = max(range(len(scores)), key=lambda i: math.copysign(1.0, score) * scores[i])
        return score, shown[strongest].name

    def _count(self, shown: Sequence[ShownPrinciple], decided_by: str, flipped: bool) -> None:
        self._tallies["decided"][decided_by] += 1
        self._tallies["flipped"][decided_by] += flipped
        for each in shown:
            self._tallies["shown"][each.name] += 1
            self._tallies["negated"][each.name] += each.negated

    def _statistics(self, rows: int) -> dict[str, Any]:
        """JSON-ready; see the README for what the numbers mean."""
        used = {principle.name for principle in self._used}
        principles = {}
        for name in self._names:
            principles[name] = describe(self._judgments[name])
            if name in used:
                principles[name] |= {
                    "divisor": self._scales[name].divisor,
                    **{key: self._tallies[key][name] for key in ("shown", "negated", "decided")},
                }
        rules = [f"rule:{rule.name}" for rule in self._options.rules]
        return {
            "pairs": len(self._pairs) + sum(self._dropped_pairs.values()),
            "dropped_pairs": dict(self._dropped_pairs),
            "drawn": len(self._pairs) * self._options.repeats,
            "rows": rows,
            "dropped_rows": {key: self._tallies["dropped"][key] for key in ("tie", "below_margin", *rules)},
            "decided_by_rules": {rule: self._tallies["decided"][rule] for rule in rules},
            "flipped": sum(self._tallies["flipped"].values()),
            "excluded": [name for name in self._names if name not in used],
            "without_variance": [name for name, scale in self._scales.items() if scale.divisor is None],
            "principles": principles,
        }


def _used(principles: Sequence[Principle], exclude: Sequence[str] | None) -> list[Principle]:
    names = {principle.name for principle in principles}
    unknown = [name for name in exclude or () if name not in names]
    if unknown:
        raise SalmonError(
            f"there is no principle named {', '.join(unknown)}",
            where="label.exclude",
            hint=f"the set has {', '.join(sorted(names))}",
        )
    without = PAPER_EXCLUDES if exclude is None else exclude
    used = [principle for principle in principles if principle.name not in without]
    if not used:
        raise SalmonError("all principles are excluded", where="label.exclude", hint="leave some to show")
    return used


def _usable(pairs: Sequence[Pair], min_characters: int) -> tuple[list[Pair], dict[str, int]]:
    """Pairs that can teach something, and how many others there were, by reason."""
    kept: dict[str, Pair] = {}
    dropped = {"short": 0, "identical": 0}
    seen: set[str] = set()
    for pair in pairs:
        if pair.id in seen:
            raise DataError("the pair is given twice", where=f"pair {pair.id}")
        seen.add(pair.id)
        if min(len(pair.first.text.strip()), len(pair.second.text.strip())) < min_characters:
            dropped["short"] += 1
        elif pair.first.text == pair.second.text:
            dropped["identical"] += 1
        else:
            kept[pair.id] = pair
    return list(kept.values()), dropped
