"""What a rater said: a file of their own, a line for each rating, which is on the disk before the next is asked for."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from salmon_core.closing import Closing
from salmon_core.data.files import append_line
from salmon_core.data.readers import parse_json
from salmon_core.errors import DataError, SalmonError
from salmon_study.task import Side, Task, ratings_folder

#: of raters: also the names of their files
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: what results call all persons together
PEOPLE = "people"
Choice = Literal["first", "second", "tie"]
Kind = Literal["person", "judge"]


@dataclass(frozen=True)
class Rating:
    """What was said of one item under one question.

    Attributes:
        choice: in the task's words, whatever was shown first.
        left: the answer that was shown first; "" of a judge, who saw both orders.
        seconds: it took, since it was last shown.
        time: in ISO format, UTC.
        s12: and `s21`: of a judge, what it said in each order; see `salmon_core.records.Judgment`.
    """

    item: str
    question: str
    choice: Choice
    left: Side | Literal[""] = ""
    seconds: float | None = None
    time: str = ""
    s12: float | None = None
    s21: float | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Item and question."""
        return self.item, self.question


@dataclass(frozen=True)
class Rated:
    """All that a rater said and did not take back, in order.

    Attributes:
        about: of a judge: which.
    """

    rater: str
    kind: Kind
    about: str
    ratings: tuple[Rating, ...]


class RatingLog(Closing):
    """A rater's file, to go on with; nobody else writes to it while it is open.

    Args:
        folder: of the ratings.

    Raises:
        SalmonError: no name for a rater, another process has the file, it is another study's, or of the other kind.
    """

    def __init__(self, folder: Path, task: Task, rater: str, kind: Kind, about: str = ""):
        import fcntl

        self.path = path_of(folder, rater)
        folder.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                hint = "end the other `salmon study`, or choose another --rater"
                raise SalmonError(f"{rater} is being asked already", where=str(self.path), hint=hint) from None
            self._mend()
            if not os.fstat(self._fd).st_size:
                self._append({"study": task.id, "rater": rater, "kind": kind, "about": about})
                _sync(folder)
            found = read_ratings(self.path, task)
            if (found.kind, found.about) != (kind, about):
                said = f"a {found.kind}" + (f", {found.about}" if found.about else "")
                raise SalmonError(f"{rater} is {said}", where=str(self.path), hint="choose another --rater")
        except BaseException:
            os.close(self._fd)
            raise
        self._ratings = list(found.ratings)

    @property
    def ratings(self) -> tuple[Rating, ...]:
        """Those that stand."""
        return tuple(self._ratings)

    @property
    def done(self) -> frozenset[tuple[str, str]]:
        """Items and questions that are rated."""
        return frozenset(rating.key for rating in self._ratings)

    def add(self, rating: Rating) -> None:
        """One more; it is on the disk when this returns.

        Raises:
            ValueError: there is one of the same item and question.
        """
        if rating.key in self.done:
            raise ValueError(f"{rating.key} is rated already")
        values = {key: value for key, value in asdict(rating).items() if value not in (None, "")}
        self._append({**values, "time": _now()})
        self._ratings.append(rating)

    def undo(self) -> Rating | None:
        """Takes the last one back."""
        if not self._ratings:
            return None
        last = self._ratings[-1]
        self._append({"undo": list(last.key), "time": _now()})
        self._ratings.pop()
        return last

    def close(self) -> None:
        """Lets others have the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, values: Mapping[str, Any]) -> None:
        append_line(self.path, json.dumps(values, ensure_ascii=False, allow_nan=False))
        os.fsync(self._fd)

    def _mend(self) -> None:
        """A line without an end was being written when its process was killed: nobody was told that it counts."""
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.ftruncate(self._fd, whole)
            os.fsync(self._fd)


def path_of(folder: Path, rater: str) -> Path:
    """A rater's file.

    Raises:
        SalmonError: no name for a rater, or that of all people together.
    """
    if not NAME.fullmatch(rater) or rater == PEOPLE:
        hint = "up to 64 letters of English, digits, dots, - and _; the first a letter or a digit"
        raise SalmonError("no name for a rater", where=f"--rater {rater!r}", hint=hint)
    return folder / f"{rater}.jsonl"


def read_ratings(path: Path, task: Task) -> Rated:
    """A rater's file.

    Raises:
        DataError: it cannot be read, or is of another study.
    """
    try:
        content = path.read_bytes()
        # What comes after the last line's end was not written to its end.
        lines = content[: content.rfind(b"\n") + 1].decode().split("\n")[:-1]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path)) from None
    head = _object(lines[0], f"{path}:1") if lines else {}
    if head.get("study") != task.id:
        raise DataError("has ratings of another study", where=str(path), hint="move it away")
    rater, kind, about = head.get("rater"), head.get("kind"), head.get("about", "")
    if rater != path.stem or kind not in ("person", "judge") or not isinstance(about, str):
        raise DataError("does not say whose ratings it has", where=f"{path}:1")
    known = {(item.id, question.name) for item in task.items for question in task.questions}
    standing, rated = list[Rating](), set[tuple[str, str]]()
    for number, line in enumerate(lines[1:], 2):
        where = f"{path}:{number}"
        values = _object(line, where)
        if "undo" in values:
            if not standing or values["undo"] != list(standing[-1].key):
                raise DataError("takes back what was not the last rating", where=where)
            rated.remove(standing.pop().key)
            continue
        rating = _rating(line, where)
        if rating.key not in known:
            raise DataError("rates what the study does not ask", where=where)
        if rating.key in rated:
            raise DataError("rates something twice", where=where)
        rated.add(rating.key)
        standing.append(rating)
    return Rated(rater, kind, about, tuple(standing))


def all_ratings(task_path: Path, task: Task) -> list[Rated]:
    """Of all raters, by name.

    Raises:
        DataError: one cannot be read.
    """
    return [read_ratings(path, task) for path in sorted(ratings_folder(task_path).glob("*.jsonl"))]


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        found = parse_json(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DataError("is no JSON object", where=where)
    return found


def _rating(line: str, where: str) -> Rating:
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Rating).validate_json(line, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"is no rating: {'.'.join(map(str, first['loc']))}: {first['msg']}", where=where) from None


def _sync(folder: Path) -> None:
    """The folder's own list of files."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
