"""Stage `judge`: judgments of every pair, a file per shard of pairs (arXiv 2310.05910, 3.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from salmon_core.api.component import ComponentSpec
from salmon_core.api.memory import Use
from salmon_core.api.principles import Principle
from salmon_core.config.run_config import JudgeChoice, RunConfig
from salmon_core.data import parquet
from salmon_core.plugins.engines import open_model
from salmon_core.plugins.registry import Registry
from salmon_core.principles.per_prompt import PerPrompt
from salmon_core.records import Judgment, Prompt
from salmon_core.reward.forms import Form
from salmon_core.run.identity import uncounted
from salmon_core.run.judging import Judging, Orders
from salmon_core.stages.base import Held, Opens, Stage
from salmon_core.stages.sample import read_pairs
from salmon_core.stages.sources import ModelInput, Sources, StageOutput
from salmon_core.stages.texts import Texts, texts_of
from salmon_core.stages.work import Work, write_metrics

J = TypeVar("J", bound=Judging)
#: the share of answers that say nothing from which on it is told
MANY_UNREAD = 0.1


@dataclass(frozen=True)
class JudgeSetup:
    """Who judges, and how; also what an evaluation judges by.

    Attributes:
        concurrency: calls of an API at once.
        attempts: of each.
        form: in which a model is asked.
        orders: what a score is where the orders disagree.
        per_prompt: what becomes of the principles that prompts bring along.
    """

    seed: int
    judge: ComponentSpec
    engine: ComponentSpec
    model: ModelInput
    principles: tuple[Principle, ...]
    per_prompt: PerPrompt | None
    texts: Texts
    form: Form
    orders: Orders
    concurrency: int = uncounted()
    attempts: int = uncounted()

    def of(self, prompt: Prompt) -> tuple[Principle, ...]:
        """The principles that a prompt's pairs are judged by."""
        return self.principles if self.per_prompt is None else self.per_prompt.of(prompt, self.principles)

    def open(self, registry: Registry, cache: Path) -> Judging:
        """The judge, ready to be asked; its model is opened when it asks for one."""
        return self.opened(Judging, registry, cache)

    @property
    def held(self) -> Held:
        """What the judge asks, if it asks a model."""
        return self.engine, self.model.spec

    def opens(self, registry: Registry) -> tuple[Opens, ...]:
        """The judge's model, unless the judge asks none."""
        if not getattr(registry.build(self.judge), "calls", 1):
            return ()
        return (Opens(*self.held, Use("chooser", text=self.texts.limits.total)),)

    def opened(self, kind: Callable[..., J], registry: Registry, cache: Path, **otherwise: Any) -> J:
        """The same as another kind of `Judging`.

        Args:
            otherwise: arguments of `Judging` that are not as configured.
        """
        as_configured: dict[str, Any] = {
            "judge": self.judge,
            "registry": registry,
            "principles": self.of if self.per_prompt is not None else self.principles,
            "template": self.texts.template,
            "limits": self.texts.limits,
            "seed": self.seed,
            "open_model": partial(open_model, registry, self.engine, self.model.spec),
            "codecs": lambda: (self.texts.codec(registry),),
            "cache": cache / "judge.sqlite",
            "concurrency": self.concurrency,
            "attempts": self.attempts,
            "form": self.form,
            "orders": self.orders,
        }
        return kind(**as_configured | otherwise)


def other_setup(setup: JudgeSetup, sources: Sources, choice: JudgeChoice) -> JudgeSetup:
    """The same with another judge, engine or model, as far as the choice says so."""
    model = setup.model
    if choice.initial:
        model = sources.initial()
    elif choice.model is not None:
        model = ModelInput(choice.model, None, sources.config.registry)
    return replace(
        setup,
        judge=choice.judge or setup.judge,
        engine=choice.engine or setup.engine,
        model=model,
        form=choice.form or setup.form,
    )


def judge_setup(sources: Sources) -> JudgeSetup:
    """As configured."""
    config = sources.config
    section = config.config.judge
    return JudgeSetup(
        seed=config.config.run.seed,
        judge=config.judge,
        engine=config.engines["judge"],
        model=sources.named("judge"),
        principles=tuple(config.judge_principles),
        per_prompt=config.per_prompt,
        texts=texts_of(sources, "judge"),
        form=section.form,
        orders=section.orders,
        concurrency=section.concurrency,
        attempts=section.attempts,
    )


@dataclass(frozen=True)
class JudgeInputs:
    """Attributes:
    shard_size: pairs per file.
    """

    prompts: StageOutput
    sample: StageOutput
    setup: JudgeSetup
    shard_size: int


class Judge(Stage[JudgeInputs]):
    """Asks the judge."""

    name = "judge"
    outputs = ("part-*.parquet",)

    def active(self, config: RunConfig) -> bool:
        return config.makes_preferences

    def inputs(self, sources: Sources) -> JudgeInputs:
        return JudgeInputs(
            sources.output("prompts"),
            sources.output("sample"),
            judge_setup(sources),
            sources.config.config.judge.shard_size,
        )

    def holds(self, inputs: JudgeInputs) -> Held:
        return inputs.setup.held

    def opens(self, inputs: JudgeInputs, registry: Registry) -> tuple[Opens, ...]:
        return inputs.setup.opens(registry)

    def work(self, inputs: JudgeInputs, work: Work) -> None:
        pairs = read_pairs(inputs.prompts, inputs.sample)
        total = len(pairs)
        progress = work.progress("pairs judged", total)
        with inputs.setup.open(work.registry, work.cache) as judging:
            for part, start, own in work.shards(pairs, total, inputs.shard_size):
                progress(start)
                with progress.upto(start + len(own)):
                    work.write_rows(part, judging.judge(own), parquet.JUDGMENTS)
        values = {"pairs": total, "principles": len(inputs.setup.principles)}
        write_metrics(work, values | _counted(read_judgments(work.path), work.note))


def _counted(judgments: Iterable[Judgment], note: Callable[[str], None]) -> dict[str, int]:
    """The answers that judgments are made of, where the judge counts them; many that say nothing are told."""
    asked, unread = Counter[str](), Counter[str]()
    for judgment in judgments:
        asked[judgment.principle] += judgment.answers
        unread[judgment.principle] += judgment.unread
    answers, lost = asked.total(), unread.total()
    if not answers:
        return {}
    if lost > MANY_UNREAD * answers:
        by = ", ".join(f"{name} {unread[name]}" for name in asked if unread[name])
        note(f"{lost} of {answers} answers of the judge are no verdict or missing, and were left out: {by}")
    return {"answers": answers, "unread": lost}


def read_judgments(folder: Path) -> parquet.Rows[Judgment]:
    """What the stage left."""
    return parquet.Rows(sorted(folder.glob("part-*.parquet")), parquet.JUDGMENTS, parquet.to_judgment)


STAGE = Judge()
