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

from salmon_core.data.interventions import read_record
from salmon_core.data.json import read_json, write_json
from salmon_core.errors import SalmonError
from salmon_core.run.run import Run
from salmon_core.run.steering import steer
from salmon_core.seeing.proposing import Proposal, chosen_alarm, proposals

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
    made = proposals(run, alarm, asked["sets"], device=asked["device"])
    best = next((each for each in made if each.works), None)
    values: dict[str, Any] = {"proposals": [each.document() for each in made], "applied": None}
    if best is None:
        tried = f"{len(made)} prohibitions were tried, and none" if made else "there was nothing to try: nothing"
        return values | {"text": f"{tried} surely lowers what the alarm is about"}
    assert best.apart is not None
    gain = f"{best.apart.value:+.2f} [{best.apart.low:+.2f}, {best.apart.high:+.2f}]"
    how = f"by {best.change.text!r}" if best.change.text else f"by having {best.words}"
    text = f"would be forbidden {how}: flagged answers change by {gain} against the others"
    if asked["apply"] is None:
        return values | {"text": text}
    applied, why_not = _apply(run, best, asked["apply"], f"alarm {asked['alarm']}: {alarm['about']}")
    done = f"intervention {applied}" if applied is not None else f"not applied: {why_not}"
    return values | {"text": f"{text}; {done}", "applied": applied}


def _apply(run: Run, best: Proposal, bounds: Mapping[str, Any], reason: str) -> tuple[int | None, str]:
    """The intervention, or why there is none."""
    own = [each for each in read_record(run.record) if each.who.startswith("monitor ")]
    for each in own:
        if each.reason == reason:  # applied by one that was killed before it could say so
            return each.id, ""
    if len(own) >= bounds["at_most"]:
        return None, f"monitors may apply {bounds['at_most']} in this run, and did"
    if bounds["now"] is None:
        return None, "the trainer logs no `kl`, so its bound cannot be kept"
    if bounds["now"] > bounds["kl"]:
        return None, f"the KL is {bounds['now']:.3g}, above {bounds['kl']:g}"
    try:
        entry = steer(run, best.change, reason=reason, who=bounds["who"])
    except SalmonError as error:
        return None, str(error)
    return entry.id, ""


if __name__ == "__main__":
    main(sys.argv[1:])
