"""From items and a reward model to its card: everything is asked at once, computed, and computed again with defects."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from salmon_card.card import ALL, FAILING, Bin, Card, Figure, Found, Verdict
from salmon_card.cases import Case, cases_of, confidence, right, singles
from salmon_card.checks import BY_NAME, CHECKS, Check
from salmon_card.defects import PLANTS, favours
from salmon_card.items import Source
from salmon_card.scores import Examined, Shown, View, scored
from salmon_card.subjects import Subjects
from salmon_core.kit.significance import (
    ALPHA,
    benjamini_hochberg,
    clustered,
    difference_p,
    equivalence_p,
    minimum_detectable,
)
from salmon_core.kit.statistics import clustered_rate
from salmon_core.records import FEW

_Z = 1.959964
_BINS = 5


@dataclass(frozen=True)
class Extent:
    """How much is looked at.

    Attributes:
        most: cases for each figure, by chance where there are more.
        largest: set of principles.
        seed: of what chance decides.
    """

    most: int = 200
    largest: int = 4
    seed: int = 0


def examine(
    model: Examined,
    name: str,
    source: Source,
    subjects: Subjects,
    folder: Path,
    *,
    extent: Extent | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Card:
    """The card of a reward model.

    Args:
        name: of the model, for people.
        folder: where scores are kept, and found again.
        progress: told how many items are scored.

    Raises:
        SalmonError: a score that is not a finite number.
    """
    extent = extent or Extent()
    items = source.items
    cases = cases_of(items, subjects, seed=extent.seed, most=extent.most, largest=extent.largest)
    asked: list[dict[Shown, None]] = [dict.fromkeys(singles(subjects)) for _ in items]
    for each in (case for some in cases.values() for case in some):
        asked[each.item].update(dict.fromkeys(each.sets))
    score = scored(model, items, [tuple(sets) for sets in asked], folder, progress)
    figures = _told(View(items, score), cases)
    planted = {defect: View(items, plant(score, items, subjects)) for defect, plant in PLANTS.items()}
    found = []
    for index, figure in enumerate(figures):
        check = BY_NAME[figure.check]
        defect = check.defect or f"favours {figure.about}"
        view = planted.get(defect) or View(items, favours(figure.about)(score, items, subjects))
        found.append(_tested(figures, index, defect, _figure(check, figure.about, cases[check.name], view)))
    own = _failing(figures)
    selftest = {}
    for defect, view in planted.items():
        failing = _failing(_told(view, cases))
        # What the reward model fails without the defect says nothing of the defect, unless that is all there is.
        selftest[defect] = tuple(name for name in failing if name not in own) or failing
    return Card(
        model=name,
        truth=source.truth,
        agreement=source.agreement,
        prompts=len({item.prompt for item in items}),
        pairs=len(items),
        trained=tuple(each.name for each in subjects.trained),
        unseen=tuple(each.name for each in subjects.unseen),
        framed=subjects.framed,
        figures=tuple(found),
        bins=_bins(View(items, score), source, subjects),
        selftest=selftest,
        skipped=source.skipped,
    )


def _failing(figures: Sequence[Figure]) -> tuple[str, ...]:
    """Checks that speak against the reward model, over all principles."""
    return tuple(each.check for each in figures if each.about == ALL and each.verdict in FAILING)


def _tested(figures: Sequence[Figure], index: int, defect: str, bad: Figure) -> Figure:
    """A figure, with what the same computation gives of the defect in its place on the card.

    Args:
        bad: the figure of the defect.
    """
    figure = figures[index]
    ps = [bad.p if place == index else each.p for place, each in enumerate(figures)]
    q = benjamini_hochberg([p for p in ps if p is not None])
    place = sum(p is not None for p in ps[:index])
    verdict = _judged(BY_NAME[bad.check], replace(bad, q=None if bad.p is None else q[place])).verdict
    told: Found = "no" if verdict == "good" else "underpowered" if verdict == "underpowered" else "yes"
    blind = told == "no" and figure.verdict in ("good", "weak")
    own: Verdict = "cannot tell" if blind else figure.verdict
    return replace(figure, verdict=own, defect=defect, defective=bad.value, found=told)


def _told(view: View, cases: Mapping[str, Sequence[Case]]) -> list[Figure]:
    """All figures, with their verdicts."""
    found = []
    for check in CHECKS:
        own = cases[check.name]
        groups = dict.fromkeys(about for case in own for about in case.about)
        for about in sorted(groups, key=lambda name: (name != ALL, name)):
            if check.split or about == ALL:
                figure = _figure(check, about, own, view)
                found += [figure] if figure.pairs else []
    qs = iter(benjamini_hochberg([each.p for each in found if each.p is not None]))
    return [_judged(BY_NAME[each.check], each if each.p is None else replace(each, q=next(qs))) for each in found]


def _figure(check: Check, about: str, cases: Sequence[Case], view: View) -> Figure:
    """Without a verdict, which needs the whole card."""
    values: dict[str, list[float]] = {}
    kept: list[float] = []
    for case in cases:
        if about in case.about and (value := case.value(view)) is not None:
            values.setdefault(view.items[case.item].prompt, []).append(value)
            if case.kept is not None:
                kept.append(case.kept(view))
    found = clustered(values)
    share = check.null > 0  # all but the calibration are shares
    if share:
        interval = clustered_rate(values)
        low, high = interval.low, interval.high
        error = found.error_at(check.null)
    else:
        error = found.error if found.clusters > 1 else 1.0
        low, high = max(-1.0, found.mean - _Z * error), min(1.0, found.mean + _Z * error)
    p = detectable = None
    if found.clusters >= FEW:
        if check.kind == "above":
            p = difference_p(found.mean, error, check.null)
        else:
            p = equivalence_p(found.mean, error, check.null, check.wanted)
        detectable = minimum_detectable(error)
    return Figure(
        check.name,
        about,
        found.mean,
        low,
        high,
        found.clusters,
        found.values,
        check.null,
        check.wanted,
        detectable,
        p,
        None,
        "underpowered",
        kept=sum(kept) / len(kept) if kept else None,
    )


def _judged(check: Check, figure: Figure) -> Figure:
    """The figure with its verdict.

    A share that should be high is `good` where it is above chance (q) and as high as wanted, `weak` where it is only
    above chance, `backwards` where it is below chance, and `bad` where it is neither although the difference wanted
    would have been found. One that should be near is `good` where it is shown to be within the band (q), `bad` where
    it is shown to be off and lies outside, `weak` where it is shown to be off but lies within.
    """
    if figure.q is None or figure.detectable is None:
        return replace(figure, verdict="underpowered")
    off = figure.value - check.null
    if check.kind == "above":
        if figure.q <= ALPHA and off != 0:
            verdict: Verdict = "backwards" if off < 0 else "good" if figure.value >= check.wanted else "weak"
        else:
            verdict = "bad" if figure.detectable <= check.wanted - check.null else "underpowered"
    elif figure.q <= ALPHA:
        verdict = "good"
    elif not figure.low <= check.null <= figure.high:
        verdict = "bad" if abs(off) >= check.wanted else "weak"
    else:
        verdict = "underpowered"
    return replace(figure, verdict=verdict)


def _bins(view: View, source: Source, subjects: Subjects) -> tuple[Bin, ...]:
    """Comparisons under single principles by confidence, in equal parts."""
    told = []
    for index, item in enumerate(source.items):
        for principle in subjects.trained:
            if truth := item.truth.get(principle.name):
                margin = view.margin(index, (principle.shown(),))
                told.append((confidence(margin), right(margin, truth > 0)))
    told.sort()
    size = len(told)
    parts = [told[size * part // _BINS : size * (part + 1) // _BINS] for part in range(_BINS)]
    return tuple(
        Bin(sum(sure for sure, _ in part) / len(part), sum(was for _, was in part) / len(part), len(part))
        for part in parts
        if part
    )
