"""Steering a run while it goes on: what a person, or a plugin, may change, checked, and put on the record."""

from __future__ import annotations

import getpass
import math
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from salmon_core.api.principles import PrincipleSet
from salmon_core.api.reward import RewardSpec, ScheduledPrinciple
from salmon_core.config.names import find_principle_set
from salmon_core.config.reinforcing import Intervention as Configured
from salmon_core.config.rewarding import scheduled as scheduled_principle
from salmon_core.data.files import full_path
from salmon_core.data.interventions import RECORD, STAGE, Intervention, last_begun, locked, read_record, scheduled
from salmon_core.data.own_principles import name_of
from salmon_core.data.parquet import open_table, rows_of
from salmon_core.errors import SalmonError, StageError
from salmon_core.plugins.engines import open_codec
from salmon_core.records import ShownPrinciple
from salmon_core.reward.rendering import Renderer
from salmon_core.reward.reward import Reward, policy_codec, registry_of
from salmon_core.run.run import Run

_PROMPTS = "rl_prompts.parquet"
#: sets of drawn principles that an added one is tried beside, the longest
_TRIED = 16


@dataclass(frozen=True, slots=True)
class Change:
    """What is to change; see `salmon_core.data.interventions.Intervention`."""

    what: Literal["principle", "weight", "bonus", "undo"]
    name: str = ""
    text: str | None = None
    negated: bool = False
    veto: bool = False
    value: float | None = None
    undoes: int | None = None


def added(text: str) -> Change:
    """A principle in these words; made safe when it is rendered, as every principle is.

    Raises:
        SalmonError: it is empty, or no text.
    """
    return Change("principle", name_of(_plain(text, "--add")), _plain(text, "--add"))


def named(run: Run, name: str, *, negate: bool = False, from_set: str | None = None) -> Change:
    """A principle of the reward's set, or of another one.

    Raises:
        SalmonError: there is none of this name, or it has no negated text.
    """
    config = run.config
    item = Configured(principle=name, negate=negate)
    if from_set is not None:
        item = Configured(principle=name, negate=negate, from_set=from_set)
    elif known := [each.shown for each in config.interventions if each.shown.name == name and not negate]:
        return Change("principle", name, known[0].text, known[0].negated, known[0].veto)

    def lookup(wanted: str) -> PrincipleSet:
        return find_principle_set(config.registry, wanted, config.base)

    shown = scheduled_principle(item, lookup, config.reward_principles).shown
    return Change("principle", shown.name, shown.text, shown.negated, shown.veto)


def steer(
    run: Run,
    change: Change,
    *,
    from_rollout: int | None = None,
    until_rollout: int | None = None,
    reason: str = "",
    who: str | None = None,
    write: bool = True,
) -> Intervention:
    """Puts a change on the record of a run that trains its policy; it counts from the next generated batch.

    Args:
        from_rollout: the first generated batch that it counts for; None: the next that is rewarded.
        until_rollout: the first that it no longer counts for.
        who: by default the user.
        write: False looks whether it could be done, and from which batch on it would count now, and does nothing.

    Raises:
        StageError: the run is not training its policy by rollouts.
        SalmonError: the change means nothing in this run, or the reward model could not read it.
    """
    _check_running(run)
    reason = _plain(reason, "--reason") if reason else ""
    spec = run.reward_spec()
    if change.what in ("weight", "bonus"):
        _check_weight(run, change)
        if change.what == "weight" and change.name not in (names := _principle_names(run, spec)):
            what, hint = f"no principle {change.name!r} is shown in this run", f"it has {', '.join(names)}"
            raise SalmonError(what, where="--weight", hint=hint)
    elif change.what == "principle":
        start = max(last_begun(run.path) + 1, from_rollout or 0)
        _check_readable(run, spec, change, start)
    with locked(run.path) as opened:
        _check_running(run)
        entries, following = opened.read(), opened.last + 1
        start = following if from_rollout is None else from_rollout
        if start < following:
            hint = f"leave it out, or give {following} or more"
            raise SalmonError(f"generated batch {start} was rewarded already", where="--from-rollout", hint=hint)
        if until_rollout is not None and until_rollout <= start:
            raise SalmonError(f"batch {until_rollout} is not after {start}, where it begins", where="--until")
        if change.undoes is not None:
            _check_undo(entries, change.undoes, start)
        entry = Intervention(
            id=len(entries) + 1,
            time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            who=who or _user(),
            what=change.what,
            from_rollout=start,
            until_rollout=until_rollout,
            name=change.name,
            text=change.text,
            negated=change.negated,
            veto=change.veto,
            value=change.value,
            undoes=change.undoes,
            reason=reason,
        )
        if write:
            opened.append(entry)
    return entry


def state_of(entry: Intervention, entries: Sequence[Intervention], last: int, *, over: bool) -> str:
    """What has become of an intervention, in words.

    Args:
        last: the generated batch last begun.
        over: whether there will be no other.
    """
    if entry.what == "undo":
        return "done" if entry.from_rollout <= last else "never" if over else "waits"
    change = next((each.change for each in scheduled(entries) if each.id == entry.id), None)
    if change is None or (over and change.start > last):
        return "never"
    if change.start > last:
        return "waits"
    if change.end is not None and change.end <= last + over:
        return f"until {change.end}"
    return "to the end" if over else "in force"


def recorded(source: Path) -> list[Intervention]:
    """A record to follow.

    Args:
        source: its file, or the folder of its run.

    Raises:
        SalmonError: there is none, or it cannot be read.
    """
    file = source / RECORD if source.is_dir() else source
    if not file.is_file():
        hint = f"a record is RUN/{RECORD}; a run that nobody steered has none"
        raise SalmonError("there is no record of interventions", where=str(file), hint=hint)
    return read_record(full_path(file))


