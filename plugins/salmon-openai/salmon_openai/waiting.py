"""How long to wait before a request is made again."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from random import Random

#: seconds before the second attempt, doubled with each further one, and the most
_FIRST, _LONGEST = 0.5, 60.0


class PassingError(Exception):
    """A failure that may pass.

    Args:
        after: seconds that the server asks to wait.
    """

    def __init__(self, message: str, after: float | None = None):
        super().__init__(message)
        self.after = after


def asked_for(header: str | None) -> float | None:
    """Seconds, from a `Retry-After` with seconds or an HTTP date; None where it says neither."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            when = parsedate_to_datetime(header)
        except (ValueError, TypeError):
            return None
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        seconds = (when - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def delay(attempt: int, after: float | None, jitter: Random) -> float:
    """Seconds until the next attempt: as the server asks, else longer each time; never all at once."""
    backoff: float = min(_LONGEST, _FIRST * 2 ** (attempt - 1))
    if after is None:
        return backoff * (0.5 + 0.5 * jitter.random())
    return after + 0.1 * backoff * jitter.random()
