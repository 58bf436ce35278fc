"""Rows of JSON, JSON Lines, CSV and Parquet files, each with its place for messages."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic_core import from_json

from salmon_core.errors import DataError

T = TypeVar("T")


def read_file(path: Path, otherwise: str = ".jsonl") -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) of each row of a file, whose format its ending says.

    Args:
        otherwise: the ending taken for a file with none of `READERS`.

    Raises:
        DataError: the file or a row of it cannot be read; names file and line or row.
    """
    return READERS.get(path.suffix.lower(), READERS[otherwise])(path)


class Wrong:
    """What is wrong with the rows of a file, so that it is told in one go.

    Args:
        path: of the file.

    Attributes:
        count: of all that was added.
        unreadable: whether the file could not be read to its end.
    """

    #: of one file, those that are listed at most
    LISTED = 12

    def __init__(self, path: str):
        self._path, self._first = path, list[DataError]()
        self.count, self.unreadable = 0, False

    def add(self, error: DataError) -> None:
        """One more."""
        self.count += 1
        if len(self._first) < self.LISTED:
            self._first.append(error)

    def rows(self, located: Iterable[T]) -> Iterator[T]:
        """The same, up to where the file cannot be read any more."""
        try:
            yield from located
        except DataError as error:
            self.unreadable = True
            self.add(error)

    def stop(self, what: str) -> None:
        """
        Args:
            what: is said of them, where there are several.

        Raises:
            DataError: all of them, if there is any.
        """
        if self.count == 1:
            raise self._first[0]
        if self.count:
            listed = "".join(f"\n  - {str(each).removeprefix(f'{self._path}: ')}" for each in self._first)
            more = self.count - len(self._first)
            raise DataError(
                f"{self.count} {what}{listed}" + (f"\n  ... and {more} more" if more else ""), where=self._path
            )


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: says why it is none, or that it is nested too deeply or has half of a surrogate pair, which JSON can
            say and UTF-8 cannot.
    """
    try:
        return from_json(text)
    except ValueError as error:
        reason = str(error)
    if reason.startswith("recursion limit"):
        reason = "is nested too deeply"
    elif "hex escape" in reason:
        reason = f"has half of a surrogate pair, which is no character ({reason})"
    else:
        reason = f"is not JSON: {reason}"
    raise ValueError(reason)


def read_jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) of each line that is not blank; see `read_file`."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                where = f"{path}: line {number}"
                try:
                    row = parse_json(line)
                except ValueError as error:
                    raise DataError(str(error).replace("at line 1 column", "at column"), where=where) from None
                if not isinstance(row, dict):
                    raise DataError("is not a JSON object", where=where)
                yield where, row
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8 text (byte {error.start})", where=str(path)) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from None


def read_json_file(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) of each object of a list in one piece, as many data sets are, else of JSON Lines."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8 text (byte {error.start})", where=str(path)) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from None
    if not text.lstrip().startswith("["):
        yield from read_jsonl(path)
        return
    try:
        rows = parse_json(text)
    except ValueError as error:
        raise DataError(str(error), where=str(path)) from None
    for number, row in enumerate(rows):
        where = f"{path}: item {number}"
        if not isinstance(row, dict):
            raise DataError("is not a JSON object", where=where)
        yield where, row


def read_csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) of each row, every cell a text; the first line names the columns. See `read_file`."""
    csv.field_size_limit(1 << 30)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
            header = reader.fieldnames or ()
            for name in header:
                if list(header).count(name) > 1:
                    raise DataError(f"has two columns {name!r}", where=f"{path}: line 1")
            for row in reader:
                where = f"{path}: line {reader.line_num}"
                if None in row or None in row.values():
                    raise DataError("has another number of fields than the header", where=where)
                yield where, row
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8 text (byte {error.start})", where=str(path)) from None
    except csv.Error as error:
        hint = "is a quotation mark left open?" if "end of data" in str(error) else None
        raise DataError(f"is not CSV: {error}", where=f"{path}: line {reader.line_num + 1}", hint=hint) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from None


def read_parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) of each row; see `read_file`."""
    from salmon_core.data.parquet import open_table, rows_of  # pyarrow is slow to import

    for number, row in enumerate(rows_of(open_table(path), path)):
        yield f"{path}: row {number}", row


#: by the ending of a file's name
READERS = {
    ".jsonl": read_jsonl,
    ".json": read_json_file,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
}
