"""The judge `external`: judgments from a file, of people or of any other judge."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.api import Judge, JudgeContext, Principle
from salmon_core.data.validation import did_you_mean
from salmon_core.errors import ConfigError, Problem, StageError
from salmon_core.records import Judgment, Pair
from salmon_judge.judged_rows import JudgedRows, Said

#: missing judgments that are named
_NAMED = 3


class ExternalJudge(Judge):
    """Looks judgments up by the pair's id, or by the texts of the prompt and both completions, in either order.

    Attributes:
        reads_principles: what the file says of a principle holds for its own text only.
    """

    reads_principles = False
    calls = 0

    class Options(BaseModel):
        """What a configuration may set."""

        model_config = ConfigDict(extra="forbid")

        path: Path = Field(description="JSON Lines, CSV or Parquet; a row for each pair and principle")
        missing: Literal["stop", "tie"] = Field(
            "stop", description="a pair that no row judges under a principle: stop the run, or take it for a tie"
        )

    def __init__(self, options: Options):
        self.options = options

    @cached_property
    def _rows(self) -> JudgedRows:
        return JudgedRows(self.options.path)

    def check(self, principles: Sequence[Principle]) -> None:
        """Reads the whole file, and sees whether it is about these principles.

        Raises:
            ConfigError: rows that cannot be used; a principle without any.
        """
        there = self._rows.principles
        without = [principle.name for principle in principles if principle.name not in there]
        if without and (self.options.missing == "stop" or len(without) == len(principles)):
            about = f"its rows are about {', '.join(there[:10])}"
            where = str(self.options.path)
            raise ConfigError(
                [Problem(where, f"no row judges by {name!r}{did_you_mean(name, there)}", about) for name in without]
            )

    def judge(self, pairs: Sequence[Pair], principles: Sequence[Principle], context: JudgeContext) -> list[Judgment]:
        """Judges every pair under every principle; pairs in order, principles in order within a pair.

        Raises:
            ConfigError: rows that cannot be used.
            StageError: a judgment is missing, or two rows contradict each other.
        """
        found = [(pair, principle.name, self._said(pair, principle.name)) for pair in pairs for principle in principles]
        missing = [f"{pair.id} under {name!r}" for pair, name, said in found if said is None]
        if missing and self.options.missing == "stop":
            some = ", ".join(missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
            raise StageError(
                f"lacks {len(missing)} of {len(found)} judgments, of {len(pairs)} pairs looked up together: {some}",
                where=str(self.options.path),
                hint="add these rows, or take what is missing for ties (missing: tie)",
            )
        return [_judgment(pair, name, said) for pair, name, said in found]

    def _said(self, pair: Pair, principle: str) -> Said | None:
        found = self._rows.of(pair, principle)
        for other in found[1:]:
            if (other.s12, other.s21) != (found[0].s12, found[0].s21):
                raise StageError(
                    f"contradicts another row about pair {pair.id} under {principle!r}",
                    where=other.where,
                    hint=f"the other one is {found[0].where}",
                )
        return found[0] if found else None


def _judgment(pair: Pair, principle: str, said: Said | None) -> Judgment:
    """A missing one is a tie that counts as unread."""
    if said is None:
        return Judgment(pair.id, principle, 0.0, 0.0, tie=True, answers=1, unread=1)
    tie = said.s12 == said.s21 == 0
    return Judgment(pair.id, principle, said.s12, said.s21, said.reason, tie, answers=1)
