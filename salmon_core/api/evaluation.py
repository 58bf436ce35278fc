"""Evaluators, what they see of a run, and what they return."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from salmon_core.api.models import ModelSpec, OpenModel
from salmon_core.api.principles import PrincipleSet
from salmon_core.api.reward import RewardSpec
from salmon_core.records import (
    Completion,
    Estimate,
    Judgment,
    Message,
    Pair,
    Prompt,
    RewardBreakdown,
    Rollout,
    ShownPrinciple,
)

#: the models of a run: before any training, before RL, after it, the reward model, and who judges
Role = Literal["base", "initial", "policy", "reward", "judge"]


@dataclass(frozen=True, slots=True)
class Target:
    """Something that RL was to change, measured before and after.

    Attributes:
        before: and `after`: rates or means.
        ci: the 95 % interval of the change.
        wanted: which way it was to go; empty where nothing was said.
        principle: the text that asks for it.
        touched_by: labels of bonuses that reward it directly, so that its change proves nothing of the reward model.
        n: what the interval resamples, such as prompts; 0 where not said.

    Raises:
        ValueError: a number that is not finite, or an interval turned round.
    """

    name: str
    before: float
    after: float
    ci: tuple[float, float]
    wanted: Literal["more", "less", ""] = ""
    principle: str = ""
    touched_by: str = ""
    n: int = 0

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in (self.before, self.after)):
            raise ValueError(f"target {self.name!r}: before {self.before} and after {self.after} must be finite")
        if len(self.ci) != 2 or not self.ci[0] <= self.ci[1]:
            raise ValueError(f"target {self.name!r}: ci {self.ci} must be (low, high)")

    @property
    def change(self) -> float:
        """After minus before."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class RewardModelAccuracy:
    """How often a reward model prefers the better of two completions, on held-out prompts.

    Attributes:
        positive: under a principle's own text, the mean over principles; None where nothing could be compared.
        negated: under its negated text.
        sets: way of combining -> number of principles shown -> accuracy.

    `n` of each is the number of prompts, which are what is independent.
    """

    positive: Estimate | None
    negated: Estimate | None
    sets: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report that an evaluator adds: a table with a title.

    Attributes:
        note: below the table.
        judged: whether it shows what the judge said: then the report says below it whether that judge can be believed.
        card: whose model card shows it as well: `reward`, `policy`, or nobody's.

    Raises:
        ValueError: a row that has not one cell for each column.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | int | None, ...], ...]
    note: str = ""
    judged: bool = False
    card: Literal["", "reward", "policy"] = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"section {self.title!r}: a row has {len(row)} cells, not {len(self.columns)}")


@dataclass(frozen=True, slots=True)
class Metrics:
    """What an evaluator found.

    Attributes:
        name: of the evaluator; `evaluators.NAME` in the report.
        values: further numbers, JSON-ready, nested as it likes.
    """

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    reward_model: RewardModelAccuracy | None = None
    sections: tuple[Section, ...] = ()


class Oracle(ABC):
    """Says which of two completions really follows a principle better, where that can be known."""

    @abstractmethod
    def prefer(self, prompt: Prompt, first: str, second: str, principle: str) -> float:
        """> 0: the first, < 0: the second, 0: neither. `principle` is a name; its own text is meant, not the negated.

        Raises:
            KeyError: it knows nothing about that principle.
        """


@dataclass(frozen=True, slots=True)
class Question:
    """Something that a judge's model is asked in words, about texts that cannot be trusted.

    Attributes:
        id: names it in messages, and its noise.
        text: trusted, with slots `{name}`, a name being of small letters, digits and `_`. Begins and ends with trusted
            text, and has a marker and a line break around each slot.
        parts: what goes into the slots. Untrusted: made safe, and cut where the whole is too long for the model.
        closing: trusted; comes last. In a conversation it ends the user's turn.
    """

    id: str
    text: str
    parts: Mapping[str, str]
    closing: str


class KnownRun(Protocol):
    """What is known of a run before it is there; see `Evaluator`."""

    @property
    def judge_principles(self) -> PrincipleSet: ...
    @property
    def reward_principles(self) -> PrincipleSet: ...

    def oracle(self, name: str) -> Oracle:
        """An oracle by name.

        Raises:
            SalmonError: there is none.
        """


