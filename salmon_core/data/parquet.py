"""Records as Parquet files: one schema each, written aside and renamed, byte-identical for identical rows.

Pages carry checksums, so that a file that was damaged since is an error to whoever reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from salmon_core.data.files import replacing
from salmon_core.errors import DataError
from salmon_core.records import Completion, Judgment, Message, PreferenceRow, Prompt, ShownPrinciple

T = TypeVar("T")

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
PRINCIPLES = pa.list_(pa.struct([("name", pa.string()), ("text", pa.string()), ("negated", pa.bool_())]))

PROMPTS = pa.schema([("id", pa.string()), ("messages", _MESSAGES), ("category", pa.string()), ("split", pa.string())])
COMPLETIONS = pa.schema(
    [
        ("prompt_id", pa.string()),
        ("index", pa.int32()),
        ("text", pa.string()),
        ("token_ids", pa.list_(pa.int32())),
        ("n_tokens", pa.int32()),
        ("stopped", pa.bool_()),
    ]
)
JUDGMENTS = pa.schema(
    [
        ("pair_id", pa.string()),
        ("principle", pa.string()),
        ("s12", pa.float32()),
        ("s21", pa.float32()),
        ("reason", pa.string()),
        ("tie", pa.bool_()),
        ("mean", pa.bool_()),
        ("answers", pa.int32()),
        ("unread", pa.int32()),
    ]
)
#: columns that files written before lack -> what they would hold
_SINCE: Mapping[str, Any] = {"answers": 0, "unread": 0}
PREFERENCES = pa.schema(
    [
        ("pair_id", pa.string()),
        ("messages", _MESSAGES),
        ("category", pa.string()),
        ("principles", PRINCIPLES),
        ("chosen", pa.string()),
        ("rejected", pa.string()),
        ("margin", pa.float64()),
        ("decided_by", pa.string()),
        ("flipped", pa.bool_()),
    ]
)
RL_PROMPTS = pa.schema(
    [
        ("row", pa.int64()),
        ("prompt_id", pa.string()),
        ("prompt", pa.string()),
        ("messages", _MESSAGES),
        ("category", pa.string()),
        ("principles", PRINCIPLES),
    ]
)
PAIR_TEXTS = pa.schema(
    [("prompt", pa.string()), ("chosen", pa.string()), ("rejected", pa.string()), ("margin", pa.float64())]
)
RM_TEXTS = pa.schema([("chosen", pa.string()), ("rejected", pa.string()), ("margin", pa.float64())])
SFT_TEXTS = pa.schema([("prompt", pa.string()), ("completion", pa.string())])


def write_rows(path: Path, rows: Iterable[Any], schema: pa.Schema) -> None:
    """Writes dataclasses or mappings as one Parquet file; it appears complete or not at all."""
    dicts = [row if isinstance(row, Mapping) else asdict(row) for row in rows]
    table = pa.Table.from_pylist(dicts, schema=schema)
    with replacing(path) as aside:
        pq.write_table(table, aside, compression="zstd", write_page_checksum=True)


def open_table(path: Path) -> pa.Table:
    """A file's table, whatever its columns.

    Raises:
        DataError: not Parquet.
    """
    try:
        return pq.read_table(path, memory_map=False, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def rows_of(table: pa.Table, path: Path) -> Iterator[dict[str, Any]]:
    """A table's rows as dictionaries, made as they are asked for.

    Raises:
        DataError: a text is not UTF-8.
    """
    try:
        for batch in table.to_batches():
            yield from batch.to_pylist()
    except (pa.ArrowException, ValueError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(f"is not a readable Parquet file: {str(error).partition(chr(10))[0]}", where=str(path))


def read_table(path: Path, needs: pa.Schema) -> list[dict[str, Any]]:
    """Rows as dictionaries.

    Raises:
        DataError: not Parquet, or a column is missing or of another type.
    """
    table = open_table(path)
    missing = [name for name in needs.names if name not in table.column_names]
    for name in [name for name in missing if name in _SINCE]:
        table = table.append_column(name, pa.array([_SINCE[name]] * table.num_rows, needs.field(name).type))
        missing.remove(name)
    if missing:
        raise DataError(f"lacks the column(s) {', '.join(missing)}", where=str(path))
    try:
        table = table.select(needs.names).cast(needs)
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"has a column of another type: {str(error).partition(chr(10))[0]}", where=str(path)) from None
    return list(rows_of(table, path))


def first_rows(path: Path, needs: pa.Schema, count: int) -> list[dict[str, Any]]:
    """The first rows as dictionaries, without reading the rest; see `read_table`."""
    try:
        file = pq.ParquetFile(path, memory_map=False, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None
    missing = [name for name in needs.names if name not in file.schema_arrow.names]
    if missing:
        raise DataError(f"lacks the column(s) {', '.join(missing)}", where=str(path))
    try:
        batch = next(file.iter_batches(count, columns=needs.names), None)
        table = pa.Table.from_batches([] if batch is None else [batch], None if batch else file.schema_arrow)
        return list(rows_of(table.select(needs.names).cast(needs), path))
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"has a column of another type: {str(error).partition(chr(10))[0]}", where=str(path)) from None


def read_rows(paths: Path | Sequence[Path], schema: pa.Schema, make: Callable[[dict[str, Any]], T]) -> list[T]:
    """Rows of one or several files, in order, as records."""
    files = [paths] if isinstance(paths, Path) else paths
    return [record for path in files for record in records(read_table(path, schema), make, path)]


def records(rows: Iterable[dict[str, Any]], make: Callable[[dict[str, Any]], T], path: Path) -> Iterator[T]:
    """Rows as records.

    Raises:
        DataError: a value is missing; names the row and the column.
    """
    for number, row in enumerate(rows):
        try:
            yield make(row)
        except (TypeError, KeyError, AttributeError):
            missing = ", ".join(name for name, value in row.items() if _lacks(value))
            raise DataError(f"lacks a value in {missing or 'a column'}", where=f"{path}: row {number}") from None


def _lacks(value: Any) -> bool:
    """Whether a value is missing, or one in it is."""
    if isinstance(value, Mapping):
        return any(_lacks(each) for each in value.values())
    return any(map(_lacks, value)) if isinstance(value, list | tuple) else value is None


def to_prompt(row: Mapping[str, Any]) -> Prompt:
    return Prompt(row["id"], _messages(row), row["category"], row["split"])


def to_completion(row: Mapping[str, Any]) -> Completion:
    return Completion(**{**row, "token_ids": tuple(row["token_ids"])})


def to_judgment(row: Mapping[str, Any]) -> Judgment:
    return Judgment(**row)


def to_preference(row: Mapping[str, Any]) -> PreferenceRow:
    """A row that a person may have written.

    Raises:
        TypeError: a value is missing.
    """
    if _lacks(list(row.values())):
        raise TypeError("a value is missing")
    principles = tuple(ShownPrinciple(**principle) for principle in row["principles"])
    return PreferenceRow(**{**row, "messages": _messages(row), "principles": principles})


def _messages(row: Mapping[str, Any]) -> tuple[Message, ...]:
    return tuple({"role": m["role"], "content": m["content"]} for m in row["messages"])


def rl_row(row: int, prompt: Prompt, text: str, principles: Sequence[ShownPrinciple]) -> dict[str, Any]:
    """One row of `rl_prompts.parquet`."""
    return {
        "row": row,
        "prompt_id": prompt.id,
        "prompt": text,
        "messages": list(prompt.messages),
        "category": prompt.category,
        "principles": [asdict(principle) for principle in principles],
    }
