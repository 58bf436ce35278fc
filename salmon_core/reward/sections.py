"""The texts that models read, in sections: what is the template's, what a prompt's, a completion's, a principle's.

The sections are those that the text was put together from, so they say where an untrusted text begins and ends even
where it looks like the template.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from salmon_core.api.models import PrefixRequest, TokenCodec
from salmon_core.api.templates import RewardConversation
from salmon_core.records import Message, Prompt, ShownPrinciple
from salmon_core.reward.markers import SLOT
from salmon_core.reward.rendering import Renderer

#: of trusted text
TEMPLATE, ANSWER = "template", "answer's place"
_SENTINEL = re.compile(r"qzx(\d+)xzq")


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a text.

    Attributes:
        kind: `template`, `answer's place`, or what it holds: `instruction`, `first`, `second`, `completion`,
            `principle`, `principles`, `user`, `system`, `assistant`; `conversation` where no more is known.
    """

    kind: str
    text: str


Sections = tuple[Section, ...]


class SectionedRenderer(Renderer):
    """A renderer that remembers how it put texts together.

    Attributes:
        made: the sections of every text, by the text.
    """

    def __init__(self, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.made: dict[str, Sections] = {}
        self._values: Mapping[str, str] = {}

    def _fitted(self, pattern: str, *given: Any) -> tuple[dict[str, str], int]:
        values, cut = super()._fitted(pattern, *given)
        self._values = values  # of the request that is being made
        return values, cut

    def _request(self, pattern: str, *given: Any) -> PrefixRequest:
        *_, sets, tail, _ = given
        request = super()._request(pattern, *given)
        for text, principles in zip(request.texts, sets, strict=True):
            found = list(_filled(pattern, self._values))
            for each in principles:
                found += _filled(self.template.principle, {"principle": self.safe_text(each.text)})
            self._remember_sections(text, [*found, Section(ANSWER, tail)])
        return request

    def _whole(self, roles: Sequence[str], contents: Sequence[str], rules: str, how: RewardConversation) -> str:
        text = super()._whole(roles, contents, rules, how)
        values = [*contents, *([rules] if rules else [])]
        kinds = [*roles, "completion", "principles"]
        marks = [f"qzx{index}xzq" for index in range(len(values))]
        pattern = super()._whole(roles, marks[: len(contents)], marks[-1] if rules else "", how)
        self._remember_sections(text, list(_by_sentinels(pattern, kinds, values)))
        return text

    def policy(self, prompt: Prompt, principles: Sequence[ShownPrinciple] = ()) -> str:
        """See `Renderer.policy`."""
        text = super().policy(prompt, principles)
        messages = self.asked(prompt.messages, principles)
        marked: list[Message] = [
            {"role": each["role"], "content": f"qzx{index}xzq"} for index, each in enumerate(messages)
        ]
        pattern, kinds = self.codec.chat(marked), [each["role"] for each in messages]
        self._remember_sections(text, list(_by_sentinels(pattern, kinds, [each["content"] for each in messages])))
        return text

    def _remember_sections(self, text: str, found: list[Section]) -> None:
        if "".join(section.text for section in found) != text:
            found = [Section("conversation", text)]  # a chat template that changes what its turns say
        self.made[text] = joined(found)


def tokens_of(sections: Iterable[Section], codec: TokenCodec) -> list[int]:
    """Tokens of each section, of the text as a whole: they add up to its own.

    A token that reaches over a boundary counts where it ends.
    """
    counts, text, before = [], "", 0
    for section in sections:
        text += section.text
        now = len(codec.encode(text))
        counts.append(now - before)
        before = now
    return counts


def _filled(pattern: str, values: Mapping[str, str]) -> Iterable[Section]:
    for index, piece in enumerate(SLOT.split(pattern)):
        yield Section(piece, values[piece]) if index % 2 else Section(TEMPLATE, piece)


def _by_sentinels(pattern: str, kinds: Sequence[str], values: Sequence[str]) -> Iterable[Section]:
    """A chat template's text of known contents, with the real ones in their places."""
    for index, piece in enumerate(_SENTINEL.split(pattern)):
        if index % 2 == 0:
            yield Section(TEMPLATE, piece)
        elif int(piece) < len(values):
            yield Section(kinds[int(piece)], values[int(piece)])


def joined(sections: Iterable[Section]) -> Sections:
    """Without empty ones of the template, and neighbours of it as one."""
    found: list[Section] = []
    for section in sections:
        if section.kind in (TEMPLATE, ANSWER) and not section.text:
            continue
        if found and found[-1].kind == section.kind == TEMPLATE:
            found[-1] = Section(TEMPLATE, found[-1].text + section.text)
        else:
            found.append(section)
    return tuple(found)
