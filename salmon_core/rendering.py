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
from dataclasses import dataclass

from salmon_core.errors import SalmonError
from salmon_core.interfaces import PrefixRequest, TokenCodec
from salmon_core.records import Completion, Message, Pair, Prompt, ShownPrinciple

BREAK = "·"
_SLOT = re.compile(r"\{(instruction|first|second|completion|principle|role|content)\}")


def fill(pattern: str, values: Mapping[str, str]) -> str:
    """Puts values into the slots of a template's text. Braces in values are ordinary characters."""
    return _SLOT.sub(lambda match: values[match[1]], pattern)


@dataclass(frozen=True)
class Template:
    """How judge and reward model are asked. Texts with `{slots}`; each part starts and ends with trusted text.

    Attributes:
        judge: slots `instruction`, `first`, `second`; the part that all principles share.
        principle: slot `principle`; one for each principle shown, with its closing marker.
        verdict: ends so that the next token is one of `choices` (first output better, second output better).
        reward: slots `instruction`, `completion`.
        score: comes after the principles; the EOS that follows it is the position that is scored.
        turn: slots `role`, `content`; used for conversations of more than one turn.
        markers: strings that untrusted text must not contain.
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
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """In tokens. `total` holds for the whole text of judge or reward model, EOS included."""

    prompt: int = 128
    completion: int = 768
    total: int = 1280


class Neutraliser:
    """Rewrites forbidden strings in untrusted text, visibly and idempotently.

    Matching ignores case, and also looks through Unicode compatibility forms (full-width letters and the like),
    since some tokenizers normalise those away.
    """

    def __init__(self, forbidden: Iterable[str]):
        words = sorted({word for word in forbidden if word.strip()}, key=lambda word: (-len(word), word))
        self._pattern = re.compile("|".join(map(re.escape, words)), re.IGNORECASE) if words else None

    def __call__(self, text: str) -> str:
        if self._pattern is None:
            return text
        if not text.isascii():
            folded = unicodedata.normalize("NFKC", text)
            if folded != text and self._pattern.search(folded) and not self._pattern.search(text):
                text = folded
        # Overlapping occurrences need another round; each round breaks at least one for good.
        while self._pattern.search(text):
            text = self._pattern.sub(lambda match: match[0][:1] * (len(match[0]) > 1) + BREAK + match[0][1:], text)
        return text


class Renderer:
    """Renders for one template and one or more tokenizers.

    Args:
        template: the wording.
        codec: of the model that will read the texts; decides EOS, BOS and lengths.
        others: further tokenizers whose special tokens are to be neutralised as well.
        limits: lengths; principles are never cut.
    """

    def __init__(
        self, template: Template, codec: TokenCodec, *, others: Sequence[TokenCodec] = (), limits: Limits | None = None
    ):
        self.template, self.codec = template, codec
        self.limits = limits or Limits()
        specials = {token for each in (codec, *others) for token in each.special_tokens}
        self._policy_text = Neutraliser(specials)
        self._text = Neutraliser({*specials, *template.markers, *template.stop})
        total = self.limits.total if codec.max_length is None else min(self.limits.total, codec.max_length)
        self._total = total
        self._counts: dict[str, int] = {}

    def policy(self, prompt: Prompt) -> str:
        """The text a policy completes: the chat template, special tokens in the turns made plain."""
        return self.codec.chat(self.safe_messages(prompt.messages))

    def safe_messages(self, messages: Sequence[Message]) -> list[Message]:
        """The conversation with every special-token string made plain."""
        return [{"role": m["role"], "content": self._policy_text(m["content"])} for m in messages]

    def safe_text(self, text: str) -> str:
        """A text with every special-token string made plain."""
        return self._policy_text(text)

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
        empty = fill(pattern, dict.fromkeys([*outputs, "instruction"], ""))
        bos = self.codec.bos_token or ""
        fixed = self._count(bos + empty) + max(map(self._count, suffixes), default=0)
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
        for message in reversed(messages):
            heading = self._count(fill(self.template.turn, {"role": message["role"], "content": ""}))
            room = max(0, limit - used - heading)
            content, size, cut = self._cut(message["content"], room, keep_end=True)
            dropped += cut
            if content or not cut:
                turns.append(fill(self.template.turn, {"role": message["role"], "content": content}))
                used += heading + size
        return "".join(reversed(turns)), min(used, limit), dropped

    def _cut(self, text: str, limit: int, *, keep_end: bool = False) -> tuple[str, int, int]:
        """-> the text made safe, in at most `limit` tokens; an upper bound of its tokens; tokens dropped."""
        text = self._text(text)
        size = len(text.encode("utf-8", "surrogatepass"))
        if size <= limit:  # a token is at least one byte
            return text, size, 0
        ids = self.codec.encode(text)
        if len(ids) <= limit:
            return text, len(ids), 0
        for keep in range(limit, 0, -1):
            kept = self._text(self.codec.decode(ids[-keep:] if keep_end else ids[:keep]).strip("\ufffd"))
            # Cut in the middle of a character or a word, a text can need another token or two.
            if (needed := len(self.codec.encode(kept))) <= limit:
                return kept, needed, len(ids) - keep
        return "", 0, len(ids)

    def _count(self, trusted: str) -> int:
        """Tokens of a part that recurs: template texts and principles."""
        if trusted not in self._counts:
            if len(self._counts) >= 4096:
                self._counts.clear()
            self._counts[trusted] = len(self.codec.encode(trusted))
        return self._counts[trusted]
