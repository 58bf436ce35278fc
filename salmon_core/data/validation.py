"""What pydantic found wrong, as problems with their places."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import ValidationError

from salmon_core.errors import Problem


def problems_of(error: ValidationError, where: str) -> list[Problem]:
    """pydantic's errors, each at its key path such as `principles[2].weight`, with the path `where` before it."""
    problems = []
    for item in error.errors(include_url=False):
        path = where
        for part in item["loc"]:
            if part != "[key]":  # a mapping's key itself, which the path ends with already
                path += f"[{part}]" if isinstance(part, int) else (f".{part}" if path else str(part))
        message, hint = item["msg"].removeprefix("Value error, "), None
        if item["type"].endswith("_parsing"):  # `..., unable to parse string as an integer`
            message = message.partition(", ")[0]
        elif item["type"] == "tuple_type":  # of what people write, a tuple is a list
            message = "Input should be a valid list"
        if item["type"] == "extra_forbidden":
            message = "there is no such option"
        elif item["type"] == "missing":
            message = "is required"
        elif item["type"] in ("model_type", "dict_type", "dataclass_type"):
            message = f"has to be a mapping of keys to values, not {shown(item['input'])}"
        elif "input" in item and item["type"] != "value_error":
            message += f", not {shown(item['input'])}"
        if item["type"] == "string_type" and isinstance(item["input"], int | float | date):
            hint = "put it in quotes"
        problems.append(Problem(path or "configuration", message, hint))
    return problems


def shown(value: Any) -> str:
    """A value in a message, at most 60 characters of it."""
    try:
        text = "null" if value is None else str(value) if isinstance(value, date) else repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."
