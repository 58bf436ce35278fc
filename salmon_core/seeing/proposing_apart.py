"""Tries prohibitions for one alarm, and may apply the best: `python -m salmon_core.seeing.proposing_apart ASKED FOUND`.

Started by `salmon_core.run.answering`, which says in ASKED what it wants.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from salmon_core.data.interventions import Intervention, last_begun, read_record
from salmon_core.data.json import read_json, write_json
from salmon_core.errors import SalmonError
from salmon_core.records import Estimate, ShownPrinciple
from salmon_core.run.run import Run
from salmon_core.run.steering import Change, steer
from salmon_core.seeing.proposal import Proposal
from salmon_core.seeing.proposing import Trial, chosen_alarm, trial

#: so that the trainer does not wait for the processor
_NICE = 10


def main(argv: Sequence[str]) -> None:
    """Leaves the fields of `salmon_core.api.events.Proposed` in FOUND."""
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    asked, found = read_json(Path(argv[0])), Path(argv[1])
    try:
        write_json(found, answer(Run.open(Path(asked["run"])), asked))
    except SalmonError as error:
        write_json(found, {"text": f"nothing could be tried: {error}"})


def answer(run: Run, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What was tried, and whether the best was applied.

    Raises:
        SalmonError: nothing could be tried.
    """
    alarm = chosen_alarm(run, asked["alarm"])
    with trial(run, alarm, device=asked["device"]) as opened:
        if alarm.get("tried") and (paid := opened.paid()) is not None and paid.high < 0:
            return {"proposals": [], "applied": None, "text": _unpaid(paid)}
        return _answer(opened, asked)


def _unpaid(paid: Estimate) -> str:
    gain = f"{paid.value:+.2f} [{paid.low:+.2f}, {paid.high:+.2f}]"
    text = f"under what is shown now, flagged answers lose by it ({gain}): the policy has yet to follow, or needs"
    return f"{text} more weight on that; nothing else is tried"


def _answer(opened: Trial, asked: Mapping[str, Any]) -> dict[str, Any]:
    run, alarm, made = opened.run, opened.alarm, opened.proposals(asked["sets"])
    reason, bounds = _reason(asked["alarm"], alarm), asked["apply"]
    own = None if bounds is None else _applied(run, bounds["who"], reason)
    done = {_what(each) for each in read_record(run.record) if each != own}
    best = next((each for each in made if each.works and _what(each.change) not in done), None)
    values: dict[str, Any] = {"proposals": [each.document() for each in made], "applied": None}
    if best is None and any(each.works for each in made):
        return values | {"text": "what surely lowers what the alarm is about is on the record already"}
    if best is None:
        tried = f"{len(made)} prohibitions were tried, and none" if made else "there was nothing to try: nothing"
        return values | {"text": f"{tried} surely lowers what the alarm is about"}
    assert best.apart is not None
    gain = f"{best.apart.value:+.2f} [{best.apart.low:+.2f}, {best.apart.high:+.2f}]"
    how = f"by {best.change.text!r}" if best.change.text else f"by having {best.words}"
    text = f"would be forbidden {how}: flagged answers change by {gain} against the others"
    if bounds is None:
        return values | {"text": text}
    if best.is_draft and own is None:
        return values | {"text": f"{text}; not applied: no reward model was shown its words before"}
    entry, why_not = (own, "") if own is not None else _apply(run, best, bounds, alarm, reason)
    if entry is None:
        return values | {"text": f"{text}; not applied: {why_not}"}
    undone = _take_back(opened, entry, bounds["who"])
    text += f"; intervention {entry.id}"
    if undone:
        text += f" in the place of {', '.join(map(str, undone))}, not shown to have lowered it"
    return values | {"text": text, "applied": entry.id, "undone": undone}


def _reason(number: int, alarm: Mapping[str, Any]) -> str:
    again = f", told again ({alarm['again']})" if alarm.get("again") else ""
    return f"alarm {number}: {alarm['about']}{again}"


def _same(one: str, other: str) -> bool:
    """Whether two reasons are of one telling: in a run that follows a record it may have another number."""
    return one.partition(": ")[2] == other.partition(": ")[2]


def _what(change: Intervention | Change) -> tuple[Any, ...]:
    """What makes two changes the same one."""
    return change.what, change.text or change.name, change.negated, change.value


def _applied(run: Run, who: str, reason: str) -> Intervention | None:
    """What was applied for this telling: by one that was killed before it could say so, or by a record's run."""
    record = read_record(run.record)
    return next((e for e in record if e.who == who and e.what != "undo" and _same(e.reason, reason)), None)


def _take_back(opened: Trial, entry: Intervention, who: str) -> list[int]:
    """Takes back what monitors applied before and what does not help, from where the new one counts.

    Only in exchange: never is less forbidden than before. What a person put on the record stays there. So does a
    principle under which the reward model still lowers what the alarm is about: the policy has yet to follow it.
    """
    run, record = opened.run, read_record(opened.run.record)
    over = {each.undoes for each in record}
    tried = {each["id"]: each["high"] for each in opened.alarm.get("tried") or ()}
    undone = [each.undoes for each in record if each.what == "undo" and each.who == who and each.undoes in tried]
    for each in record:
        high = tried.get(each.id)
        if each.who != who or each.what == "undo" or each.id in over or high is None or high < 0:
            continue
        if each.what == "principle":
            shown = ShownPrinciple(each.name, each.text or "", each.negated, veto=each.veto)
            if opened.principle(shown).works:
                continue
        change, reason = Change("undo", undoes=each.id), f"{entry.reason}; by intervention {each.id} it did not fall"
        start = entry.from_rollout if entry.from_rollout > last_begun(run.path) else None
        with contextlib.suppress(SalmonError):  # over already, or the training is
            steer(run, change, from_rollout=start, reason=reason, who=who)
            undone.append(each.id)
    return sorted(each for each in undone if each is not None)


def _apply(
    run: Run, best: Proposal, bounds: Mapping[str, Any], alarm: Mapping[str, Any], reason: str
) -> tuple[Intervention | None, str]:
    """The intervention, or why there is none."""
    own = [each for each in read_record(run.record) if each.who.startswith("monitor ") and each.what != "undo"]
    if len(own) >= bounds["at_most"]:
        return None, f"monitors may apply {bounds['at_most']} in this run, and did"
    for each in own:  # told again for want of an answer, which came since
        told = each.reason.partition(": ")[2].partition(", told again")[0]
        if each.who == bounds["who"] and told == alarm["about"] and each.from_rollout > alarm["rollout_index"]:
            return None, f"intervention {each.id} was applied since, from batch {each.from_rollout} on"
    if bounds["now"] is None:
        return None, "the trainer logs no `kl`, so its bound cannot be kept"
    if bounds["now"] > bounds["kl"]:
        return None, f"the KL is {bounds['now']:.3g}, above {bounds['kl']:g}"
    try:
        entry = steer(run, best.change, reason=reason, who=bounds["who"])
    except SalmonError as error:
        return None, str(error)
    return entry, ""


if __name__ == "__main__":
    main(sys.argv[1:])
