"""Results as questions ask for them: a number by seed, of what is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from evidence.folder import Folder
from evidence.intervals import Interval
from evidence.question import BASE, Arm
from salmon_core.data.json import read_json

Report = Mapping[str, Any]
#: of a report, one number; None where it has none
Read = Callable[[Report], "float | None"]
ByArm = Mapping[str, float]


@dataclass
class Results:
    """Of a question's arms.

    Attributes:
        figures: where figures go; `link` is how the page calls that folder.
        seeds: those that count.
        counts: whether a run that has a report is what its settings say.
    """

    folder: Folder
    seeds: tuple[int, ...]
    figures: Path
    link: str
    counts: Callable[[Arm, int], bool] = lambda arm, seed: True
    _reports: dict[tuple[str, int], Report | None] = field(default_factory=dict)

    def report(self, arm: Arm, seed: int) -> Report | None:
        """Of a run; None where there is none that counts."""
        key = (arm.folder, seed)
        if key not in self._reports:
            found = self.folder.report(arm, seed)
            self._reports[key] = found if found is not None and self.counts(arm, seed) else None
        return self._reports[key]

    def values(self, arm: Arm, read: Read) -> dict[int, float]:
        """By seed, of the runs that have it."""
        found = {}
        for seed in self.seeds:
            report = self.report(arm, seed)
            value = None if report is None else read(report)
            if value is not None:
                found[seed] = float(value)
        return found

    def interval(self, arm: Arm, read: Read) -> Interval | None:
        """None where no seed has it."""
        values = self.values(arm, read)
        return Interval.of(values) if values else None

    def base(self, read: Read) -> dict[int, float]:
        """Of the base's runs."""
        return self.values(BASE, read)

    def kl(self, arm: Arm) -> dict[int, float]:
        """Divergence of the trained policy from the initial one, in nats, by seed."""
        found = {}
        for seed in self.seeds:
            said = read_json(self.folder.run(arm, seed) / "kl.json") or {}
            if self.report(arm, seed) is not None and isinstance(said.get("kl"), int | float):
                found[seed] = float(said["kl"])
        return found


def at(*path: str) -> Read:
    """The number at a path of a report."""

    def read(report: Report) -> float | None:
        value: Any = report
        for part in path:
            value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, Mapping):
            value = value.get("value")
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    return read


def rate(quality: str, when: str = "after") -> Read:
    """Of the oracle, on held-out prompts; `when` is before, after or change."""
    return at("evaluators", "minnow-oracle", "rates", quality, when)


def alone(name: str, polarity: str, wording: int = 1) -> Read:
    """Share of right answers of the reward model under one text."""
    return at("evaluators", "evidence-texts", "alone", name, polarity, str(wording))


def mean_of(*reads: Read) -> Read:
    """Of those that are there."""

    def read(report: Report) -> float | None:
        found = [value for each in reads if (value := each(report)) is not None]
        return fmean(found) if found else None

    return read


def accuracy(polarity: str, names: tuple[str, ...], wording: int = 1) -> Read:
    """The mean over principles."""
    return mean_of(*(alone(name, polarity, wording) for name in names))


def seconds(*stages: str) -> Read:
    """What stages took, those of another run included that were shared."""

    def read(report: Report) -> float | None:
        found = [own.get("seconds") for name, own in report["stages"].items() if name in stages]
        return sum(found) if found and all(isinstance(each, int | float) for each in found) else None

    return read
