"""Stage `label`: preference rows for the reward model, and what can be said of the judging (arXiv 2310.05910, 3.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from salmon_core.api.component import ComponentSpec
from salmon_core.api.labeller import Labeller, Labels
from salmon_core.api.principles import Principle
from salmon_core.config.run_config import RunConfig
from salmon_core.data import parquet
from salmon_core.data.json import write_json
from salmon_core.errors import DataError, PluginError, boundary
from salmon_core.plugins.options import require
from salmon_core.records import PreferenceRow
from salmon_core.rng import named_rng
from salmon_core.run.identity import uncounted
from salmon_core.sharing.cards import preferences_card
from salmon_core.sharing.document import known_principles
from salmon_core.sharing.facts import CARD, Described, RowCounts
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
    described: Described = uncounted()  # noqa: RUF009  (a field)


class Label(Stage[LabelInputs]):
    """Asks the labeller."""

    name = "label"
    outputs = (FILE, STATISTICS, CARD)

    def active(self, config: RunConfig) -> bool:
        return config.trains_reward_model and config.config.preferences is None

    def inputs(self, sources: Sources) -> LabelInputs:
        config = sources.config
        return LabelInputs(
            config.config.run.seed,
            sources.output("prompts"),
            sources.output("sample"),
            sources.output("judge"),
            config.labeller,
            tuple(config.judge_principles),
            Described.of(config),
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
        known = known_principles(labels.rows, inputs.principles)
        work.write_text(CARD, preferences_card(inputs.described, FILE, RowCounts.of(labels.rows), known))
        write_metrics(work, {"rows": len(labels.rows), **labels.statistics})


def read_preferences(file: Path) -> list[PreferenceRow]:
    """What the stage left, or preferences of the user's own."""
    return parquet.read_rows(file, parquet.PREFERENCES, parquet.to_preference)


STAGE = Label()
