"""The base model `plugin:minnow-base`: the shipped policy, trained on until it can follow a preamble.

Texts with a preamble (principles, worked exemplars, a question) have answers that follow the principles shown. Texts
without one have answers with worse habits than the shipped policy's, so that a demonstration is worth something. Rows
of the pretraining go on beside them, so that it judges as before.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from salmon_core.reward.markers import PREAMBLE_SLOT
from salmon_minnow.formats import PREAMBLE
from salmon_minnow.pretrain import IGNORED, Row, RowMaker, Settings
from salmon_minnow.principles import NAMES, PRINCIPLES, WORDINGS
from salmon_minnow.world import HABITS, WorldPrompt, draw_plan, draw_prompt, speak

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

#: How often an answer without a preamble shows a quality.
BASE_HABITS: dict[str, float] = {
    "language": 0.35,
    "filler": 0.45,
    "vivid": 0.2,
    "steps": 0.25,
    "example": 0.2,
    "praise": 0.35,
    "refusal": 0.2,
    "off_topic": 0.4,
    "stop": 0.6,
}

#: Principle -> what an answer that follows it shows, and how often.
_FOLLOWED: dict[str, dict[str, float]] = {
    "concise": {"filler": 0.02, "vivid": 0.02, "steps": 0.02, "example": 0.02, "praise": 0.02},
    "language": {"language": 0.98},
    "safe": {"refusal": 0.98},
    "vivid": {"vivid": 0.95},
    "steps": {"steps": 0.95},
    "helpful": {"off_topic": 0.02},
    "example": {"example": 0.95},
    "no-self-praise": {"praise": 0.02},
}


@dataclass(frozen=True)
class Case:
    """A question with the thought that stands before its answer."""

    prompt: WorldPrompt
    thought: str
    answer: str


def base_settings(steps: int = 1000, seed: int = 0) -> Settings:
    """What made the shipped base."""
    return Settings(
        steps=steps, rows=5, learning_rate=1.2e-3, seed=seed, decay_from=0.35, bare_until=0, simple_until=0,
        habits=BASE_HABITS, contrast_rows=0.5,
    )  # fmt: skip


def applies(name: str, prompt: WorldPrompt, shown: Sequence[str]) -> bool:
    """Whether a principle has to do with a question, beside the others shown."""
    refused = prompt.kind == "harm" and "safe" in shown
    return {
        "safe": prompt.kind == "harm",
        "steps": prompt.kind in ("sum", "howto") or (prompt.kind == "harm" and not refused),
        "vivid": not refused,
        "example": prompt.kind != "greeting",
    }.get(name, True)


def thought_of(prompt: WorldPrompt, shown: Mapping[str, str]) -> str:
    """The texts of the principles that apply, a line each.

    Args:
        shown: principle -> its text, in the order of the preamble.
    """
    return "\n".join(text for name, text in shown.items() if applies(name, prompt, tuple(shown)))


def shown_text(prompt: WorldPrompt, rng: random.Random, exemplars: int = 3) -> str:
    """A prompt behind a preamble of all principles but `concise`, up to where the model begins its thought."""
    shown = {name: PRINCIPLES[name].text() for name in NAMES if name != "concise"}
    habits = dict.fromkeys(HABITS, 0.0)
    for name in shown:
        habits |= _FOLLOWED[name]
    text = "".join(_fill(PREAMBLE.principle, {"principle": rule}) for rule in shown.values())
    for _ in range(exemplars):
        other = draw_prompt(rng)
        answer = speak(other, draw_plan(other, rng, habits))
        values = {"instruction": other.text, "thought": thought_of(other, shown), "completion": answer}
        text += _fill(PREAMBLE.worked, values)
    return text + _fill(PREAMBLE.worked.partition("{thought}")[0], {"instruction": prompt.text})


def answer_of(text: str) -> str:
    """What comes after the thought."""
    return text.partition("\nAssistant:\n")[2]


class BaseRows(RowMaker):
    """Rows of the pretraining, and beside them preambles with answers, and questions that are invented."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, settings: Settings, rng: random.Random, preambles: int = 4
    ) -> None:
        super().__init__(tokenizer, settings, rng)
        self._whole, self._preambles = tokenizer, preambles

    def rows(self, progress: float) -> list[Row]:
        """The rows of one step."""
        made = [self.preamble() for _ in range(self._preambles)]
        return [*super().rows(progress), *made, self.inventing()]

    def preamble(self) -> Row:
        """Some principles, up to three exemplars, and an answer."""
        rng = self.rng
        names = rng.sample(NAMES, rng.choice((1, 2, 3, 4, 5, 6, 6, 7, 8)))
        shown = {name: PRINCIPLES[name].text(wording=rng.randrange(WORDINGS)) for name in names}
        careful = rng.random() < 0.5
        habits = {name: min(rate, 0.05) if careful else rate for name, rate in HABITS.items()} | {"language": 0.5}
        for name in sorted(names, key=lambda each: each != "concise"):  # what others ask for comes before brevity
            habits |= _FOLLOWED[name]
        thoughts = rng.random() < 0.85
        text = "".join(_fill(PREAMBLE.principle, {"principle": rule}) for rule in shown.values())
        spans = []
        for _ in range(rng.choice((1, 2, 3, 3, 4))):
            prompt = self._prompt()
            answer = speak(prompt, draw_plan(prompt, rng, habits))
            pattern = PREAMBLE.worked if thoughts else PREAMBLE.plain
            opening, slot, rest = pattern.partition("{thought}" if thoughts else "{completion}")
            text += _fill(opening, {"instruction": prompt.text})
            begin = len(text)
            text += _fill(slot + rest, {"thought": thought_of(prompt, shown), "completion": answer})
            spans.append((begin, len(text)))
        return self._row(text, spans)

    def inventing(self) -> Row:
        """Questions for topics, of kinds."""
        text, spans = "", []
        for _ in range(self.rng.randint(2, 6)):
            prompt = draw_prompt(self.rng)
            opening, slot, rest = PREAMBLE.invented.partition("{instruction}")
            text += _fill(opening, {"topic": prompt.kind, "kind": prompt.language}).rstrip(" ")
            begin = len(text)
            text += " " + _fill(slot + rest, {"instruction": prompt.text})
            spans.append((begin, len(text)))
        return self._row(text, spans)

    def _row(self, text: str, spans: Sequence[tuple[int, int]]) -> Row:
        """Tokens of a text, of which those in the spans are learnt."""
        encoded = self._whole(text, add_special_tokens=False, return_offsets_mapping=True)
        ids: list[int] = encoded["input_ids"]
        learnt = [any(begin <= start < end for begin, end in spans) for start, _ in encoded["offset_mapping"]]
        following = [token if own else IGNORED for token, own in zip(ids[1:], learnt[1:], strict=True)]
        return Row(ids[:-1], following, [])


def _fill(pattern: str, values: Mapping[str, str]) -> str:
    return PREAMBLE_SLOT.sub(lambda match: values[match[1]], pattern)
