"""Which policy an oracle prefers, principle by principle: the one after RL, or the one before."""

from __future__ import annotations

from itertools import product
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.api import EvaluatedRun, Evaluator, KnownRun, Metrics, Section
from salmon_core.errors import SalmonError
from salmon_core.records import Completion
from salmon_evaluators.wins import COLUMNS, TIE, Wins, by_name, outcome


class OracleWins(Evaluator):
    """Answers after against answers before, to held-out prompts, where a world has ground truth.

    Each answer after is compared with each before: an oracle costs nothing. It says that neither is better where it
    knows nothing of a prompt, or sees no difference: that is a tie, which counts half.
    """

    needs = frozenset({"initial", "policy"})

    class Options(BaseModel):
        """What a configuration may set."""

        model_config = ConfigDict(extra="forbid")

        oracle: str = Field(min_length=1, description="name of an oracle")
        samples: int = Field(4, ge=1, description="answers of each policy per held-out prompt")
        principles: list[str] | None = Field(
            None, min_length=1, description="names; null: those of judge and reward that the oracle knows"
        )

    def __init__(self, options: Options):
        self.options = options

    def check(self, run: KnownRun) -> None:
        """Raises SalmonError where there is no such oracle."""
        run.oracle(self.options.oracle)

    def evaluate(self, run: EvaluatedRun) -> Metrics:
        """Values: `oracle`, and by name `principles`, each with `wins`, `ties`, `losses` and `win_rate`; `unknown`.

        A target for each principle; less is wanted of one that the reward shows by its negated text, and nothing is
        said of one that it does not show.

        Raises:
            SalmonError: the oracle knows none of the principles, or not one that the options name.
        """
        oracle = run.oracle(self.options.oracle)
        prompts = run.prompts("test")
        by_role = [_by_prompt(run.samples(role, self.options.samples)) for role in ("initial", "policy")]
        texts = {principle.name: principle.text for principle in (*run.reward_principles, *run.judge_principles)}
        groups: dict[str, Wins] = {}
        unknown = []
        for name in self.options.principles or texts:
            wins = Wins()
            try:
                for prompt in prompts:
                    for one, other in product(*(own.get(prompt.id, ()) for own in by_role)):
                        same = one.text == other.text
                        wins.add(prompt.id, TIE if same else outcome(oracle.prefer(prompt, other.text, one.text, name)))
            except KeyError:
                unknown.append(name)
            else:
                groups[name] = wins
        if unknown and (self.options.principles is not None or not groups):
            raise SalmonError(
                f"the oracle {self.options.oracle!r} knows nothing about {', '.join(unknown)}",
                where="oracle",
                hint="name principles that it knows, or another oracle",
            )
        wanted: dict[str, Literal["more", "less", ""]] = {
            shown.name: "less" if shown.negated else "more"
            for shown in (*run.rewarded, *(item.shown for item in run.reward.interventions))
        }
        values = {"oracle": self.options.oracle, "principles": by_name(groups), "unknown": unknown}
        targets = [
            wins.target(f"better by {self.options.oracle}: {name}", wanted.get(name, ""), texts.get(name, ""))
            for name, wins in groups.items()
            if wins.by_prompt
        ]
        rows = tuple((name, *wins.cells()) for name, wins in groups.items())
        section = Section(f"Wins by the oracle {self.options.oracle}", ("principle", *COLUMNS), rows)
        return Metrics("oracle", values, targets=tuple(targets), sections=(section,))


def _by_prompt(completions: list[Completion]) -> dict[str, list[Completion]]:
    found: dict[str, list[Completion]] = {}
    for completion in completions:
        found.setdefault(completion.prompt_id, []).append(completion)
    return found
