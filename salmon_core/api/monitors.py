"""Monitors: what watches the rollouts of a run while it goes on, and says when a policy exploits its reward."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from salmon_core.api.evaluation import Oracle
from salmon_core.records import ShownPrinciple


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
        about: what was found, in a few words. With the monitor's name it says which alarm this is: each is told once.
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

    @abstractmethod
    def see(self, batch: RolloutBatch, run: WatchedRun) -> Iterable[Alarm]:
        """Looks at the next batch. It is called in the process of `salmon run`, beside the trainer's.

        The same batches have to give the same alarms: a run that goes on, or is looked at again, tells none twice.
        """
