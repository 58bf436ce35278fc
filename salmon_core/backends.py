"""Running a backend's plan: files, services, steps, and what comes back."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from salmon_core.components import require
from salmon_core.errors import StageError, boundary
from salmon_core.interfaces import Backend, Event, Job, LaunchPlan, ModelSpec
from salmon_core.launch import Lock, Running, run_step
from salmon_core.resolve import Resolved
from salmon_core.reward import reward_spec
from salmon_core.runs import StageFolder, read_json


def make_job(resolved: Resolved, stage: str, run: Path, policy: ModelSpec, reward: ModelSpec | None) -> Job:
    """The job of a training stage; needs no file of the run to exist."""
    config = resolved.config
    folder = run / stage
    selected, options = resolved.backends[stage]
    data = {"train": str(folder / "data" / "train.parquet")}
    model, algorithm = policy, stage
    if stage == "sft":
        model, algorithm = resolved.models["policy"], "sft"
    elif stage == "train-rm":
        model, algorithm = resolved.models.get("reward-init", policy), "reward"
    else:
        algorithm = config.train.algorithm
        data = {"train": str(folder / "rl_prompts.parquet")}
    launch: dict[str, Any] = config.train.launch.model_dump()
    if launch["accelerate_config"] is not None:
        launch["accelerate_config"] = str((resolved.base / launch["accelerate_config"]).resolve())
    return Job(
        stage=stage,  # type: ignore[arg-type]
        algorithm=algorithm,
        folder=str(folder),
        model=model,
        data=data,
        seed=config.run.seed,
        options=options,
        reward=reward_spec(resolved, reward) if stage == "train-policy" else None,
        launch=launch,
        # A trainer's interpreter is that trainer's: another backend's stages run in this one.
        python=_interpreter(config.train.python, resolved.base) if selected.name == config.train.backend else None,
        run_name=config.run.name,
    )


def _interpreter(python: str | None, base: Path) -> str | None:
    """A path is relative to the configuration; its links stay, since a virtual environment's python is one."""
    if python is None or os.sep not in python:
        return python
    return os.path.abspath(base / Path(python).expanduser())


def backend_of(resolved: Resolved, stage: str) -> tuple[Backend, str]:
    """The backend of a stage and its owner."""
    selected, _ = resolved.backends[stage]
    return require(selected.owned, selected.build(), "plan"), str(selected.owned.owner)


def make_plan(resolved: Resolved, job: Job) -> LaunchPlan:
    """What the backend wants to run."""
    backend, owner = backend_of(resolved, job.stage)
    with boundary(owner, f"backend, plan of {job.stage}"):
        return backend.plan(job)


def rows_needed(resolved: Resolved, job: Job) -> int | None:
    """Prompt rows that an RL job will visit, where its options say so."""
    backend, owner = backend_of(resolved, job.stage)
    with boundary(owner, f"backend, rows of {job.stage}"):
        asked = getattr(backend, "rows_needed", None)
        return asked(job) if asked is not None else None


def train(
    resolved: Resolved, job: Job, stage: StageFolder, lock: Lock, on_event: Callable[[Event], None]
) -> dict[str, Any]:
    """Runs a training stage's plan to its end.

    Returns:
        its metrics.

    Raises:
        StageError: a step or service failed, a file is missing, a metric is not finite.
    """
    backend, owner = backend_of(resolved, job.stage)
    plan = make_plan(resolved, job)
    folder = stage.path
    for name, text in plan.files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    # A resumed training takes back its last lines and writes them again; they were shown before.
    seen = sum(1 for _ in backend.events(folder))
    looked = 0.0

    def watch() -> None:
        nonlocal seen, looked
        if time.monotonic() - looked < 1.0:
            return
        looked = time.monotonic()
        with boundary(owner, f"backend, events of {job.stage}"):
            for number, event in enumerate(backend.events(folder), 1):
                if number > seen:
                    seen = number
                    on_event(event)

    with contextlib.ExitStack() as services:
        running = []
        for service in plan.services:
            ready = folder / "services" / f"{service.name}.json"
            ready.unlink(missing_ok=True)
            ready.parent.mkdir(exist_ok=True)
            process = services.enter_context(
                Running(service.argv, env=service.env, cwd=folder, log=folder / f"{service.name}.log", lock=lock)
            )
            running.append((service.name, process))
            deadline = time.monotonic() + service.ready_timeout
            while not ready.exists():
                _alive(running, folder)
                if time.monotonic() > deadline:
                    raise StageError(
                        f"the service {service.name} was not ready after {service.ready_timeout:.0f} s",
                        where=job.stage,
                        hint=f"see {folder / (service.name + '.log')}",
                    )
                time.sleep(0.1)
        for step in plan.steps:
            run_step(
                f"{job.stage}, step {step.name}",
                step.argv,
                env=step.env,
                cwd=folder,
                lock=lock,
                watch=watch,
                alive=lambda: _alive(running, folder),
                passing=step.passing,
            )
            looked = 0.0
            watch()
    for expected in plan.expects:
        stage.need(expected)
    with boundary(owner, f"backend, finish of {job.stage}"):
        result = backend.finish(job, folder)
    for name, value in result.metrics.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise StageError(f"the metric {name} is {value}", where=job.stage, hint="lower the learning rate?")
    return dict(result.metrics)


def _alive(running: list[tuple[str, Running]], folder: Path) -> None:
    for name, process in running:
        if (code := process.poll()) is not None:
            error = read_json(folder / "error.json") or {}
            message = error.get("message", f"ended with exit code {code}")
            raise StageError(f"the service {name} died: {message}", hint=f"see {folder / (name + '.log')}")
