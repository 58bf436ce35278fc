"""Texts that ask a model to follow principles in context, and its answers read again (arXiv 2305.03047).

Every content is untrusted, the user's own principles and exemplars too: template markers, the preamble's own, the added
tokens of the tokenizers in use and the markers of their chat formats are made plain, and the ids are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from salmon_core.api.models import TokenCodec
from salmon_core.api.templates import Template
from salmon_core.principle import Principle
from salmon_core.principles.worked import Invented, Worked
from salmon_core.records import Message
from salmon_core.reward.markers import (
    PREAMBLE_SLOT,
    ROLES,
    preamble_markers,
    template_markers,
)
from salmon_core.reward.sections import TEMPLATE, Section, joined
from salmon_core.reward.shape import safety


@dataclass(frozen=True, slots=True)
class Answered:
    """What a model said, in its parts."""

    answer: str
    thought: str = ""


class PreambleRenderer:
    """Renders preambles for one template and one model.

    Args:
        codec: of the model that reads the texts.
        others: further tokenizers whose added tokens and chat markers are to be made plain.
        thoughts: whether a thought stands before each answer.
    """

    def __init__(
        self, template: Template, codec: TokenCodec, *, others: Sequence[TokenCodec] = (), thoughts: bool = True
    ):
        self.template, self.codec, self.thoughts = template, codec, thoughts
        forbidden = template_markers(template) | preamble_markers(template.preamble)
        self._text, self._shape, self._blank = safety(codec, others, forbidden)
        own = template.preamble
        self._pattern = own.worked if thoughts else own.plain
        self._opening, _, after = self._pattern.partition("{thought}" if thoughts else "{completion}")
        between, _, ending = after.partition("{completion}") if thoughts else ("", "", after)
        self._between = _separator(between) if thoughts else None
        self._inventing, _, end = own.invented.partition("{instruction}")
        # Most tokenizers join a space to the word behind it.
        self._opening, self._inventing = self._opening.rstrip(" "), self._inventing.rstrip(" ")
        self._made: tuple[Section, ...] = ()
        #: what ends an answer, and what ends an invented question
        self.stop, self.stop_inventing = _end(ending), _end(end)

    def answering(
        self,
        principles: Sequence[Principle],
        exemplars: Sequence[Worked],
        messages: Sequence[Message],
        *,
        thorough: bool = False,
        where: str = "a prompt",
    ) -> str:
        """The text that a model goes on with its thought, or its answer, to a conversation.

        Raises:
            SalmonError: the ids have another structure than with plain contents.
        """
        safe = self._text
        shown = [(_title(each), each.text) for each in principles]
        cases = [(each.prompt, each.thought, each.answer) for each in exemplars]
        texts = [(safe(name), safe(text)) for name, text in shown]
        worked = [(safe(a), safe(b), safe(c)) for a, b, c in cases]
        self._made = self._answering(thorough, texts, worked, self._instruction(messages, safe))
        text = _text(self._made)
        blank = self._blank

        def plain() -> str:
            # A long instruction of several turns has its headings, which are trusted.
            turns = self._instruction(messages, lambda _: blank)
            return _text(self._answering(thorough, [(blank, blank)] * len(texts), [(blank,) * 3] * len(worked), turns))

        roles = tuple(message["role"] for message in messages)
        self._shape(text, ("answering", thorough, len(texts), len(worked), roles), plain, where=where)
        return text

    def inventing(self, shown: Sequence[Invented], asked: Invented, *, where: str = "a question") -> str:
        """The text that a model goes on with a question for this topic and of this kind.

        Raises:
            SalmonError: the ids have another structure than with plain contents.
        """
        safe, blank = self._text, self._blank
        texts = [(safe(each.topic), safe(each.kind), safe(each.prompt)) for each in shown]
        text = self._invented(texts, safe(asked.topic), safe(asked.kind))
        count = len(texts)
        self._shape(
            text, ("inventing", count), lambda: self._invented([(blank,) * 3] * count, blank, blank), where=where
        )
        return text

    def read(self, text: str) -> Answered | None:
        """A model's text in its parts; None where it has not exactly one thought and one answer."""
        if self._between is None:
            return Answered(text.strip()) if text.strip() else None
        parts = self._between.split(text)
        if len(parts) != 2 or not all(part.strip() for part in parts):
            return None
        thought, answer = (part.strip() for part in parts)
        return Answered(answer, thought)

    def marked(self, text: str) -> bool:
        """Whether a text of a model has something in it that is a part of a prompt."""
        return any(self._text.find(text))

    def named(self, thought: str, principles: Sequence[Principle]) -> tuple[str, ...]:
        """The principles that a thought names, in their order."""
        return tuple(each.name for each in principles if names(thought, each))

    def sections(self, text: str) -> tuple[Section, ...]:
        """Of the text that `answering` gave last."""
        assert "".join(section.text for section in self._made) == text
        return self._made

    def _answering(
        self,
        thorough: bool,
        principles: Sequence[tuple[str, str]],
        worked: Sequence[tuple[str, ...]],
        instruction: str,
    ) -> tuple[Section, ...]:
        own = self.template.preamble
        found = [Section(TEMPLATE, (self.codec.bos_token or "") + own.task)]
        found[-1] = Section(TEMPLATE, found[-1].text + self.thoughts * own.hidden + thorough * own.thorough)
        for number, (name, text) in enumerate(principles, 1):
            found += _filled(own.principle, {"number": str(number), "name": name, "principle": text})
        for asked, thought, answer in worked:
            found += _filled(self._pattern, {"instruction": asked, "thought": thought, "completion": answer})
        return joined([*found, *_filled(self._opening, {"instruction": instruction})])

    def _invented(self, shown: Sequence[tuple[str, ...]], topic: str, kind: str) -> str:
        own = self.template.preamble
        found = [Section(TEMPLATE, (self.codec.bos_token or "") + own.inventing)]
        for each in shown:
            found += _filled(own.invented, dict(zip(("topic", "kind", "instruction"), each, strict=True)))
        return _text([*found, *_filled(self._inventing, {"topic": topic, "kind": kind})])

    def _instruction(self, messages: Sequence[Message], safe: Callable[[str], str]) -> str:
        if len(messages) == 1:
            return safe(messages[0]["content"])
        turns = []
        for message in messages:
            role = message["role"] if message["role"] in ROLES else "user"
            turns.append(self.template.turn.replace("{role}", role).replace("{content}", safe(message["content"])))
        return "".join(turns).strip()


