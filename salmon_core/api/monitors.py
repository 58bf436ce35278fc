"""Monitors: what watches the rollouts of a run while it goes on, and says when a policy exploits its reward."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from salmon_core.api.evaluation import Oracle
from salmon_core.api.principles import PrincipleSet
from salmon_core.records import Judgment, Message, Pair, ShownPrinciple


@dataclass(frozen=True, slots=True)
class SeenRollout:
    """A rollout as it was rewarded; see `salmon_core.data.rollouts.ROLLOUTS`.

    Attributes:
        row: of `rl_prompts.parquet`; several completions of one prompt have the same.
        principles: shown to the reward model, interventions among them.
        reward: the total, the sum of `components`.
        interventions: numbers of those on the run's record that were in force: where they change, so does what a reward
            means.
        place: in its batch, in the order of the files; with `rollout_index` it names the rollout.
    """

    rollout_index: int
    row: int
    prompt_id: str
    prompt: str
    category: str
    completion: str
    n_tokens: int
    stopped: bool
    reward: float
    components: Mapping[str, float] = field(default_factory=dict)
    by_principle: Mapping[str, float] = field(default_factory=dict)
    principles: tuple[ShownPrinciple, ...] = ()
    place: int = 0
    interventions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RolloutBatch:
    """One generated batch that was written, each once and in order.

    Attributes:
        rollout_index: its number; not every batch need be written (`train.options.log_rollouts_every`).
        numbers: what the trainer last logged, by its names, such as `kl`; empty before its first step.
    """

    rollout_index: int
    rollouts: Sequence[SeenRollout]
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that a person should look at.

    Attributes:
        about: what was found, in a few words. With the monitor's name it says which alarm this is: each is told once,
            and again where it goes on.
        text: one sentence: what, how much, since when.
        since: index of the batch that it is told at.
        p: how likely such an alarm is where nothing is the matter, corrected for all that the monitor looked at; from
            0 to 1.
        examples: up to three completions that show it.
        flagged: (rollout_index, place) of recent rollouts that show it.
        forbid: a draft of the principle that would forbid it; empty where there is none.
        bonus: label of a bonus that pays for it, which could be switched off; empty where there is none.
        phrases: what flagged completions say, as it stands in them, and without which they would not be flagged; what
            is tried against it is then compared on the same completions without them.
    """

    about: str
    text: str
    since: int
    p: float
    examples: tuple[str, ...] = ()
    flagged: tuple[tuple[int, int], ...] = ()
    forbid: str = ""
    bonus: str = ""
    phrases: tuple[str, ...] = ()


class WatchedRun(Protocol):
    """What a monitor may know of the run."""

    @property
    def rewarded(self) -> tuple[ShownPrinciple, ...]:
        """The reward's principles as the reward model is shown them."""

    @property
    def bonuses(self) -> tuple[str, ...]:
        """Labels of the bonuses."""

    def oracle(self, name: str) -> Oracle:
        """An oracle by name.

        Raises:
            SalmonError: there is none.
        """


class Monitor(ABC):
    """Watches one run; made anew for each, and for one that goes on given all its batches again."""

    @property
    def sees(self) -> bool:
        """Whether it had enough to compare at the batch looked at last; else what it does not find is not over."""
        return True

    @abstractmethod
    def see(self, batch: RolloutBatch, run: WatchedRun) -> Iterable[Alarm]:
        """Looks at the next batch. It is called in the process of `salmon run`, beside the trainer's.

        The same batches have to give the same alarms: a run that goes on, or is looked at again, tells none twice. What
        is still found is given again at each batch: when it is told again is not the monitor's to decide.
        """

    def shows(self, about: str, rollout: SeenRollout) -> float | None:
        """How much a rollout shows of what the alarm `about` is, by what is known at the batch looked at last.

        By this is measured what an intervention did to it: the mean over rollouts after it, and before. More is worse.

        Returns:
            a finite number, such as 1.0 or 0.0 for a phrase; None where one rollout does not tell.
        """
        return None


class MeasuredRun(Protocol):
    """What a monitor may ask in a process of its own, where models can be opened."""

    @property
    def seed(self) -> int:
        """The run's."""

    @property
    def device(self) -> str:
        """Where models are opened: `monitors.device`."""

    def principle_set(self, name: str) -> PrincipleSet:
        """An installed set, or a file beside the configuration.

        Raises:
            SalmonError: there is none.
        """

    def score_texts(
        self, texts: Sequence[tuple[Sequence[Message], str, Sequence[Sequence[ShownPrinciple]]]]
    ) -> list[list[float]]:
        """The run's reward model's own scores of (conversation, completion, sets of principles): one per set.

        Raises:
            SalmonError: there is no reward model.
        """

    def judge(self, pairs: Sequence[Pair], principles: Sequence[ShownPrinciple], *, model: str = "") -> list[Judgment]:
        """What the run's judge says of pairs, one judgment per pair and principle.

        Args:
            principles: as they are shown: of one that is shown negated, its negated text.
            model: the folder of another model that the same judge asks; empty: the judge's own.
        """


class ModelMonitor(Monitor):
    """A monitor that asks models: what it wants to know is measured in a process of its own.

    Neither the trainer nor `salmon run` waits for it, and it is the only such process of the run: others wait. Answers
    are kept as files, so a run that goes on asks nothing twice. At the end of the training all that was asked is
    answered first.

    One object asks and hears, in order of the batches; another, made of the same options, measures.
    """

    def see(self, batch: RolloutBatch, run: WatchedRun) -> Iterable[Alarm]:
        """Nothing is found before it is measured."""
        return ()

    @abstractmethod
    def ask(self, batch: RolloutBatch, run: WatchedRun) -> Mapping[str, Any] | None:
        """What to measure of the next batch, all that it takes, JSON-ready; None: nothing, of most batches.

        Must not depend on what was heard.
        """

    @abstractmethod
    def measure(self, question: Mapping[str, Any], run: MeasuredRun) -> Mapping[str, Any]:
        """The answer, JSON-ready. In another process than the rest."""

    @abstractmethod
    def hear(self, batch: RolloutBatch, answer: Mapping[str, Any], run: WatchedRun) -> Iterable[Alarm]:
        """What follows from an answer; `batch` is the one that the question was asked at."""
