"""Stage `sample`: completions of every training prompt, a file per shard of prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from salmon_core.api.component import ComponentSpec
from salmon_core.api.models import Sampler, Sampling
from salmon_core.config.run_config import RunConfig
from salmon_core.data import parquet
from salmon_core.plugins.engines import open_model
from salmon_core.records import Completion, Pair, Prompt
from salmon_core.reward.rendering import Renderer
from salmon_core.stages.base import ModelInput, Sources, Stage, StageOutput, Work, mean, write_metrics
from salmon_core.stages.prompts import read_prompts
from salmon_core.stages.texts import Texts, texts_of


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

    def work(self, inputs: SampleInputs, work: Work) -> None:
        todo = read_prompts(inputs.prompts.path, "train")
        sampling, size = inputs.sampling, inputs.shard_size
        progress = work.progress("completions", len(todo) * sampling.samples)
        if parts := work.parts(len(todo), size):
            with open_model(work.registry, inputs.engine, inputs.model.spec, "sampler") as model:
                renderer = inputs.texts.renderer(work.registry, model.codec)
                for part, start in parts:
                    progress(start * sampling.samples)
                    with progress.upto(min(start + size, len(todo)) * sampling.samples):
                        completions = sampled(model, renderer, todo[start : start + size], sampling)
                        work.write_rows(part, completions, parquet.COMPLETIONS)
        found = read_completions(work.path)
        values = {"completions": len(found), "stopped": mean(c.stopped for c in found)}
        write_metrics(work, values | {"mean_tokens": mean(c.n_tokens for c in found)})


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


def sampled(model: Sampler, renderer: Renderer, prompts: Sequence[Prompt], sampling: Sampling) -> list[Completion]:
    """Completions of these prompts."""
    return model.sample([(prompt, renderer.policy(prompt)) for prompt in prompts], sampling)


def read_completions(folder: Path) -> list[Completion]:
    """What the stage left."""
    return parquet.read_rows(sorted(folder.glob("part-*.parquet")), parquet.COMPLETIONS, parquet.to_completion)


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


STAGE = Sample()
