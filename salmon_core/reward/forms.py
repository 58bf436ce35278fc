"""In which form a judge is asked: as plain text, or in a conversation by the model's chat template."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from salmon_core.api.models import TokenCodec
from salmon_core.api.templates import Template
from salmon_core.errors import SalmonError
from salmon_core.records import Message

Form = Literal["auto", "chat", "text"]
#: stands for the user's turn; no chat template has such a word
_TURN = "qzx0xzq"


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around a pair and a principle.

    Attributes:
        form: `chat` or `text`.
        before: BOS, and up to where the user's turn begins.
        after: the question; the end of the user's turn, and of the answer all but the choice.
    """

    form: Form
    before: str
    after: str


def asking(template: Template, question: str) -> Template:
    """The template with another question, to be answered in words rather than by one of its choices."""
    return replace(template, question=question, verdict="")


def frame_of(template: Template, codec: TokenCodec, form: Form = "auto") -> Frame:
    """How a judge with this tokenizer is asked.

    Args:
        form: `auto`: in a conversation where the template has a `question` to end the user's turn and the tokenizer
            has a chat template of its own; else as plain text.

    Raises:
        SalmonError: `chat` is asked for, and there is no question or no chat template.
    """
    if form == "auto":
        form = "chat" if template.question and getattr(codec, "own_chat", False) else "text"
    if form == "text":
        return Frame(form, codec.bos_token or "", template.question + template.verdict)
    if not template.question:
        raise SalmonError("the template has no question that could end a turn", hint="use judge.form: text")
    if not getattr(codec, "own_chat", True):
        raise SalmonError("the judge's tokenizer has no chat template of its own", hint="use judge.form: text")
    before, found, after = codec.chat([Message(role="user", content=_TURN)]).partition(_TURN)
    if not found:
        raise SalmonError("the chat template leaves out what the user says", hint="use judge.form: text")
    return Frame(form, before, template.question + after + template.verdict)
