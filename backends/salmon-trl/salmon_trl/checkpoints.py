"""Which checkpoints can be trusted, and a mixin that marks them so.

transformers writes a checkpoint file by file; a process killed on the way leaves a folder that looks like one. Ours
are complete when `complete.json`, written last and by renaming, is there. It has every file's size and content: of a
checkpoint that was damaged since, the one before it is taken. Two are always kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salmon_core.api import Job
from salmon_core.data.files import write_text
from salmon_core.data.json import read_json
from salmon_core.kit.training import describe_files, file_faults, leave_note
from salmon_trl.steps import STEPS, keep_lines

COMPLETE = "complete.json"

#: parts of a job that do not change what is computed, up to floating-point order
_NEUTRAL = ("resume", "run_name", "python", "launch", "made")


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rsplit("-", 1)[1])


def last_complete(checkpoints: Path) -> Path | None:
    """The newest complete checkpoint."""
    found = [path for path in checkpoints.glob("checkpoint-*") if (path / COMPLETE).is_file()]
    return max(found, key=step_of, default=None)


def _stamp(job: Job) -> str:
    """What was asked for: the job, and what its data files hold."""
    values = {name: value for name, value in json.loads(job.to_json()).items() if name not in _NEUTRAL}
    for role, name in job.data.items():
        with open(name, "rb") as file:
            values[f"sha256 of {role}"] = hashlib.file_digest(file, "sha256").hexdigest()
    return json.dumps(values, sort_keys=True)


def is_finished(job: Job, folder: Path) -> bool:
    """Whether this very job has already left its result."""
    stamp = folder / "checkpoints" / "job.json"
    done = (folder / "model").is_dir() and (folder / "metrics.json").is_file() and stamp.is_file()
    return job.resume and done and all(map(os.path.isfile, job.data.values())) and _read(stamp) == _stamp(job)


def prepare_folder(job: Job, folder: Path, window: int = 1) -> None:
    """Removes what cannot be continued: half-written checkpoints, results of another job, a torn end of a log.

    To be called by one process, before the others look for a checkpoint.

    Args:
        window: optimizer steps per generated batch.
    """
    checkpoints, stamp = folder / "checkpoints", folder / "checkpoints" / "job.json"
    same = stamp.is_file() and _read(stamp) == _stamp(job)
    if not (job.resume and same):
        if job.resume and last_complete(checkpoints) is not None:
            leave_note(folder, f"{stamp} is not of this job, or damaged: training starts from the beginning")
        for name in ("checkpoints", "model", "tb", "start"):
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in (STEPS, "metrics.json"):
            (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "model.tmp", ignore_errors=True)
    checkpoints.mkdir(parents=True, exist_ok=True)
    write_text(stamp, _stamp(job))
    for path in checkpoints.glob("checkpoint-*"):
        if not (path / COMPLETE).is_file():
            shutil.rmtree(path)
    _drop_damaged(folder, checkpoints)
    checkpoint = last_complete(checkpoints)
    step = step_of(checkpoint) if checkpoint else 0
    keep_lines(folder / STEPS, lambda line: line["step"] <= step)
    _drop_rollouts(folder, step // window)


def _drop_damaged(folder: Path, checkpoints: Path) -> None:
    """Until the newest checkpoint is as it was written."""
    while (newest := last_complete(checkpoints)) is not None:
        counters = read_json(newest / COMPLETE)
        found = {COMPLETE: "is damaged"}
        if isinstance(counters, dict) and {"step", "tokens", "files"} <= counters.keys():
            found = file_faults(newest, counters["files"])
        if not found:
            return
        name, fault = next(iter(found.items()))
        shutil.rmtree(newest)
        before = last_complete(checkpoints)
        goes_on = "from the beginning" if before is None else f"from {before.name}"
        leave_note(folder, f"{newest / name} {fault}: training goes on {goes_on}")


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")


def _drop_rollouts(folder: Path, first: int) -> None:
    """Batches that are generated again; there may be fewer processes this time, so not every file would be replaced."""
    from salmon_core.data.rollouts import rollout_files

    for file in rollout_files(folder):
        if int(file.stem.split("-")[1]) >= first:
            file.unlink()


if TYPE_CHECKING:
    from transformers import Trainer as _Base
else:
    _Base = object


class Resumable(_Base):
    """Put before a TRL trainer: marks complete checkpoints, and keeps the counters that TRL forgets."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()  # every process has its random state in the folder
        if self.args.should_save:
            folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"
            counters = {
                "step": self.state.global_step,
                "tokens": getattr(self, "_total_train_tokens", 0),
                "files": describe_files(folder),
            }
            write_text(folder / COMPLETE, json.dumps(counters))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None and hasattr(self, "_total_train_tokens"):
            self._total_train_tokens = json.loads((Path(checkpoint) / COMPLETE).read_text())["tokens"]

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """No card with every checkpoint: it says nothing about this run."""
