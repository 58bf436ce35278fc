"""Where a trainer's numbers go: `steps.jsonl`, TensorBoard, one line of progress."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from salmon_core.errors import StageError
from salmon_core.kit.training import finite
from salmon_trl.steps import STEPS, append_line

#: TRL's statistics of our reward function, which `reward` and `reward_std` say already; and an evaluation's speed
_LEFT_OUT = ("rewards/salmon/", "eval_runtime", "eval_samples_per", "eval_steps_per", "eval_num_tokens")

#: shown in the progress line where present: name -> short name
_SHOWN = {
    "loss": "loss",
    "reward": "reward",
    "kl": "kl",
    "accuracy": "accuracy",
    "completions/mean_length": "length",
    "eval_loss": "eval loss",
    "eval_accuracy": "eval accuracy",
}


class Recorder(TrainerCallback):
    """Writes what the trainer logs; the main process only.

    Args:
        folder: the stage's folder.
        tensorboard: also write scalars to `tb/`, if tensorboard is installed.
        start: the step a resumed run continues from.
    """

    def __init__(self, folder: Path, *, tensorboard: bool, start: int):
        self.path = folder / STEPS
        self._writer = _scalars(folder / "tb", start) if tensorboard else None
        self._since = time.perf_counter()
        self._at = start

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._since, self._at = time.perf_counter(), state.global_step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step >= state.max_steps:  # the end is always on record
            control.should_log = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        logs = logs or {}
        if not state.is_world_process_zero or "train_runtime" in logs:  # the summary repeats the last step
            return
        step = state.global_step
        for name in ("loss", "eval_loss"):
            if name in logs and not math.isfinite(logs[name]):
                raise StageError(f"{name} is {logs[name]} at step {step}", hint="lower the learning rate")
        values = {name: value for name, value in finite(logs).items() if not name.startswith(_LEFT_OUT)}
        append_line(self.path, {"step": step, "of": state.max_steps, "values": values})
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)
        self._show(step, state.max_steps, values)

    def _show(self, step: int, steps: int, values: dict[str, float]) -> None:
        now = time.perf_counter()
        parts = [f"step {step}/{steps}"]
        parts += [f"{short} {values[name]:.4g}" for name, short in _SHOWN.items() if name in values]
        if step > self._at:
            parts.append(f"{(now - self._since) / (step - self._at):.3g} s/step")
            self._since, self._at = now, step
        print("  ".join(parts), file=sys.stderr, flush=True)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._writer is not None:
            self._writer.flush()


def _scalars(folder: Path, start: int) -> Any:
    """A TensorBoard writer that hides the steps a killed run wrote beyond its checkpoint, or None."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=start + 1 if start else None)
