"""What this distribution offers to salmon."""

from __future__ import annotations

from collections.abc import Iterable

from salmon_core import Component, hookimpl


@hookimpl
def salmon_evaluators() -> Iterable[Component]:
    """The evaluator `lm-eval`."""
    yield Component(
        "lm-eval", "salmon_lm_eval.evaluator:LMEval", "any task of the LM Evaluation Harness, before and after"
    )
