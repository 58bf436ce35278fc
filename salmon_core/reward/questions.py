"""Questions to a judge's model in words of an evaluator's own, safe like those by a template (see `rendering`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from salmon_core.api.evaluation import Question
from salmon_core.api.models import TokenCodec
from salmon_core.api.templates import Template
from salmon_core.errors import SalmonError
from salmon_core.reward.fitting import Fitter, Part
from salmon_core.reward.forms import Form, Frame, frame_of
from salmon_core.reward.markers import text_markers
from salmon_core.reward.sanitizer import Forbidden
from salmon_core.reward.shape import safety

_SLOT = re.compile(r"\{([a-z0-9_]+)\}")
#: more tokens than any text has
_ALL = 1 << 30


class QuestionRenderer:
    """Puts parts into questions: made safe, cut where all is too long, the ids looked at.

    Args:
        codec: of the model that will read the texts.
        questions: all that it is going to be asked; their trusted texts say what no part may contain.
        markers: further strings that no part may contain.
        others: further tokenizers whose added tokens and chat markers are to be made plain as well.
        form: in which the model is asked.
        room: tokens that are kept free for the answer.

    Attributes:
        cut: questions of which a part was cut.
    """

    def __init__(
        self,
        codec: TokenCodec,
        questions: Sequence[Question],
        markers: Sequence[str],
        *,
        others: Sequence[TokenCodec] = (),
        form: Form = "auto",
        room: int = 0,
    ):
        self.codec, self.cut = codec, 0
        forbidden = Forbidden.of(markers)
        for text in dict.fromkeys(each for question in questions for each in (question.text, question.closing)):
            forbidden |= text_markers(_SLOT.split(text)[::2])
        self._text, self._shape, self._blank = safety(codec, others, forbidden)
        self._fit = Fitter(codec, self._text)
        self._total = None if codec.max_length is None else codec.max_length - room
        self._form: Form = form
        self._frame = lru_cache(maxsize=64)(self._framed)

    def __call__(self, question: Question) -> str:
        """The whole text, up to where the answer begins.

        Raises:
            SalmonError: there is no room, or the ids have another structure than with plain contents.
        """
        frame = self._frame(question.closing)
        pattern = frame.before + question.text
        where = f"question {question.id}"
        parts = self._fitted(pattern, frame.after, question.parts, where)
        text = _filled(pattern, {name: part.text for name, part in parts.items()}) + frame.after
        if any(part.doubtful for part in parts.values()):
            plain = dict.fromkeys(question.parts, self._blank)
            shape = (pattern, frame.after)
            self._shape(text, shape, lambda: _filled(pattern, plain) + frame.after, where=where)
        return text

    def _framed(self, closing: str) -> Frame:
        template = Template(judge="", principle="", verdict="", reward="", score="", markers=(), question=closing)
        return frame_of(template, self.codec, self._form)

    def _fitted(self, pattern: str, after: str, parts: Mapping[str, str], where: str) -> dict[str, Part]:
        """The parts made safe; where all is too long, the longest are cut to one length."""
        found = {name: self._fit.cut(text, _ALL) for name, text in parts.items()}
        if self._total is None:
            return found
        fixed = self._fit.count(after) + sum(map(self._fit.count, _SLOT.split(pattern)[::2]))
        room = self._total - fixed
        if sum(part.tokens for part in found.values()) <= room:
            return found
        sizes = {name: len(self.codec.encode(part.text)) for name, part in found.items()}
        if sum(sizes.values()) <= room:
            return found
        if room <= len(parts):
            raise SalmonError(
                f"the question alone needs {fixed} of {max(0, self._total)} tokens",
                where=where,
                hint="lower max_new_tokens, or ask a model that takes longer texts",
            )
        self.cut += 1
        share = _share(list(sizes.values()), room)
        return {
            name: part if sizes[name] <= share else self._fit.cut(parts[name], share) for name, part in found.items()
        }


def _share(sizes: Sequence[int], room: int) -> int:
    """The most that each may have, so that all together have this room: those that need less leave it to the others."""
    left = sorted(sizes)
    while left and left[0] <= room // len(left):
        room -= left.pop(0)
    return room // len(left) if left else room


def _filled(pattern: str, values: Mapping[str, str]) -> str:
    return _SLOT.sub(lambda match: values[match[1]], pattern)
