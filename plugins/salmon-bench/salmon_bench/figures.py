"""Shares with intervals, the smallest difference that would be found, and verdicts over all of a subject's figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from salmon_core.kit.significance import ALPHA, benjamini_hochberg, clustered, difference_p, minimum_detectable
from salmon_core.kit.statistics import clustered_rate
from salmon_core.records import FEW

#: from which on a share that should be high is good: half of the way from chance to always
WANTED = 0.75
Verdict = Literal["good", "weak", "bad", "backwards", "underpowered", ""]
#: cluster -> values from 0 to 1
Values = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number.

    Attributes:
        what: the measure, `about` what it is of: `all`, or a family, a writer.
        low: and `high`: the 95 % interval, with pairs of answers as clusters.
        n: pairs of answers; `rows` questions.
        null: what chance gives; None where nothing is tested.
        detectable: the smallest difference to chance that would be found with a probability of 0.8 at p = 0.05.
        q: over all figures of the subject that are tested (Benjamini and Hochberg); None of fewer than 20 pairs.
    """

    what: str
    about: str
    value: float
    low: float
    high: float
    n: int
    rows: int
    null: float | None = None
    detectable: float | None = None
    q: float | None = None
    verdict: Verdict = ""


def figure(what: str, about: str, values: Values, null: float | None = 0.5) -> tuple[Figure, float | None] | None:
    """A figure without a verdict, and its p; None of no values."""
    values = {key: own for key, own in values.items() if own}
    if not values:
        return None
    found, interval = clustered(values), clustered_rate(values)
    p = detectable = None
    if null is not None and found.clusters >= FEW:
        error = found.error_at(null)
        p, detectable = difference_p(found.mean, error, null), minimum_detectable(error)
    own = Figure(what, about, found.mean, interval.low, interval.high, found.clusters, found.values, null, detectable)
    return own, p


def judged(figures: Iterable[tuple[Figure, float | None] | None]) -> tuple[Figure, ...]:
    """All of a subject, with q and verdicts."""
    known = [each for each in figures if each is not None]
    qs = iter(benjamini_hochberg([p for _, p in known if p is not None]))
    return tuple(_verdict(own, None if p is None else next(qs)) for own, p in known)


def _verdict(own: Figure, q: float | None) -> Figure:
    """`good` is above chance (q) and as high as wanted, `weak` only above chance, `backwards` below it, `bad` neither,
    although what is wanted would have been found; `underpowered`: it might not have been found."""
    if own.null is None:
        return own
    if q is None or own.detectable is None:
        return replace(own, verdict="underpowered")
    off = own.value - own.null
    verdict: Verdict
    if q <= ALPHA and off:
        verdict = "backwards" if off < 0 else "good" if own.value >= WANTED else "weak"
    else:
        verdict = "bad" if own.detectable <= WANTED - own.null else "underpowered"
    return replace(own, q=q, verdict=verdict)
