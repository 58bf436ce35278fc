"""JSON files, written aside and renamed; and JSON with one spelling per value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from salmon_core.data.files import write_text
from salmon_core.data.readers import parse_json


def write_json(path: Path, values: Any) -> None:
    """The document, sorted and indented."""
    write_text(path, json.dumps(values, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def read_json(path: Path) -> Any:
    """The document, or None where there is none that can be read (a torn write never replaces a file).

    One with half of a surrogate pair in a text cannot: nothing could write that text again.
    """
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def canonical(value: Any) -> str:
    """JSON with one spelling per value, for fingerprints."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
