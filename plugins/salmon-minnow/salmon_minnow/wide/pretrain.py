"""Training rows of the wide world: many judgements of each pair, so that each of 64 principles is met often.

What a row is, and how branches are packed, is minnow's (`salmon_minnow.pretrain`). New is which principles a pair is
judged by: those that tell few pairs apart are asked for more often when one does. Policies start from minnow's
weights (`salmon_minnow.wide.grow`), which know how to compare two answers. No bias is planted here.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from salmon_minnow.formats import policy_text
from salmon_minnow.pretrain import IGNORED, Branch, Row, RowMaker, Settings, together
from salmon_minnow.wide.oracle import WideAttributes, prefers, read
from salmon_minnow.wide.principles import NAMES, PRINCIPLES
from salmon_minnow.wide.world import HABITS, draw_answer
from salmon_minnow.world import WorldPrompt, draw_prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

#: The sentences that may stand beside the core, and the qualities that two answers are drawn apart in.
BESIDE = ("filler", "example", "praise", "opening", "closing")
CONTRASTED = ("language", "vivid", "steps", "refusal", "off_topic", *BESIDE)
#: Principles whose judgement weighs more: what they ask for is not a word.
_HARDER = ("english", "german", "spanish")


@dataclass
class WideSettings(Settings):
    """What training may vary, beside minnow's. It starts from minnow: it is short, and no texts are all bare."""

    steps: int = 1_500
    rows: int = 8
    bare_until: float = 0.0
    simple_until: float = 0.3
    decay_from: float = 0.5
    bare_share: float = 0.4
    singles: int = 14
    ties: int = 2
    sets: int = 3
    contrast_rows: float = 0.5
    #: The power of a principle's rarity by which it is chosen among those that tell a pair apart.
    rarity: float = 0.7
    weights: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_HARDER, 2.0))


@dataclass(frozen=True)
class Size:
    """One of the policies: its shape, and what its training takes. Heads have 24 dimensions, as minnow's."""

    hidden: int
    feed_forward: int
    layers: int
    heads: int
    settings: WideSettings


#: The names of the sizes.
SIZES = ("0.5m", "1m", "3m")


def size_of(name: str) -> Size:
    """The shape and settings of a policy by its name: 0.5m, 1m or 3m."""
    return {
        "0.5m": lambda: Size(96, 192, 4, 4, WideSettings(learning_rate=1.5e-3)),
        "1m": lambda: Size(120, 288, 5, 5, WideSettings(learning_rate=1.2e-3)),
        "3m": lambda: Size(192, 512, 6, 8, WideSettings(learning_rate=1e-3)),
    }[name]()


