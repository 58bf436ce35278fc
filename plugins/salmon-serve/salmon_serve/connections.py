"""Connections by what they wait for, each kind with a deadline and a cap, so that nobody keeps others out.

A connection costs its client nothing and the server a file descriptor, token or no token. So each kind has its share of
the room, and where it takes more, its oldest member is closed: a newcomer, which may be a request that counts, gets in.
Only requests that wait for their answer are never closed; beyond their share, new ones are answered 503. The shares of
those and of bodies leave a quarter to whoever comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

#: file descriptors left to everything that is no connection: models, plugins, rollouts, the event loop
_OTHERS = 128
#: connections taken from the listening socket in one turn of the event loop, at most; before any of them is counted
_BACKLOG = 2048
#: seconds between two looks for connections past their deadline, at most
_SWEEP = 1.0
#: seconds that the deadline of a body outlives the reader's own, which answers 408
_GRACE = 5.0
#: the limit tried where there is none: some systems refuse `unlimited`
_PLENTY = 65_536


class State(Enum):
    """What a connection waits for."""

    HEAD = "head"  #: the end of a request's head, the first one's beginning included
    BODY = "body"  #: the end of a body that is read
    ANSWER = "answer"  #: what the application says
    TAKING = "taking"  #: the client, which does not take what it was answered
    IDLE = "idle"  #: the next request; also the end of a body that nobody reads


class Connection(Protocol):
    """A connection, as far as it is counted."""

    def cut(self, state: State, *, late: bool) -> None:
        """Closes it at once: it is past the deadline of its state, or others need its place."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how many.

    Attributes:
        head_seconds: for a request's head, from the connection's beginning or the head's first byte.
        body_seconds: for a request's body, and for taking an answer.
        idle_seconds: between two requests.
        connections: at once, all together.
        backlog: connections that the system keeps until they are taken.
    """

    head_seconds: float = 20.0
    body_seconds: float = 60.0
    idle_seconds: float = 75.0
    connections: int = 8192
    backlog: int = _BACKLOG

    def share(self, state: State) -> int:
        """Connections in a state."""
        return max(1, self.connections // (4 if state in (State.BODY, State.TAKING) else 2))

    def within(self, descriptors: int) -> Limits:
        """These limits, with no more connections than so many file descriptors allow."""
        room = max(16, descriptors - _OTHERS)
        # Of the room, as many as may come in one turn are kept free, or taking them would fail.
        backlog = max(8, min(self.backlog, room // 4))
        return replace(self, connections=min(self.connections, room - backlog), backlog=backlog)

    @property
    def deadlines(self) -> Mapping[State, float]:
        """Seconds in a state; an answer takes as long as it takes."""
        body = self.body_seconds + _GRACE
        return {State.HEAD: self.head_seconds, State.BODY: body, State.TAKING: body, State.IDLE: self.idle_seconds}


def raise_descriptor_limit() -> int:
    """Raises the limit on open files as far as this process may.

    Returns:
        the limit from now on.
    """
    if sys.platform == "win32":
        return _PLENTY
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    for wanted in (hard, _PLENTY, 10_240):  # the last is the most that macOS lets a process have
        if soft == unlimited or (hard != unlimited and wanted > hard):
            continue
        if wanted == unlimited or wanted > soft:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                break
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return _PLENTY if soft == unlimited else soft


class Connections:
    """All connections of a server; belongs to its event loop.

    Attributes:
        on_cut: called with the state of each connection that is closed for being late or for others' sake.
    """

    def __init__(self, limits: Limits):
        self.limits = limits
        self.on_cut: Callable[[State], None] = lambda _: None
        #: since when each is there; the oldest first, since each enters at the end
        self._groups: dict[State, dict[Connection, float]] = {state: {} for state in State}
        self._states: dict[Connection, State] = {}
        self._deadlines, self._shares = limits.deadlines, {state: limits.share(state) for state in State}
        self._every = min(_SWEEP, min(self._deadlines.values()) / 4)
        self._sweeping: asyncio.TimerHandle | None = None

    def count(self, state: State) -> int:
        """Connections in a state."""
        return len(self._groups[state])

    @property
    def full(self) -> bool:
        """Whether so many requests wait for their answers that no more may."""
        return self.count(State.ANSWER) >= self._shares[State.ANSWER]

    def state(self, connection: Connection) -> State | None:
        """A connection's state; None where it is not, or no longer, counted."""
        return self._states.get(connection)

    def enter(self, connection: Connection, state: State) -> None:
        """A connection is in another state from now on; a new one is counted."""
        loop = asyncio.get_running_loop()
        before = self._states.get(connection)
        if before is state:
            return
        if before is not None:
            del self._groups[before][connection]
        self._states[connection] = state
        self._groups[state][connection] = loop.time()
        if self._sweeping is None:
            self._sweeping = loop.call_later(self._every, self._sweep)
        if state is not State.ANSWER and self.count(state) > self._shares[state]:
            self._close(next(iter(self._groups[state])), late=False)
        elif before is None and len(self._states) > self.limits.connections:
            self._make_room()

    def leave(self, connection: Connection) -> None:
        """A connection has ended."""
        state = self._states.pop(connection, None)
        if state is not None:
            del self._groups[state][connection]

    def _make_room(self) -> None:
        """Closes one: the oldest of the state that has the most, those that wait for an answer left alone."""
        largest = max(self._deadlines, key=self.count)
        self._close(next(iter(self._groups[largest])), late=False)

    def _close(self, connection: Connection, *, late: bool) -> None:
        state = self._states[connection]
        self.leave(connection)  # at once: its end is told by the event loop only later
        self.on_cut(state)
        connection.cut(state, late=late)

    def _sweep(self) -> None:
        """Closes what is past its deadline; goes on as long as there are connections."""
        self._sweeping = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for state, seconds in self._deadlines.items():
            members = self._groups[state]
            while members:
                oldest = next(iter(members))
                if members[oldest] + seconds > now:
                    break
                self._close(oldest, late=True)
        if self._states:
            self._sweeping = loop.call_later(self._every, self._sweep)
