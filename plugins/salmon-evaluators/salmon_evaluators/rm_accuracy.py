"""Does the reward model follow principles on prompts nobody trained on?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from random import Random

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.api import EvaluatedRun, Evaluator, KnownRun, Metrics, Principle
from salmon_core.api import RewardModelAccuracy as Accuracy
from salmon_core.errors import SalmonError
from salmon_core.kit.statistics import mean_rate, rate
from salmon_core.records import Pair, ShownPrinciple
from salmon_core.rng import named_rng

JUDGE = "judge"


@dataclass(frozen=True)
class Comparison:
    """One question to the reward model: is the first completion better under these principles?"""

    pair: int
    shown: tuple[ShownPrinciple, ...]
    first_is_better: bool


class RewardModelAccuracy(Evaluator):
    """Accuracy on pairs of the initial policy's completions of held-out prompts.

    A set's truth is unambiguous: its principles are drawn with such polarities that all of them that see a difference
    prefer the same completion, and at least one does.
    """

    class Options(BaseModel):
        """What a configuration may set."""

        model_config = ConfigDict(extra="forbid")

        truth: str = Field(JUDGE, description="name of an oracle, or `judge`: its consistent judgments")
        samples: int = Field(4, ge=2, description="completions per held-out prompt")
        max_pairs: int = Field(120, ge=1, description="compared pairs per principle, and sets per size, at most")
        max_set: int = Field(6, ge=1, description="largest set of principles")
        modes: list[str] = Field(["joint", "mean"], description="one text for all principles, or one text each")

    def __init__(self, options: Options):
        self.options = options
        asked = {"judge"} if options.truth == JUDGE else set()
        self.needs = frozenset({"initial", "reward", *asked})

    def check(self, run: KnownRun) -> None:
        """Raises SalmonError where there is no such oracle."""
        if self.options.truth != JUDGE:
            run.oracle(self.options.truth)

    def evaluate(self, run: EvaluatedRun) -> Metrics:
        """The reward model's accuracy, and as values each principle's and each set size's estimate.

        Raises:
            SalmonError: the run has no reward model.
        """
        if run.reward.model is None:  # of weight 0: only one that the configuration names can be asked
            run.open("reward")
        pairs = run.pairs(self.options.samples)
        principles = list(run.judge_principles)
        truth = self._truth(run, pairs, principles)
        rng = named_rng(run.seed, "rm-accuracy")
        groups: dict[tuple[str, ...], list[Comparison]] = {}
        for principle in principles:
            for negated in (False, True):
                if not negated or principle.negated is not None:
                    key = ("negated" if negated else "positive", principle.name)
                    groups[key] = self._singles(principle, negated, truth, rng)
        for size in range(1, min(self.options.max_set, len(principles)) + 1):
            groups["sets", str(size)] = self._sets(size, principles, truth, rng)
        right = {mode: _right(run, pairs, groups, mode) for mode in self.options.modes}
        results = {
            mode: {
                key: rate(sum(sum(own) for own in group.values()), sum(map(len, group.values())))
                for key, group in by.items()
            }
            for mode, by in right.items()
        }
        first = right[self.options.modes[0]]
        over = {
            polarity: mean_rate(
                [group for key, group in first.items() if key[0] == polarity],
                named_rng(run.seed, "rm-accuracy", polarity),
            )
            for polarity in ("positive", "negated")
        }
        accuracy = Accuracy(
            over["positive"] if over["positive"].n else None,
            over["negated"] if over["negated"].n else None,
            {
                mode: {
                    key[1]: mean_rate([group], named_rng(run.seed, "rm-accuracy", mode, key[1]))
                    for key, group in by.items()
                    if key[0] == "sets" and group
                }
                for mode, by in right.items()
            },
        )
        by_principle = {
            polarity: {key[1]: asdict(own) for key, own in results[self.options.modes[0]].items() if key[0] == polarity}
            for polarity in ("positive", "negated")
        }
        sets = {mode: {k[1]: asdict(v) for k, v in found.items() if k[0] == "sets"} for mode, found in results.items()}
        values = {"truth": self.options.truth, "pairs": len(pairs), "principles": by_principle, "sets": sets}
        return Metrics("rm-accuracy", values, reward_model=accuracy)

    def _truth(
        self, run: EvaluatedRun, pairs: Sequence[Pair], principles: Sequence[Principle]
    ) -> list[dict[str, float]]:
        """By pair and principle: > 0 if the first is better, 0 for none."""
        if self.options.truth == JUDGE:
            found: dict[str, dict[str, float]] = {}
            for judgment in run.judge(pairs):
                found.setdefault(judgment.pair_id, {})[judgment.principle] = judgment.score
            return [found[pair.id] for pair in pairs]
        oracle = run.oracle(self.options.truth)
        try:
            return [
                {p.name: oracle.prefer(pair.prompt, pair.first.text, pair.second.text, p.name) for p in principles}
                for pair in pairs
            ]
        except KeyError as error:
            raise SalmonError(
                f"the oracle {self.options.truth!r} knows nothing about the principle {error}",
                where="rm-accuracy",
                hint="use `truth: judge`, or judge by the oracle's principles",
            ) from None

    def _singles(
        self, principle: Principle, negated: bool, truth: Sequence[Mapping[str, float]], rng: Random
    ) -> list[Comparison]:
        differing = [index for index, own in enumerate(truth) if own[principle.name] != 0]
        chosen = rng.sample(differing, min(self.options.max_pairs, len(differing)))
        shown = (principle.shown(negated=negated),)
        return [Comparison(index, shown, (truth[index][principle.name] > 0) != negated) for index in chosen]

    def _sets(
        self, size: int, principles: Sequence[Principle], truth: Sequence[Mapping[str, float]], rng: Random
    ) -> list[Comparison]:
        found: list[Comparison] = []
        if not truth:
            return found
        for _ in range(20 * self.options.max_pairs):
            if len(found) == self.options.max_pairs:
                break
            index, first = rng.randrange(len(truth)), rng.random() < 0.5
            chosen = rng.sample(principles, size)
            shown, differs = [], False
            for principle in chosen:
                preference = truth[index][principle.name]
                differs |= preference != 0
                negated = rng.random() < 0.5 if preference == 0 else (preference > 0) != first
                if negated and principle.negated is None:
                    break
                shown.append(principle.shown(negated=negated))
            if differs and len(shown) == size:
                found.append(Comparison(index, tuple(shown), first))
        return found


def _right(
    run: EvaluatedRun, pairs: Sequence[Pair], groups: Mapping[tuple[str, ...], Sequence[Comparison]], mode: str
) -> dict[tuple[str, ...], dict[str, list[int]]]:
    """By group and prompt, whether the reward model was right (1) or not (0).

    All its texts are scored in one go, sharing prefixes by completion.
    """
    asked: dict[int, list[tuple[ShownPrinciple, ...]]] = {}
    for comparisons in groups.values():
        for comparison in comparisons:
            sets = [comparison.shown] if mode == "joint" else [(each,) for each in comparison.shown]
            asked.setdefault(comparison.pair, []).extend(sets)
    unique = {index: list(dict.fromkeys(sets)) for index, sets in asked.items()}
    texts = [
        (pairs[index].prompt.messages, completion.text, sets)
        for index, sets in unique.items()
        for completion in (pairs[index].first, pairs[index].second)
    ]
    scores = run.score_texts(texts)
    margins: dict[tuple[int, tuple[ShownPrinciple, ...]], float] = {}
    for number, (index, sets) in enumerate(unique.items()):
        for position, shown in enumerate(sets):
            margins[index, shown] = scores[2 * number][position] - scores[2 * number + 1][position]
    results = {}
    for key, comparisons in groups.items():
        own: dict[str, list[int]] = {}
        for comparison in comparisons:
            parts = [comparison.shown] if mode == "joint" else [(each,) for each in comparison.shown]
            margin = sum(margins[comparison.pair, part] for part in parts)
            right = (margin > 0) == comparison.first_is_better and margin != 0
            own.setdefault(pairs[comparison.pair].prompt.id, []).append(int(right))
        results[key] = own
    return results
