"""`salmon score`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from salmon_core.api.reward import RewardSpec
from salmon_core.cli.patience import patient
from salmon_core.data.files import replacing
from salmon_core.data.rollout_rows import read_rollouts
from salmon_core.data.shown import shown_by
from salmon_core.errors import SalmonError
from salmon_core.kit.commands import announce_file_plugin
from salmon_core.records import Rollout, ShownPrinciple
from salmon_core.reward.elsewhere import count_tokens, draw_for, named_principles
from salmon_core.reward.reward import Reward, policy_codec
from salmon_core.run.run import Run

#: rollouts scored at once
_BATCH = 256


def score_file(
    folder: Path,
    file: Path,
    output: Path | None,
    principles: Sequence[str],
    rollout_index: int,
    explain: bool = False,
    *,
    file_plugins: bool = True,
) -> None:
    """Scores rows of a file with a run's reward."""
    run = Run.open(folder, file_plugins=file_plugins, announce=announce_file_plugin)
    known = run.config.reward_principles.names
    for name in principles:
        if name not in known:
            raise SalmonError(f"the run's reward has no principle {name!r}", hint=f"it has {', '.join(known)}")
    spec = run.reward_spec()
    codec = policy_codec(spec)
    rollouts = []
    named = named_principles(run.config)
    for row in read_rollouts(file):
        if row.principles is None:
            shown = draw_for(run.config, row.prompt, principles)
        else:
            shown = tuple(
                each if isinstance(each, ShownPrinciple) else shown_by(named, each, "column principles")
                for each in row.principles
            )
        counted = count_tokens(codec, row.completion, row.completion_ids) if row.n_tokens is None else row.n_tokens
        rollout = Rollout.from_text(
            row.prompt,
            row.completion,
            n_tokens=counted,
            principles=shown,
            completion_ids=row.completion_ids,
            stopped=row.stopped,
            rollout_index=rollout_index,
        )
        rollouts.append(rollout)
    with patient(run.config, folder):
        if output is None:
            sys.stdout.write("".join(_scored(spec, rollouts, explain)))
            return
        with replacing(output) as aside, aside.open("w", encoding="utf-8", newline="") as lines:  # before any work
            lines.writelines(_scored(spec, rollouts, explain))


def _scored(spec: RewardSpec, rollouts: Sequence[Rollout], explain: bool) -> Iterator[str]:
    """A line of JSON for each."""
    with Reward.from_spec(spec) as reward:
        for start in range(0, len(rollouts), _BATCH):
            batch = rollouts[start : start + _BATCH]
            for rollout, breakdown in zip(batch, reward(batch, range(len(batch)) if explain else ()), strict=True):
                yield json.dumps({"prompt_id": rollout.prompt_id, **asdict(breakdown)}, ensure_ascii=False) + "\n"
