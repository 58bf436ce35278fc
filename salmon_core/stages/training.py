"""What the training stages share: the trainer's job, its plan, and running that plan to its end."""

from __future__ import annotations

import contextlib
import math
import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from salmon_core.api.events import Intervened, Note, RolloutsLogged, StepLogged
from salmon_core.api.memory import ProcessMemory
from salmon_core.api.models import ModelSpec
from salmon_core.api.training import Backend, Job, Launch, LaunchPlan, Leaves, Service, Step
from salmon_core.api.training import TrainingStage as TrainingStageName
from salmon_core.config.run_config import BackendChoice
from salmon_core.data.files import write_text
from salmon_core.data.interventions import STAGE, read_record
from salmon_core.data.json import read_json
from salmon_core.data.rollouts import rollout_files
from salmon_core.errors import ConfigError, PluginError, Problem, StageError, boundary
from salmon_core.plugins.options import require
from salmon_core.plugins.registry import Registry
from salmon_core.run.events import told
from salmon_core.run.identity import uncounted
from salmon_core.run.notes import Notes
from salmon_core.run.outputs import Outputs
from salmon_core.run.processes import Running, run_step
from salmon_core.stages.base import Process, Stage
from salmon_core.stages.sources import Sources

I = TypeVar("I")  # noqa: E741  (the inputs of a stage)
#: seconds between looks at what a trainer has logged
_LOOK = 1.0


@dataclass(frozen=True)
class TrainerSetup:
    """Who trains, and how its processes start.

    Attributes:
        python: the trainer's interpreter; None means the running one.
    """

    backend: BackendChoice
    launch: Launch
    python: str | None = uncounted()
    run_name: str = uncounted()

    def job(
        self,
        stage: TrainingStageName,
        algorithm: str,
        folder: Path,
        data: str,
        *,
        model: ModelSpec,
        seed: int,
        **more: Any,
    ) -> Job:
        """What the trainer is asked.

        Args:
            data: the rows, a file in the stage's folder.
            more: further fields of `Job`.
        """
        return Job(
            stage=stage,
            algorithm=algorithm,
            folder=str(folder),
            model=model,
            data={"train": str(folder / data)},
            seed=seed,
            options=self.backend.options,
            launch=self.launch,
            python=self.python,
            run_name=self.run_name,
            **more,
        )


def trainer_setup(sources: Sources, stage: str) -> TrainerSetup:
    """As configured. `train.python` is the interpreter of the RL trainer: another backend's stages run in this one."""
    config = sources.config
    choice = config.backends[stage]
    rl = config.backends.get("train-policy")
    same = rl is not None and rl.component == choice.component
    return TrainerSetup(choice, config.launch, config.python if same else None, config.config.run.name)


class TrainingStage(Stage[I]):
    """Prepares the trainer's data in a process of our own, then runs the plan of a backend.

    Attributes:
        prepared: the trainer's data, which the stage's own work leaves.
        beside: files of that work which the model's folder gets too, such as its card.
    """

    prepared: ClassVar[str]
    beside: ClassVar[tuple[str, ...]] = ()
    records = ("rollouts/*.parquet", "by_principle/*.json", "steps.jsonl")

    def worked(self, inputs: I) -> tuple[str, ...]:
        return (self.prepared, *self.beside)

    def unit(self, name: str) -> str:
        """A model is saved as a whole."""
        kept = name in [f"model/{Path(file).name}" for file in self.beside]
        return "model" if name.startswith("model/") and not kept else name

    @abstractmethod
    def setup(self, inputs: I) -> TrainerSetup:
        """Who trains."""

    @abstractmethod
    def job(self, inputs: I, folder: Path) -> Job:
        """What the trainer is asked; needs no file of the run to exist."""

    def plan(self, inputs: I, folder: Path, registry: Registry) -> LaunchPlan:
        """What the backend wants to run.

        Raises:
            ConfigError: the options cannot work, all reasons at once.
        """
        return Trainer(registry, self.setup(inputs), self.job(inputs, folder)).plan()

    def execute(self, inputs: I, process: Process) -> Mapping[str, Any]:
        done = Outputs(process.folder.path)
        if not all(done.has(process.folder.path / name) for name in self.worked(inputs)):
            process.worker(self.name)
        process.workers.close()
        registry = process.run.config.registry
        metrics = Trainer(registry, self.setup(inputs), self.job(inputs, process.folder.path)).run(process)
        for file in self.beside:
            own = process.folder.path / file
            write_text(process.folder.path / "model" / own.name, own.read_text(encoding="utf-8"))
        return metrics


