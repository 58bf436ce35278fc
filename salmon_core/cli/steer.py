"""`salmon steer`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape

from salmon_core.cli.console import printable
from salmon_core.cli.output import OUT
from salmon_core.data.interventions import STAGE, last_begun, read_record
from salmon_core.errors import SalmonError
from salmon_core.kit.commands import announce_file_plugin
from salmon_core.run.run import Run
from salmon_core.run.steering import Change, added, named, state_of, steer


def steer_run(
    folder: Path,
    *,
    add: str | None,
    principle: str | None,
    negate: bool,
    from_set: str | None,
    weight: str | None,
    bonus: str | None,
    undo: int | None,
    from_rollout: int | None,
    until: int | None,
    reason: str,
    as_json: bool,
    file_plugins: bool,
) -> None:
    """Puts one intervention on the record and says so; without one lists the record.

    Raises:
        SalmonError: not exactly one thing to do, or one that cannot be done.
    """
    run = Run.open(folder, file_plugins=file_plugins, announce=announce_file_plugin)
    asked = {"--add": add, "--principle": principle, "--weight": weight, "--bonus": bonus, "--undo": undo}
    given = [name for name, value in asked.items() if value is not None]
    if len(given) > 1:
        raise SalmonError("one intervention at a time", where=", ".join(given))
    if (negate or from_set is not None) and principle is None:
        raise SalmonError("are about --principle", where="--negate and --from-set")
    if not given:
        if from_rollout is not None or until is not None or reason:
            raise SalmonError("say what to do: " + ", ".join(asked), where=str(folder))
        _list(run, as_json=as_json)
        return
    if undo is not None and until is not None:
        raise SalmonError("an undo has no end", where="--until")
    if add is not None:
        change = added(add)
    elif principle is not None:
        change = named(run, principle, negate=negate, from_set=from_set)
    elif undo is not None:
        change = Change("undo", undoes=undo)
    elif weight is not None:
        change = _weight("weight", weight)
    else:
        assert bonus is not None
        change = _weight("bonus", bonus)
    entry = steer(run, change, from_rollout=from_rollout, until_rollout=until, reason=reason)
    if as_json:
        print(json.dumps(asdict(entry), ensure_ascii=False))
        return
    end = "" if entry.until_rollout is None else f", until before {entry.until_rollout}"
    OUT.print(
        escape(f"intervention {entry.id}: {printable(entry.words)}; from generated batch {entry.from_rollout} on{end}")
    )


def _weight(what: str, said: str) -> Change:
    name, _, value = said.rpartition("=")
    try:
        number = float(value)
    except ValueError:
        number = None
    if not name or number is None:
        raise SalmonError(f"is NAME=NUMBER, not {said!r}", where=f"--{what}")
    return Change("weight" if what == "weight" else "bonus", name.strip(), value=number)


def _list(run: Run, *, as_json: bool) -> None:
    entries, last = read_record(run.record), last_begun(run.path)
    over = run.stage(STAGE).manifest.get("status") == "finished"
    if as_json:
        for entry in entries:
            print(json.dumps({**asdict(entry), "state": state_of(entry, entries, last, over=over)}, ensure_ascii=False))
        return
    if not entries:
        OUT.print(escape(f"nobody has steered this run; generated batches begun: {last + 1}"))
        return
    for entry in entries:
        state = state_of(entry, entries, last, over=over)
        OUT.print(escape(f"{entry.id:3}  from {entry.from_rollout}, {state}: {printable(entry.words)}"), soft_wrap=True)
        why = f": {printable(entry.reason)}" if entry.reason else ""
        OUT.print(escape(f"     by {entry.who}, {entry.time}{why}"), soft_wrap=True)
    OUT.print(escape(f"generated batches begun: {last + 1}"))
