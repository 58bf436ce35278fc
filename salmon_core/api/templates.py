"""How judge and reward model are asked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, slots=True)
class RewardConversation:
    """A reward model that was trained on conversations: asked by its own chat template, up to the answer's end.

    Attributes:
        principles: where the principles shown stand: nowhere, as it reads none; in a system turn that comes first; or
            at the end of the user's last turn.
        heading: comes before them.
    """

    principles: Literal["none", "system", "user"] = "none"
    heading: str = ""


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
        answers: what a reward model that is a language model is asked to choose from behind `score`, such as yes and
            no; its score is the difference of their log-probabilities. None: it is a sequence classifier.
        plain: stands for `reward` and `score` in texts that show no principles at all, on which a reward model may be
            trained first. None: those two, with nothing between them.
        conversation: how a sequence classifier that was trained on conversations is asked; `reward` and `score` are
            not used then. None: by them.
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
    answers: tuple[str, str] | None = None
    conversation: RewardConversation | None = None
    plain: tuple[str, str] | None = None

    def without_principles(self) -> Template:
        """The template of texts that show no principles."""
        if self.plain is None:
            return self
        reward, score = self.plain
        return replace(self, reward=reward, score=score, plain=None)

    @property
    def reads_principles(self) -> bool:
        """Whether a reward model that is asked so is shown the principles."""
        return self.conversation is None or self.conversation.principles != "none"


@dataclass(frozen=True, slots=True)
class Limits:
    """In tokens. `total` holds for the whole text of judge or reward model, EOS included."""

    prompt: int = 128
    completion: int = 768
    total: int = 1280
