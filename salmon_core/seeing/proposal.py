"""What could forbid what an alarm is about, and what it was measured to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from salmon_core.records import Estimate
from salmon_core.run.steering import Change


@dataclass(frozen=True, slots=True)
class Proposal:
    """A prohibition, or a bonus that is switched off, and what it does.

    Attributes:
        change: as a person would steer by it.
        source: the principle set that it is of; empty for a draft.
        flagged: change of the reward of rollouts that the alarm is about: of the reward model's score before it is
            weighed, or what the bonus gave; `others` of the rest, or of the flagged without the alarm's phrases.
        apart: flagged minus others.
        refused: why it could not be tried; empty where it was.
    """

    change: Change
    source: str = ""
    flagged: Estimate | None = None
    others: Estimate | None = None
    apart: Estimate | None = None
    refused: str = ""

    def document(self) -> dict[str, Any]:
        """As `salmon_core.api.events.Proposed` has it."""
        estimates = {name: getattr(self, name) for name in ("flagged", "others", "apart")}
        return {
            "what": self.change.what,
            "name": self.change.name,
            "text": self.change.text or "",
            "negated": self.change.negated,
            "source": self.source,
            **{name: None if each is None else asdict(each) for name, each in estimates.items()},
            "works": self.works,
            "refused": self.refused,
        }

    @property
    def is_draft(self) -> bool:
        """Whether it is of no set: words that the reward model was hardly shown before."""
        return self.change.what == "principle" and not self.source

    @property
    def words(self) -> str:
        """What it says, or does."""
        return self.change.text or f"no bonus {self.change.name}"

    @property
    def works(self) -> bool:
        """Whether it surely lowers what the alarm is about, and by more than the rest."""
        return all(each is not None and each.high < 0 for each in (self.flagged, self.apart))
