"""From records to the texts that judges and reward models read: safe, shared, the same everywhere.

Prompts and completions are untrusted. They are made safe in the TEXT, so the result is safe under any later
tokenizer call, ours or a trainer's: the section markers of the template, the added tokens of the tokenizers in use and
the markers of their chat formats are rewritten visibly (`[[score` becomes `[·[score`).

Then the ids are looked at: they have to have the structure of the same text with plain contents. That look is taken
where an untrusted text has a character beyond ASCII, a control character, one that a marker begins with, or a break.
All other text is ASCII that was searched as it stands, and saves the second encoding.

Order of parts: instruction, completion(s), principles, the answer's place; so what many principles share is one
prefix. The paper shows the reward model the completion before the instruction; ours follows the judge's order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial

from salmon_core.api.models import PrefixRequest, TokenCodec
from salmon_core.api.templates import Limits, RewardConversation, Template
from salmon_core.errors import SalmonError
from salmon_core.records import Completion, Message, Pair, Prompt, ShownPrinciple
from salmon_core.reward.conversations import rules_text, split, with_rules
from salmon_core.reward.fitting import Fitter, Part
from salmon_core.reward.forms import Form, Frame, frame_of
from salmon_core.reward.markers import ROLES, SLOT, template_markers
from salmon_core.reward.sanitizer import Forbidden
from salmon_core.reward.shape import safety

_MOST = 4096
#: where principles stand in what a policy is asked
_ASKED = RewardConversation(principles="user")


def fill(pattern: str, values: Mapping[str, str]) -> str:
    """Puts values into the slots of a template's text. Braces in values are ordinary characters."""
    return SLOT.sub(lambda match: values[match[1]], pattern)


