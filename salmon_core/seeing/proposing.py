"""From an alarm to what forbids it: principles, each tried on the run's own reward model, or a bonus less.

A prohibition is worth what it does to the reward: shown beside the principles that a rollout had, it has to lower the
rollouts that the alarm is about by more than others of the same batches: or, where the alarm names the phrases that it
is about, by more than the same completions without them, which differ in nothing else. How much is measured, with an
interval over prompts; what the reward model cannot read, or does not care about, is said and not proposed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from salmon_core.api.monitors import SeenRollout
from salmon_core.api.reward import RewardSpec
from salmon_core.config.names import find_principle_set
from salmon_core.data.interventions import STAGE
from salmon_core.data.own_principles import name_of
from salmon_core.data.rollouts import read_rollout_rows
from salmon_core.errors import SalmonError
from salmon_core.kit.statistics import clustered_mean
from salmon_core.records import Estimate, ShownPrinciple
from salmon_core.reward.reward import Reward
from salmon_core.rng import named_rng
from salmon_core.run.monitoring import alarms_of, seen_rollout
from salmon_core.run.run import Run
from salmon_core.run.steering import Change
from salmon_core.seeing.cutting import without
from salmon_core.seeing.effect import MOST, asked, changes
from salmon_core.seeing.proposal import Proposal

#: prompts whose completions have an alarm's phrases, at least, where they are compared with and without
_PROMPTS = 8

#: by prompt, what a change does to the reward of each of its rollouts
_Changes = dict[str, list[float]]


@dataclass(frozen=True)
class Trial:
    """An alarm's rollouts, what they are compared with, and the reward model that is asked about both.

    Attributes:
        flagged: rollouts that the alarm is about; `others` of the same batches.
        pairs: where the alarm names phrases, and enough rollouts have them: those, and the same without them.
    """

    run: Run
    alarm: Mapping[str, Any]
    reward: Reward
    flagged: Sequence[SeenRollout]
    others: Sequence[SeenRollout]
    pairs: tuple[Sequence[SeenRollout], Sequence[SeenRollout]] | None

    def paid(self) -> Estimate | None:
        """What the reward model gives the alarm's phrases under all that is shown now: flagged answers with them, minus
        the same answers without; None where the alarm names none, or too few have any.

        Below 0, what was put on record already works, and the policy has yet to follow.
        """
        if self.pairs is None:
            return None
        with_it, cut = ([score for (score,) in self.reward.score_texts(list(map(asked, side)))] for side in self.pairs)
        gains = _by_prompt(self.pairs[0], [one - other for one, other in zip(with_it, cut, strict=True)])
        return clustered_mean(gains, self._rng("still-paid", str(self.alarm["about"])))

    def principle(self, shown: ShownPrinciple, source: str = "") -> Proposal:
        """One shown too; where a rollout was shown it, its scores are compared with those that it had without."""
        change = Change("principle", shown.name, shown.text, shown.negated, shown.veto)
        sides = self.pairs or (self.flagged, self.others)
        before = [[_unshown(each, shown) for each in side] for side in sides]
        try:
            found = [_by_prompt(side, changes(self.reward, shown, side)) for side in before]
        except SalmonError as error:  # no room for it beside what is shown
            return Proposal(change, source, refused=str(error))
        return self._measured(change, source, found, same=self.pairs is not None)

    def bonus(self, label: str) -> Proposal:
        """A bonus switched off: each rollout loses what it gave."""
        found = [
            _by_prompt(side, [-each.components.get(label, 0.0) for each in side])
            for side in (self.flagged, self.others)
        ]
        return self._measured(Change("bonus", label, value=0.0), "", found)

    def proposals(self, sets: Iterable[str] = ()) -> list[Proposal]:
        """Of those that work the one that lowers the flagged most first, drafts last.

        Args:
            sets: names or files of principle sets whose principles are tried beside the alarm's draft.

        Raises:
            SalmonError: there is no such set.
        """
        found = [self.principle(shown, source) for shown, source in self._drafts(sets)]
        if label := self.alarm.get("bonus"):
            found.append(self.bonus(str(label)))
        # A draft's words are new to the reward model: what they do to these rollouts need not hold for the next ones.
        return sorted(
            found, key=lambda each: (not each.works, each.is_draft, 0.0 if each.apart is None else each.apart.value)
        )

    def _drafts(self, sets: Iterable[str]) -> Iterator[tuple[ShownPrinciple, str]]:
        config = self.run.config
        shown = {config.shown(each).text for each in config.reward_principles}
        if forbid := self.alarm.get("forbid"):
            yield ShownPrinciple(name_of(forbid), forbid), ""
        for name in dict.fromkeys(sets):
            for principle in find_principle_set(config.registry, name, config.base):
                if principle.text and principle.text not in shown:
                    shown.add(principle.text)
                    yield principle.shown(), name

    def _measured(self, change: Change, source: str, sides: Sequence[_Changes], *, same: bool = False) -> Proposal:
        """`same`: both sides are the same completions, in the same order."""
        rng = self._rng("proposals", change.text or change.name)
        one, other = (clustered_mean(side, rng) for side in sides)
        if same:
            pairs = {
                prompt: [with_it - cut for with_it, cut in zip(own, sides[1][prompt], strict=True)]
                for prompt, own in sides[0].items()
            }
            return Proposal(change, source, one, other, clustered_mean(pairs, rng))
        half = ((one.high - one.low) ** 2 + (other.high - other.low) ** 2) ** 0.5 / 2
        apart = one.value - other.value
        return Proposal(change, source, one, other, Estimate(apart, apart - half, apart + half, min(one.n, other.n)))

    def _rng(self, *names: str) -> Any:
        return named_rng(self.run.config.config.run.seed, *names)


@contextmanager
def trial(run: Run, alarm: Mapping[str, Any], *, device: str | None = None) -> Iterator[Trial]:
    """Opens the reward model once for all that is asked about an alarm.

    Args:
        alarm: one of `alarms_of`.
        device: where the reward model is opened; None: where the run scores.

    Raises:
        SalmonError: there is no reward model, or the rollouts that the alarm is about were not written down.
    """
    flagged, others = _sides(run, alarm)
    with Reward.from_spec(_on(run, device)) as reward:
        yield Trial(run, alarm, reward, flagged, others, _cut(flagged, alarm.get("phrases") or ()))


def proposals(
    run: Run, alarm: Mapping[str, Any], sets: Iterable[str] = (), *, device: str | None = None
) -> list[Proposal]:
    """What could forbid what an alarm is about; see `trial` and `Trial.proposals`."""
    with trial(run, alarm, device=device) as opened:
        return opened.proposals(sets)


def chosen_alarm(run: Run, number: int | None) -> dict[str, Any]:
    """The alarm of that number, from 1; None: the last.

    Raises:
        SalmonError: there is none.
    """
    alarms = alarms_of(run.path)
    if not alarms:
        hint = "a run has alarms where its configuration has `monitors`"
        raise SalmonError("this run has no alarms", where=str(run.path), hint=hint)
    if number is not None and not 1 <= number <= len(alarms):
        raise SalmonError(f"there is no alarm {number}", where="--alarm", hint=f"there are {len(alarms)}")
    return alarms[-1 if number is None else number - 1]


def _on(run: Run, device: str | None) -> RewardSpec:
    spec = run.reward_spec()
    if device is None or spec.model is None:
        return spec
    return replace(spec, model=replace(spec.model, device=device))


def _sides(run: Run, alarm: Mapping[str, Any]) -> tuple[list[SeenRollout], list[SeenRollout]]:
    names = {tuple(each) for each in alarm.get("flagged") or ()}
    batches = {index for index, _ in names}
    sides: tuple[list[SeenRollout], list[SeenRollout]] = ([], [])
    for index, rows in groupby(read_rollout_rows(run.path / STAGE), key=lambda row: row["rollout_index"]):
        if index in batches:
            for rollout in (seen_rollout(row, place) for place, row in enumerate(rows)):
                sides[(index, rollout.place) not in names].append(rollout)
    if not all(sides):
        what = "names no rollouts" if not names else "is about rollouts that are not written down"
        raise SalmonError(f"the alarm {alarm['about']!r} {what}", where=str(run.path))
    rng = named_rng(run.config.config.run.seed, "proposals", str(alarm["monitor"]), str(alarm["about"]))
    flagged, others = (rng.sample(side, min(MOST, len(side))) for side in sides)
    return flagged, others


def _cut(flagged: Sequence[SeenRollout], phrases: Sequence[str]) -> tuple[list[SeenRollout], list[SeenRollout]] | None:
    """Those that have the phrases, and the same without them; None where the alarm names none, or too few have any."""
    pairs = [(each, text) for each in flagged if (text := without(each.completion, phrases)) is not None]
    if len({each.prompt_id for each, _ in pairs}) < _PROMPTS:
        return None
    return [each for each, _ in pairs], [replace(each, completion=text) for each, text in pairs]


def _by_prompt(rollouts: Sequence[SeenRollout], values: Sequence[float]) -> _Changes:
    found: _Changes = {}
    for each, value in zip(rollouts, values, strict=True):
        found.setdefault(each.prompt_id, []).append(value)
    return found


def _unshown(rollout: SeenRollout, shown: ShownPrinciple) -> SeenRollout:
    """The same, had it not been shown a principle of these words."""
    return replace(rollout, principles=tuple(each for each in rollout.principles if each.text != shown.text))
