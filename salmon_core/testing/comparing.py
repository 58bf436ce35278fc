"""Where two results differ, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from numbers import Real
from typing import Any


def difference(found: Any, wanted: Any, tolerance: float = 0.0) -> str | None:
    """The first place at which two results differ, or None.

    Args:
        tolerance: of numbers, absolute and relative.
    """
    return next(_differences(found, wanted, tolerance, "the result"), None)


def _differences(found: Any, wanted: Any, tolerance: float, where: str) -> Iterator[str]:
    if _number(found) and _number(wanted):
        if not (found == wanted or math.isclose(found, wanted, rel_tol=tolerance, abs_tol=tolerance)):
            yield f"{where} is {found!r}, not {wanted!r}"
        return
    parts, others = _parts(found), _parts(wanted)
    if parts is None or others is None:
        if found != wanted:
            yield f"{where} is {found!r}, not {wanted!r}"
    elif parts.keys() != others.keys():
        yield f"{where} has {list(parts)[:20]}, not {list(others)[:20]}"
    else:
        for name, part in parts.items():
            yield from _differences(part, others[name], tolerance, f"{where}{name}")


def _parts(value: Any) -> dict[str, Any] | None:
    """What a value is made of, by name."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f".{field.name}": getattr(value, field.name) for field in fields(value) if field.compare}
    if isinstance(value, Mapping):
        return {f"[{key!r}]": item for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return {f"[{index}]": item for index, item in enumerate(value)}
    return None


def _number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
