"""Prompts from files and data sets: text or chat messages, an optional id, category and split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.api.component import HubPath
from salmon_core.api.prompts import PromptSource
from salmon_core.data.own_principles import own_principles
from salmon_core.data.readers import read_file
from salmon_core.errors import DataError, SalmonError
from salmon_core.records import Message, Prompt, prompt_id

ROLES = ("system", "user", "assistant")
_OR_DROP = "fill it, or set prompts.on_bad_row: drop"


class Columns(BaseModel):
    """Where to find what in a row."""

    model_config = ConfigDict(extra="forbid")

    prompt: str = Field("prompt", description="column of the prompt as text")
    messages: str = Field("messages", description="column of the conversation, used where it is given")
    id: str = Field("id", description="column of the id; where absent, a hash of the prompt")
    category: str = Field("category", description="column of the category; where absent, `general`")
    split: str = Field("split", description="column of the split, `train` or `test`; where absent, by hash")
    principles: str = Field("principles", description="column of the prompt's own principles: names, texts or objects")


class FileOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    path: Path = Field(description="relative to the configuration")
    columns: Columns = Columns()


def to_prompt(row: Mapping[str, Any], columns: Columns, where: str) -> Prompt:
    """One row as a prompt; the split is empty where the row says nothing.

    Raises:
        DataError: no prompt in it, or not of the right shape.
    """
    messages = _messages(row.get(columns.messages), where) if row.get(columns.messages) else None
    if messages is not None and not messages[-1]["content"].strip():
        raise DataError("the last turn is empty", where=where, hint=_OR_DROP)
    if messages is None:
        text = row.get(columns.prompt)
        if not isinstance(text, str):
            found = ", ".join(map(str, row)) or "nothing"
            raise DataError(
                f"has no text in {columns.prompt!r} and no conversation in {columns.messages!r}; it has {found}",
                where=where,
                hint="set `columns` of the prompt source",
            )
        if not text.strip():
            raise DataError(f"has an empty {columns.prompt!r}", where=where, hint=_OR_DROP)
        messages = ({"role": "user", "content": text},)
    identifier, split = row.get(columns.id), row.get(columns.split) or ""
    if split not in ("", "train", "test"):
        raise DataError(f"split is `train` or `test`, not {split!r}", where=where)
    return Prompt(
        prompt_id(messages) if identifier in (None, "") else str(identifier),
        messages,
        str(row.get(columns.category) or "general"),
        split,
    )


def _messages(value: Any, where: str) -> tuple[Message, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(m, Mapping) for m in value):
        raise DataError("a conversation is a list of {role, content}", where=where)
    for message in value:
        if message.get("role") not in ROLES or not isinstance(message.get("content"), str):
            raise DataError(f"a turn is {{role: {' | '.join(ROLES)}, content: TEXT}}, not {message!r:.80}", where=where)
    if value[-1]["role"] != "user":
        raise DataError("the last turn of a conversation has to be the user's", where=where)
    return tuple({"role": m["role"], "content": m["content"]} for m in value)


def _located(
    rows: Iterable[tuple[str, Mapping[str, Any]]], columns: Columns
) -> Iterator[tuple[str, Prompt | DataError]]:
    """Each row with its place, as a prompt or as the reason why it is none."""
    for where, row in rows:
        try:
            own = own_principles(row.get(columns.principles), where)
            yield where, replace(to_prompt(row, columns, where), principles=own)
        except DataError as error:
            yield where, error


def _or_raise(found: Iterable[tuple[str, Prompt | DataError]]) -> Iterator[Prompt]:
    for _, prompt in found:
        if isinstance(prompt, DataError):
            raise prompt
        yield prompt


class _FilePrompts(PromptSource):
    Options = FileOptions
    suffix = ""

    def __init__(self, options: FileOptions):
        self.options = options

    def load(self) -> Iterable[Prompt]:
        return _or_raise(self.located())

    def located(self) -> Iterable[tuple[str, Prompt | DataError]]:
        return _located(read_file(self.options.path, otherwise=self.suffix), self.options.columns)


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

        path: HubPath = Field(description="folder of a saved data set, or a hub id")
        subset: str | None = None
        split: str = "train"
        revision: str | None = None
        limit: int | None = Field(None, ge=1, description="at most so many rows")
        columns: Columns = Columns()

    def __init__(self, options: Options):
        self.options = options

    def load(self) -> Iterable[Prompt]:
        return _or_raise(self.located())

    def located(self) -> Iterable[tuple[str, Prompt | DataError]]:
        return _located(self._rows(), self.options.columns)

    def _rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
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
            yield f"{options.path}: row {number}", row
