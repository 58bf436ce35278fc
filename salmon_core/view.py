"""A run as its stages and evaluators see it: what earlier stages left, and the models by role."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from salmon_core import tables
from salmon_core.components import require
from salmon_core.config import Config
from salmon_core.errors import StageError, boundary
from salmon_core.interfaces import Capability, Engine, Generator, ModelSpec, Sampling, TokenCodec
from salmon_core.records import Completion, Judgment, Pair, PreferenceRow, Prompt
from salmon_core.rendering import Renderer
from salmon_core.resolve import Resolved, Selected, from_document
from salmon_core.reward import Reward, reward_spec
from salmon_core.runs import StageFolder, read_json

ROLES = ("initial", "policy", "reward")


def pairs_of(prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Pair]:
    """Neighbouring samples of each prompt (0 with 1, 2 with 3, ...); equal texts say nothing and make no pair."""
    by_prompt: dict[str, list[Completion]] = {}
    for completion in completions:
        by_prompt.setdefault(completion.prompt_id, []).append(completion)
    pairs = []
    for prompt in prompts:
        samples = sorted(by_prompt.get(prompt.id, []), key=lambda completion: completion.index)
        for first, second in zip(samples[::2], samples[1::2], strict=False):
            if first.text != second.text:
                pairs.append(Pair(prompt, first, second))
    return pairs


class Engines(Mapping[str, Engine]):
    """Engines by role, each loaded when first asked for: `initial` and `policy` generate, `reward` scores."""

    def __init__(self, run: RunView):
        self._run, self._loaded = run, dict[str, Engine]()

    def __getitem__(self, role: str) -> Engine:
        if role not in ROLES:
            raise KeyError(role)
        if role not in self._loaded:
            run = self._run
            model = {"initial": lambda: run.policy, "policy": lambda: run.aligned, "reward": lambda: run.reward_model}[
                role
            ]()
            purpose: Capability = "reward" if role == "reward" else "generate"
            selected = run.resolved.engines["reward" if role == "reward" else "sample"]
            self._loaded[role] = run.load(selected, model, purpose)
        return self._loaded[role]

    def __iter__(self) -> Iterator[str]:
        return iter(ROLES)

    def __len__(self) -> int:
        return len(ROLES)


class RunView:
    """Read access to a run, and its models.

    Attributes:
        path: the run's folder.
        resolved: its configuration with everything looked up.
        engines: by role, loaded on first access.
    """

    def __init__(self, path: Path, resolved: Resolved):
        self.path, self.resolved = path, resolved
        self.engines = Engines(self)
        self._opened: dict[tuple[str, str], Engine] = {}

    @classmethod
    def open(cls, path: Path) -> RunView:
        """A run by its folder, with the configuration it was last run with.

        Raises:
            StageError: no run there.
        """
        saved = read_json(path / "config.json")
        if not isinstance(saved, dict) or not all(isinstance(saved.get(key), str) for key in ("base", "source")):
            raise StageError("there is no run in this folder", where=str(path))
        return cls(path.resolve(), from_document(saved.get("document"), Path(saved["base"]), source=saved["source"]))

    @property
    def config(self) -> Config:
        return self.resolved.config

    def stage(self, name: str) -> StageFolder:
        return StageFolder(self.path, name)

    # -- models ------------------------------------------------------------------------------------------------

    @cached_property
    def policy(self) -> ModelSpec:
        """The initial policy: after `sft`, where there is one."""
        base = self.resolved.models["policy"]
        if self.config.sft is None:
            return base
        return replace(base, path=str(self.stage("sft").need("model")), adapter=None)

    @property
    def aligned(self) -> ModelSpec:
        """The policy after RL."""
        return replace(self.policy, path=str(self.stage("train-policy").need("model")), adapter=None)

    @property
    def reward_model(self) -> ModelSpec:
        """The trained reward model.

        Raises:
            StageError: the run has none (its weight is 0 and no path is given).
        """
        if "reward" in self.resolved.models:
            return self.resolved.models["reward"]
        return replace(self.policy, path=str(self.stage("train-rm").need("model")), adapter=None)

    @property
    def has_reward_model(self) -> bool:
        return "reward" in self.resolved.models or (self.stage("train-rm").path / "model").is_dir()

    def load(self, selected: Selected, model: ModelSpec, purpose: Capability) -> Engine:
        engine: Engine = require(selected.owned, selected.build(), purpose)
        if purpose not in engine.capabilities:
            raise StageError(f"engine {selected.name!r} cannot do {purpose}", hint="choose another engine")
        with boundary(str(selected.owned.owner), f"engine {selected.name!r}"):
            engine.load(model, purpose)
        return engine

    def opened(self, role: str, model: ModelSpec, purpose: Capability) -> Engine:
        """The engine of a stage (`sample`, `judge`, `reward`) with that model, loaded once."""
        key = (role, model.path)
        if key not in self._opened:
            self._opened[key] = self.load(self.resolved.engines[role], model, purpose)
        return self._opened[key]

    def open_codec(self, model: ModelSpec) -> TokenCodec:
        """A model's tokenizer, by the sampling engine."""
        selected = self.resolved.engines["sample"]
        engine: Engine = require(selected.owned, selected.build(), "open_codec")
        with boundary(str(selected.owned.owner), f"engine {selected.name!r}"):
            return engine.open_codec(model)

    @cached_property
    def policy_codec(self) -> TokenCodec:
        """The policy's tokenizer, which no stage changes."""
        return self.open_codec(self.resolved.models["policy"])

    def renderer(self, codec: TokenCodec) -> Renderer:
        """For texts that a model with this tokenizer will read."""
        return Renderer(self.resolved.template, codec, others=[self.policy_codec], limits=self.resolved.limits)

    @cached_property
    def reward(self) -> Reward:
        """The one reward, with this run's reward model."""
        model = self.reward_model if self.config.reward.rm_weight != 0 else None
        engine = self.engines["reward"] if model is not None else None
        return Reward.from_spec(reward_spec(self.resolved, model), engine=engine)

    # -- what stages do ----------------------------------------------------------------------------------------

    @property
    def sampling(self) -> Sampling:
        config = self.config.sample
        return Sampling(
            temperature=config.temperature,
            top_p=config.top_p,
            max_new_tokens=config.max_new_tokens,
            samples=config.samples,
            stop=tuple(self.resolved.template.stop if config.stop is None else config.stop),
            seed=self.config.run.seed,
            batch_size=config.batch_size,
        )

    def generate(self, model: ModelSpec, prompts: Sequence[Prompt], sampling: Sampling) -> list[Completion]:
        engine = self.opened("sample", model, "generate")
        renderer = self.renderer(engine.codec)
        with boundary(str(self.resolved.engines["sample"].owned.owner), "generate"):
            return engine.generate([(prompt, renderer.policy(prompt)) for prompt in prompts], sampling)

    @cached_property
    def generator(self) -> Generator:
        selected = self.resolved.generator
        generator: Generator = require(selected.owned, selected.build(), "judge")
        return generator

    def judge(self, pairs: Sequence[Pair]) -> list[Judgment]:
        """Judgments of these pairs by the configured generator, model and principles."""
        engine = self.opened("judge", self.resolved.models.get("judge", self.policy), "choice_logits")
        owner = str(self.resolved.generator.owned.owner)
        with boundary(owner, f"generator {self.resolved.generator.name!r}, judge"):
            return self.generator.judge(
                pairs, list(self.resolved.judge_principles), engine, self.renderer(engine.codec)
            )

    # -- what stages left --------------------------------------------------------------------------------------

    def prompts(self, split: str | None = None) -> list[Prompt]:
        rows = tables.read_rows(self.stage("prompts").need("prompts.parquet"), tables.PROMPTS, tables.to_prompt)
        return [prompt for prompt in rows if split in (None, prompt.split)]

    def completions(self) -> list[Completion]:
        return tables.read_rows(self.stage("sample").shards(), tables.COMPLETIONS, tables.to_completion)

    def judgments(self) -> list[Judgment]:
        return tables.read_rows(self.stage("judge").shards(), tables.JUDGMENTS, tables.to_judgment)

    def preferences(self) -> list[PreferenceRow]:
        if self.config.preferences is not None:
            path = self.resolved.base / self.config.preferences
        else:
            path = self.stage("aggregate").need("preferences.parquet")
        return tables.read_rows(path, tables.PREFERENCES, tables.to_preference)

    def samples(self, role: str, samples: int = 4, *, prompts: Sequence[Prompt] | None = None) -> list[Completion]:
        """Completions of the held-out prompts by `initial` or `policy`, drawn as configured under `sample`.

        They are drawn once per run and number of samples, with equal noise for both roles, without stop strings: a
        policy that does not stop shows it.
        """
        chosen = list(self.prompts("test") if prompts is None else prompts)
        cache = self.stage("evaluate").path / f"samples-{role}-{samples}.parquet"
        if prompts is None and cache.exists():
            return tables.read_rows(cache, tables.COMPLETIONS, tables.to_completion)
        if not chosen:
            raise StageError("no prompts are held out", where="evaluate", hint="set `held_out`, or mark prompts `test`")
        sampling = replace(self.sampling, samples=samples, stop=(), seed=self.config.run.seed + 1)
        renderer = self.renderer(self.engines[role].codec)
        completions = self.engines[role].generate([(p, renderer.policy(p)) for p in chosen], sampling)
        if prompts is None:
            tables.write_rows(cache, completions, tables.COMPLETIONS)
        return completions

    def result(self, stage: str, name: str) -> Any:
        """A stage's JSON file, or None."""
        return read_json(self.stage(stage).path / name)
