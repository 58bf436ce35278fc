"""Writes the option tables of `docs/backends/trl.md` from the schema: `python -m salmon_trl.document FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import BaseModel

from salmon_core.backend_kit import fill_blocks, option_table
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


def fill(text: str) -> str:
    """The text with every `<!-- options NAME -->` ... `<!-- end -->` block made anew."""
    return fill_blocks(text, {f"options {name}": option_table(model) for name, model in _TABLES.items()})


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(fill(path.read_text()))
