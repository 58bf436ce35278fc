"""What each kind of plugin offers. A class needs only the methods; subclassing these is optional.

A component is constructed once, from its options: with a nested pydantic `Options` as `Cls(options)`, otherwise with
keyword arguments as `Cls(**options)`. Its options are validated before anything runs.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pydantic import BaseModel

    from salmon_core.principles import Principle
    from salmon_core.records import Completion, Judgment, Message, Metrics, Pair, PreferenceRow, Prompt, Rollout
    from salmon_core.rendering import Renderer

Capability = Literal["generate", "choice_logits", "reward"]


@dataclass(frozen=True, slots=True)
class Component:
    """One selectable thing of a plugin.

    Args:
        name: as written in a configuration; unique within its kind, else write `PLUGIN/NAME`.
        target: a class or object, or `package.module:attribute`, imported only when a configuration selects it.
        summary: one line for `salmon plugins`.
    """

    name: str
    target: str | Any
    summary: str


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model as the configuration names it, its path resolved.

    Attributes:
        path: a folder, or a hub id.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ...
        adapter: a PEFT adapter folder or hub id put on top, or None.
        trust_remote_code: run code that the model folder brings along; refused unless opted in.
        fallback_chat_template: Jinja, used when the tokenizer has no chat template of its own.
    """

    path: str
    dtype: str = "auto"
    device: str = "auto"
    adapter: str | None = None
    trust_remote_code: bool = False
    fallback_chat_template: str | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How completions are drawn; the noise is a function of (seed, prompt id, sample, position).

    Attributes:
        max_new_tokens: counts the EOS.
        stop: strings at which a completion is cut; the string itself is not part of it.
    """

    temperature: float = 0.7
    top_p: float = 1.0
    max_new_tokens: int = 768
    samples: int = 2
    stop: tuple[str, ...] = ()
    seed: int = 0
    batch_size: int = 32


@dataclass(frozen=True, slots=True)
class PrefixRequest:
    """Texts that share a beginning: `prefix + suffix` for each suffix, safe to tokenize as they are.

    Attributes:
        truncated: tokens cut from the untrusted parts to fit the limit.
    """

    prefix: str
    suffixes: tuple[str, ...]
    truncated: int = 0

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(self.prefix + suffix for suffix in self.suffixes)


@runtime_checkable
class TokenCodec(Protocol):
    """A tokenizer, as the rest of salmon sees it. Special tokens written in a text are parsed; none is added."""

    @property
    def eos_token(self) -> str: ...
    @property
    def eos_id(self) -> int: ...
    @property
    def bos_token(self) -> str | None:
        """The text a whole sequence has to begin with, or None where the tokenizer puts none."""

    @property
    def special_tokens(self) -> tuple[str, ...]:
        """Every string that the tokenizer turns into a special id."""

    @property
    def max_length(self) -> int | None:
        """The longest sequence the model takes, in tokens, where known."""

    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str: ...
    def chat(self, messages: Sequence[Message]) -> str:
        """The policy's prompt: the conversation by the chat template, up to where the answer begins."""


class Engine(ABC):
    """Runs a model for inference. `capabilities` declares which methods it has.

    Constructed from its options, then `load`ed with one model for one purpose.
    """

    capabilities: frozenset[Capability] = frozenset()

    @abstractmethod
    def load(self, model: ModelSpec, purpose: Capability) -> None:
        """Loads the model; `reward` loads a sequence classifier with one label.

        Raises:
            SalmonError: no such model, remote code not opted in, no pad token apart from EOS (reward), ...
        """

    @abstractmethod
    def open_codec(self, model: ModelSpec) -> TokenCodec:
        """That model's tokenizer, without loading the model."""

    @property
    @abstractmethod
    def codec(self) -> TokenCodec:
        """The loaded model's tokenizer."""

    def generate(self, prompts: Sequence[tuple[Prompt, str]], sampling: Sampling) -> list[Completion]:
        """Samples completions of (prompt, its rendered text): `sampling.samples` per prompt, in that order."""
        raise NotImplementedError

    def choice_logits(
        self, requests: Sequence[PrefixRequest], choices: tuple[str, str]
    ) -> list[list[tuple[float, float]]]:
        """For each request and suffix, the float32 logits of the two choices as the next token.

        Raises:
            SalmonError: a choice is not one single token after the suffix.
        """
        raise NotImplementedError

    def reward(self, requests: Sequence[PrefixRequest]) -> list[list[float]]:
        """For each request and suffix, the reward model's score of the whole text."""
        raise NotImplementedError

    def close(self) -> None:  # noqa: B027  (optional)
        """Frees what the engine holds."""


@dataclass(frozen=True, slots=True)
class AggregateResult:
    """Preference rows, and statistics to report (JSON-ready)."""

    rows: list[PreferenceRow]
    statistics: dict[str, Any]


