"""The report card as data: figures with their verdicts, in JSON and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from salmon_card.checks import CHECKS
from salmon_core.data.files import write_text
from salmon_core.data.json import read_json
from salmon_core.errors import SalmonError

FORMAT = 1
ALL = "all"
Verdict = Literal["good", "weak", "bad", "backwards", "underpowered", "cannot tell", "not measured"]
#: the worst first; nothing is worse to know than that nothing could be told
WORST: tuple[Verdict, ...] = ("backwards", "bad", "cannot tell", "weak", "good", "underpowered", "not measured")
#: verdicts that speak against the reward model
FAILING = ("backwards", "bad")
Found = Literal["yes", "no", "underpowered", ""]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of the card.

    Attributes:
        check: its name, `about` what it is of: `all`, a principle, a size.
        low: and `high`: the 95 % interval, with prompts as clusters.
        n: prompts; `pairs` comparisons.
        null: what chance gives, or where no bias is; `wanted` see `salmon_card.checks.Check`.
        detectable: the smallest difference to `null` that would be found with a probability of 0.8 at p = 0.05; None
            where nothing would.
        p: of what the check asks; `q` over the whole card (Benjamini and Hochberg). None where n is too small.
        kept: share of preferences that stayed as under the principle alone, where that is asked.
        defect: that was planted, `defective` the figure it gave; `found` whether it was told: `no`: it passes as
            good, so the check cannot tell; `underpowered`: it does not pass, but is not shown to be bad either.
    """

    check: str
    about: str
    value: float
    low: float
    high: float
    n: int
    pairs: int
    null: float
    wanted: float
    detectable: float | None
    p: float | None
    q: float | None
    verdict: Verdict
    kept: float | None = None
    defect: str = ""
    defective: float | None = None
    found: Found = ""


@dataclass(frozen=True, slots=True)
class Bin:
    """Comparisons of about the same confidence: how sure the margins are on average, and how often that is right."""

    confidence: float
    right: float
    pairs: int


@dataclass(frozen=True, slots=True)
class Card:
    """A reward model's report card.

    Attributes:
        model: for people.
        truth: who says which answer is better, in words.
        agreement: that is only an opinion: figures measure agreement with it, not truth.
        prompts: and `pairs`: that were looked at.
        trained: principles that the reward model was trained on; `unseen`: further ones.
        framed: other wordings were made by fixed templates.
        selftest: by planted defect, the checks that call a reward model bad which has it.
        skipped: rows that could not be used, by reason.
    """

    model: str
    truth: str
    agreement: bool
    prompts: int
    pairs: int
    trained: tuple[str, ...]
    unseen: tuple[str, ...]
    framed: bool
    figures: tuple[Figure, ...]
    bins: tuple[Bin, ...] = ()
    selftest: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def blind(self) -> tuple[str, ...]:
        """Defects that no check would have found in these pairs: nothing is said of them."""
        return tuple(defect for defect, checks in self.selftest.items() if not checks)

    def figure(self, check: str, about: str = ALL) -> Figure | None:
        """One of them, None where there is none."""
        return next((each for each in self.figures if (each.check, each.about) == (check, about)), None)

    def verdict(self, check: str, about: str = ALL) -> Verdict:
        """What became of a check; `not measured` where there was nothing to measure it on.

        Of a check that has no figure of all principles, the worst of those that were shown to be something.
        """
        found = [each.verdict for each in self.figures if each.check == check and each.about == about]
        if not found and about == ALL:
            found = [each.verdict for each in self.figures if each.check == check]
        return min(found, key=WORST.index, default="not measured")

    def to_json(self) -> str:
        """As `read_card` reads it."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        write_text(path, self.to_json())


def read_card(path: str | Path) -> Card:
    """A card from its file.

    Raises:
        SalmonError: there is none that can be read.
    """
    values = read_json(Path(path))
    hint = "salmon card RUN --json FILE writes one"
    if not isinstance(values, Mapping) or values.get("format") != FORMAT:
        raise SalmonError("is no report card of this version", where=str(path), hint=hint)
    try:
        return _card(values)
    except (KeyError, TypeError, ValueError) as error:
        raise SalmonError(f"is damaged: {type(error).__name__}: {error}", where=str(path), hint=hint) from None


def read_metrics(report: Any, evaluator: str = "report-card") -> Card:
    """The card in a run's report.

    Args:
        report: what `report.json` holds.
        evaluator: its key under `evaluators`; of a second one in a run it is `report-card-2`.

    Raises:
        SalmonError: the report has none.
    """
    try:
        values = report["evaluators"][evaluator]
        own = values["figures"]  # in JSON sorted by name
        figures = [own[check.name][about] for check in CHECKS if check.name in own for about in _order(own[check.name])]
        return _card({**values, "figures": figures})
    except (KeyError, TypeError, ValueError, AttributeError):
        hint = "evaluate: [report-card] in its configuration writes one"
        raise SalmonError("has no report card", where="report.json", hint=hint) from None


def _order(names: Iterable[str]) -> list[str]:
    """All principles first, then by name."""
    return sorted(names, key=lambda name: (name != ALL, name))


def _card(values: Mapping[str, Any]) -> Card:
    from pydantic import TypeAdapter

    return TypeAdapter(Card).validate_python({each.name: values[each.name] for each in fields(Card)})
