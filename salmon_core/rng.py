"""Generators by name. Only `Random.random()` is used, whose sequence Python keeps the same between versions."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from random import Random
from typing import TypeVar

T = TypeVar("T")


def named_rng(seed: int, *names: str | int) -> Random:
    """A generator of its own for each (seed, names); other names give an unrelated one."""
    # JSON, so that ("a", "bc") and ("ab", "c") differ, and so do 1 and "1".
    key = json.dumps([seed, *names], ensure_ascii=True).encode()
    return Random(int.from_bytes(hashlib.sha256(key).digest(), "big"))


def shuffled(items: Iterable[T], rng: Random) -> list[T]:
    """The items in random order, every order equally likely."""
    order = list(items)
    for last in range(len(order) - 1, 0, -1):
        other = int(rng.random() * (last + 1))
        order[last], order[other] = order[other], order[last]
    return order


def truncated_geometric(rng: Random, p: float, cap: int) -> int:
    """A number from 1 to `cap`: geometric with success probability `p`, redrawn until it is at most `cap`.

    Closed form of the redrawing: one draw, P(k) = p (1 - p)^(k - 1) / (1 - (1 - p)^cap).

    Raises:
        ValueError: not 0 < p <= 1, or cap < 1.
    """
    if not 0 < p <= 1 or cap < 1:
        raise ValueError(f"a truncated geometric needs 0 < p <= 1 and cap >= 1, not p = {p}, cap = {cap}")
    uniform = rng.random()
    if p == 1:
        return 1
    log_fail = math.log1p(-p)
    below = -math.expm1(cap * log_fail)  # the untruncated probability of at most `cap`
    return min(cap, max(1, math.ceil(math.log1p(-uniform * below) / log_fail)))
