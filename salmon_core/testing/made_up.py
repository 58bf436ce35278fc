"""A run for the tests of an evaluator: what its models say is written down, and no model is opened."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

from salmon_core.api.component import ComponentSpec
from salmon_core.api.evaluation import Evaluator, Oracle, Question, Role
from salmon_core.api.models import ModelSpec, OpenModel, PrefixRequest
from salmon_core.api.principles import PrincipleSet
from salmon_core.api.reward import BonusSpec, RewardSpec
from salmon_core.errors import PluginError
from salmon_core.principles.draw import draw_for_policy
from salmon_core.records import (
    Completion,
    Judgment,
    Message,
    Pair,
    Prompt,
    RewardBreakdown,
    Rollout,
    ShownPrinciple,
)
from salmon_core.rng import named_rng
from salmon_core.testing import rows
from salmon_core.testing.makers import make_breakdown, make_completion, make_principles, make_reward_spec
from salmon_core.testing.models import ByteModel

ROLES: tuple[Role, ...] = ("initial", "policy", "reward", "judge")
_BEFORE = ("I do not know.", "That is a long story, and I shall tell all of it.", "Well, it depends on much.")
_AFTER = ("Yes.", "It is short.", "It depends.")


def _bonus() -> BonusSpec:
    return BonusSpec("words", 0.5, ComponentSpec("bonuses", "words", "nobody"))


@dataclass(frozen=True)
class MadeUpRun:
    """An `EvaluatedRun`. Scores and judgments are made up from the texts: the same each time, and of no meaning.

    Attributes:
        asked: the prompts; all are held out.
        said: what `initial` and `policy` answer, by role, the texts in turn.
        principles: of judge and reward.
        replies: what the judge's model answers when it is asked in words, in turn.
        needs: of the evaluator that looks at it; None allows all.
    """

    asked: tuple[Prompt, ...] = field(default_factory=rows.prompts)
    said: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"initial": _BEFORE, "policy": _AFTER})
    principles: PrincipleSet = field(default_factory=lambda: PrincipleSet("made-up", make_principles()))
    reward: RewardSpec = field(default_factory=lambda: make_reward_spec(bonuses=(_bonus(),)))
    replies: tuple[str, ...] = ("I cannot tell.",)
    seed: int = 1
    needs: frozenset[str] | None = None

    def seen_by(self, evaluator: Evaluator) -> MadeUpRun:
        """The run as this evaluator may use it: a role that it does not need is refused, as in a real one."""
        return replace(self, needs=frozenset(getattr(evaluator, "needs", ())))

    @property
    def judge_principles(self) -> PrincipleSet:
        return self.principles

    @property
    def reward_principles(self) -> PrincipleSet:
        return self.principles

    @property
    def rewarded(self) -> tuple[ShownPrinciple, ...]:
        return tuple(principle.shown() for principle in self.principles)

    def prompts(self, split: str | None = "test") -> list[Prompt]:
        return [replace(prompt, split="test") for prompt in self.asked] if split in (None, "test") else []

    def samples(self, role: Role, samples: int = 4) -> list[Completion]:
        return self.complete(role, self.asked, samples)

    def complete(
        self, role: Role, prompts: Sequence[Prompt], samples: int = 1, *, temperature: float | None = None
    ) -> list[Completion]:
        self._allow(role)
        if role not in self.said:
            raise PluginError("the evaluator", f"asks the role {role!r} for samples")
        texts = self.said[role]
        return [
            make_completion(texts[(number + index) % len(texts)], prompt=prompt, index=index)
            for number, prompt in enumerate(prompts)
            for index in range(samples)
        ]

    def pairs(self, samples: int = 4) -> list[Pair]:
        by_prompt = {prompt.id: prompt for prompt in self.prompts()}
        found = self.samples("initial", samples)
        neighbours = [(one, two) for one, two in pairwise(found) if one.prompt_id == two.prompt_id]
        return [Pair(by_prompt[one.prompt_id], one, two) for one, two in neighbours]

    def judge(self, pairs: Sequence[Pair]) -> list[Judgment]:
        self._allow("judge")
        return list(rows.judgments(pairs, tuple(self.principles)))

    def ask(
        self, questions: Sequence[Question], markers: Sequence[str], *, max_new_tokens: int, temperature: float = 0.0
    ) -> list[Completion]:
        self._allow("judge")
        return [
            make_completion(self.replies[number % len(self.replies)], prompt=Prompt.from_text(each.text, id=each.id))
            for number, each in enumerate(questions)
        ]

    def shown(self, prompt: Prompt, *names: str | int) -> tuple[ShownPrinciple, ...]:
        return draw_for_policy(self.principles, named_rng(self.seed, *names), show=2, category=prompt.category)

    def score(self, rollouts: Sequence[Rollout], *, explain: bool = False) -> list[RewardBreakdown]:
        scores = self.score_texts([(each.messages, each.completion, [each.principles]) for each in rollouts])
        words = [0.5 * rollout.n_tokens for rollout in rollouts]
        return [make_breakdown(score[0], words=count) for score, count in zip(scores, words, strict=True)]

    def score_texts(
        self, texts: Sequence[tuple[Sequence[Message], str, Sequence[Sequence[ShownPrinciple]]]]
    ) -> list[list[float]]:
        self._allow("reward")
        requests = [
            PrefixRequest(f"{messages[-1]['content']}\n{completion}\n", tuple(_text(shown) for shown in sets))
            for messages, completion, sets in texts
        ]
        return ByteModel().score(requests)

    def oracle(self, name: str) -> Oracle:
        return ShorterIsBetter()

    def open(self, role: Role) -> OpenModel:
        self._allow(role)
        return ByteModel()

    def model(self, role: Role) -> ModelSpec:
        self._allow(role)
        return ModelSpec(role)

    @property
    def folder(self) -> Path:
        return _folder()

    def progress(self, what: str, total: int) -> Callable[[int], None]:
        return lambda done: None

    def note(self, text: str) -> None:
        """Nobody watches."""

    def _allow(self, role: str) -> None:
        if self.needs is not None and role not in self.needs:
            raise PluginError(
                "the evaluator",
                f"uses the model of the role {role!r} without needing it",
                hint=f"its class says needs = {sorted(self.needs)}",
            )


@cache
def _folder() -> Path:
    """One for this process, which is gone when it ends."""
    made = Path(tempfile.mkdtemp(prefix="salmon-made-up-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


class ShorterIsBetter(Oracle):
    """Knows every principle, and prefers the shorter completion by all of them."""

    def prefer(self, prompt: Prompt, first: str, second: str, principle: str) -> float:
        return float(len(second) - len(first))


def _text(shown: Sequence[ShownPrinciple]) -> str:
    return "\n".join(principle.text for principle in shown) + "\x03"
