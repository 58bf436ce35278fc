"""The backend as the pipeline sees it: plans, events, results. Imports no trainer."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from salmon_core.backend_kit import options_of, read_options
from salmon_core.errors import ConfigError, Problem, StageError
from salmon_core.interfaces import Backend, Event, Job, LaunchPlan, StageResult, Step
from salmon_trl.algorithms import ALGORITHMS
from salmon_trl.events import read_events
from salmon_trl.layout import layout
from salmon_trl.options import LaunchOptions, RewardOptions, SFTOptions, TrainOptions

#: No usage reports, no thread pools fighting the trainer's processes, progress as it happens.
ENVIRONMENT = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONUNBUFFERED": "1",
}


class TRLBackend(Backend):
    """SFT, reward model and policy on TRL."""

    stages = frozenset({"sft", "train-rm", "train-policy"})
    algorithms = frozenset(ALGORITHMS)

    class Options(BaseModel, extra="forbid"):
        """The backend itself has none; a stage's options are `options_for(stage)`."""

    def __init__(self, options: BaseModel | None = None):
        self.options = options

    def options_for(self, stage: str, algorithm: str | None = None) -> type[TrainOptions]:
        """The option model of a stage (and, in train-policy, of an algorithm).

        Raises:
            ConfigError: no such stage or algorithm.
        """
        return options_of(
            "trl",
            stage,
            algorithm or "ppo",
            stages={"sft": SFTOptions, "train-rm": RewardOptions},
            algorithms={name: each.options for name, each in ALGORITHMS.items()},
        )

    def plan(self, job: Job) -> LaunchPlan:
        """One step, run in the stage folder.

        Raises:
            ConfigError: the options cannot work, all reasons at once.
        """
        options, launch = self._validated(job)
        python = job.python or sys.executable
        env = dict(ENVIRONMENT)
        if options.threads:
            env["OMP_NUM_THREADS"] = str(options.threads)
        if job.model.device.startswith("cuda:"):
            env["CUDA_VISIBLE_DEVICES"] = job.model.device.removeprefix("cuda:")
        run = ("-m", "salmon_trl.worker", "job.json")
        if launch.accelerate_config:
            count = ("--num_processes", str(launch.processes)) if launch.processes > 1 else ()
            argv = (python, "-m", "accelerate.commands.launch", "--config_file", launch.accelerate_config, *count, *run)
        elif launch.processes > 1:
            # Not `accelerate launch --cpu`: it silently starts one process.
            workers = ("--standalone", f"--nproc-per-node={launch.processes}")
            argv = (python, "-m", "torch.distributed.run", *workers, *run)
        else:
            argv = (python, *run)
        return LaunchPlan(
            steps=(Step(job.stage, argv, env),),
            files={"job.json": job.to_json()},
            expects=("model", "metrics.json"),
        )

    def _validated(self, job: Job) -> tuple[TrainOptions, LaunchOptions]:
        model = self.options_for(job.stage, job.algorithm if job.stage == "train-policy" else None)
        options, launch = read_options(job, model, LaunchOptions)
        problems: list[Problem] = []
        where = f"{job.stage} options"
        # With accelerate's own file, the number of processes may stand there: the worker checks again.
        if launch.processes > 1 or not launch.accelerate_config:
            problems += [Problem(where, text) for text in layout(options, launch.processes)[1]]
        if job.model.device.startswith("cuda:") and launch.processes > 1:
            problems.append(
                Problem("device", f"{job.model.device} is one GPU, but launch.processes is {launch.processes}")
            )
        if job.stage == "train-policy":
            for name in ALGORITHMS[job.algorithm].ignores:
                if getattr(options, name) is not None:
                    problems.append(Problem(where, f"{name} means nothing to {job.algorithm}", "leave it out"))
            if job.reward is None:
                problems.append(Problem("reward", "train-policy needs a reward"))
        if problems:
            raise ConfigError(problems)
        return options, launch

    def rows_needed(self, job: Job) -> int | None:
        """Prompts of the generated batches that `max_steps` comes to; None without `max_steps`."""
        options, launch = self._validated(job)
        found, _ = layout(options, launch.processes)
        if found is None or options.max_steps is None:
            return None
        return -(-options.max_steps // found.window) * found.prompts

    def events(self, folder: Path) -> Iterator[Event]:
        """The numbers logged so far; a line still being written is left out."""
        for step, values in read_events(folder / "events.jsonl"):
            yield Event(step, values)

    def finish(self, job: Job, folder: Path) -> StageResult:
        """Checks what the worker left.

        Raises:
            StageError: a file is missing, or a number is not finite.
        """
        metrics = _read_json(folder / "metrics.json")
        for name, value in _numbers(metrics):
            if not math.isfinite(value):
                raise StageError(
                    f"{name} is {value}", where=str(folder), hint="training diverged: lower the learning rate"
                )
        for name in metrics.get("files", []):
            if not (folder / "model" / name).is_file():
                raise StageError(f"{name} is missing", where=str(folder / "model"), hint="remove the folder, run again")
        for need in _needed(job, metrics):
            if not any((folder / "model").glob(need)):
                raise StageError(f"no {need} was saved", where=str(folder / "model"), hint="run the stage again")
        return StageResult({name: value for name, value in metrics.items() if name != "files"})


def _needed(job: Job, metrics: Mapping[str, Any]) -> Iterator[str]:
    """Glob patterns of the files that a plain model folder has."""
    yield "*.safetensors"
    yield "tokenizer_config.json"
    yield "adapter_config.json" if metrics.get("adapter") else "config.json"
    if job.stage != "train-rm" and (job.model.fallback_chat_template or metrics.get("chat_template")):
        yield "chat_template.jinja"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise StageError("the trainer left no readable metrics", where=str(path), hint=str(error)) from None
    if not isinstance(values, dict):
        raise StageError("not a JSON object", where=str(path))
    return values


def _numbers(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, float):
            yield prefix + name, value
