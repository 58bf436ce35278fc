"""The backend as the pipeline sees it: plans, logged steps, results. Imports no trainer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from salmon_core.api import Job, LaunchPlan, LoggedStep, ProcessMemory, Service, StageResult, Step
from salmon_core.data.principle_means import principle_means
from salmon_core.errors import ConfigError, Problem, StageError
from salmon_core.kit import foreign
from salmon_core.kit.training import (
    TrainerBackend,
    check_finite,
    check_model,
    environment,
    finite,
    job_problems,
    read_metrics,
)
from salmon_openrlhf.algorithms import ALGORITHMS, ON_PREFERENCES
from salmon_openrlhf.command import (
    OUTSIDE,
    agent_json,
    critic_of,
    merging,
    program_of,
    row_problems,
    start_of,
    training,
)
from salmon_openrlhf.layout import Layout, layout
from salmon_openrlhf.memory import memory_of
from salmon_openrlhf.options import PolicyOptions, PretrainOptions, RewardOptions, RowOptions, SFTOptions, TrainOptions
from salmon_openrlhf.scalars import read_scalars

#: of OpenRLHF's own processes, beside what every trainer has: no usage reports of its parts either
_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "VLLM_NO_USAGE_STATS": "1", "WANDB_MODE": "disabled"}
SERVICE = "reward"
#: of OpenRLHF, whose flags the plan knows
VERSION = "0.11."
#: OpenRLHF's actors look for a free port and open it seconds later, when another process may have taken it
PORT_TAKEN = ("EADDRINUSE",)


class OpenRLHFBackend(TrainerBackend):
    """SFT, reward model and policy on OpenRLHF."""

    name = "openrlhf"
    uses_python = True
    stage_options = {"sft": SFTOptions, "pretrain-rm": PretrainOptions, "train-rm": RewardOptions}  # noqa: RUF012
    algorithm_options = {**{name: each.options for name, each in ALGORITHMS.items()}, **ON_PREFERENCES}  # noqa: RUF012
    on_preferences = frozenset(ON_PREFERENCES)

    def plan(self, job: Job) -> LaunchPlan:
        """Prepare, train, export; in RL beside the reward server.

        Raises:
            ConfigError: the options cannot work, all reasons at once.
        """
        options, found = self._validated(job)
        python = job.python or sys.executable
        train, problems = training(job, options, found, python)
        if problems:
            raise ConfigError(problems)
        env = _environment(job, options)
        files = {"job.json": job.to_json(), "outside.json": _outside(job, options), **foreign.copy()}
        services: tuple[Service, ...] = ()
        if isinstance(options, PolicyOptions):
            files["agent.json"] = agent_json(options, found)
            services = (_service(job, options),)
        steps = [Step("prepare", (python, str(OUTSIDE / "prepare.py")), env), Step(job.stage, train, env, PORT_TAKEN)]
        if options.lora is not None:
            steps.append(Step("merge", merging(job, python), env))
        steps.append(Step("export", (python, str(OUTSIDE / "export.py")), env))
        return LaunchPlan(tuple(steps), services, files, ("model", "metrics.json"))

    def _validated(self, job: Job) -> tuple[TrainOptions, Layout]:
        options, launch = self.read_options(job), job.launch
        assert isinstance(options, TrainOptions)
        where = f"{job.stage} options"
        found, impossible = layout(options, launch.processes)
        problems = [Problem(where, text) for text in [*impossible, *row_problems(job, options)]]
        if launch.accelerate_config is not None:
            problems.append(
                Problem("launch.accelerate_config", "OpenRLHF is not started by accelerate", "leave it out")
            )
        problems += [*_model_problems(job), *job_problems(job, found.gpus, ON_PREFERENCES)]
        if (
            isinstance(options, PolicyOptions)
            and options.reward_gpu is not None
            and job.model.device.startswith("cuda:")
        ):
            problems.append(Problem("options.reward_gpu", f"and `device` both name a GPU: {job.model.device}"))
        if problems:
            raise ConfigError(problems)
        return options, found

    def check(self, job: Job) -> None:
        """Whether the interpreter that would train has the OpenRLHF whose flags the plan knows.

        Raises:
            ConfigError: it has not.
        """
        self.plan(job)
        python = job.python or sys.executable
        code = "from importlib import metadata; print(metadata.version('openrlhf'))"
        try:
            done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        except OSError as error:
            raise ConfigError([Problem("train.python", f"{python} cannot be started: {error.strerror}")]) from None
        if done.returncode:
            hint = "set train.python to the one that has it"
            raise ConfigError([Problem("train.python", f"there is no OpenRLHF in {python}", hint)])
        if not done.stdout.startswith(VERSION):
            message = f"OpenRLHF {done.stdout.strip()} in {python} is not {VERSION}x, whose flags salmon knows"
            raise ConfigError([Problem("train.python", message)])

    def memory(self, job: Job) -> tuple[ProcessMemory, ...]:
        """See `salmon_openrlhf.memory`."""
        options = self.read_options(job)
        assert isinstance(options, TrainOptions)
        return memory_of(job, options, layout(options, job.launch.processes)[0])

    def rows_needed(self, job: Job) -> int | None:
        """Prompts of the generated batches that `max_steps` comes to; None without `max_steps`."""
        options, _ = self._validated(job)
        if not isinstance(options, PolicyOptions) or options.max_steps is None:
            return None
        return options.max_steps // options.window * options.prompts

    def steps(self, folder: Path) -> Iterator[LoggedStep]:
        """The numbers in TensorBoard's files so far; a record still being written is left out.

        OpenRLHF averages what every sample has; what some principles gave some of them is known by the reward server.
        """
        for step, values in read_scalars(folder / "tb"):
            means = principle_means(folder, step - 1)  # a step is what is made of one generated batch
            yield LoggedStep(step, finite(values | {f"reward/principle/{name}": mean for name, mean in means.items()}))

    def finish(self, job: Job, folder: Path) -> StageResult:
        """Checks what the steps left.

        Raises:
            StageError: a file is missing, or a number is not finite.
        """
        metrics = read_metrics(folder)
        last: Mapping[str, float] = {}
        steps = 0
        for step, values in read_scalars(folder / "tb"):
            check_finite(values, f"step {step} of {folder}")
            steps, last = step, values
        if not last:
            raise StageError("the trainer logged nothing", where=str(folder / "tb"), hint="see log.txt")
        check_model(folder / "model", metrics.pop("files", []), ["config.json"])
        return StageResult({"steps": steps, **metrics, "final": dict(last)})


def _environment(job: Job, options: TrainOptions) -> dict[str, str]:
    env = {**environment(threads=options.threads, device=job.model.device), **_ENVIRONMENT}
    if isinstance(options, PolicyOptions):
        if options.ray_address is not None:
            env["RAY_ADDRESS"] = options.ray_address  # which GPUs that Ray has was said when it was started
        elif options.reward_gpu is not None:
            env["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(options.reward_gpu)))
    return env


def _service(job: Job, options: PolicyOptions) -> Service:
    env = environment(threads=options.threads)
    if options.reward_gpu is not None:
        env["CUDA_VISIBLE_DEVICES"] = str(options.reward_gpu)
    host = ("--host", options.reward_host) if options.reward_host is not None else ()
    argv = (sys.executable, "-m", "salmon_serve", "job.json", *host)
    return Service(SERVICE, argv, env, ready_timeout=options.reward_ready_timeout)


def _outside(job: Job, options: TrainOptions) -> str:
    """What `prepare` and `export` need: they know no salmon."""
    values: dict[str, Any] = {
        "stage": job.stage,
        "program": program_of(job),
        "algorithm": job.algorithm,
        "model": {"path": job.model.path, "adapter": job.model.adapter, "start": start_of(job)},
        "models": [job.model.path],
        "data": dict(job.data),
        "resume": job.resume,
        "chat_template": job.model.fallback_chat_template,
        "batch": options.total_batch_size,
        "openrlhf": VERSION,
    }
    if isinstance(options, RowOptions):
        values["max_length"] = options.max_length
        values["trained"] = "output" if options.lora is None else "merged"
    if isinstance(options, PolicyOptions):
        critic = critic_of(job, options)
        values |= {
            "max_length": options.max_prompt_length,
            "longest": options.max_prompt_length + options.max_completion_length,
            "prompts": options.prompts,
            "rollouts": None if options.max_steps is None else options.max_steps // options.window,
            "critic": critic is not None,
            "trained": "output",
        }
        if critic is not None and critic != start_of(job):
            values["models"] = [*values["models"], critic]
    return json.dumps(values, indent=1, sort_keys=True)


def _model_problems(job: Job) -> Iterator[Problem]:
    if job.model.trust_remote_code:
        yield Problem(
            "trust_remote_code",
            "OpenRLHF runs whatever code a model brings along, always and unasked, so such a model is refused",
            "convert it to an architecture that transformers has, or train it with backend trl",
        )
    if job.model.device == "cpu":
        yield Problem("device", "OpenRLHF trains on GPUs", "leave `device` out, or use backend trl")
    if program_of(job) == "train_ppo_ray" and job.model.dtype == "float16":
        yield Problem("dtype", "OpenRLHF's vLLM runs in bfloat16, so the policy cannot be float16", "use bfloat16")
