"""The record of a run that is steered while it goes on: `RUN/interventions.jsonl`, a line for each intervention.

From which generated batch an intervention counts is fixed when it is written, and stands in its line. Beside it, in
`RUN/train-policy/begun`, stands which batch was last begun to be rewarded; nobody touches either without its lock. So
a batch that was begun has all interventions that it will ever have: for every process, after a kill, and in a replay.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from salmon_core.api.reward import ScheduledPrinciple, ScheduledWeight
from salmon_core.data.files import append_line, write_text
from salmon_core.data.readers import parse_json
from salmon_core.data.validation import problems_of
from salmon_core.errors import DataError
from salmon_core.records import ShownPrinciple

RECORD, BEGUN, STAGE = "interventions.jsonl", "begun", "train-policy"
_LONGEST = 12
_Number = Annotated[int, Field(ge=0, lt=10**_LONGEST, strict=True)]


@dataclass(frozen=True, slots=True)
class Intervention:
    """One line of the record.

    Attributes:
        id: 1, 2, ... in the order of the record.
        time: UTC, ISO 8601.
        what: shows a principle, gives a principle or a bonus another weight, or takes back an intervention.
        from_rollout: the first generated batch that it counts for.
        until_rollout: the first one that it no longer counts for; None: to the end.
        name: of the principle or the bonus.
        text: of the principle, as shown.
        value: the weight.
        undoes: the id of what is taken back.
        reason: a person's words, or an alarm's.
    """

    id: Annotated[int, Field(ge=1, strict=True)]
    time: str
    who: str
    what: Literal["principle", "weight", "bonus", "undo"]
    from_rollout: _Number
    until_rollout: _Number | None = None
    name: str = ""
    text: str | None = None
    negated: bool = False
    veto: bool = False
    value: Annotated[float, Field(allow_inf_nan=False)] | None = None
    undoes: int | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        needed = {"principle": self.text, "weight": self.value, "bonus": self.value, "undo": self.undoes}[self.what]
        if needed in (None, "") or (self.what != "undo" and not self.name):
            missing = {"principle": "a name and a text", "undo": "`undoes`"}.get(self.what, "a name and a value")
            raise ValueError(f"needs {missing}")
        if self.what == "weight" and (self.value or 0.0) < 0:
            raise ValueError(f"a weight is >= 0, not {self.value:g}")
        if self.until_rollout is not None and self.until_rollout <= self.from_rollout:
            raise ValueError(f"until_rollout {self.until_rollout} is not after from_rollout {self.from_rollout}")

    @property
    def effect(self) -> dict[str, Any]:
        """What it does: all that rewards follow from."""
        return {key: value for key, value in asdict(self).items() if key not in ("time", "who", "reason")}

    @property
    def words(self) -> str:
        """What it does, for people."""
        if self.what == "undo":
            return f"undoes {self.undoes}"
        if self.what == "principle":
            return f"shows {'not ' * self.negated}{self.name}: {self.text}"
        if self.what == "weight" and self.value == 0:
            return f"shows {self.name} no more"
        return f"{'bonus' if self.what == 'bonus' else 'principle'} {self.name} weighs {self.value:g}"


_ADAPTER = TypeAdapter(Intervention)


@dataclass(frozen=True, slots=True)
class Numbered:
    """A scheduled change and the id of the intervention that it comes from."""

    id: int
    change: ScheduledPrinciple | ScheduledWeight


def read_record(path: Path) -> list[Intervention]:
    """All interventions of a record; of a line that was torn when its writer was killed nothing counts.

    Raises:
        DataError: a line that is no intervention, or one out of order.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    found: list[Intervention] = []
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), 1):
        where = f"{path}: line {number}"
        try:
            found.append(_ADAPTER.validate_python(parse_json(line.decode())))
        except ValidationError as error:
            said = "; ".join(f"{p.where + ': ' if p.where else ''}{p.message}" for p in problems_of(error, ""))
            raise DataError(f"is no intervention: {said}", where=where) from None
        except ValueError as error:
            raise DataError(str(error), where=where) from None
        if found[-1].id != number:
            raise DataError(f"has the id {found[-1].id}", where=where, hint="ids are 1, 2, ... without a gap")
        if found[-1].undoes is not None and not 1 <= found[-1].undoes < number:
            raise DataError(f"undoes {found[-1].undoes}, which does not stand before it", where=where)
    return found


def write_record(path: Path, entries: Sequence[Intervention]) -> None:
    """A whole record at once."""
    write_text(path, "".join(f"{_line(each)}\n" for each in entries))


def scheduled(entries: Sequence[Intervention]) -> list[Numbered]:
    """What the interventions come to, those that were taken back with their ends; in order."""
    ends: dict[int, int] = {}
    for each in entries:
        if each.undoes is not None:
            ends[each.undoes] = min(each.from_rollout, ends.get(each.undoes, each.from_rollout))
    found = []
    for each in entries:
        start, until = each.from_rollout, [end for end in (each.until_rollout, ends.get(each.id)) if end is not None]
        end = min(until, default=None)
        if each.what == "undo" or (end is not None and end <= start):
            continue
        change: ScheduledPrinciple | ScheduledWeight
        if each.what == "principle":
            shown = ShownPrinciple(each.name, each.text or "", negated=each.negated, veto=each.veto)
            change = ScheduledPrinciple(shown, start, end)
        else:
            of: Literal["principle", "bonus"] = "bonus" if each.what == "bonus" else "principle"
            change = ScheduledWeight(of, each.name, each.value or 0.0, start, end)
        found.append(Numbered(each.id, change))
    return found


class Open:
    """A record and the batch last begun, under their lock."""

    def __init__(self, run: Path, file: int):
        self._record, self._file = run / RECORD, file

    @property
    def last(self) -> int:
        """The generated batch that was last begun to be rewarded; -1: none."""
        digits = os.pread(self._file, _LONGEST, 0)
        return int(digits) if digits.strip().isdigit() else -1

    def reach(self, batch: int) -> None:
        """This batch begins; it is on the disk before anything of it is rewarded."""
        if batch > self.last:
            os.pwrite(self._file, f"{batch:>{_LONGEST}}\n".encode(), 0)
            os.fsync(self._file)

    def read(self) -> list[Intervention]:
        """See `read_record`."""
        return read_record(self._record)

    def append(self, entry: Intervention) -> None:
        """Adds a line, which is on the disk when this returns; what a killed writer left of one is cut off first."""
        if self._record.exists():
            content = self._record.read_bytes()
            if not content.endswith(b"\n") and content:
                os.truncate(self._record, content.rfind(b"\n") + 1)
        append_line(self._record, _line(entry))
        with self._record.open("rb") as file:
            os.fsync(file.fileno())


@contextmanager
def locked(run: Path) -> Iterator[Open]:
    """The record of a run, and which batch was begun, for one at a time.

    Args:
        run: its folder; the stage's has to be there.
    """
    import fcntl

    file = os.open(run / STAGE / BEGUN, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield Open(run, file)
    finally:
        os.close(file)


def last_begun(run: Path) -> int:
    """The batch last begun, without the lock; -1: none."""
    try:
        digits = (run / STAGE / BEGUN).read_bytes()[:_LONGEST].strip()
    except OSError:
        return -1
    return int(digits) if digits.isdigit() else -1


def _line(entry: Intervention) -> str:
    needless = {each.name: each.default for each in fields(entry) if each.default is not MISSING}
    values = {key: value for key, value in asdict(entry).items() if key not in needless or value != needless[key]}
    return json.dumps(values, ensure_ascii=False)
