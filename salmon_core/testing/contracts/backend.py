"""What a trainer backend keeps to, as far as no training shows it: options, plans, an empty folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, cast, get_args

import pytest
from pydantic import BaseModel

from salmon_core.api.training import Backend, Job, LaunchPlan, Service, Step, TrainingStage
from salmon_core.errors import ConfigError, SalmonError, boundary
from salmon_core.plugins.options import checked_options, require
from salmon_core.testing.contracts.base import ComponentContract
from salmon_core.testing.contracts.memory import check_memory
from salmon_core.testing.elsewhere import Made
from salmon_core.testing.makers import make_job

STAGES: tuple[TrainingStage, ...] = get_args(TrainingStage)
#: libraries that a plan has no need of
_HEAVY = ("torch", "transformers", "datasets", "trl", "peft", "accelerate", "ray", "vllm", "deepspeed", "jax")
_UNKNOWN = ("no_such_option", "nor_this_one")


@dataclass(frozen=True)
class Task:
    """A stage that the backend trains, and the algorithm where the stage has several."""

    stage: TrainingStage
    algorithm: str | None

    def __str__(self) -> str:
        return self.algorithm or self.stage


class BackendContract(ComponentContract):
    """Plans are pure data: the same for the same job, without GPU, model, trainer or any file of a run.

    Attributes:
        stage_options: by `sft`, `train-rm`, or an algorithm: options that a plan is made with; defaults where left out.
        wrong: by the same: options that cannot work, several at once, each of which the error has to name.
    """

    kind: ClassVar[str] = "backends"
    stage_options: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    wrong: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def job(self, task: Task, options: Mapping[str, Any]) -> Job:
        """The job of a plan; override it for what yours needs, such as an interpreter."""
        return make_job(task.stage, task.algorithm, options=options)

    @property
    def backend(self) -> Backend:
        """The backend, constructed anew."""
        found: Backend = require(self.owned, self.made.build(), "plan")
        return found

    @property
    def tasks(self) -> list[Task]:
        """All that it trains."""
        backend = self.backend
        stages = [stage for stage in STAGES if stage in backend.stages and stage != "train-policy"]
        algorithms = [Task("train-policy", name) for name in sorted(backend.algorithms)]
        return [*(Task(stage, None) for stage in stages), *algorithms]

    def read(self, task: Task, options: Mapping[str, Any]) -> Job:
        """The job with options as a configuration gives them.

        Raises:
            ConfigError: all that is wrong with them.
        """
        model = self.backend.options_for(task.stage, task.algorithm)
        values, _ = checked_options(model, options, f"{task} options", self.base)
        return self.job(task, values)

    def inputs(self) -> tuple[Job, ...]:
        """A job for each task."""
        return tuple(self.read(task, self.stage_options.get(str(task), {})) for task in self.tasks)

    @staticmethod
    def ask(made: Made, inputs: Any) -> list[LaunchPlan]:
        owned = made.registry.owned(made.spec)
        backend = require(owned, made.build(), "plan")
        found = []
        for job in cast(tuple[Job, ...], inputs):
            with boundary(str(owned.owner), f"backend, plan of {job.stage}"):
                plan = backend.plan(job)
            _check(plan, job)
            found.append(plan)
            if callable(asked := getattr(backend, "memory", None)):
                with boundary(str(owned.owner), f"backend, memory of {job.stage}"):
                    check_memory(tuple(asked(job)), f"memory of {job.stage} {job.algorithm}")
        return found

    def test_stages_and_algorithms_are_known(self) -> None:
        backend = self.backend
        assert backend.stages, "trains nothing: `stages` is empty"
        unknown = set(backend.stages) - set(STAGES)
        assert not unknown, f"the stages {sorted(unknown)} do not exist; there are {', '.join(STAGES)}"
        assert ("train-policy" in backend.stages) == bool(backend.algorithms), "`algorithms` are those of train-policy"

    def test_options_of_a_stage_are_checked(self) -> None:
        """By a model of pydantic, which refuses what it does not know, and says all of it at once."""
        for task in self.tasks:
            model = self.backend.options_for(task.stage, task.algorithm)
            assert issubclass(model, BaseModel), f"{task}: the options are no pydantic model"
            json.dumps(model.model_json_schema())
            wrong = {**self.stage_options.get(str(task), {}), **dict.fromkeys(_UNKNOWN, 1)}
            with pytest.raises(ConfigError) as caught:
                checked_options(model, wrong, "options", self.base)
            for name in _UNKNOWN:
                assert name in str(caught.value), f"{task}: the message does not name the unknown option {name!r}"

    def test_what_cannot_work_is_said_at_once(self) -> None:
        """Every mistake in `wrong` is named by one error."""
        for task in self.tasks:
            options = self.wrong.get(str(task))
            if options is None:
                continue
            with pytest.raises(ConfigError) as caught:
                self.backend.plan(self.read(task, options))
            for name in options:
                assert name in str(caught.value), f"{task}: the error does not name {name!r}: {caught.value}"

    def test_plans_need_nothing(self, tmp_path: Path) -> None:
        """In a fresh process and an empty folder: no trainer is imported, no file is read or left."""
        found = self.elsewhere(tmp_path, heavy=_HEAVY)
        assert not found.imported, f"a plan imports {', '.join(found.imported)}"
        assert not any(tmp_path.iterdir()), "a plan leaves files"

    def test_jobs_come_back_from_json(self) -> None:
        for job in self.inputs():
            self.same(Job.from_json(job.to_json()), job, f"the job of {job.stage} read back")

    def test_rows_needed_is_a_number_or_nothing(self) -> None:
        for job in self.inputs():
            asked = getattr(self.backend, "rows_needed", None)
            found = asked(job) if asked is not None and job.stage == "train-policy" else None
            assert found is None or (isinstance(found, int) and found > 0), f"{job.algorithm} needs {found!r} rows"

    def test_nothing_is_logged_before_it_starts(self, tmp_path: Path) -> None:
        assert list(self.backend.steps(tmp_path)) == [], "logs steps of an empty folder"

    def test_an_empty_folder_is_no_result(self, tmp_path: Path) -> None:
        """Exit code 0 alone does not end a stage: a missing model is said."""
        for job in self.inputs():
            with pytest.raises(SalmonError):
                self.backend.finish(job, tmp_path)


def _check(plan: Any, job: Job) -> None:
    where = f"plan of {job.stage} {job.algorithm}"
    assert isinstance(plan, LaunchPlan), f"{where} is a {type(plan).__name__}, not a LaunchPlan"
    json.dumps(asdict(plan), allow_nan=False)
    assert plan.steps, f"{where} has no step"
    assert plan.expects, f"{where} expects no file, so nothing shows that it worked"
    processes: list[Step | Service] = [*plan.steps, *plan.services]
    names = [each.name for each in processes]
    assert len(names) == len(set(names)), f"{where}: two steps or services have one name, of {names}"
    for each in processes:
        assert each.argv, f"{where}: {each.name} runs nothing"
        words = (*each.argv, *each.env, *each.env.values())
        assert all(isinstance(word, str) for word in words), f"{where}: {each.name} has words that are no texts"
    for path in (*plan.files, *plan.expects):
        assert not PurePosixPath(path).is_absolute(), f"{where}: {path} is not in the stage's folder"
        assert ".." not in PurePosixPath(path).parts, f"{where}: {path} is not in the stage's folder"
