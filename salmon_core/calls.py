"""Which plugin's code runs now, how far it is, and when any of it last moved; see `salmon_core.run.watch`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Call:
    """Plugin's code that was called and has not returned.

    Attributes:
        plugin: whose code it is.
        what: which component or hook, and what it was asked for.
    """

    plugin: str
    what: str


class _Open:
    """The calls of this process, in the order in which they began."""

    def __init__(self) -> None:
        self.calls: dict[Call, None] = {}
        self.moved = time.monotonic()
        self.hears: Callable[[float], None] = lambda _: None


_OPEN = _Open()


@contextmanager
def called(plugin: str, what: str) -> Iterator[None]:
    """The block is a call of a plugin's code."""
    call = Call(plugin, what)
    alive()
    _OPEN.calls[call] = None
    try:
        yield
    finally:
        _OPEN.calls.pop(call, None)
        alive()


def alive() -> None:
    """A sign of life from code that works on and does not return for long."""
    _OPEN.moved = time.monotonic()


def part(share: float) -> None:
    """How much of the present work is done, 0 to 1, from code that works through much in one call; a sign of life."""
    alive()
    _OPEN.hears(share)


@contextmanager
def heard(hears: Callable[[float], None]) -> Iterator[None]:
    """In the block, `part` tells this."""
    before, _OPEN.hears = _OPEN.hears, hears
    try:
        yield
    finally:
        _OPEN.hears = before


@contextmanager
def within(low: float, high: float) -> Iterator[None]:
    """The block is the present work from `low` to `high`, 0 to 1; `part` in it tells how much of the block is done."""
    outer = _OPEN.hears
    with heard(lambda share: outer(low + share * (high - low))):
        yield
    part(high)


def still() -> tuple[Call | None, float]:
    """The innermost call that has not returned, and for how many seconds nothing has begun, ended or given a sign."""
    return next(reversed(list(_OPEN.calls)), None), time.monotonic() - _OPEN.moved
