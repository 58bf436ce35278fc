"""Stage `sample`: completions of every training prompt, a file per shard of prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import overload

from salmon_core.api.component import ComponentSpec
from salmon_core.api.memory import Use
from salmon_core.api.models import Sampler, Sampling
from salmon_core.api.templates import Limits
from salmon_core.config.run_config import RunConfig
from salmon_core.data import parquet
from salmon_core.plugins.engines import open_model
from salmon_core.plugins.registry import Registry
from salmon_core.records import Completion, Pair, Prompt
from salmon_core.reward.rendering import Renderer
from salmon_core.stages.base import Held, Opens, Stage
from salmon_core.stages.prompts import StoredPrompts
from salmon_core.stages.sources import ModelInput, Sources, StageOutput
from salmon_core.stages.texts import Texts, texts_of
from salmon_core.stages.work import Work, write_metrics


@dataclass(frozen=True)
class SampleInputs:
    """Attributes:
    shard_size: prompts per file.
    """

    prompts: StageOutput
    model: ModelInput
    engine: ComponentSpec
    sampling: Sampling
    shard_size: int
    texts: Texts


class Sample(Stage[SampleInputs]):
    """Samples the initial policy (arXiv 2310.05910, 3.1)."""

    name = "sample"
    outputs = ("part-*.parquet",)

    def active(self, config: RunConfig) -> bool:
        return config.makes_preferences

    def inputs(self, sources: Sources) -> SampleInputs:
        config = sources.config
        return SampleInputs(
            sources.output("prompts"),
            sources.initial(),
            config.engines["sample"],
            sampling_of(config),
            config.config.sample.shard_size,
            texts_of(sources, "sample"),
        )

    def holds(self, inputs: SampleInputs) -> Held:
        return inputs.engine, inputs.model.spec

    def opens(self, inputs: SampleInputs, registry: Registry) -> tuple[Opens, ...]:
        return (Opens(*self.holds(inputs), sampler_use(inputs.sampling, inputs.texts.limits)),)

    def work(self, inputs: SampleInputs, work: Work) -> None:
        todo = StoredPrompts(inputs.prompts.path, "train")
        sampling, total = inputs.sampling, len(todo)
        progress = work.progress("completions", total * sampling.samples)
        if work.parts(total, inputs.shard_size):
            with open_model(work.registry, inputs.engine, inputs.model.spec, "sampler") as model:
                renderer = inputs.texts.renderer(work.registry, model.codec)
                for part, start, prompts in work.shards(todo, total, inputs.shard_size):
                    progress(start * sampling.samples)
                    with progress.upto((start + len(prompts)) * sampling.samples):
                        work.write_rows(part, sampled(model, renderer, prompts, sampling), parquet.COMPLETIONS)
        count = stopped = tokens = 0
        for completion in read_completions(work.path):
            count, stopped, tokens = count + 1, stopped + completion.stopped, tokens + completion.n_tokens
        whole = max(1, count)
        write_metrics(work, {"completions": count, "stopped": stopped / whole, "mean_tokens": tokens / whole})


def sampling_of(config: RunConfig) -> Sampling:
    """As configured; the stop strings are the template's where nothing is said."""
    section = config.config.sample
    return Sampling(
        temperature=section.temperature,
        top_p=section.top_p,
        max_new_tokens=section.max_new_tokens,
        samples=section.samples,
        stop=tuple(config.template.stop if section.stop is None else section.stop),
        seed=config.config.run.seed,
        batch_size=section.batch_size,
    )


def sampler_use(sampling: Sampling, limits: Limits) -> Use:
    """What a sampler is asked."""
    return Use("sampler", rows=sampling.batch_size, prompt=limits.prompt, new=sampling.max_new_tokens)


def sampled(model: Sampler, renderer: Renderer, prompts: Sequence[Prompt], sampling: Sampling) -> list[Completion]:
    """Completions of these prompts."""
    return model.sample([(prompt, renderer.policy(prompt)) for prompt in prompts], sampling)


def read_completions(folder: Path) -> parquet.Rows[Completion]:
    """What the stage left."""
    return parquet.Rows(sorted(folder.glob("part-*.parquet")), parquet.COMPLETIONS, parquet.to_completion)


def read_pairs(
    prompts: StageOutput, sample: StageOutput, change: Callable[[Prompt], Prompt] = lambda prompt: prompt
) -> Pairs:
    """The pairs to be judged.

    Args:
        change: what the pairs' prompts are made of those that were kept.
    """
    return Pairs(StoredPrompts(prompts.path, "train"), sorted(sample.path.glob("part-*.parquet")), change)


class Pairs(Sequence[Pair]):
    """The pairs of a run, made as one goes through them; each time they are read again.

    Args:
        prompts: to train on.
        parts: files of completions, those of a prompt in one file, in the order of the prompts.
        change: what the pairs' prompts are made of these.
    """

    def __init__(self, prompts: Iterable[Prompt], parts: Sequence[Path], change: Callable[[Prompt], Prompt]):
        self._prompts, self._parts, self._change = prompts, parts, change

    def __iter__(self) -> Iterator[Pair]:
        prompts = map(self._change, self._prompts)
        for part in self._parts:
            completions = parquet.read_rows(part, parquet.COMPLETIONS, parquet.to_completion)
            left = {completion.prompt_id for completion in completions}
            own = []
            while left and (prompt := next(prompts, None)):
                left.discard(prompt.id)
                own.append(prompt)
            yield from pairs_of(own, completions)

    def __len__(self) -> int:
        return self._count

    @cached_property
    def _count(self) -> int:
        return sum(1 for _ in self)

    @overload
    def __getitem__(self, index: int) -> Pair: ...

    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...

    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        """Some of them; goes through those before, so go through all of them where many are wanted."""
        return parquet.picked(self, index)  # type: ignore[no-any-return]


def pairs_of(prompts: Iterable[Prompt], completions: Iterable[Completion]) -> list[Pair]:
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


STAGE = Sample()