def names(thought: str, principle: Principle) -> bool:
    """Whether a thought names a principle, by its name, title or text, as whole words and in any case."""
    words = {principle.name, principle.name.replace("-", " "), principle.title, principle.text}
    return any(
        re.search(rf"(?<!\w){re.escape(each.casefold())}(?!\w)", thought.casefold()) for each in words if each.strip()
    )


def _title(principle: Principle) -> str:
    return principle.title or principle.name.replace("-", " ")


def _filled(pattern: str, values: Mapping[str, str]) -> Iterator[Section]:
    """Braces in values are ordinary characters."""
    for index, piece in enumerate(PREAMBLE_SLOT.split(pattern)):
        kind = piece if index % 2 and piece != "number" else TEMPLATE
        yield Section(kind, values[piece] if index % 2 else piece)


def _text(sections: Iterable[Section]) -> str:
    return "".join(section.text for section in sections)


def _separator(between: str) -> re.Pattern[str]:
    """What stands between thought and answer, however a model breaks its lines there."""
    core = between.strip()
    line = r"(?:\A|\n)\s*" if between.startswith("\n") and not core.startswith("[") else r"\s*"
    return re.compile(line + r"\s+".join(map(re.escape, core.split())) + r"\s*")


def _end(ending: str) -> str:
    """The string that ends what a model says: the first line of what stands behind it."""
    return ending.strip().partition("\n")[0]
