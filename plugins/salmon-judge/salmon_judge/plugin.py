"""What this distribution offers to salmon."""

from __future__ import annotations

from collections.abc import Iterable

from salmon_core.api import Component
from salmon_core.api.hooks import hookimpl


@hookimpl
def salmon_judges() -> Iterable[Component]:
    """The judges `self-judge`, `reasoning` and `external`."""
    yield Component(
        "self-judge",
        "salmon_judge.self_judge:SelfJudge",
        "a language model, by default the policy itself, judges pairs principle by principle, in both orders",
        default=True,
    )
    yield Component(
        "reasoning",
        "salmon_judge.reasoning:ReasoningJudge",
        "a language model argues and then says which is better, several times in both orders; each answer is a vote",
    )
    yield Component(
        "external",
        "salmon_judge.external:ExternalJudge",
        "judgments from a file: of people, or of any other judge",
    )


@hookimpl
def salmon_labellers() -> Iterable[Component]:
    """The labeller `salmon`."""
    yield Component(
        "salmon",
        "salmon_judge.labeller:SalmonLabeller",
        "draws principles and their negations; the score that is largest gives the label (the paper's way)",
        default=True,
    )


@hookimpl
def salmon_templates() -> Iterable[Component]:
    """The template `standard`, and for reward models that others trained, how those are asked."""
    yield Component(
        "standard", "salmon_judge.template:STANDARD", "plain English with rare section markers", default=True
    )
    for name, target, description in (
        ("conversation", "CONVERSATION", "a reward model's own chat template; it reads no principles"),
        ("conversation-system", "CONVERSATION_SYSTEM", "the same, with the principles in a system turn"),
        ("conversation-user", "CONVERSATION_USER", "the same, with the principles at the end of the user's turn"),
        ("yes-no", "YES_NO", "a language model as reward model: does the response follow the principles, yes or no?"),
    ):
        yield Component(name, f"salmon_judge.foreign:{target}", description)
