"""Rows of JSON Lines, CSV and Parquet files, each with its place for messages."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from salmon_core.errors import DataError


def read_file(path: Path, otherwise: str = ".jsonl") -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) of each row of a file, whose format its ending says.

    Args:
        otherwise: the ending taken for a file with none of `READERS`.

    Raises:
        DataError: the file or a row of it cannot be read; names file and line or row.
    """
    return READERS.get(path.suffix.lower(), READERS[otherwise])(path)


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
    ".json": read_jsonl,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
}
