"""Stage `label`: preference rows for the reward model, and what can be said of the judging (arXiv 2310.05910, 3.2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from salmon_core.api.component import ComponentSpec
from salmon_core.api.labeller import Labeller, Labels
from salmon_core.api.principles import Principle
from salmon_core.config.run_config import RunConfig
from salmon_core.data import parquet
from salmon_core.data.json import write_json
from salmon_core.data.preferences import PreferenceSource, read_preferences
from salmon_core.errors import DataError, PluginError, boundary
from salmon_core.plugins.options import require
from salmon_core.principles.per_prompt import PerPrompt
from salmon_core.records import PreferenceRow, Prompt
from salmon_core.rng import named_rng
from salmon_core.run.identity import uncounted
from salmon_core.sharing.cards import preferences_card
from salmon_core.sharing.document import known_principles
from salmon_core.sharing.facts import CARD, Described, RowCounts
from salmon_core.stages.base import Stage
from salmon_core.stages.judge import read_judgments
from salmon_core.stages.sample import read_pairs
from salmon_core.stages.sources import Sources, StageOutput
from salmon_core.stages.work import Work, write_metrics

FILE = "preferences.parquet"
STATISTICS = "statistics.json"


@dataclass(frozen=True)
class LabelInputs:
    """What labels are made from."""

    seed: int
    prompts: StageOutput
    sample: StageOutput
    judge: StageOutput
    labeller: ComponentSpec
    principles: tuple[Principle, ...]
    per_prompt: PerPrompt | None
    described: Described = uncounted()


class Label(Stage[LabelInputs]):
    """Asks the labeller."""

    name = "label"
    outputs = (FILE, STATISTICS, CARD)

    def active(self, config: RunConfig) -> bool:
        return config.makes_preferences

    def inputs(self, sources: Sources) -> LabelInputs:
        config = sources.config
        return LabelInputs(
            config.config.run.seed,
            sources.output("prompts"),
            sources.output("sample"),
            sources.output("judge"),
            config.labeller,
            tuple(config.judge_principles),
            config.per_prompt,
            Described.of(config),
        )

    def work(self, inputs: LabelInputs, work: Work) -> None:
        spec = inputs.labeller
        owned = work.registry.owned(spec)
        pairs = read_pairs(inputs.prompts, inputs.sample, partial(_with_its_own, inputs.principles, inputs.per_prompt))
        judgments = read_judgments(inputs.judge.path)
        rng = named_rng(inputs.seed, "aggregate")
        what = f"labeller {spec.name!r}"
        with boundary(str(owned.owner), what):
            labeller: Labeller = require(owned, work.registry.build(spec), "label")
            labels = labeller.label(pairs, judgments, inputs.principles, rng)
        if not isinstance(labels, Labels):
            raise PluginError(str(owned.owner), f"returned a {type(labels).__name__}, not Labels", what=what)
        count = work.write_rows(FILE, checked(labels, str(owned.owner), what), parquet.PREFERENCES)
        with boundary(str(owned.owner), what):
            found = labels.statistics() if callable(labels.statistics) else labels.statistics
        write_json(work.path / STATISTICS, dict(found))
        if not count:
            raise DataError(
                "no preference is left to train on",
                where=self.name,
                hint=f"see {work.path / STATISTICS} for the reasons",
            )
        rows = parquet.Rows(work.path / FILE, parquet.PREFERENCES, parquet.to_preference)
        known = known_principles(rows, inputs.principles)
        work.write_text(CARD, preferences_card(inputs.described, FILE, RowCounts.of(rows), known))
        write_metrics(work, {"rows": count, **found})


def _with_its_own(principles: tuple[Principle, ...], per_prompt: PerPrompt | None, prompt: Prompt) -> Prompt:
    """The prompt with all that it was judged by, if that is anything else than the set."""
    own = per_prompt.of(prompt, principles) if per_prompt is not None and prompt.principles else ()
    return replace(prompt, principles=own) if own != prompt.principles else prompt


def checked(labels: Labels, owner: str, what: str) -> Iterator[PreferenceRow]:
    """A labeller's rows as they come.

    Raises:
        PluginError: the labeller failed, or one is no row.
    """
    with boundary(owner, what):
        rows = iter(labels.rows)
    while True:
        with boundary(owner, what):
            row = next(rows, None)
        if row is None:
            return
        if not isinstance(row, PreferenceRow):
            raise PluginError(owner, f"has a {type(row).__name__} among its rows", what=what)
        if not math.isfinite(row.margin):
            raise PluginError(owner, f"gave pair {row.pair_id} the margin {row.margin}", what=what)
        yield row


def preference_input(sources: Sources) -> StageOutput | PreferenceSource:
    """Where a later stage takes preference rows from: rows of the user's own, else what this stage makes."""
    return sources.config.preferences or sources.output(STAGE.name)


def preference_rows(source: StageOutput | PreferenceSource, note: Callable[[str], None]) -> Sequence[PreferenceRow]:
    """The rows, those of a run read as one goes through them; `note` is told what a person should know of one's own.

    Raises:
        DataError: rows of the user's own that are none.
    """
    if isinstance(source, StageOutput):
        return parquet.Rows(source.folder.need(FILE), parquet.PREFERENCES, parquet.to_preference)
    found = read_preferences(source)
    if found.dropped:
        note(f"{found.dropped} preference rows were left out, as preferences.on_bad_row says")
    if found.nameless:
        rows = f"{found.nameless} of {len(found.rows)} preference rows"
        note(f"{rows} name no principle; see preferences.default_principle")
    return found.rows


STAGE = Label()
