"""Whole runs whose trainer does what a test says, with monitors and reward models of the test's own."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import yaml
from core_world import SALMON, document, environment, make_folder

#: the engine that scores, `caring`, opens a class `Caring` of the test's
_CARING = """

class CaringEngine(ByteEngine):
    def scorer(self, model):
        return Caring(model, self.options.scale)


@hookimpl
def salmon_engines():
    yield Component("bytes", ByteEngine, "a token is a byte")
    yield Component("caring", CaringEngine, "cares")
"""
_BEGIN = "from __future__ import annotations\n"
_IMPORTS = """\
from salmon_core.api import Alarm, ModelMonitor, Monitor
from salmon_core.records import ShownPrinciple
"""


def make_run(
    path: Path,
    world: str,
    monitors: dict[str, Any],
    *,
    trains: str | None = None,
    waits: str | None = None,
    sets: str = "",
    logs: str = "",
    options: dict[str, Any] | None = None,
) -> Path:
    """A folder whose `salmon run salmon.yaml` trains as told.

    Args:
        world: the test's plugins; with a class `Caring`, that is the reward model.
        trains: the trainer's loop over its batches, instead of the world's own.
        waits: what the trainer does after its batches.
        sets: `more.yaml`.
        logs: metrics that it logs.
    """
    caring = "class Caring(" in world
    train: dict[str, Any] = {"backend": "toy", "algorithm": "toy"}
    changes: dict[str, Any] = {
        "monitors": monitors,
        "train": train if options is None else {**train, "options": options},
        "reward": {"principles": "rules.yaml", "show": 1, "engine": "caring" if caring else "bytes"},
    }
    make_folder(path, yaml.safe_dump(document(**changes)))
    if sets:
        (path / "more.yaml").write_text(sets)
    file = path / "world.py"
    text = file.read_text().replace(_BEGIN, _BEGIN + _IMPORTS, 1)
    text = text.replace("import json, pathlib", "import dataclasses, json, pathlib")
    if caring:
        own = text[text.index("@hookimpl\ndef salmon_engines") : text.index('a token is a byte")\n') + 20]
        text = text.replace(own, "")
    if trains is not None:
        loop = text[text.index("    log = RolloutLog(") : text.index('print("some output')]
        text = text.replace(loop, trains.removeprefix("\n"))
    if waits is not None:
        text = text.replace('print("some output', f'{waits}print("some output')
    if logs:
        text = text.replace('{"loss": values["loss"]}', logs)
    file.write_text(text + world + (_CARING if caring else ""))
    return path


def events(where: Path, *kinds: str) -> list[dict[str, Any]]:
    """What the run told so far, of some kinds."""
    file = where / "runs" / "toy" / "events.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [each for line in lines if (each := json.loads(line))["event"] in kinds]


def log(where: Path) -> str:
    """What the run printed."""
    return (where / "run.log").read_text()


def begun(where: Path) -> subprocess.Popen[bytes]:
    """The run, in a process of its own."""
    with (where / "run.log").open("ab") as out:
        return subprocess.Popen(
            [str(SALMON), "run", "salmon.yaml"], cwd=where, env=environment(), stdout=out, stderr=out
        )


def wait_for(where: Path, process: subprocess.Popen[bytes], kind: str, count: int = 1) -> None:
    """Until it told so many of a kind."""
    deadline = time.monotonic() + 200
    while len(events(where, kind)) < count:
        assert process.poll() is None, log(where)
        assert time.monotonic() < deadline, log(where)
        time.sleep(0.05)
