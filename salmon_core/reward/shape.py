"""The last look at a rendered text: do its ids have the structure that we gave it, and no other?"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import zip_longest

from salmon_core.api.models import TokenCodec
from salmon_core.errors import SalmonError
from salmon_core.reward.markers import codec_markers, control_ids, views
from salmon_core.reward.sanitizer import Forbidden, Sanitizer

#: stands for every untrusted text in a text to compare with
PLAIN = "A plain answer."
_LETTERS = "zqz"
_MOST = 4096

#: control tokens in order, and the markers that each view finds in what the ids spell
Structure = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]


class ShapeCheck:
    """Compares the ids of rendered texts with those of the same text with plain contents.

    What is compared: control ids (of special and other added tokens) in number and order, and the markers in the text
    that the ids decode to. Structures of plain texts are kept, so a check costs one encoding and one decoding.

    Args:
        codec: of the model that reads the texts.
        sanitizer: knows the markers.
    """

    def __init__(self, codec: TokenCodec, sanitizer: Sanitizer):
        self._codec, self._sanitizer = codec, sanitizer
        self._control, self._unknown = control_ids(codec)
        self._known: dict[Hashable, Structure] = {}

    def __call__(self, text: str, shape: Hashable, plain: Callable[[], str], *, where: str) -> None:
        """Checks one text.

        Args:
            shape: names what is trusted in it.
            plain: renders the same text with plain contents; called once for each shape.

        Raises:
            SalmonError: the structures differ.
        """
        if shape not in self._known:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[shape] = self.structure(plain())
        found, wanted = self.structure(text), self._known[shape]
        if found != wanted:
            raise SalmonError(
                f"an untrusted text changed the structure of the prompt: {_difference(found, wanted)}",
                where=where,
                hint="leave this text out, and report it: it should have been made plain",
            )

    def structure(self, text: str) -> Structure:
        """Of a text as the tokenizer has it."""
        ids = self._codec.encode(text)
        control = tuple(self._control[each] for each in ids if each in self._control)
        return control, self._sanitizer.find(self._spelt(ids))

    def _spelt(self, ids: Sequence[int]) -> str:
        """What the ids spell; characters that the vocabulary lacks are letters that make no marker."""
        text = self._codec.decode(ids)
        for each, token in self._unknown.items():
            if each in ids:
                text = text.replace(token, _LETTERS)
        return text


def safety(codec: TokenCodec, others: Sequence[TokenCodec], forbidden: Forbidden) -> tuple[Sanitizer, ShapeCheck, str]:
    """What makes untrusted texts safe, what looks at the whole, and a plain text made safe, to compare with.

    Args:
        codec: of the model that reads the texts.
        others: further tokenizers that may read them.
        forbidden: the markers of whatever the texts stand in; those of the tokenizers are added.
    """
    codecs = [codec, *(each for each in others if each is not codec)]
    for each in codecs:
        forbidden |= codec_markers(each)
    text = Sanitizer(forbidden, views(codecs))
    return text, ShapeCheck(codec, text), text(PLAIN)


def _difference(found: Structure, wanted: Structure) -> str:
    for ours, theirs in ((found[0], wanted[0]), *zip(found[1], wanted[1], strict=True)):
        for one, other in zip_longest(ours, theirs):
            if one != other:
                return f"{one!r} where {other!r} belongs" if other else f"{one!r} too many"
    return "nothing to be named"
