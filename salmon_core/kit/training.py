"""What trainer backends do alike: options of a stage, the environment of processes, results, and documentation.

Options that several backends have stand in `salmon_core.kit.training_options`, what runs in another interpreter in
`salmon_core.kit.foreign`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from salmon_core.api.training import Backend, Job
from salmon_core.data.validation import problems_of
from salmon_core.errors import ConfigError, Problem, StageError
from salmon_core.run import notes, outputs

Options = TypeVar("Options", bound=BaseModel)

#: of every process: no usage reports, no thread pools that fight the trainer's processes, progress as it happens
ENVIRONMENT: Mapping[str, str] = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "PYTHONUNBUFFERED": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class TrainerBackend(Backend):
    """A backend whose options are one pydantic model for each stage and each algorithm.

    Attributes:
        name: for messages.
        stage_options: models of the stages before RL.
        algorithm_options: models of train-policy, by algorithm.
    """

    name: ClassVar[str]
    stage_options: ClassVar[Mapping[str, type[BaseModel]]] = {}
    algorithm_options: ClassVar[Mapping[str, type[BaseModel]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.stages = frozenset({*cls.stage_options, *(["train-policy"] if cls.algorithm_options else [])})
        cls.algorithms = frozenset(cls.algorithm_options)

    def options_for(self, stage: str, algorithm: str | None = None) -> type[BaseModel]:
        """The option model of a stage; in train-policy, of its algorithm.

        Raises:
            ConfigError: the backend has no such stage or algorithm.
        """
        if stage != "train-policy":
            if stage not in self.stage_options:
                raise ConfigError([Problem("stage", f"backend {self.name} has no stage {stage!r}")])
            return self.stage_options[stage]
        if algorithm is None or algorithm not in self.algorithm_options:
            known = ", ".join(sorted(self.algorithm_options))
            hint = f"one of: {known}"
            raise ConfigError([Problem("algorithm", f"backend {self.name} has no {algorithm!r}", hint)])
        return self.algorithm_options[algorithm]

    def short(self, stage: str, algorithm: str | None, options: Mapping[str, Any], processes: int) -> Mapping[str, Any]:
        """The same options for a few steps on a few rows; see `Backend.short`."""
        model = self.options_for(stage, algorithm)
        full = model.model_validate(dict(options))
        values: dict[str, Any] = dict(options)
        known = model.model_fields
        values["per_device_train_batch_size"] = micro = min(2, getattr(full, "per_device_train_batch_size", 2))
        values["total_batch_size"] = total = micro * processes
        for name in ("gradient_accumulation_steps", "save_steps", "eval_steps", "per_device_rollout_batch_size"):
            if name in known:
                values[name] = None
        if "generation_batch_size" in known:
            group = getattr(full, "num_generations", None) or 1
            values["generation_batch_size"] = batch = math.lcm(total, group)
            values["max_steps"] = 2 * (batch // total) * (getattr(full, "num_iterations", None) or 1)
        elif "max_steps" in known:
            values["max_steps"] = 4
        if "num_train_epochs" in known:
            values["num_train_epochs"] = 1
        return {name: value for name, value in values.items() if value is not None}

    def read_options(self, job: Job) -> BaseModel:
        """A job's options, as an instance of their model.

        Raises:
            ConfigError: all that is wrong with them.
        """
        return read_options(job, self.options_for(job.stage, job.algorithm))


def read_options(job: Job, model: type[Options]) -> Options:
    """A job's options, checked.

    Raises:
        ConfigError: all that is wrong with them.
    """
    try:
        return model.model_validate(dict(job.options))
    except ValidationError as error:
        raise ConfigError(problems_of(error, "options")) from None


def read_job(path: Path) -> Job:
    """The job that a plan wrote for its steps.

    Raises:
        StageError: there is none.
    """
    try:
        return Job.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StageError(f"is no job: {error}", where=str(path)) from None


def job_problems(job: Job, gpus: int, on_preferences: Collection[str] = ()) -> Iterator[Problem]:
    """What no trainer can do.

    Args:
        gpus: how many the trained model is to have on this machine, or how many processes train it.
        on_preferences: algorithms that need no reward.
    """
    if job.model.device.startswith("cuda:") and gpus > 1:
        yield Problem("device", f"{job.model.device} is one GPU, but {gpus} are asked for")
    if job.stage == "train-policy" and job.reward is None and job.algorithm not in on_preferences:
        yield Problem("reward", "train-policy needs a reward")


def critic_start(job: Job, critic: str | None) -> Literal["reward", "policy"] | str:
    """Where the critic of PPO starts: `reward`, `policy`, or a model of the user's.

    Args:
        critic: the option; None takes the reward model where there is one.

    Raises:
        ConfigError: the reward model, and there is none.
    """
    model = None if job.reward is None else job.reward.model
    if critic == "reward" and model is None:
        problem = Problem("options.critic", "is `reward`, but the reward has no reward model", "set critic: policy")
        raise ConfigError([problem])
    return critic or ("policy" if model is None else "reward")


def environment(*, threads: int | None = None, device: str = "auto") -> dict[str, str]:
    """Variables of a process that trains or scores.

    Args:
        threads: of the CPU; None leaves it to the libraries.
        device: of a model; `cuda:N` makes that GPU the only one it sees.
    """
    found = dict(ENVIRONMENT)
    if threads is not None:
        found["OMP_NUM_THREADS"] = str(threads)
    if device.startswith("cuda:"):
        found["CUDA_VISIBLE_DEVICES"] = device.removeprefix("cuda:")
    return found


def finite(values: Mapping[str, Any]) -> dict[str, float]:
    """The entries that are finite numbers, as floats."""
    numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}


def read_metrics(folder: Path) -> dict[str, Any]:
    """The numbers that a trainer left in `metrics.json`.

    Raises:
        StageError: there are none, or one is not finite.
    """
    path = folder / "metrics.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StageError("the trainer left no readable metrics", where=str(path), hint=str(error)) from None
    if not isinstance(values, dict):
        raise StageError("is no JSON object", where=str(path))
    check_finite(values, str(folder))
    return values


def check_finite(values: Mapping[str, Any], where: str, prefix: str = "") -> None:
    """
    Raises:
        StageError: a number is not finite, however deep.
    """
    for name, value in values.items():
        if isinstance(value, Mapping):
            check_finite(value, where, f"{prefix}{name}.")
        elif isinstance(value, float) and not math.isfinite(value):
            hint = "training diverged: lower the learning rate"
            raise StageError(f"{prefix}{name} is {value}", where=where, hint=hint)


def leave_note(folder: Path, text: str) -> None:
    """Tells whoever watches the run what a person should know.

    Args:
        folder: the stage's.
    """
    notes.note(folder, text)


def describe_files(folder: Path) -> dict[str, Any]:
    """Size and content of every file below a folder, for `file_faults`; JSON-ready."""
    return outputs.to_json(outputs.described(folder, ("**/*",)))


def file_faults(folder: Path, described: Mapping[str, Any]) -> dict[str, str]:
    """Files that are not as `describe_files` found them, and what became of them."""
    return outputs.faults(folder, outputs.from_json(described), whole=True)


def check_model(folder: Path, files: Iterable[str], patterns: Iterable[str] = ()) -> None:
    """Whether a model's folder is complete.

    Args:
        files: names of what the trainer saved.
        patterns: what every such folder has: weights and a tokenizer, and of these at least one file each.

    Raises:
        StageError: a file is missing.
    """
    for name in files:
        if not (folder / name).is_file():
            raise StageError(f"{name} is missing", where=str(folder), hint="remove the folder, run again")
    for pattern in ("*.safetensors", "tokenizer_config.json", *patterns):
        if not any(folder.glob(pattern)):
            raise StageError(f"no {pattern} was saved", where=str(folder), hint="run the stage again")


def option_table(model: type[BaseModel], beyond: type[BaseModel] | None = None) -> str:
    """A Markdown table: option, default, meaning, and the paper's number where there is one.

    Args:
        beyond: a model whose options are described already; only what differs from it is in the table.
    """
    known = {} if beyond is None else beyond.model_fields
    lines = ["| option | default | meaning |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        other = known.get(name)
        extra = field.json_schema_extra
        own = (field.default, field.description, extra)
        if other is not None and (other.default, other.description, other.json_schema_extra) == own:
            continue
        paper = f" (paper: {_shown(extra['paper'])})" if isinstance(extra, dict) and "paper" in extra else ""
        default = _shown(field.get_default(call_default_factory=True))
        lines.append(f"| `{name}` | `{default}` | {field.description}{paper} |")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def option_blocks(tables: Mapping[str, tuple[type[BaseModel], type[BaseModel] | None]]) -> dict[str, str]:
    """Blocks `options NAME` for `fill_blocks`, of the models and what each goes beyond."""
    return {f"options {name}": option_table(model, beyond) for name, (model, beyond) in tables.items()}


def fill_blocks(text: str, blocks: Mapping[str, str]) -> str:
    """The text with the content of each `<!-- NAME -->` ... `<!-- end -->` made anew; one without an end stays."""
    for name, content in blocks.items():
        start, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, _, rest = text.partition(start)
        _, closed, after = rest.partition(end)
        if closed:
            text = f"{before}{start}{content}\n{end}{after}"
    return text
