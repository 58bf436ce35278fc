"""Which policy a judge prefers, principle by principle: the one after RL, or the one before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.api import EvaluatedRun, Evaluator, Metrics, Section
from salmon_core.records import Judgment, Pair
from salmon_evaluators.wins import COLUMNS, TIE, Wins, at_equal_length, by_name, outcome

#: the principles that prompts bring along, taken together
_PER_PROMPT = "(of the prompts)"


class WinRate(Evaluator):
    """Answers after against answers before, to held-out prompts, judged in both orders.

    A win is a judgment in which both orders prefer the answer after; where they disagree it is a tie, and a tie counts
    half. Answers of equal text are a tie that nobody is asked about. A judge that goes by position alone makes ties.
    """

    needs = frozenset({"initial", "policy", "judge"})

    class Options(BaseModel):
        """What a configuration may set."""

        model_config = ConfigDict(extra="forbid")

        samples: int = Field(2, ge=1, description="answers of each policy per held-out prompt, compared one by one")
        length_controlled: bool = Field(True, description="also the win rate at equal length (arXiv 2404.04475)")

    def __init__(self, options: Options | None = None):
        self.options = options or self.Options()

    def evaluate(self, run: EvaluatedRun) -> Metrics:
        """Values: `overall` and `principles`, each with `wins`, `ties`, `losses` and `win_rate`; `equal_texts`,
        `orders_disagree`, and by name `length_controlled`. Targets: one for each principle, and one for all.

        Intervals count prompts, not comparisons.
        """
        prompts = {prompt.id: prompt for prompt in run.prompts("test")}
        before, after = (run.samples(role, self.options.samples) for role in ("initial", "policy"))
        both = [(one, other) for one, other in zip(before, after, strict=True)]
        pairs = [Pair(prompts[one.prompt_id], one, other) for one, other in both if one.text != other.text]
        judgments = run.judge(pairs)
        known = {principle.name: principle.text for principle in run.judge_principles}
        lengths = {pair.id: float(pair.second.n_tokens - pair.first.n_tokens) for pair in pairs}
        groups: dict[str, Wins] = {name: Wins() for name in known}
        overall, told, disagree = Wins(), list[tuple[str, str, float, float]](), 0
        for judgment, pair in _with_pairs(judgments, pairs):
            name = judgment.principle if judgment.principle in known else _PER_PROMPT
            value = _outcome(judgment)
            disagree += not judgment.consistent and not judgment.tie
            told.append((name, pair.prompt.id, value, lengths[pair.id]))
        told += [
            (name, one.prompt_id, TIE, float(other.n_tokens - one.n_tokens))
            for one, other in both
            if one.text == other.text
            for name in known
        ]
        for name, prompt, value, _ in told:
            groups.setdefault(name, Wins()).add(prompt, value)
            overall.add(prompt, value)
        groups = {name: wins for name, wins in groups.items() if wins.by_prompt}
        values: dict[str, Any] = {
            "overall": overall.to_json(),
            "principles": by_name(groups),
            "equal_texts": len(both) - len(pairs),
            "orders_disagree": disagree,
        }
        controlled = self._controlled(told, groups)
        if self.options.length_controlled:
            values["length_controlled"] = controlled
        targets = [wins.target(f"wins: {name}", principle=known.get(name, "")) for name, wins in groups.items()]
        return Metrics(
            "win-rate",
            values,
            targets=(overall.target("wins"), *targets) if overall.by_prompt else (),
            sections=(self._section({"all": overall, **groups}, controlled, len(both) - len(pairs)),),
        )

    def _controlled(self, told: Sequence[tuple[str, str, float, float]], groups: dict[str, Wins]) -> dict[str, Any]:
        """By principle, and of all; what cannot be told is left out."""
        found = {}
        for group in ("all", *groups):
            rows = [(prompt, value, length) for name, prompt, value, length in told if group in ("all", name)]
            estimate = at_equal_length(rows) if self.options.length_controlled else None
            if estimate is not None:
                found[group] = asdict(estimate)
        return found

    def _section(self, groups: dict[str, Wins], controlled: dict[str, Any], equal: int) -> Section:
        rows = []
        for name, wins in groups.items():
            cells: tuple[str | float | int | None, ...] = (name, *wins.cells())
            if self.options.length_controlled:
                own = controlled.get(name)
                told = None if own is None else f"{own['value']:.3f} [{own['low']:.3f}, {own['high']:.3f}]"
                cells = (*cells, told)
            rows.append(cells)
        columns = ("principle", *COLUMNS, *(("at equal length",) if self.options.length_controlled else ()))
        note = f"After against before. A win is one in both orders; {equal} pairs of equal answers are ties."
        return Section("Wins by the judge", columns, tuple(rows), note, judged=True)


def _with_pairs(judgments: Sequence[Judgment], pairs: Sequence[Pair]) -> list[tuple[Judgment, Pair]]:
    by_id = {pair.id: pair for pair in pairs}
    return [(judgment, by_id[judgment.pair_id]) for judgment in judgments]


def _outcome(judgment: Judgment) -> float:
    """The second of a pair is the answer after. Orders have to agree, whatever `judge.orders` says."""
    return outcome(-judgment.s12) if judgment.consistent else TIE
