"""Writes the option tables of `docs/backends/trl.md` from the schema: `python -m salmon_trl.document FILE`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from pydantic import BaseModel

from salmon_trl.options import (
    GroupOptions,
    PPOOptions,
    RewardOptions,
    RolloutOptions,
    RowOptions,
    TrainOptions,
)

_TABLES: dict[str, type[BaseModel]] = {
    "shared": TrainOptions,
    "rows": RowOptions,
    "train-rm": RewardOptions,
    "train-policy": RolloutOptions,
    "ppo": PPOOptions,
    "groups": GroupOptions,
}


def table(model: type[BaseModel]) -> str:
    """A Markdown table: name, default, meaning. Only what differs from the class above."""
    lines = ["| option | default | meaning |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        inherited = getattr(model.__mro__[1], "model_fields", {}).get(name)
        if inherited is None or inherited.default != field.default:
            default = field.get_default(call_default_factory=True)
            shown = "null" if default is None else str(default).lower() if isinstance(default, bool) else default
            lines.append(f"| `{name}` | `{shown}` | {field.description} |")
    return "\n".join(lines)


def fill(text: str) -> str:
    """The text with every `<!-- options NAME -->` ... `<!-- end -->` block made anew."""
    for name, model in _TABLES.items():
        block = f"<!-- options {name} -->\n{table(model)}\n<!-- end -->"
        text = re.sub(rf"<!-- options {name} -->.*?<!-- end -->", lambda _: block, text, flags=re.DOTALL)  # noqa: B023
    return text


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(fill(path.read_text()))