class EvaluatedRun(Protocol):
    """A run as an evaluator sees it: only what the stage `evaluate` is made from."""

    @property
    def seed(self) -> int: ...
    @property
    def judge_principles(self) -> PrincipleSet: ...
    @property
    def reward_principles(self) -> PrincipleSet: ...
    @property
    def rewarded(self) -> tuple[ShownPrinciple, ...]:
        """The reward's principles as the reward model is shown them: some may be negated."""

    @property
    def reward(self) -> RewardSpec:
        """Bonuses, interventions and the rest of the reward; its `model` is None where the run has none."""

    def prompts(self, split: str | None = "test") -> list[Prompt]:
        """The run's prompts; None: all."""

    def samples(self, role: Role, samples: int = 4) -> list[Completion]:
        """Completions of the held-out prompts by `initial` or `policy`, with equal noise, drawn once per run.

        Raises:
            StageError: no prompts are held out.
        """

    def pairs(self, samples: int = 4) -> list[Pair]:
        """Pairs of the initial policy's completions of held-out prompts, neighbours compared."""

    def complete(
        self, role: Role, prompts: Sequence[Prompt], samples: int = 1, *, temperature: float | None = None
    ) -> list[Completion]:
        """Completions of other prompts by `initial` or `policy`, drawn once per run; otherwise as `samples`.

        Args:
            temperature: None: as configured.
        """

    def judge(self, pairs: Sequence[Pair]) -> list[Judgment]:
        """Judgments by the configured judge; or by the evaluator's own, where the configuration gives it one."""

    def ask(
        self, questions: Sequence[Question], markers: Sequence[str], *, max_new_tokens: int, temperature: float = 0.0
    ) -> list[Completion]:
        """One answer to each question, by the judge's model, opened by its engine to be sampled from.

        Asked in a conversation or as plain text, as `judge.form` says.

        Args:
            markers: strings that no part may contain: the markers of the questions' texts.

        Raises:
            SalmonError: a question leaves no room for the answer, or the ids have another structure than with plain
                contents.
        """

    def shown(self, prompt: Prompt, *names: str | int) -> tuple[ShownPrinciple, ...]:
        """Principles drawn for a prompt as RL would draw them; `names` name the draw."""

    def score(self, rollouts: Sequence[Rollout], *, explain: bool = False) -> list[RewardBreakdown]:
        """The one reward, with this run's reward model.

        Args:
            explain: tell of joint texts what each principle gave, by leaving each out: as many texts more.
        """

    def score_texts(
        self, texts: Sequence[tuple[Sequence[Message], str, Sequence[Sequence[ShownPrinciple]]]]
    ) -> list[list[float]]:
        """The reward model's scores of (conversation, completion, sets of principles): one per set."""

    def oracle(self, name: str) -> Oracle:
        """An oracle by name."""

    def open(self, role: Role) -> OpenModel:
        """The model of a role in `needs`: a sampler for `initial` and `policy`, a scorer, a chooser.

        It stays open until another role is opened, unless the evaluator holds them `together`.
        """

    def model(self, role: Role) -> ModelSpec:
        """The same model, for an evaluator that loads it itself; what is open is closed, since it takes memory.

        Raises:
            StageError: the run has no such model.
        """

    @property
    def folder(self) -> Path:
        """The evaluator's own, for what it wants to find again after a run that was killed; it is part of the run."""

    def progress(self, what: str, total: int) -> Callable[[int], None]:
        """Tells whoever watches the run how far the evaluator is: so many of `total` things called `what`."""

    def note(self, text: str) -> None:
        """Tells them what a person should know."""


class Evaluator(ABC):
    """Measures a run.

    Attributes:
        needs: roles of the models that it uses, directly or through `samples`, `judge` and `score`.
        together: whether they have to be open at the same time; otherwise one is closed before the next is opened.

    One may have `check(run: KnownRun) -> None`, which raises SalmonError for whatever will fail; `salmon check` calls
    it.
    """

    needs: frozenset[str] = frozenset()
    together: bool = False

    @abstractmethod
    def evaluate(self, run: EvaluatedRun) -> Metrics:
        """Measures, and returns what it found."""