class Trainer:
    """A backend with a job."""

    def __init__(self, registry: Registry, setup: TrainerSetup, job: Job):
        spec = setup.backend.component
        self._owner, self.job = spec.owner, job
        self._backend: Backend = require(registry.owned(spec), registry.build(spec), "plan")

    def plan(self) -> LaunchPlan:
        """See `Backend.plan`."""
        if self.job.python is not None and not getattr(self._backend, "uses_python", False):
            hint = "leave it out, and install the trainer beside salmon-core"
            raise ConfigError([Problem("python", "this backend trains in salmon's own interpreter", hint)])
        what = f"backend, plan of {self.job.stage}"
        with boundary(self._owner, what):
            plan = self._backend.plan(self.job)
            if fault := _fault(plan):
                raise PluginError(self._owner, fault, what=what)
        return plan

    def check(self) -> None:
        """See `Backend.check`.

        Raises:
            ConfigError: what the trainer would refuse.
        """
        with boundary(self._owner, f"backend, check of {self.job.stage}"):
            asked = getattr(self._backend, "check", None)
            if asked is not None:
                asked(self.job)

    def leaves(self) -> Leaves:
        """See `Backend.leaves`."""
        with boundary(self._owner, f"backend, leaves of {self.job.stage}"):
            asked = getattr(self._backend, "leaves", None)
            found: Leaves = asked(self.job) if asked is not None else Leaves()
            return found

    def memory(self) -> tuple[ProcessMemory, ...]:
        """See `Backend.memory`.

        Raises:
            PluginError: the backend failed, or what it says is no `ProcessMemory`.
        """
        what = f"backend, memory of {self.job.stage}"
        with boundary(self._owner, what):
            asked = getattr(self._backend, "memory", None)
            found = tuple(asked(self.job)) if asked is not None else ()
            if wrong := [each for each in found if not isinstance(each, ProcessMemory)]:
                message = f"has a {type(wrong[0]).__name__} for a salmon_core.api.ProcessMemory"
                raise PluginError(self._owner, message, what=what)
        return found

    def rows_needed(self) -> int | None:
        """See `Backend.rows_needed`."""
        with boundary(self._owner, f"backend, rows of {self.job.stage}"):
            asked = getattr(self._backend, "rows_needed", None)
            return asked(self.job) if asked is not None else None

    def run(self, process: Process) -> dict[str, Any]:
        """Runs the plan to its end.

        Returns:
            its metrics.

        Raises:
            StageError: a step or service failed, a file is missing, a metric is not finite.
        """
        plan, folder = self.plan(), process.folder.path
        for name, text in plan.files.items():
            write_text(folder / name, text)
        watch = _Watch(self._backend, self._owner, self.job.stage, process)
        with contextlib.ExitStack() as services:
            running: list[tuple[str, Running]] = []
            for service in plan.services:
                running.append((service.name, self._start(service, process, services, running)))
            for step in plan.steps:
                self._step(step, process, watch, running)
        for expected in plan.expects:
            if not (folder / expected).exists():
                raise StageError(
                    f"the trainer ended with exit code 0 and left no {expected}",
                    where=self.job.stage,
                    hint=f"something ended its process before its work was done; see {folder / 'log.txt'}",
                )
        what = f"backend, finish of {self.job.stage}"
        with boundary(self._owner, what):
            metrics = dict(self._backend.finish(self.job, folder).metrics)
        for name, value in metrics.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise StageError(f"the metric {name} is {value}", where=self.job.stage, hint="lower the learning rate?")
        return metrics

    def _start(
        self,
        service: Service,
        process: Process,
        services: contextlib.ExitStack,
        running: list[tuple[str, Running]],
    ) -> Running:
        """Starts a service and waits until it is ready."""
        folder = process.folder.path
        ready = folder / "services" / f"{service.name}.json"
        ready.unlink(missing_ok=True)
        ready.parent.mkdir(exist_ok=True)
        log = folder / f"{service.name}.log"
        started = services.enter_context(Running(service.argv, env=service.env, cwd=folder, log=log, lock=process.lock))
        deadline = time.monotonic() + service.ready_timeout
        while not ready.exists():
            _check_alive([*running, (service.name, started)], folder)
            if time.monotonic() > deadline:
                raise StageError(
                    f"the service {service.name} was not ready after {service.ready_timeout:.0f} s",
                    where=self.job.stage,
                    hint=f"see {log}",
                )
            time.sleep(0.1)
        return started

    def _step(self, step: Step, process: Process, watch: _Watch, running: list[tuple[str, Running]]) -> None:
        folder = process.folder.path
        run_step(
            f"{self.job.stage}, step {step.name}",
            step.argv,
            env=step.env,
            cwd=folder,
            lock=process.lock,
            watch=watch,
            alive=lambda: _check_alive(running, folder),
            retry_on=step.retry_on,
        )
        watch.now()


