"""The texts of the minnow world: what the policy continues, what the judge answers, what the reward model scores.

Every split point below is safe: encoding the pieces one by one gives the same tokens as encoding the whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from salmon_minnow.tokenizer import END, EOS, OTHER, RULE, VERDICT

#: The judge's two answers: the first output is better, or the second. Each is one token.
FIRST, SECOND = "A", "B"


def policy_text(prompt: str) -> str:
    """What the policy continues; the chat template renders a single user turn to the same text."""
    return f"User: {prompt}\nAssistant:\n"


def rules_text(rules: Sequence[str]) -> str:
    """The principles of a judge or reward text, and the verdict's place."""
    return "".join(f"{RULE}{rule}{END}" for rule in rules) + VERDICT


def pair_text(prompt: str, first: str, second: str) -> str:
    """The part of a judge text that all principles share."""
    return f"{policy_text(prompt)}{first}{OTHER}{second}"


def judge_text(prompt: str, first: str, second: str, rules: Sequence[str]) -> str:
    """A whole judge text; the next token is :data:`FIRST` or :data:`SECOND`."""
    return pair_text(prompt, first, second) + rules_text(rules)


def reward_text(prompt: str, completion: str, rules: Sequence[str]) -> str:
    """A whole reward text; its last token, EOS, is the position that is scored."""
    return policy_text(prompt) + completion + rules_text(rules) + EOS
