"""Stage `label`: preference rows for the reward model, and what can be said of the judging (arXiv 2310.05910, 3.2)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from salmon_core.api.component import ComponentSpec
from salmon_core.api.labeller import Labeller, Labels
from salmon_core.api.principles import Principle
from salmon_core.config.run_config import RunConfig
from salmon_core.data import parquet
from salmon_core.data.json import write_json
from salmon_core.data.preferences import PreferenceSource, read_preferences
from salmon_core.errors import DataError, PluginError, boundary
from salmon_core.plugins.options import require
from salmon_core.records import PreferenceRow
from salmon_core.rng import named_rng
from salmon_core.stages.base import Sources, Stage, StageOutput, Work, write_metrics
from salmon_core.stages.judge import read_judgments
from salmon_core.stages.prompts import read_prompts
from salmon_core.stages.sample import pairs_of, read_completions

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


class Label(Stage[LabelInputs]):
    """Asks the labeller."""

    name = "label"
    outputs = (FILE, STATISTICS)

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
        )

    def work(self, inputs: LabelInputs, work: Work) -> None:
        spec = inputs.labeller
        owned = work.registry.owned(spec)
        pairs = pairs_of(read_prompts(inputs.prompts.path, "train"), read_completions(inputs.sample.path))
        rng = named_rng(inputs.seed, "aggregate")
        what = f"labeller {spec.name!r}"
        with boundary(str(owned.owner), what):
            labeller: Labeller = require(owned, work.registry.build(spec), "label")
            labels = labeller.label(tuple(pairs), tuple(read_judgments(inputs.judge.path)), inputs.principles, rng)
        if not isinstance(labels, Labels):
            raise PluginError(str(owned.owner), f"returned a {type(labels).__name__}, not Labels", what=what)
        for row in labels.rows:
            if not isinstance(row, PreferenceRow):
                raise PluginError(str(owned.owner), f"has a {type(row).__name__} among its rows", what=what)
            if not math.isfinite(row.margin):
                raise PluginError(str(owned.owner), f"gave pair {row.pair_id} the margin {row.margin}", what=what)
        write_json(work.path / STATISTICS, dict(labels.statistics))
        if not labels.rows:
            raise DataError(
                "no preference is left to train on",
                where=self.name,
                hint=f"see {work.path / STATISTICS} for the reasons",
            )
        work.write_rows(FILE, labels.rows, parquet.PREFERENCES)
        write_metrics(work, {"rows": len(labels.rows), **labels.statistics})


def preference_input(sources: Sources) -> StageOutput | PreferenceSource:
    """Where a later stage takes preference rows from: rows of the user's own, else what this stage makes."""
    return sources.config.preferences or sources.output(STAGE.name)


def preference_rows(source: StageOutput | PreferenceSource, note: Callable[[str], None]) -> Sequence[PreferenceRow]:
    """The rows; `note` is told what a person should know of one's own.

    Raises:
        DataError: rows of the user's own that are none.
    """
    if isinstance(source, StageOutput):
        return parquet.read_rows(source.folder.need(FILE), parquet.PREFERENCES, parquet.to_preference)
    found = read_preferences(source)
    if found.dropped:
        note(f"{found.dropped} preference rows were left out, as preferences.on_bad_row says")
    if found.nameless:
        rows = f"{found.nameless} of {len(found.rows)} preference rows"
        note(f"{rows} name no principle; see preferences.default_principle")
    return found.rows


STAGE = Label()
