"""JSON files, written aside and renamed; and JSON with one spelling per value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from salmon_core.data.files import write_text


def write_json(path: Path, values: Any) -> None:
    """The document, sorted and indented."""
    write_text(path, json.dumps(values, indent=1, ensure_ascii=False, sort_keys=True) + "\n")


def read_json(path: Path) -> Any:
    """The document, or None where there is none that can be read (a torn write never replaces a file)."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def canonical(value: Any) -> str:
    """JSON with one spelling per value, for fingerprints."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
