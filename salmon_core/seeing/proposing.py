"""From an alarm to what forbids it: principles, each tried on the run's own reward model, or a bonus less.

A prohibition is worth what it does to the reward: shown beside the principles that a rollout had, it has to lower the
rollouts that the alarm is about by more than others of the same batches: or, where the alarm names the phrases that it
is about, by more than the same completions without them, which differ in nothing else. How much is measured, with an
interval over prompts; what the reward model cannot read, or does not care about, is said and not proposed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

from salmon_core.api.monitors import SeenRollout
from salmon_core.api.reward import RewardSpec
from salmon_core.config.names import find_principle_set
from salmon_core.data.interventions import STAGE
from salmon_core.data.own_principles import name_of
from salmon_core.data.parquet import read_table
from salmon_core.data.rollouts import ROLLOUTS, read_rollout_rows, rollout_files
from salmon_core.errors import SalmonError
from salmon_core.kit.statistics import clustered_mean
from salmon_core.principles.draw import with_interventions
from salmon_core.records import Estimate, Message, ShownPrinciple
from salmon_core.reward.reward import Reward
from salmon_core.rng import named_rng
from salmon_core.run.monitoring import alarms_of, seen_rollout
from salmon_core.run.run import Run
from salmon_core.run.steering import Change
from salmon_core.seeing.cutting import without

#: rollouts of each side that are scored, at most
MOST = 128
#: prompts whose completions have an alarm's phrases, at least, where they are compared with and without
_PROMPTS = 8
#: that an effect shows
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Proposal:
    """A prohibition, or a bonus that is switched off, and what it does.

    Attributes:
        change: as a person would steer by it.
        source: the principle set that it is of; empty for a draft.
        flagged: change of the reward of rollouts that the alarm is about: of the reward model's score before it is
            weighed, or what the bonus gave; `others` of the rest, or of the flagged without the alarm's phrases.
        apart: flagged minus others.
        refused: why it could not be tried; empty where it was.
    """

    change: Change
    source: str = ""
    flagged: Estimate | None = None
    others: Estimate | None = None
    apart: Estimate | None = None
    refused: str = ""

    def document(self) -> dict[str, Any]:
        """As `salmon_core.api.events.Proposed` has it."""
        estimates = {name: getattr(self, name) for name in ("flagged", "others", "apart")}
        return {
            "what": self.change.what,
            "name": self.change.name,
            "text": self.change.text or "",
            "negated": self.change.negated,
            "source": self.source,
            **{name: None if each is None else asdict(each) for name, each in estimates.items()},
            "works": self.works,
            "refused": self.refused,
        }

    @property
    def is_draft(self) -> bool:
        """Whether it is of no set: words that the reward model was hardly shown before."""
        return self.change.what == "principle" and not self.source

    @property
    def words(self) -> str:
        """What it says, or does."""
        return self.change.text or f"no bonus {self.change.name}"

    @property
    def works(self) -> bool:
        """Whether it surely lowers what the alarm is about, and by more than the rest."""
        return all(each is not None and each.high < 0 for each in (self.flagged, self.apart))


def proposals(
    run: Run, alarm: Mapping[str, Any], sets: Iterable[str] = (), *, device: str | None = None
) -> list[Proposal]:
    """What could forbid what an alarm is about: of those that work the one that lowers it most first, drafts last.

    Args:
        alarm: one of `alarms_of`; its draft is tried first.
        sets: names or files of principle sets whose principles are tried too, those of the configuration's
            interventions among them.
        device: where the reward model is opened; None: where the run scores.

    Raises:
        SalmonError: there is no reward model, or the rollouts that the alarm is about were not written down.
    """
    flagged, others = _sides(run, alarm)
    cut = _cut(flagged, alarm.get("phrases") or ())
    with Reward.from_spec(_on(run, device)) as reward:
        tried = (flagged, others) if cut is None else cut
        found = [
            _tried(run, reward, shown, source, *tried, same=cut is not None)
            for shown, source in _drafts(run, alarm, sets)
        ]
    if label := alarm.get("bonus"):
        found.append(_without(run, str(label), flagged, others))
    # A draft's words are new to the reward model: what they do to these rollouts need not hold for the next ones.
    return sorted(
        found, key=lambda each: (not each.works, each.is_draft, 0.0 if each.apart is None else each.apart.value)
    )


def still_paid(run: Run, alarm: Mapping[str, Any], *, device: str | None = None) -> Estimate | None:
    """What the reward model gives an alarm's phrases under all that is shown now: flagged answers with them, minus the
    same answers without; None where the alarm names none, or too few have any.

    Below 0, what was put on record already works, and the policy has yet to follow.

    Raises:
        SalmonError: there is no reward model, or the rollouts that the alarm is about were not written down.
    """
    pairs = _cut(_sides(run, alarm)[0], alarm.get("phrases") or ())
    if pairs is None:
        return None
    with Reward.from_spec(_on(run, device)) as reward:
        sides = [[score for (score,) in reward.score_texts([_asked(each, []) for each in side])] for side in pairs]
    gains: dict[str, list[float]] = {}
    for each, with_it, cut in zip(pairs[0], *sides, strict=True):
        gains.setdefault(each.prompt_id, []).append(with_it - cut)
    return clustered_mean(gains, named_rng(run.config.config.run.seed, "still-paid", str(alarm["about"])))


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


@dataclass(frozen=True, slots=True)
class Effect:
    """What a principle would do to the reward model's scores of the latest rollouts, were it shown too.

    Attributes:
        change: mean over rollouts, prompts as clusters.
        most: (prompt, completion, change) of those whose score it lowers most.
    """

    change: Estimate
    most: tuple[tuple[str, str, float], ...]


def effect(run: Run, shown: ShownPrinciple) -> Effect | None:
    """Of a principle on the rollouts written last, at most `MOST`; None where none were written.

    Raises:
        SalmonError: there is no reward model, or no room for the principle beside what is shown.
    """
    rows: list[SeenRollout] = []
    for file in reversed(rollout_files(run.path / STAGE)):
        read = read_table(file, ROLLOUTS)
        rows += [seen_rollout(row, place) for place, row in enumerate(read)][: MOST - len(rows)]
        if len(rows) >= MOST:
            break
    if not rows:
        return None
    with Reward.from_spec(run.reward_spec()) as reward:
        found = _scores(reward, shown, rows)
    rng = named_rng(run.config.config.run.seed, "effect", shown.text)
    by_prompt: dict[str, list[float]] = {}
    for each, change in zip(rows, found, strict=True):
        by_prompt.setdefault(each.prompt_id, []).append(change)
    lowered = sorted(zip(rows, found, strict=True), key=lambda pair: pair[1])[:_EXAMPLES]
    most = tuple((each.prompt, each.completion, change) for each, change in lowered)
    return Effect(clustered_mean(by_prompt, rng), most)


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


def _drafts(run: Run, alarm: Mapping[str, Any], sets: Iterable[str]) -> Iterator[tuple[ShownPrinciple, str]]:
    config = run.config
    shown = {config.shown(each).text for each in config.reward_principles}
    if alarm.get("forbid"):
        yield ShownPrinciple(name_of(alarm["forbid"]), alarm["forbid"]), ""
    for name in dict.fromkeys(sets):
        for principle in find_principle_set(config.registry, name, config.base):
            if principle.text and principle.text not in shown:
                shown.add(principle.text)
                yield principle.shown(), name


def _tried(
    run: Run,
    reward: Reward,
    shown: ShownPrinciple,
    source: str,
    flagged: Sequence[SeenRollout],
    others: Sequence[SeenRollout],
    *,
    same: bool,
) -> Proposal:
    change = Change("principle", shown.name, shown.text, shown.negated, shown.veto)
    try:
        changes = [_changes(reward, shown, side) for side in (flagged, others)]
    except SalmonError as error:  # no room for it beside what is shown
        return Proposal(change, source, refused=str(error))
    return _measured(run, change, source, changes, same=same)


def _without(run: Run, label: str, flagged: Sequence[SeenRollout], others: Sequence[SeenRollout]) -> Proposal:
    """A bonus switched off: each rollout loses what it gave."""
    changes: list[dict[str, list[float]]] = []
    for side in (flagged, others):
        lost: dict[str, list[float]] = {}
        for each in side:
            lost.setdefault(each.prompt_id, []).append(-each.components.get(label, 0.0))
        changes.append(lost)
    return _measured(run, Change("bonus", label, value=0.0), "", changes)


def _measured(
    run: Run, change: Change, source: str, changes: Sequence[dict[str, list[float]]], *, same: bool = False
) -> Proposal:
    """`same`: both sides are the same completions, in the same order."""
    rng = named_rng(run.config.config.run.seed, "proposals", change.text or change.name)
    one, other = (clustered_mean(side, rng) for side in changes)
    if same:
        pairs = {
            prompt: [with_it - cut for with_it, cut in zip(own, changes[1][prompt], strict=True)]
            for prompt, own in changes[0].items()
        }
        return Proposal(change, source, one, other, clustered_mean(pairs, rng))
    half = ((one.high - one.low) ** 2 + (other.high - other.low) ** 2) ** 0.5 / 2
    apart = one.value - other.value
    return Proposal(change, source, one, other, Estimate(apart, apart - half, apart + half, min(one.n, other.n)))


def _changes(reward: Reward, shown: ShownPrinciple, side: Sequence[SeenRollout]) -> dict[str, list[float]]:
    """By prompt, how the score changes where the principle is shown too."""
    found: dict[str, list[float]] = {}
    for each, change in zip(side, _scores(reward, shown, side), strict=True):
        found.setdefault(each.prompt_id, []).append(change)
    return found


def _scores(reward: Reward, shown: ShownPrinciple, side: Sequence[SeenRollout]) -> list[float]:
    """Of each, how the score changes where the principle is shown too, as an intervention would be."""
    return [with_it - without for without, with_it in reward.score_texts([_asked(each, [shown]) for each in side])]


def _asked(
    rollout: SeenRollout, more: Sequence[ShownPrinciple]
) -> tuple[Sequence[Message], str, Sequence[Sequence[ShownPrinciple]]]:
    """A rollout under what it was shown, and then under that with each of some principles more."""
    asked: list[Message] = [{"role": "user", "content": rollout.prompt}]
    own = rollout.principles
    return asked, rollout.completion, [own, *(with_interventions(own, [each]) for each in more)]
