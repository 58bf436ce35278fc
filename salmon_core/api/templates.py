"""How judge and reward model are asked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Template:
    """How judge and reward model are asked. Texts with `{slots}`; each part starts and ends with trusted text.

    Attributes:
        judge: slots `instruction`, `first`, `second`; the part that all principles share.
        question: comes after the principle; in a conversation it ends the user's turn. A template without one is asked
            as plain text only.
        verdict: ends so that the next token is one of `choices` (first output better, second output better).
        reward: slots `instruction`, `completion`.
        score: comes after the principles; the EOS that follows it is the position that is scored.
        turn: slots `role`, `content`; used for conversations of more than one turn.
        markers: strings that untrusted text must not contain.
        rewordings: other wordings of `judge`, by which is seen whether a judge stays at what it said.
        chat: Jinja chat template for tokenizers that have none.
        stop: next-turn markers at which a sampled completion is cut.
    """

    judge: str
    principle: str
    verdict: str
    reward: str
    score: str
    markers: tuple[str, ...]
    choices: tuple[str, str] = ("a", "b")
    turn: str = "[[{role}]]\n{content}\n"
    chat: str | None = None
    question: str = ""
    rewordings: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """In tokens. `total` holds for the whole text of judge or reward model, EOS included."""

    prompt: int = 128
    completion: int = 768
    total: int = 1280