class Renderer:
    """Renders for one template and one or more tokenizers.

    Args:
        template: the wording.
        codec: of the model that will read the texts; decides EOS, BOS and lengths.
        others: further tokenizers whose added tokens and chat markers are to be made plain as well.
        limits: lengths; principles are never cut.
        form: in which a judge is asked.
        room: tokens that an answer may add to a text; counted where the model takes texts of a limited length.
        plain: further strings that are to be made plain, where the tokenizer that they are of is not at hand.
    """

    def __init__(
        self,
        template: Template,
        codec: TokenCodec,
        *,
        others: Sequence[TokenCodec] = (),
        limits: Limits | None = None,
        form: Form = "text",
        room: int = 0,
        plain: Forbidden | None = None,
    ):
        self.template, self.codec = template, codec
        self.limits = limits or Limits()
        forbidden = template_markers(template) | (plain or Forbidden())
        self._text, self._shape, self._blank = safety(codec, others, forbidden)
        self._fit = Fitter(codec, self._text)
        total = self.limits.total if codec.max_length is None else min(self.limits.total, codec.max_length - room)
        self._total, self._room = total, room
        self._form = form
        self._rules: dict[str, str] = {}
        self._turns: dict[tuple[str, ...], int] = {}
        self._checked: set[str] = set()

    def policy(self, prompt: Prompt, principles: Sequence[ShownPrinciple] = ()) -> str:
        """The text a policy completes: the chat template, with turns that can forge no other turn.

        Args:
            principles: shown at the end of the user's last turn.

        Raises:
            SalmonError: there is no chat template, it refuses the conversation, or the ids have another structure than
                with plain contents.
        """
        messages = self.safe_messages(prompt.messages)
        rules = self._rules_asked(principles)
        text = self.codec.chat(with_rules(messages, rules, _ASKED))
        known = not rules or f"policy {rules}" in self._checked
        if not known or any(self._text.examine(message["content"])[1] for message in messages):
            # Some chat templates leave out empty turns.
            plain: list[Message] = [
                {"role": m["role"], "content": self._blank if m["content"].strip() else m["content"]} for m in messages
            ]
            rule = fill(self.template.principle, {"principle": self._blank}) * len(principles)
            plain = with_rules(plain, rule.rstrip(), _ASKED)
            shape = ("policy", *((m["role"], m["content"]) for m in plain))
            self._shape(text, shape, lambda: self.codec.chat(plain), where=f"prompt {prompt.id}, for the policy")
            self._remember(f"policy {rules}")
        return text

    def asked(self, messages: Sequence[Message], principles: Sequence[ShownPrinciple] = ()) -> list[Message]:
        """The conversation as `policy` puts it into the chat template."""
        return with_rules(self.safe_messages(messages), self._rules_asked(principles), _ASKED)

    def _rules_asked(self, principles: Sequence[ShownPrinciple]) -> str:
        return rules_text(_ASKED, map(self._rule, principles)).rstrip()

    def safe_messages(self, messages: Sequence[Message]) -> list[Message]:
        """The conversation with added tokens and markers made plain."""
        return [{"role": self._role(m["role"]), "content": self._text(m["content"])} for m in messages]

    def safe_text(self, text: str) -> str:
        """A text with added tokens and markers made plain."""
        return self._text(text)

    @property
    def form(self) -> Form:
        """In which a judge is asked: `chat` or `text`."""
        return self._frame.form

    @cached_property
    def _frame(self) -> Frame:
        return frame_of(self.template, self.codec, self._form)

    def judge(self, pair: Pair, principles: Sequence[ShownPrinciple]) -> tuple[PrefixRequest, PrefixRequest]:
        """One request per order (1 first, 2 first), one suffix per principle; answer with `template.choices`.

        Raises:
            SalmonError: no room, or the ids have another structure than with plain contents.
        """
        one, two = (
            self._judge_order(pair.prompt, a, b, principles)
            for a, b in ((pair.first, pair.second), (pair.second, pair.first))
        )
        return one, two

    def _judge_order(
        self, prompt: Prompt, first: Completion, second: Completion, principles: Sequence[ShownPrinciple]
    ) -> PrefixRequest:
        sets = [(principle,) for principle in principles]
        outputs = {"first": first.text, "second": second.text}
        where = f"prompt {prompt.id}, for the judge"
        pattern, tail = self._frame.before + self.template.judge, self._frame.after
        return self._request(pattern, prompt.messages, outputs, sets, tail, where)

    def reward(
        self, messages: Sequence[Message], completion: str, sets: Sequence[Sequence[ShownPrinciple]]
    ) -> PrefixRequest:
        """One suffix per set of principles; every text ends with the EOS.

        Raises:
            SalmonError: no room, or the ids have another structure than with plain contents.
        """
        where = "a text for the reward model"
        if self.template.conversation is not None:
            return self._conversation(messages, completion, sets, self.template.conversation, where)
        before, tail = self._reward_frame
        return self._request(before + self.template.reward, messages, {"completion": completion}, sets, tail, where)

    @cached_property
    def _reward_frame(self) -> tuple[str, str]:
        """What a text for the reward model begins and ends with."""
        if self.template.answers is None:
            return self.codec.bos_token or "", self.template.score + self.codec.eos_token
        frame = frame_of(replace(self.template, question=self.template.score), self.codec)
        return frame.before, frame.after

    def _conversation(
        self,
        messages: Sequence[Message],
        completion: str,
        sets: Sequence[Sequence[ShownPrinciple]],
        how: RewardConversation,
        where: str,
    ) -> PrefixRequest:
        """Every text is the conversation with the completion as its last turn, by the model's own chat template."""
        roles = [self._role(message["role"]) for message in messages]
        rules = [rules_text(how, map(self._rule, principles)) for principles in sets]
        fixed = self._empty(tuple(roles), how) + max(map(self._fit.count, rules), default=0)
        room = self._total - fixed
        if room <= len(messages) + 1:
            raise self._no_room(fixed)
        left = min(self.limits.prompt, room // 2)
        parts = [self._fit.cut(completion, min(self.limits.completion, room - left))]
        for message in reversed(messages):  # the latest turns matter most
            parts.append(self._fit.cut(message["content"], left, keep_end=True))
            left -= parts[-1].tokens
        parts.reverse()
        contents = [part.text for part in parts]
        texts = [self._whole(roles, contents, each, how) for each in rules]
        # Whatever is doubtful in a turn is so in each text; principles are made safe like contents, and recur.
        if any(part.doubtful for part in parts) or not self._checked.issuperset(rules):
            # Some chat templates leave out empty turns.
            plain = [self._blank if content.strip() else content for content in contents]
            for text, each, principles in zip(texts, rules, sets, strict=True):
                rule = rules_text(how, [fill(self.template.principle, {"principle": self._blank})] * len(principles))
                shape = ("conversation", *roles, *plain, len(principles))
                self._shape(text, shape, partial(self._whole, roles, plain, rule, how), where=where)
                self._remember(each)
        return PrefixRequest(*split(texts), sum(part.cut for part in parts))

    def _empty(self, roles: tuple[str, ...], how: RewardConversation) -> int:
        """Tokens of a conversation with next to nothing in its turns; templates are slow, and roles recur."""
        if roles not in self._turns:
            if len(self._turns) >= _MOST:
                self._turns.clear()
            blank = [self._blank] * (len(roles) + 1)
            self._turns[roles] = self._fit.count(self._whole(roles, blank, "", how))
        return self._turns[roles]

    def _whole(self, roles: Sequence[str], contents: Sequence[str], rules: str, how: RewardConversation) -> str:
        turns: list[Message] = [
            {"role": role, "content": content} for role, content in zip((*roles, "assistant"), contents, strict=True)
        ]
        render = getattr(self.codec, "conversation", None)
        if render is None:
            raise SalmonError(
                "this engine's tokenizer renders no whole conversations", hint="use another reward.engine or template"
            )
        text: str = render(with_rules(turns, rules, how))
        return text

    def _no_room(self, fixed: int) -> SalmonError:
        kept = f", beside the {self._room} that are kept for the answer" if self._room else ""
        return SalmonError(
            f"the template and the principles alone need {fixed} of {max(0, self._total)} tokens{kept}",
            hint="show fewer or shorter principles, or raise the length limit"
            + (", or lower max_new_tokens" if self._room else ""),
        )

    def _suffix(self, principles: Sequence[ShownPrinciple], tail: str, where: str) -> str:
        """Principles recur, so each text is made safe once, and each suffix is checked once."""
        suffix = "".join(map(self._rule, principles)) + tail
        if suffix not in self._checked:
            plain = fill(self.template.principle, {"principle": self._blank}) * len(principles) + tail
            self._shape(suffix, ("suffix", len(principles), tail), lambda: plain, where=where)
            self._remember(suffix)
        return suffix

    def _remember(self, checked: str) -> None:
        if len(self._checked) >= _MOST:
            self._checked.clear()
        self._checked.add(checked)

    def _rule(self, principle: ShownPrinciple) -> str:
        if principle.text not in self._rules:
            if len(self._rules) >= _MOST:
                self._rules.clear()
            self._rules[principle.text] = fill(self.template.principle, {"principle": self._text(principle.text)})
        return self._rules[principle.text]

    def _request(
        self,
        pattern: str,
        messages: Sequence[Message],
        outputs: Mapping[str, str],
        sets: Sequence[Sequence[ShownPrinciple]],
        tail: str,
        where: str,
    ) -> PrefixRequest:
        suffixes = tuple(self._suffix(principles, tail, where) for principles in sets)
        values, cut = self._fitted(pattern, messages, outputs, suffixes, where)
        return PrefixRequest(fill(pattern, values), suffixes, cut)

    def _fitted(
        self,
        pattern: str,
        messages: Sequence[Message],
        outputs: Mapping[str, str],
        suffixes: Sequence[str],
        where: str,
    ) -> tuple[dict[str, str], int]:
        """-> what goes into the pattern's slots, safe and short enough; the tokens cut for that."""
        fixed = self._fit.fixed(pattern) + max(map(self._fit.count, suffixes), default=0)
        room = self._total - fixed
        if room <= len(outputs):
            raise self._no_room(fixed)
        # The instruction gets its limit or half of the room; the outputs share what it leaves.
        instruction, roles = self._instruction(messages, min(self.limits.prompt, room // 2))
        parts = {"instruction": instruction}
        share = min(self.limits.completion, (room - instruction.tokens) // len(outputs))
        for name, text in outputs.items():
            parts[name] = self._fit.cut(text, share)
        values = {name: part.text for name, part in parts.items()}
        if any(part.doubtful for part in parts.values()):
            # With one suffix: what an output ends with could reach into it.
            suffix, prefix = suffixes[0] if suffixes else "", fill(pattern, values)
            shape = (pattern, roles, suffix)
            self._shape(prefix + suffix, shape, lambda: self._plain(pattern, outputs, roles) + suffix, where=where)
        return values, sum(part.cut for part in parts.values())

    def _plain(self, pattern: str, outputs: Mapping[str, str], roles: tuple[str, ...] | None) -> str:
        """The same prefix with plain contents."""
        blank = self._blank
        turns = blank if roles is None else "".join(fill(self._heading(role), {"content": blank}) for role in roles)
        return fill(pattern, {"instruction": turns} | dict.fromkeys(outputs, blank))

    def _instruction(self, messages: Sequence[Message], limit: int) -> tuple[Part, tuple[str, ...] | None]:
        """-> the conversation in at most `limit` tokens; the roles of its turns, None for one message alone."""
        if len(messages) == 1:
            return self._fit.cut(messages[0]["content"], limit, keep_end=True), None
        # The latest turns matter most. Headings are trusted text, so they are added after contents were made safe.
        turns: list[str] = []
        roles: list[str] = []
        used = dropped = 0
        full = doubtful = False
        for message in reversed(messages):
            heading = self._heading(message["role"])
            size = self._fit.fixed(heading)
            room = -1 if full else limit - used - size
            part = self._fit.cut(message["content"], max(0, room), keep_end=True)
            dropped += part.cut
            full = full or room < 0 or part.cut > 0
            if room >= 0 and (part.text or not part.cut):
                turns.append(fill(heading, {"content": part.text}))
                roles.append(message["role"])
                used += size + part.tokens
                doubtful = doubtful or part.doubtful
        return Part("".join(reversed(turns)), used, dropped, doubtful), tuple(reversed(roles))

    def _heading(self, role: str) -> str:
        return self.template.turn.replace("{role}", self._role(role))

    def _role(self, role: str) -> str:
        """A role that is none of the usual ones is untrusted like any text, and must not complete a marker."""
        if role in ROLES:
            return role
        safe = self._text(" ".join(role.split()))
        return self._text.mark + safe if any(self._text.find(self.template.turn.replace("{role}", safe))) else safe
