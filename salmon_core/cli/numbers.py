"""Numbers for a person to read."""

from __future__ import annotations

from typing import Any


def is_number(value: Any) -> bool:
    """A number to show; truth values are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def short(value: Any) -> str:
    """A number with four digits that count."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
