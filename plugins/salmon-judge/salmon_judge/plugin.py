"""What this distribution offers to salmon."""

from __future__ import annotations

from collections.abc import Iterable

from salmon_core.hookspecs import hookimpl
from salmon_core.interfaces import Component


@hookimpl
def salmon_generators() -> Iterable[Component]:
    """The generator `self-judge`."""
    yield Component(
        "self-judge",
        "salmon_judge.generator:SelfJudge",
        "the policy judges pairs of its own completions, principle by principle, in both orders",
    )


@hookimpl
def salmon_templates() -> Iterable[Component]:
    """The template `standard`."""
    yield Component("standard", "salmon_judge.template:STANDARD", "plain English with rare section markers")
