"""The process that trains: `python -m salmon_trl.worker job.json`, run in the stage folder.

The same command run again continues from the last complete checkpoint, or does nothing if the result is there.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from salmon_core.api import Job
from salmon_core.errors import PluginError, SalmonError, StageError
from salmon_core.kit.foreign import leave_error
from salmon_core.kit.training import read_job
from salmon_core.run.watch import watched
from salmon_trl.algorithms import ON_PREFERENCES
from salmon_trl.backend import TRLBackend
from salmon_trl.checkpoints import is_finished


def main(argv: list[str]) -> int:
    """-> exit code; an error is one line on stderr, and `error.json` for the pipeline."""
    path = Path(argv[0] if argv else "job.json").resolve()
    folder = path.parent
    first = os.environ.get("RANK", "0") == "0"
    if first:
        (folder / "error.json").unlink(missing_ok=True)
    try:
        job = read_job(path)
        if is_finished(job, folder):
            return 0
        options = TRLBackend().options_of(job)
        _one_gpu()
        train = _trainer(job)
        with _OutOfMemoryNamed(), watched(lambda error: _left(folder, error)):
            train(job, options, folder)
        leave_group()
    except SalmonError as error:
        if isinstance(error, PluginError) and error.__cause__ is not None:
            traceback.print_exception(error.__cause__)  # into the log, for the plugin's author
        return _failed(folder, error)
    except Exception as error:
        traceback.print_exc()
        return _failed(folder, StageError(f"{type(error).__name__}: {error}", hint="the trace is in the log above"))
    return 0


def _trainer(job: Job) -> Callable[[Job, Any, Path], None]:
    """What trains a job's stage, given the job, its options and its folder."""
    try:
        import trl  # noqa: F401

        _quiet()
        if job.stage == "sft":
            from salmon_trl.sft import train_sft

            return train_sft
        if job.algorithm == "reward":
            from salmon_trl.reward_model import train_reward_model

            return train_reward_model
        if job.algorithm in ON_PREFERENCES:
            from salmon_trl.dpo import train_dpo

            return train_dpo
        from salmon_trl.policy import train_policy

        return train_policy
    except ImportError as error:
        raise StageError(
            f"cannot import the trainer: {error}",
            where=sys.executable,
            hint='install it there: pip install "salmon-trl[train]"',
        ) from error


def _one_gpu() -> None:
    """A process started alone uses one GPU; several processes are the launcher's business."""
    if "WORLD_SIZE" not in os.environ:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[0]


def _quiet() -> None:
    """No progress bars: the recorder writes one line per log. No notes for TRL's authors either."""
    import warnings

    import datasets
    from transformers.utils import logging

    warnings.filterwarnings("ignore", category=FutureWarning)
    datasets.disable_progress_bars()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]


class _OutOfMemoryNamed:
    """Turns a GPU out-of-memory error into one that says what to change."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        import torch

        if isinstance(error, torch.OutOfMemoryError):
            hint = "lower per_device_train_batch_size, or set gradient_checkpointing: true or lora"
            raise StageError("the GPU is out of memory", hint=hint) from error


def leave_group() -> None:
    """Ends the group of processes while Python still runs.

    Gloo's threads keep tensors of their last exchanges. Left to the interpreter's own end, they can abort a process
    whose work is done and saved.
    """
    import gc

    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        gc.collect()  # what is left of the trainer refers to the group too
        dist.destroy_process_group()


def _left(folder: Path, error: SalmonError) -> None:
    print(f"error: {error}", file=sys.stderr, flush=True)
    leave_error(folder, error.message, where=error.where, hint=error.hint)


def _failed(folder: Path, error: SalmonError) -> int:
    _left(folder, error)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
