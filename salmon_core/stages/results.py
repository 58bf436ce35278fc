"""Evaluators' results: checked when they are returned, and kept as JSON between the stages."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter, ValidationError

from salmon_core.api.evaluation import Metrics
from salmon_core.data.validation import problems_of, shown
from salmon_core.errors import PluginError

#: keys of the report's own parts, and the fields of `Metrics` that fill them
_TYPED = {"targets": "targets=(Target(...), ...)", "rm": "reward_model=RewardModelAccuracy(...)"}
_METRICS = TypeAdapter(Metrics)


def checked(metrics: Any, owner: str, what: str) -> Metrics:
    """What an evaluator returned, as the report will read it.

    Args:
        owner: who wrote the evaluator, `what` the evaluator; for messages.

    Raises:
        PluginError: it is not what an evaluator returns; names its author.
    """
    if not isinstance(metrics, Metrics):
        raise PluginError(owner, f"returned a {type(metrics).__name__}, not Metrics", what=what)
    if not isinstance(metrics.values, Mapping):
        raise PluginError(owner, f"has {shown(metrics.values)} as values, which is no mapping", what=what)
    for key, typed in _TYPED.items():
        if key in metrics.values:
            raise PluginError(owner, f"has {key!r} among its values", what=what, hint=f"give Metrics({typed})")
    try:
        written = asdict(metrics)
        fault = next(_faults(written, ""), None)
        if fault is None:
            return metrics_from_json(metrics_to_json(metrics))
    except ValidationError as error:
        fault = str(problems_of(error, "")[0])
    except Exception as error:  # a value that contains itself, or that cannot be copied
        fault = f"{type(error).__name__}: {error}"
    raise PluginError(owner, f"returned what cannot be written down: {fault}", what=what)


def _faults(value: Any, where: str) -> Iterator[str]:
    """What JSON has no form for, with its place."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                yield f"{where}: the key {shown(key)} is no text"
            yield from _faults(item, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _faults(item, f"{where}[{index}]")
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f"{where} is {value}; leave out what was not measured"
    elif not (value is None or isinstance(value, str | int)):
        yield f"{where} is a {type(value).__name__}; numbers, texts, lists and mappings are plain ones"


def metrics_to_json(metrics: Metrics) -> str:
    """As `metrics_from_json` reads it.

    Raises:
        ValueError: a number that is not finite.
        TypeError: a value that JSON has no form for.
    """
    return json.dumps(asdict(metrics), allow_nan=False, indent=1, ensure_ascii=False) + "\n"


def metrics_from_json(text: str) -> Metrics:
    """
    Raises:
        ValueError: it is none.
    """
    return _METRICS.validate_json(text)