def check_replay(run: Run, entries: Iterable[Intervention]) -> None:
    """Whether a record means something in this run.

    Raises:
        SalmonError: the run has not the bonuses, or reads no principles.
    """
    if run.config.trains_on_preferences or run.config.config.train.algorithm == "none":
        raise SalmonError("this run trains on no rollouts, so no record can steer it", where="--replay")
    for each in entries:
        if each.what in ("weight", "bonus"):
            try:
                _check_weight(run, Change(each.what, each.name, value=each.value))
            except SalmonError as error:
                what = f"intervention {each.id}: {error.message}"
                raise SalmonError(what, where="--replay", hint=error.hint) from None


def _check_running(run: Run) -> None:
    config, status = run.config, run.stage(STAGE).manifest.get("status")
    where = str(run.path)
    if config.trains_on_preferences or config.config.train.algorithm == "none":
        raise StageError("this run trains on no rollouts, so there is nothing to steer", where=where)
    if status == "finished":
        hint = f"a new run may follow its record and more: salmon run CONFIG --replay {run.record}"
        raise StageError("the training of its policy is over, so there is nothing to steer", where=where, hint=hint)
    if status is None or not (run.stage(STAGE).path / _PROMPTS).is_file():
        hint = "what counts from the beginning stands in reward.interventions"
        raise StageError("the run does not train its policy yet, so there is nothing to steer", where=where, hint=hint)


def _check_weight(run: Run, change: Change) -> None:
    """What can be said of a weight by the configuration alone."""
    assert change.value is not None
    where = f"--{change.what}"
    if not math.isfinite(change.value):
        raise SalmonError(f"a weight is a finite number, not {change.value}", where=where)
    if change.what == "bonus":
        labels = [bonus.label for bonus in run.config.bonuses]
        if change.name not in labels:
            hint = f"it has {', '.join(labels)}" if labels else "it has none"
            raise SalmonError(f"the run has no bonus {change.name!r}", where=where, hint=hint)
        return
    if change.value < 0:
        raise SalmonError(f"a principle's weight is >= 0, not {change.value:g}", where=where, hint="0 shows it no more")
    if change.value and run.config.config.reward.combine == "joint":
        raise SalmonError(
            "with `combine: joint` weights only decide what is drawn, and this run has drawn all already",
            where=where,
            hint="0 shows it no more; --principle shows it always; --undo takes that back",
        )


def _check_readable(run: Run, spec: RewardSpec, change: Change, start: int) -> None:
    """The reward model, under all that would be shown from there on beside the longest principles drawn."""
    model = spec.model
    if model is None or not run.config.reward_template.reads_principles:
        raise SalmonError("this run's reward asks no model that reads principles", hint="--bonus changes a bonus")
    if change.veto and spec.veto is None:
        hint = "only a run with reward.veto knows when it is broken"
        raise SalmonError(f"{change.name!r} is a hard rule, and this run has none", hint=hint)
    own = ScheduledPrinciple(ShownPrinciple(change.name, change.text or "", change.negated, veto=change.veto), start)
    spec = replace(spec, interventions=(own, *spec.interventions))
    codec = open_codec(registry_of(spec), spec.engine, model)
    renderer = Renderer(run.config.reward_template, codec, others=[policy_codec(spec)], limits=spec.limits)
    starts = [each.start for each in spec.interventions] + [each.start for each in spec.reweighted]
    later = {each for each in starts if each > start}
    with Reward(
        scorer=None,
        renderer=renderer,
        interventions=spec.interventions,
        reweighted=spec.reweighted,
        combine=spec.combine,
        veto=spec.veto,
    ) as reward:
        for drawn in _longest(run):
            for index in sorted({start, *later}):
                try:
                    reward.check(reward.principles_at(index, drawn))
                except SalmonError as error:
                    what = f"the reward model could not read it: {error.message}"
                    raise SalmonError(what, where=change.name, hint="say it in fewer words") from None


def _longest(run: Run) -> list[tuple[ShownPrinciple, ...]]:
    found = set()
    for row in _rows(run):
        drawn = (ShownPrinciple(p["name"], p["text"], bool(p["negated"]), p["weight"], bool(p["veto"])) for p in row)
        found.add(tuple(drawn))
    return sorted(found, key=lambda drawn: (-sum(len(each.text) for each in drawn), str(drawn)))[:_TRIED]


def _principle_names(run: Run, spec: RewardSpec) -> list[str]:
    drawn = sorted({each["name"] for row in _rows(run) for each in row})
    planned = [each.shown.name for each in spec.interventions]
    return list(dict.fromkeys([*run.config.reward_principles.names, *planned, *drawn]))


def _rows(run: Run) -> list[list[dict[str, Any]]]:
    """The principles drawn for each row."""
    file = run.stage(STAGE).path / _PROMPTS
    return [row["principles"] for row in rows_of(open_table(file).select(["principles"]), file)]


def _check_undo(entries: Sequence[Intervention], number: int, start: int) -> None:
    entry = next((each for each in entries if each.id == number), None)
    if entry is None or entry.what == "undo":
        is_undo = "is itself an undo: say again what it took back" if entry is not None else "is not on the record"
        raise SalmonError(f"intervention {number} {is_undo}", where="--undo", hint="salmon steer RUN lists them")
    change = next((each.change for each in scheduled(entries) if each.id == number), None)
    if change is None or (change.end is not None and change.end <= start):
        raise SalmonError(f"intervention {number} is over already", where="--undo", hint="salmon steer RUN lists them")


def _plain(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SalmonError("has bytes that are not UTF-8", where=where) from None
    if not text.strip():
        raise SalmonError("is empty", where=where)
    return text.strip()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name
        return str(os.getuid())
