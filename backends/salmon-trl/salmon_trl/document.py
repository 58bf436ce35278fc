"""Writes the option tables of `docs/backends/trl.md` from the schema: `python -m salmon_trl.document FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

from salmon_core.kit.training import fill_blocks, option_blocks
from salmon_trl.options import (
    DPOOptions,
    GroupOptions,
    PPOOptions,
    PretrainOptions,
    RewardOptions,
    RolloutOptions,
    RowOptions,
    TrainOptions,
)

_BLOCKS = option_blocks(
    {
        "shared": (TrainOptions, None),
        "rows": (RowOptions, TrainOptions),
        "train-rm": (RewardOptions, RowOptions),
        "pretrain-rm": (PretrainOptions, RewardOptions),
        "train-policy": (RolloutOptions, TrainOptions),
        "ppo": (PPOOptions, RolloutOptions),
        "groups": (GroupOptions, RolloutOptions),
        "dpo": (DPOOptions, RowOptions),
    }
)


def fill(text: str) -> str:
    """The text with every `<!-- options NAME -->` ... `<!-- end -->` block made anew."""
    return fill_blocks(text, _BLOCKS)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(fill(path.read_text()))
