"""Trainer backends: what they are asked, what they plan, what comes back."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from salmon_core.api.memory import ProcessMemory
from salmon_core.api.models import ModelSpec
from salmon_core.api.reward import RewardSpec

if TYPE_CHECKING:
    from pydantic import BaseModel


#: stages that a backend trains
TrainingStage = Literal["sft", "pretrain-rm", "train-rm", "train-policy"]


@dataclass(frozen=True, slots=True)
class Launch:
    """How a trainer's processes start.

    Attributes:
        processes: on this machine.
        accelerate_config: absolute path of a file of `accelerate config`, or None.
    """

    processes: int = 1
    accelerate_config: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """All that a backend needs to know of a training stage; JSON by `to_json`, read back by the step.

    Attributes:
        algorithm: of train-policy; `sft` or `reward` (pretrain-rm, train-rm) otherwise.
        folder: the stage's folder, absolute; the result goes to `folder/model`.
        model: to start from.
        data: absolute paths of Parquet files by role: `train`, and `test` where there is one. Columns: sft
            `prompt, completion`; pretrain-rm and train-rm `chosen, rejected, margin` (texts final: EOS at the end,
            nothing to add or cut; where the options set `lm_loss_coef`, also `answer_start, answer_end`: where in the
            chosen text its answer stands, in characters); train-policy as `salmon_core.records.RL_COLUMNS` (`prompt` is
            the rendered text, final as well), and `prompt, chosen, rejected, margin` (final) where the algorithm is one
            of `Backend.on_preferences`.
        reward: train-policy only, and not where the algorithm is one of `Backend.on_preferences`.
        options: the backend's own, validated.
        python: interpreter for the steps; None means the running one.
        resume: whether a checkpoint of the same job may lie in `folder`.
        made: by role (`policy`, `reward`; `start`: the reward model of pretrain-rm that train-rm goes on from, head and
            all), what an earlier stage of the same run will have left there.
    """

    stage: TrainingStage
    algorithm: str
    folder: str
    model: ModelSpec
    data: Mapping[str, str]
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)
    reward: RewardSpec | None = None
    launch: Launch = Launch()
    python: str | None = None
    run_name: str = ""
    resume: bool = True
    made: Mapping[str, Leaves] = field(default_factory=dict)

    def to_json(self) -> str:
        """As a text that `from_json` reads."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Job:
        """
        Raises:
            ValueError: it is none.
        """
        from pydantic import TypeAdapter

        return TypeAdapter(cls).validate_json(text)


@dataclass(frozen=True, slots=True)
class Leaves:
    """What a training stage will leave, as far as a later stage's trainer has to know before either runs.

    Attributes:
        adapter: an adapter alone, not a whole model.
        base: the model it belongs to.
        shape: of the adapter, in words of the backend's own: only one of the same shape can go on from it.
    """

    adapter: bool = False
    base: str = ""
    shape: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One process to run to its end. Exit code 0 means success.

    Attributes:
        retry_on: texts in the output of a failure that has nothing to do with the job and passes by itself, like a port
            that another process took; such a step is run again, twice at most.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    retry_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """A process that runs beside the steps; ready once `services/NAME.json` (mode 0600: url, token) exists."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    ready_timeout: float = 120.0


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """What a training stage runs. Made without GPU, model or trainer.

    Attributes:
        files: texts to write before starting, by path relative to the stage folder.
        expects: paths relative to the stage folder that must exist afterwards.
    """

    steps: tuple[Step, ...]
    services: tuple[Service, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    expects: tuple[str, ...] = ("model",)


@dataclass(frozen=True, slots=True)
class LoggedStep:
    """What a training step logged: finite floats by name, in the words that all backends share.

    `loss`, `learning_rate`, `grad_norm`; `accuracy` (reward model); `reward`, `reward_std`, `reward/NAME/mean` for each
    component, `kl`, `completions/mean_length`, `completions/clipped_ratio` (RL).

    Attributes:
        total: steps in all, where that is known.
    """

    step: int
    values: Mapping[str, float]
    total: int | None = None


@dataclass(frozen=True, slots=True)
class StageResult:
    """How a training stage ended: final numbers, JSON-ready."""

    metrics: Mapping[str, Any]


class Backend(ABC):
    """Trains. Declares `stages` and `algorithms` (of train-policy)."""

    stages: frozenset[str] = frozenset()
    algorithms: frozenset[str] = frozenset()
    #: those of the algorithms that train on rows of preferences, with no rollout and no reward
    on_preferences: frozenset[str] = frozenset()
    #: whether its processes run in `Job.python` where that is given
    uses_python: bool = False

    @abstractmethod
    def options_for(self, stage: str, algorithm: str | None = None) -> type[BaseModel]:
        """The pydantic model of a stage's `options` (in train-policy: of that algorithm)."""

    @abstractmethod
    def plan(self, job: Job) -> LaunchPlan:
        """What to run for this job; pure.

        Raises:
            ConfigError: the job's options cannot work, all reasons at once.
        """

    def check(self, job: Job) -> None:  # noqa: B027  (optional)
        """Whether the trainer itself takes these options; may import it. For `salmon check`, in a process of its own.

        Raises:
            ConfigError: all that it would refuse.
        """

    def short(
        self, stage: TrainingStage, algorithm: str | None, options: Mapping[str, Any], processes: int
    ) -> Mapping[str, Any]:
        """The same options for a few steps on a few rows, for `salmon run --limit`; by default as they are."""
        return options

    def leaves(self, job: Job) -> Leaves:
        """What the job will leave; pure. Given to later stages' jobs as `Job.made`."""
        return Leaves(base=job.model.path)

    def rows_needed(self, job: Job) -> int | None:
        """Prompt rows that an RL job will visit, where its options say so; None: `train.epochs` decides."""
        return None

    def memory(self, job: Job) -> tuple[ProcessMemory, ...]:
        """What the job's processes keep in memory, for `salmon plan`; pure, imports no trainer. Empty: it does not say.

        Raises:
            ConfigError: the job's options cannot work.
        """
        return ()

    @abstractmethod
    def steps(self, folder: Path) -> Iterator[LoggedStep]:
        """What a running or ended stage has logged so far, in order of step.

        Rollouts are handed over as files: see `salmon_core.data.rollouts.RolloutLog`.
        """

    @abstractmethod
    def finish(self, job: Job, folder: Path) -> StageResult:
        """Checks files and metrics after exit code 0 and leaves the plain model folder in `folder/model`.

        Raises:
            StageError: what is missing or not finite.
        """