class Generator(ABC):
    """Turns pairs into preferences.

    Attributes:
        judge_options: names of the options that `judge` uses; a change of others does not judge anew. None: all.
    """

    judge_options: frozenset[str] | None = None

    @abstractmethod
    def judge(
        self, pairs: Sequence[Pair], principles: Sequence[Principle], engine: Engine, renderer: Renderer
    ) -> list[Judgment]:
        """Judges every pair under every principle; pairs in order, principles in order within a pair."""

    @abstractmethod
    def aggregate(
        self, pairs: Sequence[Pair], judgments: Sequence[Judgment], principles: Sequence[Principle], rng: Random
    ) -> AggregateResult:
        """Draws principle sets and labels for the reward model."""


class Bonus:
    """A symbolic reward. Pure: the same rollouts give the same numbers. Implement one of the two methods."""

    def score(self, rollouts: Sequence[Rollout]) -> list[float]:
        """One finite number per rollout; the configured weight is applied by the reward."""
        return [self.score_one(rollout) for rollout in rollouts]

    def score_one(self, rollout: Rollout) -> float:
        raise NotImplementedError


#: of a run, in order
STAGES = ("prompts", "sft", "sample", "judge", "aggregate", "train-rm", "train-policy", "evaluate", "report")
#: those that a backend trains
Stage = Literal["sft", "train-rm", "train-policy"]


@dataclass(frozen=True, slots=True)
class Job:
    """All that a backend needs to know of a training stage; JSON by `to_json`, read back by the step.

    Attributes:
        algorithm: of train-policy; `sft` or `reward` otherwise.
        folder: the stage's folder, absolute; the result goes to `folder/model`.
        model: to start from.
        data: absolute paths of Parquet files by role: `train`, and `test` where there is one. Columns: sft
            `prompt, completion`; train-rm `chosen, rejected, margin` (texts final: EOS at the end, nothing to add or
            cut); train-policy as `salmon_core.reward.RL_COLUMNS` (`prompt` is the rendered text, final as well).
        reward: what `salmon_core.reward.Reward.from_spec` needs (train-policy only).
        options: the backend's own, validated.
        launch: `processes`, `accelerate_config`.
        python: interpreter for the steps; None means the running one.
        resume: whether a checkpoint of the same job may lie in `folder`.
    """

    stage: Stage
    algorithm: str
    folder: str
    model: ModelSpec
    data: Mapping[str, str]
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)
    reward: Mapping[str, Any] | None = None
    launch: Mapping[str, Any] = field(default_factory=dict)
    python: str | None = None
    run_name: str = ""
    resume: bool = True

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Job:
        values = json.loads(text)
        return cls(**{**values, "model": ModelSpec(**values["model"])})


@dataclass(frozen=True, slots=True)
class Step:
    """One process to run to its end. Exit code 0 means success.

    Attributes:
        passing: texts in the output of a failure that has nothing to do with the job and passes by itself, like a port
            that another process took; such a step is run again, twice at most.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    passing: tuple[str, ...] = ()


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
class Event:
    """One line of `events.jsonl`: a training step's numbers, finite floats by name."""

    step: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class StageResult:
    """How a training stage ended: final numbers, JSON-ready."""

    metrics: Mapping[str, Any]


class Backend(ABC):
    """Trains. Declares `stages` and `algorithms` (of train-policy)."""

    stages: frozenset[str] = frozenset()
    algorithms: frozenset[str] = frozenset()

    @abstractmethod
    def options_for(self, stage: str, algorithm: str | None = None) -> type[BaseModel]:
        """The pydantic model of a stage's `options` (in train-policy: of that algorithm)."""

    @abstractmethod
    def plan(self, job: Job) -> LaunchPlan:
        """What to run for this job; pure.

        Raises:
            ConfigError: the job's options cannot work, all reasons at once.
        """

    def rows_needed(self, job: Job) -> int | None:
        """Prompt rows that an RL job will visit, where its options say so; None: `train.epochs` decides."""
        return None

    @abstractmethod
    def events(self, folder: Path) -> Iterator[Event]:
        """All events of a running or ended stage so far, in order of step."""

    @abstractmethod
    def finish(self, job: Job, folder: Path) -> StageResult:
        """Checks files and metrics after exit code 0 and leaves the plain model folder in `folder/model`.

        Raises:
            StageError: what is missing or not finite.
        """


class PromptSource(ABC):
    """Yields prompts; those without a split are split by the pipeline."""

    @abstractmethod
    def load(self) -> Iterable[Prompt]: ...


class Oracle(ABC):
    """Says which of two completions really follows a principle better, where that can be known."""

    @abstractmethod
    def prefer(self, prompt: Prompt, first: str, second: str, principle: str) -> float:
        """> 0: the first, < 0: the second, 0: neither. `principle` is a name; its own text is meant, not the negated.

        Raises:
            KeyError: it knows nothing about that principle.
        """


class Evaluator(ABC):
    """Measures a run. `needs` names the roles of the models it loads: `initial`, `policy`, `reward`."""

    needs: frozenset[str] = frozenset()

    @abstractmethod
    def evaluate(self, run: Any, engines: Mapping[str, Engine]) -> Metrics:
        """Args: run: a `salmon_core.runs.RunView`; engines: loaded on first access, by role."""
