"""What a labeller keeps to."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

from salmon_core.api.labeller import Labels, MadeLabels, judged_by
from salmon_core.api.principles import Principle
from salmon_core.errors import boundary
from salmon_core.plugins.options import require
from salmon_core.records import Judgment, Pair, PreferenceRow, ShownPrinciple
from salmon_core.rng import named_rng
from salmon_core.testing import rows
from salmon_core.testing.contracts.base import ComponentContract, allowed
from salmon_core.testing.elsewhere import Made
from salmon_core.testing.makers import make_judgment, make_principles


@dataclass(frozen=True)
class Judged:
    """What a labeller gets.

    Attributes:
        seed: of the generator that it gets.
    """

    pairs: tuple[Pair, ...]
    judgments: tuple[Judgment, ...]
    principles: tuple[Principle, ...]
    seed: int = 1


class LabellerContract(ComponentContract):
    """Rows of the pairs it was given, drawn by the generator it was given and by nothing else."""

    kind: ClassVar[str] = "labellers"

    def inputs(self) -> Judged:
        """Ordinary pairs, and judgments of all sorts."""
        pairs, principles = rows.pairs(), make_principles()
        return Judged(pairs, rows.judgments(pairs, principles), principles)

    @staticmethod
    def ask(made: Made, inputs: Any) -> MadeLabels:
        judged = cast(Judged, inputs)
        owned = made.registry.owned(made.spec)
        labeller = require(owned, made.build(), "label")
        with boundary(str(owned.owner), f"labeller {owned.name!r}"):
            rng = named_rng(judged.seed, "aggregate")
            labels = labeller.label(judged.pairs, judged.judgments, judged.principles, rng)
            assert isinstance(labels, Labels), f"gave a {type(labels).__name__}, not Labels"
            found = labels.made()
        for row in found.rows:
            _check(row, judged)
        return MadeLabels(found.rows, json.loads(json.dumps(dict(found.statistics), allow_nan=False)))

    def test_preferences_become_rows(self) -> None:
        assert self.answer(self.inputs()).rows, "gave no row for judgments that prefer one completion"

    def test_without_a_preference_there_is_an_end(self) -> None:
        """Where every judgment is a tie: no rows, or some, or a `SalmonError` that says what to do."""
        given = self.inputs()
        ties = tuple(make_judgment(j.pair_id, j.principle, 0.0, 0.0, tie=True) for j in given.judgments)
        allowed(self.answer, Judged(given.pairs, ties, given.principles))

    def test_odd_texts_are_labelled(self) -> None:
        pairs, principles = rows.odd_pairs(), make_principles()
        judged = Judged(pairs, rows.judgments(pairs, principles), principles)
        allowed(self.answer, judged)

    def test_principles_of_single_prompts(self) -> None:
        """Where prompts bring some along, a row shows those that its pair was judged by."""
        given = self.inputs()
        own = Principle("calm", "The answer is calm.", "The answer is not calm.")
        pairs = tuple(
            replace(pair, prompt=replace(pair.prompt, principles=(own,) if i % 2 else ()))
            for i, pair in enumerate(given.pairs)
        )
        judgments = [
            judgment for pair in pairs for judgment in rows.judgments([pair], judged_by(pair, given.principles))
        ]
        allowed(self.answer, Judged(pairs, tuple(judgments), given.principles))

    def test_other_seeds_are_as_good(self) -> None:
        """Whatever is drawn, the rows are in order."""
        given = self.inputs()
        for seed in range(5):
            self.answer(Judged(given.pairs, given.judgments, given.principles, seed))


def _check(row: Any, judged: Judged) -> None:
    assert isinstance(row, PreferenceRow), f"has a {type(row).__name__} among its rows"
    pairs = {pair.id: pair for pair in judged.pairs}
    assert row.pair_id in pairs, f"has a row of {row.pair_id!r}, which is no pair it was given"
    pair = pairs[row.pair_id]
    assert sorted((row.chosen, row.rejected)) == sorted((pair.first.text, pair.second.text)), (
        f"row of {row.pair_id}: chosen and rejected are not the pair's completions"
    )
    assert row.messages == pair.prompt.messages, f"row of {row.pair_id}: another conversation"
    assert row.category == pair.prompt.category, f"row of {row.pair_id}: another category"
    assert math.isfinite(row.margin), f"row of {row.pair_id}: the margin is {row.margin}"
    assert row.margin >= 0, f"row of {row.pair_id}: the margin is {row.margin}; it is absolute"
    assert row.decided_by, f"row of {row.pair_id}: nothing decided it"
    known = {principle.name: principle for principle in judged_by(pair, judged.principles)}
    for shown in row.principles:
        assert isinstance(shown, ShownPrinciple), f"row of {row.pair_id}: shows a {type(shown).__name__}"
        assert shown.name in known, f"row of {row.pair_id}: shows {shown.name!r}, which is no principle it was given"
        text = known[shown.name].negated if shown.negated else known[shown.name].text
        assert shown.text == text, f"row of {row.pair_id}: shows {shown.name!r} in other words"
