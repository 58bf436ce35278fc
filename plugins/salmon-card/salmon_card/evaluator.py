"""The evaluator `report-card`: a run examines its reward model by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from salmon_card.card import Card
from salmon_card.examine import Extent, examine
from salmon_card.items import Source, judged, known_by, preferred
from salmon_card.subjects import Subjects, subjects_of, telling, trained_on
from salmon_card.telling import section
from salmon_core.api import EvaluatedRun, Evaluator, KnownRun, Metrics, Oracle, Principle, RewardModelAccuracy
from salmon_core.config.names import find_principle_set
from salmon_core.data.preferences import PreferenceSource, read_preferences
from salmon_core.errors import DataError
from salmon_core.plugins.registry import Registry
from salmon_core.principles.files import load_principle_set
from salmon_core.records import Completion, Estimate, Pair, Prompt
from salmon_core.rng import named_rng, shuffled
from salmon_core.sharing.document import FILE as DOCUMENT
from salmon_core.sharing.document import read_document

JUDGE = "judge"
#: pairs that are looked at, for each comparison of a figure: of these, few tell something by a given principle
_PAIRS = 5


class ReportCard(Evaluator):
    """Whether the reward model's principles can be trusted, figure by figure, with planted defects beside."""

    class Options(BaseModel):
        """What a configuration may set."""

        model_config = ConfigDict(extra="forbid")

        truth: str = Field(JUDGE, description="name of an oracle, or `judge`: its consistent judgments")
        pairs: Path | None = Field(
            None, description="preferences with a column `principle`, in place of answers to held-out prompts"
        )
        sets: list[str] = Field(
            [], description="installed principle sets with unseen principles, or other wordings (NAME, NAME-2, ...)"
        )
        files: list[Path] = Field([], description="the same in files")
        samples: int = Field(8, ge=2, description="completions per held-out prompt")
        max_pairs: int = Field(
            200, ge=1, description="comparisons for each figure, at most; five times as many pairs are looked at"
        )
        max_set: int = Field(4, ge=2, description="largest set of principles")

    def __init__(self, options: Options | None = None):
        self.options = options or self.Options()
        own = self.options
        asked = set() if own.pairs is not None else {"initial"}
        asked |= {"judge"} if own.pairs is None and own.truth == JUDGE else set()
        self.needs = frozenset({"reward", *asked})

    def check(self, run: KnownRun) -> None:
        """Raises SalmonError where there is no such oracle, no such set, or a file cannot be read."""
        if self.options.truth != JUDGE:
            run.oracle(self.options.truth)
        others = self._others()
        if self.options.pairs is not None:
            rows(self.options.pairs, [*run.judge_principles, *others])

    def evaluate(self, run: EvaluatedRun) -> Metrics:
        """Values: the card, with `figures` by check and what each is of.

        Raises:
            SalmonError: the run has no reward model.
        """
        card = self.card(run)
        if not card.figures:
            run.note(f"report-card: {nothing(card)}")
        return metrics_of(card)

    def card(self, run: EvaluatedRun) -> Card:
        """The same as a card."""
        if run.reward.model is None:  # of weight 0: only one that the configuration names can be asked
            run.open("reward")
        name, trained = _trained(run)
        others = [*self._others(), *run.reward_principles, *_interventions(run)]
        subjects = subjects_of(trained, others)
        source = self._source(run, subjects)
        subjects = telling(subjects, source.items)
        extent = Extent(self.options.max_pairs, self.options.max_set, run.seed)
        progress = run.progress("pairs scored by the reward model", len(source.items))
        return examine(run, name, source, subjects, run.folder, extent=extent, progress=progress)

    def _others(self) -> list[Principle]:
        found: list[Principle] = []
        if self.options.sets:
            registry = Registry.discover()
            for name in self.options.sets:
                found += find_principle_set(registry, name, Path.cwd())
        for file in self.options.files:
            found += load_principle_set(file)
        return found

    def _source(self, run: EvaluatedRun, subjects: Subjects) -> Source:
        names = [principle.name for principle in subjects.all]
        own = self.options
        if own.pairs is not None:
            source = rows(own.pairs, subjects.all)
            return source if own.truth == JUDGE else by_oracle(run.oracle(own.truth), own.truth, source, names)
        pairs = run.pairs(own.samples)
        if len(pairs) > (most := _PAIRS * own.max_pairs):
            pairs = shuffled(pairs, named_rng(run.seed, "card", "pairs"))[:most]
        if own.truth == JUDGE:
            return Source(judged(pairs, run.judge(pairs), names), "the run's judge", True)
        return Source(known_by(run.oracle(own.truth), pairs, names), f"the oracle {own.truth}", False)


def by_oracle(oracle: Oracle, name: str, source: Source, names: Sequence[str]) -> Source:
    """The pairs of a source, with an oracle's truth."""
    pairs = [
        Pair(
            Prompt(item.prompt, item.messages),
            *(Completion(item.prompt, index, text, (), 0, True) for index, text in enumerate(item.answers)),
        )
        for item in source.items
    ]
    items = known_by(oracle, pairs, names)
    return Source(items, f"the oracle {name}", False, skipped=source.skipped)


def rows(path: Path, known: Iterable[Principle]) -> Source:
    """The items of a preferences file.

    Raises:
        DataError: it cannot be read, or no row shows exactly one principle.
    """
    principles = tuple({principle.name: principle for principle in known}.values())
    source = preferred(read_preferences(PreferenceSource(path, known=principles)).rows, principles)
    if not source.items:
        why = ", ".join(f"{count} rows: it {reason}" for reason, count in source.skipped.items())
        raise DataError(
            f"has no row that tells something of one principle ({why})",
            where=str(path),
            hint='a row is {"prompt": ..., "chosen": ..., "rejected": ..., "principle": "NAME"}',
        )
    return source


def nothing(card: Card) -> str:
    """Why a card has no figures."""
    return f"by {card.truth}, no answer of {card.pairs} pairs is better than the other"


def metrics_of(card: Card) -> Metrics:
    """A card as an evaluator's results."""
    figures: dict[str, dict[str, object]] = {}
    for each in card.figures:
        figures.setdefault(each.check, {})[each.about] = asdict(each)
    values = asdict(card) | {"figures": figures}
    known = {name: card.figure(name) for name in ("accuracy", "negated")}
    positive, negated = (
        None if each is None else Estimate(each.value, each.low, each.high, each.n) for each in known.values()
    )
    accuracy = None if positive is None and negated is None else RewardModelAccuracy(positive, negated)
    return Metrics("report-card", values, reward_model=accuracy, sections=(section(card),))


def _trained(run: EvaluatedRun) -> tuple[str, tuple[Principle, ...]]:
    """The reward model's name, and the principles that it was trained on: its document says them, or else the run."""
    spec = run.model("reward")
    folder = Path(spec.path)
    if (folder / DOCUMENT).is_file() and (found := trained_on(read_document(folder))):
        return spec.path, found
    return spec.path, tuple(run.judge_principles)


def _interventions(run: EvaluatedRun) -> list[Principle]:
    shown = [item.shown for item in run.reward.interventions]
    return [Principle(each.name, each.text) for each in shown if not each.negated]
