"""From records to the texts that judges and reward models read: safe, shared, the same everywhere.

Prompts and completions are untrusted. They are made safe in the TEXT, so the result is safe under any later
tokenizer call, ours or a trainer's: every section marker of the template and every special-token string of the
tokenizers in use is rewritten visibly (`[[score` becomes `[·[score`).

Order of parts: instruction, completion(s), principles, the answer's place; so what many principles share is one
prefix. The paper shows the reward model the completion before the instruction; ours follows the judge's order.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from salmon_core.api.models import PrefixRequest, TokenCodec
from salmon_core.api.templates import Limits, Template
from salmon_core.errors import SalmonError
from salmon_core.records import Completion, Message, Pair, Prompt, ShownPrinciple

BREAK = "·"


_OTHER_BREAKS = "•|¦"


_SLOT = re.compile(r"\{(instruction|first|second|completion|principle|role|content)\}")


def fill(pattern: str, values: Mapping[str, str]) -> str:
    """Puts values into the slots of a template's text. Braces in values are ordinary characters."""
    return _SLOT.sub(lambda match: values[match[1]], pattern)


class Sanitizer:
    """Rewrites forbidden strings in untrusted text, visibly and idempotently.

    Matching ignores case, and also looks through Unicode compatibility forms (full-width letters and the like),
    since some tokenizers normalise those away.
    """

    def __init__(self, forbidden: Iterable[str]):
        words = sorted({word for word in forbidden if word.strip()}, key=lambda word: (-len(word), word))
        self._pattern = re.compile("|".join(map(re.escape, words)), re.IGNORECASE) if words else None
        # A break that is part of a forbidden string would not break it.
        self._break = next((mark for mark in (BREAK, *_OTHER_BREAKS) if not any(mark in word for word in words)), BREAK)

    def __call__(self, text: str) -> str:
        if self._pattern is None:
            return text
        # Overlapping occurrences need another round; each round breaks at least one for good.
        while True:
            if not text.isascii():
                folded = unicodedata.normalize("NFKC", text)
                if folded != text and self._pattern.search(folded):
                    text = folded
            if not self._pattern.search(text):
                return text
            text = self._pattern.sub(self._broken, text)

    def _broken(self, match: re.Match[str]) -> str:
        word = match[0]
        return self._break if len(word) == 1 else word[0] + self._break + word[1:]


