"""What a template keeps to."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, ClassVar

from salmon_core.api.templates import Limits, Template
from salmon_core.config.names import find_template
from salmon_core.records import ShownPrinciple
from salmon_core.reward.forms import asking
from salmon_core.reward.rendering import Renderer, fill
from salmon_core.testing import rows
from salmon_core.testing.contracts.base import ComponentContract
from salmon_core.testing.elsewhere import Made
from salmon_core.testing.makers import make_pair, make_prompt
from salmon_core.testing.models import ByteCodec

#: part -> the slots it has, each once
SLOTS = {
    "judge": ("instruction", "first", "second"),
    "principle": ("principle",),
    "verdict": (),
    "reward": ("instruction", "completion"),
    "score": (),
    "turn": ("role", "content"),
}
_SLOT = re.compile(r"\{(\w*)\}")
_LIMITS = Limits(prompt=100_000, completion=100_000, total=1_000_000)


class TemplateContract(ComponentContract):
    """Every slot once, all of a text shown, and no untrusted text that passes for a part of the template."""

    kind: ClassVar[str] = "templates"

    @property
    def template(self) -> Template:
        """The template."""
        return find_template(self.owned)

    @staticmethod
    def ask(made: Made, inputs: Any) -> Template:
        return find_template(made.registry.owned(made.spec))

    def test_every_slot_is_there_once(self) -> None:
        """And none that salmon does not know, such as a misspelt one."""
        for part, wanted in SLOTS.items():
            found = Counter(_SLOT.findall(getattr(self.template, part)))
            assert found == Counter(wanted), f"{part} has the slots {sorted(found.elements())}, not {sorted(wanted)}"

    def test_texts_without_principles_are_whole(self) -> None:
        """Where `plain` words them: with both slots, and a marked end."""
        plain = self.template.plain
        if plain is None:
            return
        assert len(plain) == 2, f"plain has {len(plain)} parts, not what stands for `reward` and for `score`"
        for part, text, wanted in zip(("reward", "score"), plain, (SLOTS["reward"], SLOTS["score"]), strict=True):
            found = Counter(_SLOT.findall(text))
            assert found == Counter(wanted), f"plain's {part} has the slots {sorted(found.elements())}"
        assert any(marker in plain[1] for marker in self.template.markers), "plain's score can be forged: no marker"

    def test_choices_differ(self) -> None:
        choices = self.template.choices
        assert len(choices) == 2, f"there are {len(choices)} choices, not two"
        assert all(choices), "a choice is empty"
        assert len(set(choices)) == 2, f"both choices are {choices[0]!r}"

    def test_markers_are_there(self) -> None:
        """Each is a part of some trusted text, and what comes after untrusted text is marked."""
        template = self.template
        trusted = "\n".join([*(getattr(template, part) for part in SLOTS), template.chat or ""])
        roles = {fill(template.turn, {"role": role, "content": ""}) for role in ("system", "user", "assistant", "tool")}
        trusted += "\n".join(roles)
        assert not isinstance(template.markers, str), "`markers` is one text; write a tuple"
        for marker in template.markers:
            assert marker.strip(), "a marker is empty"
            assert marker in trusted, f"the marker {marker!r} stands in no part of the template"
        for part in ("principle", "verdict", "score"):
            text = getattr(template, part)
            assert any(marker in text for marker in template.markers), (
                f"{part} has no marker: a completion can forge it"
            )

    def test_what_is_shown_is_shown(self) -> None:
        """Prompt, completions and principles all come to the model."""
        one, two = self._judge_texts("instruction-text", "first-text", "second-text", "principle-text")
        for text in ("instruction-text", "first-text", "second-text", "principle-text"):
            assert one.count(text) == two.count(text) == 1, f"{text} is not shown once"
        assert one.index("first-text") < one.index("second-text"), "the judge sees the second completion first"
        assert two.index("second-text") < two.index("first-text"), "both orders show the same completion first"
        scored = self._reward_text("instruction-text", "completion-text", "principle-text")
        for text in ("instruction-text", "completion-text", "principle-text"):
            assert scored.count(text) == 1, f"{text} is not shown once to the reward model"

    def test_markers_cannot_be_forged(self) -> None:
        """However a prompt, a completion or a principle writes them, the texts have no marker more than their own."""
        template = self.template
        asked = "Which is better, and why?\n"
        plain = [
            *self._judge_texts("p", "x", "y", "q"),
            *self._judge_texts("p", "x", "y", "q", question=asked),
            self._reward_text("p", "x", "q"),
        ]
        wanted = [_count(text, template.markers) for text in plain]
        whole = [fill(template.principle, {"principle": "p"}), template.verdict, template.score]
        for evil in (*template.markers, *(marker.upper() for marker in template.markers), *whole):
            forged = f"{evil} {evil}{evil}"
            found = [
                *self._judge_texts(*[forged] * 4),
                *self._judge_texts(forged, forged, forged, forged, asked),
                self._reward_text(*[forged] * 3),
            ]
            counted = [_count(text, template.markers) for text in found]
            self.same(counted, wanted, f"markers in texts where everybody writes {evil!r}")

    def test_odd_texts_are_rendered(self) -> None:
        for name, text in rows.ODD_TEXTS.items():
            try:
                self._judge_texts(text, text, text, "brief")
                self._reward_text(text, text, "brief")
            except Exception as error:
                raise AssertionError(f"a text such as {name!r}: {error}") from error

    def test_conversations_are_rendered(self) -> None:
        prompt = make_prompt(
            "third-turn",
            before=({"role": "user", "content": "first-turn"}, {"role": "assistant", "content": "second-turn"}),
        )
        request = self._renderer().reward(prompt.messages, "x", [[ShownPrinciple("p", "q")]])
        places = [request.texts[0].find(text) for text in ("first-turn", "second-turn", "third-turn")]
        assert -1 not in places, "a turn is not shown"
        assert places == sorted(places), "the turns are shown in another order"

    def _renderer(self, question: str | None = None) -> Renderer:
        """Asks by the template's own question, or one of a judge's."""
        template = self.template if question is None else asking(self.template, question)
        return Renderer(template, ByteCodec(), limits=_LIMITS)

    def _judge_texts(
        self, prompt: str, first: str, second: str, principle: str, question: str | None = None
    ) -> tuple[str, str]:
        pair = make_pair(first, second, prompt=make_prompt(prompt))
        one, two = self._renderer(question).judge(pair, [ShownPrinciple("p", principle)])
        return one.texts[0], two.texts[0]

    def _reward_text(self, prompt: str, completion: str, principle: str) -> str:
        shown = [[ShownPrinciple("p", principle)]]
        return self._renderer().reward(make_prompt(prompt).messages, completion, shown).texts[0]


def _count(text: str, markers: tuple[str, ...]) -> dict[str, int]:
    return {marker: text.lower().count(marker.lower()) for marker in markers}
