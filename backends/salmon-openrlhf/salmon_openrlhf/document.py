"""Writes the tables of `docs/backends/openrlhf.md` from the code: `python -m salmon_openrlhf.document FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

from salmon_core.kit.training import fill_blocks, option_blocks
from salmon_openrlhf.algorithms import ALGORITHMS
from salmon_openrlhf.flags import REFUSED
from salmon_openrlhf.options import (
    DPOOptions,
    GroupOptions,
    PolicyOptions,
    PPOOptions,
    PretrainOptions,
    ReinforceOptions,
    RewardOptions,
    RowOptions,
    TrainOptions,
)

_BLOCKS = option_blocks(
    {
        "shared": (TrainOptions, None),
        "rows": (RowOptions, TrainOptions),
        "train-rm": (RewardOptions, RowOptions),
        "pretrain-rm": (PretrainOptions, RewardOptions),
        "train-policy": (PolicyOptions, TrainOptions),
        "reinforce": (ReinforceOptions, PolicyOptions),
        "group": (GroupOptions, ReinforceOptions),
        "ppo": (PPOOptions, PolicyOptions),
        "dpo": (DPOOptions, RowOptions),
    }
)


def algorithms() -> str:
    """What each algorithm becomes."""
    lines = [
        "| algorithm | `--algo.advantage.estimator` | KL | completions per prompt | critic |",
        "|---|---|---|---|---|",
    ]
    for name, each in ALGORITHMS.items():
        kl = f"in the loss, {each.kl_loss}" if each.kl_loss else "in the reward, k1"
        count = each.options.model_fields["num_generations"].default
        lines.append(f"| `{name}` | `{each.estimator}` | {kl} | {count} | {'yes' if each.critic else 'no'} |")
    return "\n".join(lines)


def refused() -> str:
    """Flags that `extra` does not take, by reason."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in REFUSED.items():
        by_reason.setdefault(reason, []).append(f"`{name}`")
    lines = ["| flag | why not |", "|---|---|"]
    return "\n".join([*lines, *(f"| {', '.join(names)} | {reason} |" for reason, names in by_reason.items())])


def fill(text: str) -> str:
    """The text with every `<!-- options NAME -->` ... `<!-- end -->` block made anew."""
    return fill_blocks(text, {**_BLOCKS, "algorithms": algorithms(), "refused": refused()})


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(fill(path.read_text()))