def _fault(plan: Any) -> str | None:
    """What is wrong with a backend's plan; None where nothing is."""
    if not isinstance(plan, LaunchPlan):
        return f"gave a {type(plan).__name__}, not a salmon_core.api.LaunchPlan"
    for process in (*plan.steps, *plan.services):
        if not isinstance(process, Step | Service):
            return f"has a {type(process).__name__} for a Step"
        texts = (*process.argv, *process.env, *process.env.values())
        if not process.argv or not all(isinstance(text, str) for text in texts):
            return f"{process.name!r} has an argv or env that is not all text"
    if not all(isinstance(text, str) for pair in plan.files.items() for text in pair):
        return "has a file that is no text"
    return None


class _Watch:
    """Tells of what a trainer logs while it runs, and of what one that was killed logged and nobody told of."""

    def __init__(self, backend: Backend, owner: str, stage: str, process: Process):
        self._backend, self._owner, self._stage, self._process = backend, owner, stage, process
        self._folder = process.folder.path
        self._notes = Notes(self._folder)
        before = told(process.run.path, stage)
        self._steps = sum(event["event"] == "StepLogged" for event in before)
        self._steered = sum(event["event"] == "Intervened" for event in before)
        # Modified before it was told of: the same batch. Later: generated again.
        times = {event["file"]: event["time"] for event in before if event["event"] == "RolloutsLogged"}
        self._files = {file: changed for file, changed in self._written() if changed <= times.get(str(file), 0.0) * 1e9}
        self._looked = 0.0

    def __call__(self) -> None:
        self._process.tick()
        if time.monotonic() - self._looked >= _LOOK:
            self.now()

    def now(self) -> None:
        """Looks, and tells of what is new."""
        self._looked = time.monotonic()
        for text in self._notes.new():
            self._process.emit(Note, text=f"{self._stage}: {text}")
        # A resumed training takes back its last lines and writes them again; they were told before.
        with boundary(self._owner, f"backend, steps of {self._stage}"):
            for number, logged in enumerate(self._backend.steps(self._folder), 1):
                if number > self._steps:
                    self._steps = number
                    values = dict(logged.values)
                    self._process.emit(
                        StepLogged, stage=self._stage, step=logged.step, values=values, total=logged.total
                    )
        self._interventions()
        import pyarrow.parquet as pq

        for file, changed in self._written():
            if self._files.get(file) != changed:
                self._files[file] = changed
                self._process.emit(
                    RolloutsLogged,
                    stage=self._stage,
                    rollout_index=int(file.stem.split("-")[1]),
                    file=str(file),
                    count=pq.read_metadata(file).num_rows,
                )

    def _interventions(self) -> None:
        if self._stage != STAGE or not self._process.run.record.exists():
            return
        for each in read_record(self._process.run.record)[self._steered :]:
            self._steered = each.id
            self._process.emit(
                Intervened,
                stage=self._stage,
                id=each.id,
                rollout_index=each.from_rollout,
                text=each.words,
                who=each.who,
                reason=each.reason,
            )

    def _written(self) -> list[tuple[Path, int]]:
        return [(file, file.stat().st_mtime_ns) for file in rollout_files(self._folder)]


def _check_alive(running: list[tuple[str, Running]], folder: Path) -> None:
    for name, process in running:
        if (code := process.poll()) is not None:
            error = read_json(folder / "error.json") or {}
            message = error.get("message", f"ended with exit code {code}")
            raise StageError(f"the service {name} died: {message}", hint=f"see {folder / (name + '.log')}")
