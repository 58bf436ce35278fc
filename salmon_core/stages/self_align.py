"""Stage `self-align`: the model makes its own demonstrations, in context by principles (arXiv 2305.03047, 2310.05910).

Three steps, a file per shard of each, so that a killed one goes on: questions are invented for topics; each is answered
behind a preamble of principles and worked exemplars, with a thought that is cut off; and where thorough answers are
asked for, once more behind a preamble that says so. Filters look at all answers in order, so which are left out does
not depend on where a run was killed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from salmon_core.api.component import ComponentSpec
from salmon_core.api.memory import Use
from salmon_core.api.models import Sampling
from salmon_core.config.aligning import Shown
from salmon_core.config.demonstrations import AnswerFilters, QuestionsSection
from salmon_core.config.run_config import RunConfig
from salmon_core.errors import DataError
from salmon_core.plugins.engines import open_codec
from salmon_core.plugins.registry import Registry
from salmon_core.principle import Principle
from salmon_core.principles.worked import Invented, Topics
from salmon_core.records import Prompt
from salmon_core.reward.preamble import PreambleRenderer
from salmon_core.rng import named_rng, shuffled
from salmon_core.stages.base import Held, Opens, Stage
from salmon_core.stages.demonstrations import (
    DEMONSTRATIONS,
    DROPPED,
)
from salmon_core.stages.sources import ModelInput, Sources, StageOutput
from salmon_core.stages.texts import Texts, texts_of
from salmon_core.stages.work import Work

#: prompts that are answered, with where they come from as their split
POOL = "prompts.parquet"


@dataclass(frozen=True)
class Asking:
    """How questions are invented."""

    how: QuestionsSection
    topics: Topics


@dataclass(frozen=True)
class Verbose:
    """The pass for thorough answers."""

    shown: Shown
    max_new_tokens: int
    both: bool


@dataclass(frozen=True)
class SelfAlignInputs:
    """Attributes:
    asking: None where no question is invented.
    run: whether the run's own training prompts are answered.
    shard_size: prompts per file.
    """

    seed: int
    prompts: StageOutput
    model: ModelInput
    engine: ComponentSpec
    texts: Texts
    sampling: Sampling
    shown: Shown
    show_principles: int | None
    show_exemplars: int
    thoughts: bool
    asking: Asking | None
    run: bool
    filters: AnswerFilters
    verbose: Verbose | None
    shard_size: int


class SelfAlign(Stage[SelfAlignInputs]):
    """Invents questions, answers them by principles, and keeps what can be trained on."""

    name = "self-align"
    outputs = (POOL, "answers-*.parquet", DEMONSTRATIONS)
    records = (DROPPED, "questions-*.parquet", "verbose-*.parquet")

    def active(self, config: RunConfig) -> bool:
        return config.self_align is not None

    def inputs(self, sources: Sources) -> SelfAlignInputs:
        config = sources.config
        own = config.self_align
        assert own is not None
        section = own.section
        verbose = None
        if own.verbose is not None and section.verbose is not None:
            room = section.verbose.max_new_tokens or section.max_new_tokens
            verbose = Verbose(own.verbose, room, section.verbose.keep == "both")
        base = sources.base()
        model = base if section.model == "policy" else replace(base, spec=config.models["self-align"])
        return SelfAlignInputs(
            config.config.run.seed,
            sources.output("prompts"),
            model,
            config.engines["self_align"],
            texts_of(sources, "sample"),
            Sampling(
                section.temperature,
                section.top_p,
                section.max_new_tokens,
                section.samples,
                seed=config.config.run.seed,
                batch_size=section.batch_size,
            ),
            own.first,
            section.show_principles,
            section.show_exemplars,
            section.thoughts,
            # The topics count by what they say, not by where they stand.
            None if own.topics is None else Asking(section.questions.model_copy(update={"topics": None}), own.topics),
            section.prompts != "generated",
            section.filters,
            verbose,
            section.shard_size,
        )

    def holds(self, inputs: SelfAlignInputs) -> Held:
        return inputs.engine, inputs.model.spec

    def opens(self, inputs: SelfAlignInputs, registry: Registry) -> tuple[Opens, ...]:
        use = Use(
            "sampler", inputs.sampling.batch_size, prompt=inputs.texts.limits.total, new=inputs.sampling.max_new_tokens
        )
        return (Opens(*self.holds(inputs), use),)

    def work(self, inputs: SelfAlignInputs, work: Work) -> None:
        from salmon_core.stages.self_aligning import Making

        with Making(inputs, work) as making:
            making.all()


def renderer_of(inputs: SelfAlignInputs, registry: Registry) -> PreambleRenderer:
    """Renders for the model that answers; texts are safe for the policy's tokenizer too."""
    codec = open_codec(registry, inputs.engine, inputs.model.spec)
    others = () if inputs.model == inputs.texts.policy else (inputs.texts.codec(registry),)
    return PreambleRenderer(inputs.texts.template, codec, others=others, thoughts=inputs.thoughts)


def question_for(topics: Topics, index: int, seed: int) -> Invented:
    """What the question of this number is asked for: every topic meets every kind once before one meets one again."""
    pairs = [(topic, kind) for topic in topics.topics for kind in topics.kinds]
    again, place = divmod(index, len(pairs))
    topic, (kind, category) = shuffled(pairs, named_rng(seed, "self-align", "topics", again))[place]
    return Invented(topic, kind, category=category)


def text_for(
    inputs: SelfAlignInputs, renderer: PreambleRenderer, shown: Shown, prompt: Prompt, *, verbose: bool = False
) -> str:
    """The preamble of a prompt, with principles and exemplars drawn for it."""
    way = "verbose" if verbose else "principles"
    rng = named_rng(inputs.seed, "self-align", way, prompt.id)
    principles: Sequence[Principle] = shown.principles.principles
    if inputs.show_principles is not None:
        drawn = {each.name for each in shuffled(principles, rng)[: inputs.show_principles]}
        principles = [each for each in principles if each.name in drawn]
    exemplars = shuffled(shown.exemplars, rng)[: inputs.show_exemplars]
    return renderer.answering(
        principles, exemplars, prompt.messages, thorough=verbose, where=f"prompt {prompt.id}, for self-align"
    )


def preamble_tokens(inputs: SelfAlignInputs, registry: Registry, prompt: Prompt) -> tuple[int, int | None]:
    """Tokens of a prompt's preamble, the longer one of two passes; those that the model has room for beside an answer.

    Raises:
        DataError: it has no room for this one.
    """
    renderer = renderer_of(inputs, registry)
    encode, longest = renderer.codec.encode, renderer.codec.max_length
    passes = [(inputs.shown, inputs.sampling.max_new_tokens, False)]
    if inputs.verbose is not None:
        passes.append((inputs.verbose.shown, inputs.verbose.max_new_tokens, True))
    most, room = 0, None
    for shown, new, verbose in passes:
        size = len(encode(text_for(inputs, renderer, shown, prompt, verbose=verbose)))
        room = None if longest is None else longest - new
        if room is not None and size > room:
            raise DataError(
                f"a preamble has {size} tokens, and the model has room for {max(0, room)}: {longest} positions less the"
                f" {new} of an answer",
                hint="lower show_exemplars, show_principles or max_new_tokens",
            )
        most = max(most, size)
    if inputs.asking is not None:
        renderer.inventing(inputs.asking.topics.questions, question_for(inputs.asking.topics, 0, inputs.seed))
    return most, room


STAGE = SelfAlign()
