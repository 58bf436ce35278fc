"""Prompts from files and data sets: text or chat messages, an optional id, category and split."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.errors import DataError, SalmonError
from salmon_core.interfaces import PromptSource
from salmon_core.records import Message, Prompt, prompt_id

ROLES = ("system", "user", "assistant")


class Columns(BaseModel):
    """Where to find what in a row."""

    model_config = ConfigDict(extra="forbid")

    prompt: str = Field("prompt", description="column of the prompt as text")
    messages: str = Field("messages", description="column of the conversation, used where it is given")
    id: str = Field("id", description="column of the id; where absent, a hash of the prompt")
    category: str = Field("category", description="column of the category; where absent, `general`")
    split: str = Field("split", description="column of the split, `train` or `test`; where absent, by hash")


class FileOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    path: str = Field(description="relative to the configuration")
    columns: Columns = Columns()


def to_prompt(row: Mapping[str, Any], columns: Columns, where: str) -> Prompt:
    """One row as a prompt; the split is empty where the row says nothing.

    Raises:
        DataError: no prompt in it, or not of the right shape.
    """
    messages = _messages(row.get(columns.messages), where) if row.get(columns.messages) else None
    if messages is None:
        text = row.get(columns.prompt)
        if not isinstance(text, str):
            found = ", ".join(map(str, row)) or "nothing"
            raise DataError(
                f"has no text in {columns.prompt!r} and no conversation in {columns.messages!r}; it has {found}",
                where=where,
                hint="set `columns` of the prompt source",
            )
        messages = ({"role": "user", "content": text},)
    identifier, category = row.get(columns.id), str(row.get(columns.category) or "general")
    if any(has_half_a_character(text) for text in (*(m["content"] for m in messages), str(identifier), category)):
        raise DataError("has half of a surrogate pair, which is no character", where=where)
    split = row.get(columns.split) or ""
    if split not in ("", "train", "test"):
        raise DataError(f"split is `train` or `test`, not {split!r}", where=where)
    return Prompt(
        prompt_id(messages) if identifier in (None, "") else str(identifier),
        messages,
        category,
        split,
    )


def has_half_a_character(text: str) -> bool:
    """Whether half of a surrogate pair is in it: JSON can say that, UTF-8 cannot."""
    return not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text)


def _messages(value: Any, where: str) -> tuple[Message, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(m, Mapping) for m in value):
        raise DataError("a conversation is a list of {role, content}", where=where)
    for message in value:
        if message.get("role") not in ROLES or not isinstance(message.get("content"), str):
            raise DataError(f"a turn is {{role: {' | '.join(ROLES)}, content: TEXT}}, not {message!r:.80}", where=where)
    if value[-1]["role"] != "user":
        raise DataError("the last turn of a conversation has to be the user's", where=where)
    return tuple({"role": m["role"], "content": m["content"]} for m in value)


def read_jsonl(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) of each line that is not blank.

    Raises:
        DataError: names the file and line.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                where = f"{path}: line {number}"
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise DataError(f"is not JSON: {error}", where=where) from None
                except RecursionError:
                    raise DataError("is nested too deeply", where=where) from None
                if not isinstance(row, dict):
                    raise DataError("is not a JSON object", where=where)
                yield where, row
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8 text (byte {error.start})", where=str(path)) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from None


def read_csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) of each row; the first line names the columns."""
    csv.field_size_limit(1 << 30)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
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
        raise DataError(f"is not CSV: {error}", where=str(path)) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from None


def read_parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) of each row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path, memory_map=False).to_pylist()
    except (pa.ArrowException, ValueError, OSError) as error:
        raise DataError(f"is not a readable Parquet file: {str(error).splitlines()[0]}", where=str(path)) from None
    for number, row in enumerate(rows):
        yield f"{path}: row {number}", row


READERS = {
    ".jsonl": read_jsonl,
    ".json": read_jsonl,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
}


class _FilePrompts(PromptSource):
    Options = FileOptions
    suffix = ""

    def __init__(self, options: FileOptions):
        self.options = options

    def load(self) -> Iterable[Prompt]:
        path = Path(self.options.path)
        reader = READERS.get(path.suffix.lower(), READERS[self.suffix])
        for where, row in reader(path):
            yield to_prompt(row, self.options.columns, where)


class JsonlPrompts(_FilePrompts):
    suffix = ".jsonl"


class CsvPrompts(_FilePrompts):
    suffix = ".csv"


class ParquetPrompts(_FilePrompts):
    suffix = ".parquet"


class DatasetPrompts(PromptSource):
    """A data set saved by `datasets`, or one of the hub."""

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")

        path: str = Field(description="folder of a saved data set, or a hub id")
        subset: str | None = None
        split: str = "train"
        revision: str | None = None
        limit: int | None = Field(None, ge=1, description="at most so many rows")
        columns: Columns = Columns()

    def __init__(self, options: Options):
        self.options = options

    def load(self) -> Iterable[Prompt]:
        try:
            import datasets
        except ImportError:
            raise SalmonError("needs the package datasets", where="prompts", hint="pip install datasets") from None
        options = self.options
        try:
            if Path(options.path).is_dir():
                data = datasets.load_from_disk(options.path)
                if isinstance(data, datasets.DatasetDict):
                    data = data[options.split]
            else:
                data = datasets.load_dataset(
                    options.path, options.subset, split=options.split, revision=options.revision
                )
        except Exception as error:  # datasets raises its own, the hub's, and the network's
            reason = str(error).strip().splitlines()
            raise DataError(
                f"cannot load the data set: {type(error).__name__}: {reason[0] if reason else ''}", where=options.path
            ) from None
        for number, row in enumerate(data):
            if options.limit is not None and number >= options.limit:
                return
            yield to_prompt(row, options.columns, f"{options.path}: row {number}")
