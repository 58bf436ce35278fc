"""What counts for a generated batch beside what is configured, of a run that is steered while it goes on.

Interventions of the configuration and of the record are one thing: principles and weights with a first and a last
batch. Of several about one name the latest of the record counts; the latest principle is shown first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from salmon_core.api.reward import RewardSpec, ScheduledPrinciple, ScheduledWeight
from salmon_core.data.interventions import Numbered, locked, read_record, scheduled
from salmon_core.principles.draw import with_interventions
from salmon_core.records import ShownPrinciple

#: batches whose interventions are kept at hand
_KEPT = 8


@dataclass(frozen=True, slots=True)
class InForce:
    """What counts for one generated batch.

    Attributes:
        principles: always shown, before the drawn ones.
        weights: of principles, 0 for those that are not shown.
        bonuses: weights by label.
        ids: of the record's interventions among them.
    """

    principles: tuple[ShownPrinciple, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    bonuses: Mapping[str, float] = field(default_factory=dict)
    ids: tuple[int, ...] = ()

    def shown(self, drawn: Sequence[ShownPrinciple]) -> tuple[ShownPrinciple, ...]:
        """The principles of a rollout for which these were drawn."""
        found = with_interventions(drawn, self.principles)
        if not self.weights:
            return found
        kept = (each for each in found if self.weights.get(each.name) != 0)
        return tuple(replace(each, weight=self.weights.get(each.name, each.weight)) for each in kept)


class Steering:
    """Tells what counts for a generated batch.

    Args:
        interventions: of the configuration.
        reweighted: the same of weights.
        record: a running run's, which grows; a batch that is asked for begins, and what comes later is not for it.
    """

    def __init__(
        self,
        interventions: Sequence[ScheduledPrinciple] = (),
        reweighted: Sequence[ScheduledWeight] = (),
        record: str | None = None,
    ):
        self._fixed = _unnumbered(interventions, reweighted)
        self._run = None if record is None else Path(record).parent
        self._known: dict[int, InForce] = {}

    def at(self, rollout_index: int, *, foreign: bool = False) -> InForce:
        """What counts for rollouts of this index.

        Args:
            foreign: a rollout that is none of the training begins no batch, whatever index it claims to have.

        Raises:
            DataError: the record cannot be read.
        """
        if rollout_index not in self._known:
            if foreign:
                return self._found(rollout_index, begins=False)
            if len(self._known) >= _KEPT:
                del self._known[next(iter(self._known))]
            self._known[rollout_index] = self._found(rollout_index)
        return self._known[rollout_index]

    def _found(self, rollout_index: int, *, begins: bool = True) -> InForce:
        changes = self._fixed
        if self._run is not None:
            with locked(self._run) as opened:
                if begins:
                    opened.reach(rollout_index)
                entries = opened.read()
            changes = _together(changes, scheduled(entries))
        now = [each for each in changes if each.change.in_force(rollout_index)]
        principles: dict[str, ShownPrinciple] = {}
        weights: dict[str, dict[str, float]] = {"principle": {}, "bonus": {}}
        for each in now:
            change = each.change
            if isinstance(change, ScheduledWeight):
                weights[change.of][change.name] = change.value
            else:
                principles.setdefault(change.shown.name, change.shown)
        ids = tuple(sorted(each.id for each in now if each.id))
        return InForce(tuple(principles.values()), weights["principle"], weights["bonus"], ids)


def _unnumbered(interventions: Sequence[ScheduledPrinciple], reweighted: Sequence[ScheduledWeight]) -> list[Numbered]:
    return [*(Numbered(0, each) for each in interventions), *(Numbered(0, each) for each in reweighted)]


def _together(configured: Sequence[Numbered], recorded: Sequence[Numbered]) -> list[Numbered]:
    """All changes: of principles the first of a name counts, so the latest is first; of weights the last."""
    principles = [each for each in recorded if isinstance(each.change, ScheduledPrinciple)]
    weights = [each for each in recorded if isinstance(each.change, ScheduledWeight)]
    return [*reversed(principles), *configured, *weights]


def with_record(spec: RewardSpec, record: Path) -> RewardSpec:
    """The reward with what a record adds, as it stands now.

    Raises:
        DataError: the record cannot be read.
    """
    configured = _unnumbered(spec.interventions, spec.reweighted)
    changes = [each.change for each in _together(configured, scheduled(read_record(record)))]
    return replace(
        spec,
        interventions=tuple(each for each in changes if isinstance(each, ScheduledPrinciple)),
        reweighted=tuple(each for each in changes if isinstance(each, ScheduledWeight)),
        record=None,
    )
