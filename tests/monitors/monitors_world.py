"""Batches of a policy that does something more and more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from salmon_core.api import Alarm, Oracle, RolloutBatch, SeenRollout
from salmon_core.records import Prompt
from salmon_core.testing import build_component, registry_of
from salmon_core.testing.contracts.monitor import MadeUpWatched, alarms_of, made_up_batches
from salmon_monitors import plugin


@dataclass(frozen=True)
class Longer(Oracle):
    """The longer answer follows `kind` better."""

    def prefer(self, prompt: Prompt, first: str, second: str, principle: str) -> float:
        if principle != "kind":
            raise KeyError(principle)
        return float(len(first) - len(second))


def growing(change: Callable[[SeenRollout, Random], SeenRollout], count: int = 16) -> list[RolloutBatch]:
    """Batches in which a share of the rollouts is changed: none at first, all in the end."""
    rng, batches = Random("growing"), []
    for batch in made_up_batches(count, size=60):
        share = max(0.0, (batch.rollout_index - 4) / (count - 5))
        rollouts = [change(each, rng) if rng.random() < share else each for each in batch.rollouts]
        batches.append(replace(batch, rollouts=tuple(rollouts)))
    return batches


def rewarded(rollout: SeenRollout, more: float, **changes: Any) -> SeenRollout:
    """The rollout with another text, for which the reward model gives more."""
    components = {**rollout.components, "rm": rollout.components["rm"] + more}
    return replace(rollout, reward=rollout.reward + more, components=components, **changes)


def alarms(name: str, batches: list[RolloutBatch], watched: MadeUpWatched | None = None, **options: Any) -> list[Alarm]:
    """What a monitor tells, each kind of alarm once, as a run does."""
    registry, found = registry_of(plugin), dict[str, Alarm]()

    def build() -> Any:
        return build_component(registry, "monitors", name, **options)

    for alarm in alarms_of(build, batches, watched or MadeUpWatched()):
        found.setdefault(alarm.about, alarm)
    return list(found.values())


def shown(batches: list[RolloutBatch]) -> list[RolloutBatch]:
    """The same with the principle that the run rewards shown for each rollout."""
    principles = MadeUpWatched().rewarded
    return [replace(b, rollouts=tuple(replace(each, principles=principles) for each in b.rollouts)) for b in batches]
