"""Prompts from files and data sets, by shape: a text or a conversation, an optional id, category and split."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.api.component import HubPath
from salmon_core.api.prompts import PromptSource
from salmon_core.data.datasets import rows_of_dataset
from salmon_core.data.own_principles import own_principles
from salmon_core.data.readers import read_file
from salmon_core.data.shapes import conversation, is_conversation, without_answer
from salmon_core.errors import DataError
from salmon_core.records import Message, Prompt, prompt_id

#: ShareGPT's column, read where there is none of ours
CONVERSATIONS = "conversations"
_OR_DROP = "fill it, or set prompts.on_bad_row: drop"


class Columns(BaseModel):
    """Where to find what in a row."""

    model_config = ConfigDict(extra="forbid")

    prompt: str = Field("prompt", description="column of the prompt, as text or as a list of turns")
    messages: str = Field("messages", description="column of the conversation, used where it is given")
    id: str = Field("id", description="column of the id; where absent, a hash of the prompt")
    category: str = Field("category", description="column of the category; where absent, `general`")
    split: str = Field("split", description="column of the split, `train` or `test`; where absent, by hash")
    principles: str = Field("principles", description="column of the prompt's own principles: names, texts or objects")


class FileOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    path: Path = Field(description="relative to the configuration")
    columns: Columns = Columns()


def to_prompt(row: Mapping[str, Any], columns: Columns, where: str, *, whole: bool = False) -> Prompt:
    """One row as a prompt; the split is empty where the row says nothing.

    Looked for in this order: a conversation in `columns.messages`, one in ShareGPT's `conversations`, then
    `columns.prompt`, a text or a list of turns. In CSV, conversations are JSON, and a prompt is always a text.

    Args:
        whole: take conversations that end with the assistant's turn, as data sets with answers have, with that turn.

    Raises:
        DataError: no prompt in it, or not of the right shape.
    """
    messages = _messages(row, columns, where, whole=whole)
    identifier, split = row.get(columns.id), row.get(columns.split) or ""
    if split not in ("", "train", "test"):
        raise DataError(f"split is `train` or `test`, not {split!r}", where=where)
    return Prompt(
        prompt_id(messages) if identifier in (None, "") else str(identifier),
        messages,
        str(row.get(columns.category) or "general"),
        split,
    )


def _messages(row: Mapping[str, Any], columns: Columns, where: str, *, whole: bool) -> tuple[Message, ...]:
    cell = row.get(columns.messages) or row.get(CONVERSATIONS)
    value = row.get(columns.prompt)
    if not cell and is_conversation(value):
        cell, whole = value, False  # TRL goes on with an assistant's turn there: it is no answer
    if not cell:
        if not isinstance(value, str):
            found = ", ".join(map(str, row)) or "nothing"
            raise DataError(
                f"has no prompt in {columns.prompt!r} and no conversation in {columns.messages!r} or"
                f" {CONVERSATIONS!r}; it has {found}",
                where=where,
                hint="set `columns` of the prompt source",
            )
        if not value.strip():
            raise DataError(f"has an empty {columns.prompt!r}", where=where, hint=_OR_DROP)
        return ({"role": "user", "content": value},)
    messages = conversation(cell, where)
    if messages[-1]["role"] == "user":
        asked = messages[-1]
    elif whole and messages[-1]["role"] == "assistant" and messages[:-1] and messages[-2]["role"] == "user":
        asked = messages[-2]
    else:
        raise DataError("the last turn of a conversation has to be the user's", where=where)
    if not asked["content"].strip():
        raise DataError("the last turn is empty", where=where, hint=_OR_DROP)
    return messages


def _located(
    rows: Iterable[tuple[str, Mapping[str, Any]]], columns: Columns
) -> Iterator[tuple[str, Prompt | DataError]]:
    """Each row with its place, as a prompt, with its answer where it has one, or as the reason why it is none."""
    for where, row in rows:
        try:
            own = own_principles(row.get(columns.principles), where)
            yield where, replace(to_prompt(row, columns, where, whole=True), principles=own)
        except DataError as error:
            yield where, error


def _loaded(found: Iterable[tuple[str, Prompt | DataError]]) -> Iterator[Prompt]:
    """The prompts alone, without answers."""
    for _, prompt in found:
        if isinstance(prompt, DataError):
            raise prompt
        yield unanswered(prompt)


def unanswered(prompt: Prompt) -> Prompt:
    """A prompt up to the user's last turn; an id made of the conversation is made anew."""
    messages, answer = without_answer(prompt.messages)
    if answer is None:
        return prompt
    made = prompt.id == prompt_id(prompt.messages)
    return replace(prompt, id=prompt_id(messages) if made else prompt.id, messages=messages)


class _FilePrompts(PromptSource):
    Options = FileOptions
    suffix = ""

    def __init__(self, options: FileOptions):
        self.options = options

    def load(self) -> Iterable[Prompt]:
        return _loaded(self.located())

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
        return _loaded(self.located())

    def located(self) -> Iterable[tuple[str, Prompt | DataError]]:
        options = self.options
        rows = rows_of_dataset(
            str(options.path), options.subset, options.split, options.revision, options.limit, needed_by="prompts"
        )
        return _located(rows, options.columns)