class Renderer:
    """Renders for one template and one or more tokenizers.

    Args:
        template: the wording.
        codec: of the model that will read the texts; decides EOS, BOS and lengths.
        others: further tokenizers whose special tokens are to be made plain as well.
        limits: lengths; principles are never cut.
    """

    def __init__(
        self, template: Template, codec: TokenCodec, *, others: Sequence[TokenCodec] = (), limits: Limits | None = None
    ):
        self.template, self.codec = template, codec
        self.limits = limits or Limits()
        specials = {token for each in (codec, *others) for token in each.special_tokens}
        self._text = Sanitizer({*specials, *template.markers, *template.stop})
        total = self.limits.total if codec.max_length is None else min(self.limits.total, codec.max_length)
        self._total = total
        self._counts: dict[str, int] = {}

    def policy(self, prompt: Prompt) -> str:
        """The text a policy completes: the chat template, with turns that can forge no other turn."""
        return self.codec.chat(self.safe_messages(prompt.messages))

    def safe_messages(self, messages: Sequence[Message]) -> list[Message]:
        """The conversation with special tokens and markers made plain."""
        return [{"role": m["role"], "content": self._text(m["content"])} for m in messages]

    def safe_text(self, text: str) -> str:
        """A text with special tokens and markers made plain."""
        return self._text(text)

    def judge(self, pair: Pair, principles: Sequence[ShownPrinciple]) -> tuple[PrefixRequest, PrefixRequest]:
        """One request per order (1 first, 2 first), one suffix per principle; answer with `template.choices`."""
        one, two = (
            self._judge_order(pair.prompt, a, b, principles)
            for a, b in ((pair.first, pair.second), (pair.second, pair.first))
        )
        return one, two

    def _judge_order(
        self, prompt: Prompt, first: Completion, second: Completion, principles: Sequence[ShownPrinciple]
    ) -> PrefixRequest:
        suffixes = tuple(self._principles([principle]) + self.template.verdict for principle in principles)
        outputs = {"first": first.text, "second": second.text}
        return self._request(self.template.judge, prompt.messages, outputs, suffixes)

    def reward(
        self, messages: Sequence[Message], completion: str, sets: Sequence[Sequence[ShownPrinciple]]
    ) -> PrefixRequest:
        """One suffix per set of principles; every text ends with the EOS."""
        tail = self.template.score + self.codec.eos_token
        suffixes = tuple(self._principles(principles) + tail for principles in sets)
        return self._request(self.template.reward, messages, {"completion": completion}, suffixes)

    def _principles(self, principles: Sequence[ShownPrinciple]) -> str:
        return "".join(fill(self.template.principle, {"principle": self._text(p.text)}) for p in principles)

    def _request(
        self, pattern: str, messages: Sequence[Message], outputs: Mapping[str, str], suffixes: tuple[str, ...]
    ) -> PrefixRequest:
        bos = self.codec.bos_token or ""
        fixed = self._fixed(bos + pattern) + max(map(self._count, suffixes), default=0)
        room = self._total - fixed
        if room <= len(outputs):
            raise SalmonError(
                f"the template and the principles alone need {fixed} of {self._total} tokens",
                hint="show fewer or shorter principles, or raise the length limit",
            )
        # The instruction gets its limit or half of the room; the outputs share what it leaves.
        parts = {}
        parts["instruction"], used, cut = self._instruction(messages, min(self.limits.prompt, room // 2))
        share = min(self.limits.completion, (room - used) // len(outputs))
        for name, text in outputs.items():
            parts[name], _, dropped = self._cut(text, share)
            cut += dropped
        return PrefixRequest(bos + fill(pattern, parts), suffixes, cut)

    def _instruction(self, messages: Sequence[Message], limit: int) -> tuple[str, int, int]:
        """-> the conversation in at most `limit` tokens, their number (an upper bound), tokens dropped."""
        if len(messages) == 1:
            return self._cut(messages[0]["content"], limit, keep_end=True)
        # The latest turns matter most. Headings are trusted text, so they are added after contents were made safe.
        turns: list[str] = []
        used = dropped = 0
        full = False
        for message in reversed(messages):
            heading = self.template.turn.replace("{role}", self._text(message["role"]))
            size = self._fixed(heading)
            room = -1 if full else limit - used - size
            content, needed, cut = self._cut(message["content"], max(0, room), keep_end=True)
            dropped += cut
            full = full or room < 0 or cut > 0
            if room >= 0 and (content or not cut):
                turns.append(fill(heading, {"content": content}))
                used += size + needed
        return "".join(reversed(turns)), used, dropped

    def _cut(self, text: str, limit: int, *, keep_end: bool = False) -> tuple[str, int, int]:
        """-> the text made safe, in at most `limit` tokens; an upper bound of its tokens; tokens dropped."""
        text = self._text(text)
        # A token is at least one byte, of the text as the tokenizer normalises it: only ASCII never grows by that.
        if text.isascii() and len(text) <= limit:
            return text, len(text), 0
        ids = self.codec.encode(text)
        if len(ids) <= limit:
            return text, len(ids), 0
        for keep in range(limit, 0, -1):
            kept = self._text(self.codec.decode(ids[-keep:] if keep_end else ids[:keep]).strip("\ufffd"))
            # Cut in the middle of a character or a word, a text can need another token or two.
            if (needed := len(self.codec.encode(kept))) <= limit:
                return kept, needed, len(ids) - keep
        return "", 0, len(ids)

    def _fixed(self, pattern: str) -> int:
        """Tokens of a template's text; its pieces are counted apart, as contents of any length keep them apart."""
        return sum(self._count(piece) for piece in _SLOT.split(pattern)[::2])

    def _count(self, trusted: str) -> int:
        """Tokens of a part that recurs: template texts and principles."""
        if trusted not in self._counts:
            if len(self._counts) >= 4096:
                self._counts.clear()
            self._counts[trusted] = len(self.codec.encode(trusted))
        return self._counts[trusted]
