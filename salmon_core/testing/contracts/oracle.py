"""What an oracle keeps to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import pytest

from salmon_core.errors import boundary
from salmon_core.plugins.options import require
from salmon_core.records import Pair
from salmon_core.testing import rows
from salmon_core.testing.contracts.base import ComponentContract
from salmon_core.testing.elsewhere import Made


@dataclass(frozen=True)
class Questions:
    """Attributes:
    principles: names.
    """

    pairs: tuple[Pair, ...]
    principles: tuple[str, ...]


class OracleContract(ComponentContract):
    """Says which completion is better, whichever is named first.

    Attributes:
        principles: names of those it knows.
    """

    kind: ClassVar[str] = "oracles"
    principles: ClassVar[Sequence[str]] = ()

    def inputs(self) -> Questions:
        """Pairs to compare; override it with some that the oracle knows about."""
        return Questions(rows.pairs(), tuple(self.principles))

    @staticmethod
    def ask(made: Made, inputs: Any) -> list[float]:
        questions = cast(Questions, inputs)
        owned = made.registry.owned(made.spec)
        oracle = require(owned, made.build(), "prefer")
        found = []
        for pair in questions.pairs:
            for principle in questions.principles:
                with boundary(str(owned.owner), f"oracle {owned.name!r}"):
                    value = oracle.prefer(pair.prompt, pair.first.text, pair.second.text, principle)
                assert not isinstance(value, str | bool), f"says {value!r} of {principle!r}, which is no number"
                assert math.isfinite(value), f"says {value} of pair {pair.id} under {principle!r}"
                found.append(float(value))
        return found

    def test_it_knows_principles(self) -> None:
        assert self.principles, "name the principles that the oracle knows: `principles = (...)`"
        assert any(self.answer(self.inputs())), "it prefers nothing; override `inputs` with pairs that differ"

    def test_turned_round_it_prefers_the_other(self) -> None:
        questions = self.inputs()
        turned = tuple(Pair(pair.prompt, pair.second, pair.first) for pair in questions.pairs)
        found = self.answer(Questions(turned, questions.principles))
        wanted = [-value for value in self.answer(questions)]
        self.same(found, wanted, "pairs turned round", tolerance=self.tolerance)

    def test_it_says_what_it_knows_nothing_about(self) -> None:
        oracle, (pair, *_) = self.made.build(), self.inputs().pairs
        with pytest.raises(KeyError):
            oracle.prefer(pair.prompt, pair.first.text, pair.second.text, "no such principle")

    def test_odd_texts_are_compared(self) -> None:
        self.answer(Questions(rows.odd_pairs(), tuple(self.principles)))