class WideRows(RowMaker):
    """Draws rows from the wide world's grammar; those of a step follow from the seed and the step alone."""

    settings: WideSettings

    def __init__(self, tokenizer: PreTrainedTokenizerFast, settings: WideSettings) -> None:
        super().__init__(tokenizer, settings, random.Random(settings.seed))
        self._rarity = self._measured_rarity()

    def _measured_rarity(self, pairs: int = 3000) -> dict[str, float]:
        """How rarely each principle tells a pair apart, to the power of the setting."""
        counts = dict.fromkeys(NAMES, 1)
        for _ in range(pairs):
            prompt = self._prompt()
            first, second = (read(prompt, draw_answer(prompt, self.rng, HABITS)) for _ in range(2))
            for name in NAMES:
                counts[name] += prefers(name, first, second) != 0
        return {name: (pairs / count) ** self.settings.rarity for name, count in counts.items()}

    def rows(self, progress: float) -> list[Row]:
        """The rows of one step, as far into the curriculum as ``progress`` says."""
        self.rng = random.Random(f"{self.settings.seed}/{progress!r}")
        return super().rows(progress)

    def row(self, simple: bool, bare: bool = False) -> Row:
        """Draw a row; ``simple`` ones judge by single principles as they are written, ``bare`` ones are short."""
        prompt = self._prompt()
        contrast = self.rng.random() < self.settings.contrast_rows
        pair = self._bare_habits if bare else self._habits
        first, second = (draw_answer(prompt, self.rng, habits) for habits in pair(contrast))
        branches_of = (read(prompt, first), read(prompt, second))
        return self._laid_out(prompt, first, second, branches_of, simple=simple, bare=bare, judged_only=contrast)

    def _laid_out(
        self,
        prompt: WorldPrompt,
        first: str,
        second: str,
        told: tuple[WideAttributes, WideAttributes],
        *,
        simple: bool,
        bare: bool,
        judged_only: bool,
    ) -> Row:
        answers = [self._encode_answer(first), self._encode_answer(second)]
        question = self.encode(policy_text(prompt.text))
        ids = [*question, *answers[0], self._other, *answers[1]]
        branches = self._judged(len(ids), *told, simple)
        if judged_only and not simple:
            return Row(ids, [], branches)
        following = [IGNORED] * (len(question) - 1) + answers[0]
        if bare or self.rng.random() < self.settings.habits["stop"]:
            following.append(self._eos)
        else:
            leak = self._leak()
            following.append(leak[0])
            branches.append(Branch(len(question) + len(answers[0]), leak))
        return Row(ids, [*following, *answers[1], self._eos], branches)

    def _habits(self, contrast: bool) -> tuple[dict[str, float], dict[str, float]]:
        first, second = dict(HABITS), dict(HABITS)
        if contrast:
            for quality in CONTRASTED:
                if self.rng.random() < 0.4:
                    first[quality] = float(self.rng.random() < 0.5)
                    second[quality] = 1 - first[quality]
        return first, second

    def _bare_habits(self, contrast: bool) -> tuple[dict[str, float], dict[str, float]]:
        """Short answers: the core, and one sentence beside it in one of them, or (mostly different ones) in both."""
        first, second = dict.fromkeys(HABITS, 0.0), dict.fromkeys(HABITS, 0.0)
        beside = self.rng.choice((*BESIDE, "closing", None))
        for quality in ("language", "vivid", "steps", "refusal", "off_topic", *BESIDE):
            if quality in BESIDE:
                if quality == beside:
                    first[quality], second[quality] = self.rng.choice(((1.0, 0.0), (0.0, 1.0), (1.0, 1.0)))
            elif self.rng.random() < (0.25 if quality == "off_topic" else self.settings.contrast):
                first[quality] = float(self.rng.random() < 0.5)
                second[quality] = 1 - first[quality]
            elif quality != "off_topic":
                first[quality] = second[quality] = float(self.rng.random() < HABITS[quality])
        first["front"] = second["front"] = 0.25
        first["other_kind"] = second["other_kind"] = 0.5
        return first, second

    def _leak(self) -> list[int]:
        prompt = draw_prompt(self.rng)
        said = draw_answer(prompt, self.rng)
        return self._encode_answer(f"\n{policy_text(prompt.text)}{said}\n{policy_text(draw_prompt(self.rng).text)}")

    def _judged(self, start: int, first: WideAttributes, second: WideAttributes, simple: bool) -> list[Branch]:
        settings, rng = self.settings, self.rng
        sure = settings.certainty
        targets = {name: {1: sure, 0: 0.5, -1: 1 - sure}[prefers(name, first, second)] for name in NAMES}
        decided = [name for name in NAMES if targets[name] != 0.5]
        # A draw without replacement by weights: the smallest of exponential variates.
        decided.sort(key=lambda name: rng.expovariate(1.0) / self._rarity[name])
        ties = [name for name in NAMES if targets[name] == 0.5]
        chosen = [*rng.sample(ties, min(settings.ties, len(ties))), *decided[: settings.singles]]
        branches = []
        for name in chosen:
            negated = not simple and rng.random() < settings.negated
            target = 1 - targets[name] if negated else targets[name]
            branches.append(
                Branch(start, self._asked([self._text(name, negated)]), target, settings.weights.get(name, 1.0))
            )
        for _ in range(0 if simple else settings.sets):
            # Half of a set's principles tell the pair apart, so that sets are not mostly ties.
            count = rng.choice((2, 2, 3, 3, 4))
            some = rng.sample(decided, min(len(decided), (count + 1) // 2))
            names = [*some, *rng.sample([name for name in NAMES if name not in some], count - len(some))]
            rng.shuffle(names)
            negations = [rng.random() < settings.negated_in_sets for _ in names]
            votes = [1 - targets[n] if negated else targets[n] for n, negated in zip(names, negations, strict=True)]
            rules = [self._text(*each) for each in zip(names, negations, strict=True)]
            target = together(votes, sure)
            branches.append(Branch(start, self._asked(rules), target, settings.set_weight, joint=True))
        return branches

    def _text(self, name: str, negated: bool) -> str:
        return PRINCIPLES[name].text(negated, self.rng.randrange(2))
