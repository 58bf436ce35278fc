"""Records as Parquet files: one schema each, written aside and renamed, byte-identical for identical rows.

Pages carry checksums, so that a file that was damaged since is an error to whoever reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, overload

import pyarrow as pa
import pyarrow.parquet as pq

from salmon_core.data.files import replacing
from salmon_core.errors import DataError
from salmon_core.principle import Principle
from salmon_core.records import Completion, Judgment, Message, PreferenceRow, Prompt, ShownPrinciple

T = TypeVar("T")
#: rows that are in memory at once, of those that are written or read one after the other
GROUP = 8192

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
PRINCIPLES = pa.list_(pa.struct([("name", pa.string()), ("text", pa.string()), ("negated", pa.bool_())]))

#: as drawn for RL: with what a principle brings for the reward
DRAWN = pa.list_(
    pa.struct(
        [
            ("name", pa.string()),
            ("text", pa.string()),
            ("negated", pa.bool_()),
            ("weight", pa.float64()),
            ("veto", pa.bool_()),
        ]
    )
)

#: those that a prompt brings along; no text where it is a name
_OWN = pa.list_(
    pa.struct(
        [
            ("name", pa.string()),
            ("text", pa.string()),
            ("negated", pa.string()),
            ("weight", pa.float64()),
            ("veto", pa.bool_()),
            ("title", pa.string()),
        ]
    )
)
PROMPTS = pa.schema(
    [
        ("id", pa.string()),
        ("messages", _MESSAGES),
        ("category", pa.string()),
        ("split", pa.string()),
        ("own_principles", _OWN),
    ]
)
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
_SINCE: Mapping[str, Any] = {
    "answers": 0,
    "unread": 0,
    "by_principle": [],
    "left_out": [],
    "vetoed": [],
    "text_ids": [],
    "step": None,
    "kl": None,
    "interventions": [],
    "own_principles": [],
}
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
        ("principles", DRAWN),
    ]
)
PAIR_TEXTS = pa.schema(
    [("prompt", pa.string()), ("chosen", pa.string()), ("rejected", pa.string()), ("margin", pa.float64())]
)
RM_TEXTS = pa.schema([("chosen", pa.string()), ("rejected", pa.string()), ("margin", pa.float64())])
#: with the place of the chosen text's answer, in characters
RM_TEXTS_WITH_ANSWERS = RM_TEXTS.append(pa.field("answer_start", pa.int64())).append(pa.field("answer_end", pa.int64()))
SFT_TEXTS = pa.schema([("prompt", pa.string()), ("completion", pa.string())])


def write_rows(path: Path, rows: Iterable[Any], schema: pa.Schema) -> int:
    """Writes dataclasses or mappings as one Parquet file; it appears complete or not at all.

    Rows are made as they are written, `GROUP` of them at a time.

    Returns:
        how many rows there were.
    """
    dicts = (row if isinstance(row, Mapping) else asdict(row) for row in rows)
    count = 0
    with replacing(path) as aside, pq.ParquetWriter(aside, schema, compression="zstd", write_page_checksum=True) as to:
        while group := list(islice(dicts, GROUP)):
            to.write_table(pa.Table.from_pylist(group, schema=schema))
            count += len(group)
    return count


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
    _nothing_missing(table.column_names, needs, path)
    return list(rows_of(_as_needed(table, needs, path), path))


def stream(path: Path, needs: pa.Schema) -> Iterator[dict[str, Any]]:
    """Rows as dictionaries, a part of the file in memory at a time; see `read_table`."""
    file = _open(path, needs)
    lacking = set(needs.names) - set(file.schema_arrow.names)
    try:
        for batch in file.iter_batches(GROUP // 8, columns=[each for each in needs.names if each not in lacking]):
            yield from rows_of(_as_needed(pa.Table.from_batches([batch]), needs, path), path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None


def count_rows(path: Path) -> int:
    """Rows of a file, without reading them."""
    return int(_open(path, pa.schema([])).metadata.num_rows)


def _open(path: Path, needs: pa.Schema) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path, memory_map=False, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from None
    _nothing_missing(file.schema_arrow.names, needs, path)
    return file


def _nothing_missing(names: Sequence[str], needs: pa.Schema, path: Path) -> None:
    missing = [name for name in needs.names if name not in names and name not in _SINCE]
    if missing:
        raise DataError(f"lacks the column(s) {', '.join(missing)}", where=str(path))


def _as_needed(table: pa.Table, needs: pa.Schema, path: Path) -> pa.Table:
    """With these columns, of these types."""
    for name in needs.names:
        if name not in table.column_names:
            table = table.append_column(name, pa.array([_SINCE[name]] * table.num_rows, needs.field(name).type))
    try:
        return table.select(needs.names).cast(needs)
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"has a column of another type: {str(error).partition(chr(10))[0]}", where=str(path)) from None


class Rows(Sequence[T]):
    """Rows of files, in order, as records that are made as one goes through them; each time they are read again.

    Args:
        paths: one or several files.
        make: a record from a row.
    """

    def __init__(self, paths: Path | Sequence[Path], schema: pa.Schema, make: Callable[[dict[str, Any]], T]):
        self._paths = [paths] if isinstance(paths, Path) else list(paths)
        self._schema, self._make = schema, make

    def __iter__(self) -> Iterator[T]:
        for path in self._paths:
            yield from records(stream(path, self._schema), self._make, path)

    def __len__(self) -> int:
        return sum(self._counts)

    @cached_property
    def _counts(self) -> list[int]:
        return [count_rows(path) for path in self._paths]

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        """Some of them; goes through those before, so go through all of them where many are wanted."""
        return picked(self, index)  # type: ignore[no-any-return]


def picked(rows: Sequence[T], index: int | slice) -> Any:
    """What an index or a slice means, for a sequence that can only be gone through."""
    wanted = range(len(rows))[index]
    if isinstance(wanted, int):
        return next(islice(rows, wanted, None))
    if wanted.step < 0:
        return list(rows)[index]
    return list(islice(rows, wanted.start, wanted.stop, wanted.step))


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
    own = tuple(each["name"] if each["text"] is None else Principle(**each) for each in row["own_principles"] or ())
    return Prompt(row["id"], _messages(row), row["category"], row["split"], own)


def prompt_row(prompt: Prompt) -> dict[str, Any]:
    """One row of `PROMPTS`."""
    own = [{"name": each} if isinstance(each, str) else _own(each) for each in prompt.principles]
    return {
        "id": prompt.id,
        "messages": list(prompt.messages),
        "category": prompt.category,
        "split": prompt.split,
        "own_principles": own,
    }


def _own(principle: Principle) -> dict[str, Any]:
    return {name: getattr(principle, name) for name in ("name", "text", "negated", "weight", "veto", "title")}


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
