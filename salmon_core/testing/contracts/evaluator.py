"""What an evaluator keeps to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, cast

from salmon_core.api.evaluation import Metrics
from salmon_core.errors import boundary
from salmon_core.plugins.options import require
from salmon_core.stages.results import checked
from salmon_core.testing import rows
from salmon_core.testing.contracts.base import ComponentContract, allowed
from salmon_core.testing.elsewhere import Made
from salmon_core.testing.made_up import ROLES, MadeUpRun


class EvaluatorContract(ComponentContract):
    """Typed and finite results, of a run of which it uses no more than it says."""

    kind: ClassVar[str] = "evaluators"

    def inputs(self) -> MadeUpRun:
        """The run; override it with prompts and answers in which the evaluator finds something."""
        return MadeUpRun()

    @staticmethod
    def ask(made: Made, inputs: Any) -> Metrics:
        owned = made.registry.owned(made.spec)
        evaluator = require(owned, made.build(), "evaluate")
        run = cast(MadeUpRun, inputs).seen_by(evaluator)
        what = f"evaluator {owned.name!r}"
        with boundary(str(owned.owner), what):
            metrics = evaluator.evaluate(run)
        return checked(metrics, str(owned.owner), what)

    def test_it_needs_roles_that_exist(self) -> None:
        evaluator = self.made.build()
        unknown = set(evaluator.needs) - set(ROLES)
        assert not unknown, f"needs the roles {sorted(unknown)}; there are {', '.join(ROLES)}"
        assert isinstance(getattr(evaluator, "together", False), bool), "`together` is true or false"

    def test_it_says_something(self) -> None:
        found = self.answer(self.inputs())
        assert found.name, "the results have no name"
        assert found.values or found.targets or found.sections or found.reward_model, "there are no results"

    def test_one_prompt_is_enough(self) -> None:
        """Finite results even so, or a `SalmonError` that says what is missing."""
        run = self.inputs()
        allowed(self.answer, replace(run, asked=run.asked[:1]))

    def test_answers_that_are_all_the_same(self) -> None:
        """Nothing to compare is no division by zero."""
        self.answer(replace(self.inputs(), said={"initial": ("Yes.",), "policy": ("Yes.",)}))

    def test_odd_texts_are_measured(self) -> None:
        for name, text in rows.ODD_TEXTS.items():
            try:
                self.answer(replace(self.inputs(), said={"initial": ("Yes.", text), "policy": (text, "Yes.")}))
            except Exception as error:
                raise AssertionError(f"an answer such as {name!r}: {error}") from error
