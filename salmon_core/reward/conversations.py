"""Conversations that a reward model is asked in: where the principles stand in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from salmon_core.api.templates import RewardConversation
from salmon_core.records import Message


def rules_text(how: RewardConversation, rules: Iterable[str]) -> str:
    """The principles, each by the template, below their heading; empty where there is none, or the model reads none."""
    text = "" if how.principles == "none" else "".join(rules)
    return how.heading + text if text else ""


def with_rules(turns: Sequence[Message], rules: str, how: RewardConversation) -> list[Message]:
    """The turns with the principles in them; a system turn that is there already keeps its place before them."""
    found = [Message(role=turn["role"], content=turn["content"]) for turn in turns]
    if not rules:
        return found
    if how.principles == "user":
        last = max((i for i, turn in enumerate(found) if turn["role"] == "user"), default=None)
        if last is not None:
            found[last]["content"] = f"{found[last]['content']}\n\n{rules}"
            return found
    if found[0]["role"] == "system":
        found[0]["content"] = f"{found[0]['content']}\n\n{rules}"
        return found
    return [Message(role="system", content=rules), *found]


def split(texts: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """-> what all texts begin with, and how each goes on."""
    first, last = min(texts), max(texts)
    prefix = first[: next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))]
    return prefix, tuple(text[len(prefix) :] for text in texts)
