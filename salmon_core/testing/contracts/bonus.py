"""What a bonus keeps to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from salmon_core.errors import boundary
from salmon_core.plugins.options import require
from salmon_core.records import Rollout
from salmon_core.rng import named_rng, shuffled
from salmon_core.testing import rows
from salmon_core.testing.contracts.base import ComponentContract
from salmon_core.testing.elsewhere import Made
from salmon_core.testing.makers import make_rollout


class BonusContract(ComponentContract):
    """One finite number for each rollout, by that rollout alone.

    A trainer splits what it generates into batches by its number of processes and its memory: a score that depends on
    the others of a batch would change with the machine.
    """

    kind: ClassVar[str] = "bonuses"

    def inputs(self) -> tuple[Rollout, ...]:
        """Rollouts to score; override it with some on which the bonus says different things."""
        return rows.rollouts()

    @staticmethod
    def ask(made: Made, inputs: Any) -> list[float]:
        owned = made.registry.owned(made.spec)
        bonus = require(owned, made.build(), "score", "score_one")
        with boundary(str(owned.owner), f"bonus {owned.name!r}"):
            score = getattr(bonus, "score", None)
            found = score(inputs) if callable(score) else [bonus.score_one(rollout) for rollout in inputs]
        return _checked(found, inputs)

    def test_the_order_of_rows_does_not_matter(self) -> None:
        rollouts = self.inputs()
        scores = self.answer(rollouts)
        for seed in range(3):
            order = shuffled(range(len(rollouts)), named_rng(seed, "order"))
            found = self.answer(tuple(rollouts[index] for index in order))
            wanted = [scores[index] for index in order]
            self.same(found, wanted, "scores of the same rollouts in another order", tolerance=self.tolerance)

    def test_a_batch_is_one_by_one(self) -> None:
        rollouts = self.inputs()
        found = [self.answer((rollout,))[0] for rollout in rollouts]
        self.same(found, self.answer(rollouts), "scores one by one", tolerance=self.tolerance)

    def test_odd_texts_have_scores(self) -> None:
        """A policy writes anything: nothing at all, line breaks, emoji, control characters, thousands of words."""
        for name, rollout in zip(rows.ODD_TEXTS, rows.odd_rollouts(), strict=True):
            try:
                self.answer((rollout,))
            except Exception as error:
                raise AssertionError(f"a completion such as {name!r}: {error}") from error

    def test_odd_prompts_have_scores(self) -> None:
        """So does a user."""
        for name, text in rows.ODD_TEXTS.items():
            try:
                self.answer((make_rollout(text, "Hello."),))
            except Exception as error:
                raise AssertionError(f"a prompt such as {name!r}: {error}") from error

    def test_one_and_many_agree(self) -> None:
        """Where it has both `score_one` and `score`."""
        bonus = self.made.build()
        one, rollouts = getattr(bonus, "score_one", None), self.inputs()
        if not callable(one) or not callable(getattr(bonus, "score", None)):
            return
        try:
            found = _checked([one(rollout) for rollout in rollouts], rollouts)
        except NotImplementedError:  # that of `Bonus`
            return
        self.same(found, self.answer(rollouts), "`score_one` and `score`", tolerance=self.tolerance)


def _checked(found: Any, rollouts: Sequence[Rollout]) -> list[float]:
    assert isinstance(found, Sequence) or hasattr(found, "__len__"), f"gave a {type(found).__name__}, not a list"
    assert len(found) == len(rollouts), f"gave {len(found)} scores for {len(rollouts)} rollouts"
    scores = []
    for index, value in enumerate(found):
        assert not isinstance(value, str | bytes | bool), f"gave {value!r} for rollout {index}, which is no number"
        score = float(value)
        assert math.isfinite(score), f"gave {score} for rollout {index}: {rollouts[index].completion[:60]!r}"
        scores.append(score)
    return scores
