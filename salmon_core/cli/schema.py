"""`salmon schema`."""

from __future__ import annotations

import json
from pathlib import Path

from rich.markup import escape

from salmon_core.cli.output import OUT
from salmon_core.config.json_schema import json_schema
from salmon_core.data.files import write_text
from salmon_core.plugins.registry import Registry


def schema_text(registry: Registry) -> str:
    """The schema of a configuration file, as JSON."""
    return json.dumps(json_schema(registry), ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


def print_schema(out: Path | None) -> None:
    """Prints the schema, or writes it to a file."""
    text = schema_text(Registry.discover())
    if out is None:
        print(text, end="")
        return
    write_text(out, text)
    OUT.print(escape(f"written {out}"))
