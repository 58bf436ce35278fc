"""What the judge said, to be looked through: pairs in both orders, and which principles speak against each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

from salmon_core.data import parquet
from salmon_core.errors import SalmonError
from salmon_core.kit.statistics import rate
from salmon_core.records import Completion, Estimate, Judgment, Prompt, prompt_of
from salmon_core.seeing.answers import prompts_by_id

Orders = Literal["all", "agree", "disagree"]


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """A judgment with the texts that it is about."""

    judgment: Judgment
    prompt: Prompt | None
    first: str
    second: str

    @property
    def agree(self) -> bool:
        """Whether both orders prefer the same completion."""
        return agrees(self.judgment)


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two principles, and how often they prefer different completions, where the judge is of one mind by either.

    Attributes:
        opposed: the share, with its interval; `n` is pairs.
    """

    one: str
    other: str
    opposed: Estimate


class Judged:
    """The judgments of a run, in memory.

    Raises:
        SalmonError: a file cannot be read.
    """

    def __init__(self, run: Path):
        self._run = run
        files = sorted((run / "judge").glob("part-*.parquet"))
        self.judgments = parquet.read_rows(files, parquet.JUDGMENTS, parquet.to_judgment) if files else []
        self.principles = tuple(dict.fromkeys(each.principle for each in self.judgments))
        self._prompts = dict(prompts_by_id(run)) if files else {}
        self._texts: dict[tuple[str, int], str] | None = None

    def find(
        self, principle: str = "", orders: Orders = "all", start: int = 0, size: int = 20
    ) -> tuple[list[JudgedPair], int]:
        """Some of them, those of which the judge said most first, and how many there are."""
        chosen = [
            each
            for each in self.judgments
            if principle in ("", each.principle) and (orders == "all" or agrees(each) == (orders == "agree"))
        ]
        chosen.sort(key=lambda each: (-abs(each.s12 + each.s21) - abs(each.s12 - each.s21) / 2, each.pair_id))
        return [self._pair(each) for each in chosen[start : start + size]], len(chosen)

    def conflicts(self) -> list[Conflict]:
        """Of each two principles."""
        by_pair: dict[str, dict[str, bool]] = {}
        for each in self.judgments:
            if agrees(each) and not each.tie:
                by_pair.setdefault(each.pair_id, {})[each.principle] = each.s12 > 0
        counts: dict[tuple[str, str], list[int]] = {two: [0, 0] for two in combinations(self.principles, 2)}
        for said in by_pair.values():
            for two in combinations([name for name in self.principles if name in said], 2):
                counts[two][0] += said[two[0]] != said[two[1]]
                counts[two][1] += 1
        return [Conflict(one, other, rate(*own)) for (one, other), own in counts.items()]

    def _pair(self, judgment: Judgment) -> JudgedPair:
        texts = self._completions()
        id = prompt_of(judgment.pair_id)
        one, two = _numbers(judgment.pair_id)
        return JudgedPair(judgment, self._prompts.get(id), texts.get((id, one), ""), texts.get((id, two), ""))

    def _completions(self) -> dict[tuple[str, int], str]:
        if self._texts is None:
            files = sorted((self._run / "sample").glob("part-*.parquet"))
            self._texts = {(each.prompt_id, each.index): each.text for each in _read(files)}
        return self._texts


def agrees(judgment: Judgment) -> bool:
    """Whether both orders prefer the same completion, and one at all."""
    return judgment.s12 * judgment.s21 > 0


def _read(files: Sequence[Path]) -> Iterator[Completion]:
    for file in files:
        try:
            yield from parquet.read_rows(file, parquet.COMPLETIONS, parquet.to_completion)
        except FileNotFoundError as error:
            raise SalmonError("went while it was read", where=str(error.filename)) from None


def _numbers(pair_id: str) -> tuple[int, int]:
    one, _, two = pair_id.rpartition("/")[2].partition("-")
    return (int(one), int(two)) if one.isdigit() and two.isdigit() else (-1, -1)
