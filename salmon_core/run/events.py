"""The stream of events of a run: written to its `events.jsonl`, told to the console and to every observing plugin."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from salmon_core.api.events import Event, Note
from salmon_core.data.files import append_line
from salmon_core.plugins.registry import Registry

FILE = "events.jsonl"
E = TypeVar("E", bound=Event)
Subscriber = Callable[[Event], None]


class EventStream:
    """Tells everyone what happens in a run.

    Args:
        run: the run's folder.
        subscribers: called in order, before the plugins.
    """

    def __init__(self, run: Path, registry: Registry, subscribers: tuple[Subscriber, ...] = ()):
        self._run, self._registry, self._subscribers = run, registry, subscribers

    def subscribe(self, subscriber: Subscriber) -> None:
        """One more, after the others."""
        self._subscribers += (subscriber,)

    def emit(self, kind: type[E], **values: Any) -> None:
        """Makes an event and tells of it. A plugin that fails is noted, and stops nothing."""
        event = kind(run=str(self._run), time=time.time(), **values)
        self._tell(event)
        for error in self._registry.observe(event):
            self._tell(Note(run=str(self._run), time=time.time(), text=f"observer failed: {error}"))

    def _tell(self, event: Event) -> None:
        values = {key: value for key, value in asdict(event).items() if key != "run"}
        line = json.dumps({"event": type(event).__name__, **values}, ensure_ascii=False, default=str)
        append_line(self._run / FILE, line)
        for subscriber in self._subscribers:
            subscriber(event)


def told(run: Path, stage: str) -> list[dict[str, Any]]:
    """What the run's file says of a stage since it last started from nothing; a torn line is passed over.

    Whoever goes on with a stage sees by it what the process before was killed too early to tell.
    """
    found: list[dict[str, Any]] = []
    file = run / FILE
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else ():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("stage") == stage:
            if event["event"] == "StageStarted" and not event["resumed"]:
                found = []
            found.append(event)
    return found
