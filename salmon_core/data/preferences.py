"""Preference rows of the user's own, by shape: ours, TRL's, transcripts, or responses with ratings.

Everything wrong with a file is found in one go.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from salmon_core.api.principles import Principle
from salmon_core.data.datasets import rows_of_dataset
from salmon_core.data.prompts import CONVERSATIONS, Columns, to_prompt
from salmon_core.data.ratings import rated_rows
from salmon_core.data.readers import READERS, Wrong, read_file
from salmon_core.data.shapes import conversation, is_conversation, shared_turns, transcript, without_answer
from salmon_core.data.shown import shown_principles
from salmon_core.data.validation import problems_of
from salmon_core.errors import DataError
from salmon_core.records import Message, PreferenceRow, prompt_id

#: a column that holds a whole row of ours, in what `salmon export` writes
RECORD = "salmon"
#: who decided a row that does not say it
OWN = "rule:own"


@dataclass(frozen=True)
class Keep:
    """Rows that are kept: those whose number in this column is above this one."""

    column: str
    above: float

    def __call__(self, row: Mapping[str, Any], where: str) -> bool:
        """
        Raises:
            DataError: the row has no such column, or no number in it.
        """
        if self.column not in row:
            found = ", ".join(map(str, row)) or "nothing"
            raise DataError(f"has no column {self.column!r}, by which rows are kept; it has {found}", where=where)
        value = row[self.column]
        try:
            number = math.nan if isinstance(value, bool) or value is None else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if math.isnan(number):
            raise DataError(f"has to be a number, not {value!r:.60}", where=f"{where}, column {self.column}")
        return number > self.above


@dataclass(frozen=True)
class PreferenceSource:
    """Where a user's preference rows are, and how they are read.

    Attributes:
        path: a file, or a folder of a data set; a text is a hub id.
        limit: at most so many rows.
        ratings: by column of ratings, the principle it rates; empty: rows have a chosen and a rejected answer.
        default_principle: shown with a row that names none.
        known: principles that rows may name.
        keep: which rows are; the others are not even looked at.
    """

    path: Path | str
    subset: str | None = None
    split: str = "train"
    revision: str | None = None
    limit: int | None = None
    ratings: Mapping[str, str] = field(default_factory=dict)
    default_principle: str | None = None
    on_bad_row: Literal["error", "drop"] = "error"
    known: tuple[Principle, ...] = ()
    keep: Keep | None = None

    @property
    def name(self) -> str:
        """Of the file, folder or data set, for people."""
        return self.path.name if isinstance(self.path, Path) else self.path

    def located(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """(where, row) of each row as it is written.

        Raises:
            DataError: the file or the data set cannot be read.
        """
        if isinstance(self.path, Path) and self.path.suffix.lower() in READERS:
            rows = read_file(self.path)
            for number, located in enumerate(rows):
                if self.limit is not None and number >= self.limit:
                    return
                yield located
            return
        yield from rows_of_dataset(
            str(self.path), self.subset, self.split, self.revision, self.limit, needed_by="preferences"
        )


@dataclass(frozen=True)
class Preferences:
    """What a source has.

    Attributes:
        dropped: rows that were no preferences, where the source says to leave them out.
        passed_over: rows that the source does not keep.
    """

    rows: tuple[PreferenceRow, ...]
    dropped: int = 0
    passed_over: int = 0

    @property
    def nameless(self) -> int:
        """Rows that show no principle."""
        return sum(not row.principles for row in self.rows)


def read_preferences(source: PreferenceSource) -> Preferences:
    """All rows of a source.

    Raises:
        DataError: the rows that cannot be used, with their places; or there is none.
    """
    wrong = Wrong(str(source.path))
    rows: list[PreferenceRow] = []
    passed_over = 0
    if source.ratings:
        shown = {
            column: shown_principles([principle], source.known, f"preferences.ratings.{column}")
            for column, principle in source.ratings.items()
        }
        rows += rated_rows(wrong.rows(source.located()), shown, wrong.add)
    else:
        for where, row in wrong.rows(source.located()):
            try:
                if source.keep is not None and not source.keep(row, where):
                    passed_over += 1
                    continue
                rows.append(to_preference(row, source.known, where, otherwise=source.default_principle))
            except DataError as error:
                wrong.add(error)
    if source.on_bad_row == "error" or wrong.unreadable:
        wrong.stop("rows cannot be used")
    if not rows:
        says = "no two different responses to a prompt have different ratings" if source.ratings else "has no rows"
        if passed_over and source.keep is not None:
            says = f"none of its {passed_over} rows has more than {source.keep.above:g} in {source.keep.column!r}"
        raise DataError(says, where=str(source.path))
    return Preferences(tuple(rows), wrong.count, passed_over)


@dataclass(frozen=True)
class Pretraining:
    """Preferences that a reward model is trained on before those that show principles (arXiv 2112.00861, section 4).

    Attributes:
        principles: `none`: no text shows one; `rows`: those that rows name.
        min_margin: rows with a smaller margin, or difference of ratings, are left out.
        limit: at most so many of the rows that are left.
    """

    source: PreferenceSource
    principles: Literal["none", "rows"] = "none"
    min_margin: float | None = None
    limit: int | None = None

    def read(self) -> Preferences:
        """The rows, with the principles that their texts show.

        Raises:
            DataError: rows that cannot be used, or none is left.
        """
        found = read_preferences(self.source)
        least = self.min_margin
        kept = [row for row in found.rows if least is None or row.margin >= least]
        if not kept:
            raise DataError(
                f"none of its {len(found.rows)} rows has a margin of {least:g}", where=str(self.source.path)
            )
        passed_over = found.passed_over + len(found.rows) - len(kept)
        kept = kept[: self.limit]
        if self.principles == "none":
            kept = [replace(row, principles=()) for row in kept]
        return Preferences(tuple(kept), found.dropped, passed_over)


def to_preference(
    row: Mapping[str, Any], known: Sequence[Principle], where: str, *, otherwise: str | None = None
) -> PreferenceRow:
    """One row of any of the shapes.

    Args:
        known: principles that it may name.
        otherwise: the principle shown where it names none: a name or a text.

    Raises:
        DataError: it is no preference.
    """
    record = row.get(RECORD)
    if isinstance(record, Mapping):
        return to_preference(record, known, where)
    messages, chosen, rejected = _answers(row, where)
    if chosen == rejected:
        raise DataError("chosen and rejected are the same", where=where)
    try:
        cells = _Cells.model_validate(dict(row))
    except ValidationError as error:
        problem = problems_of(error, "")[0]
        raise DataError(problem.message, where=f"{where}, column {problem.where}") from None
    principles = shown_principles(_named(row, otherwise), known, where)
    return PreferenceRow(
        pair_id=cells.pair_id or _made_id(messages, chosen, rejected),
        messages=messages,
        category=cells.category,
        principles=principles,
        chosen=chosen,
        rejected=rejected,
        margin=cells.margin,
        decided_by=cells.decided_by or (principles[0].name if len(principles) == 1 else OWN),
        flipped=cells.flipped,
    )


def _named(row: Mapping[str, Any], otherwise: str | None) -> Any:
    """What a row says of principles; an empty list says that there is none."""
    for column in ("principles", "principle"):
        if row.get(column) not in (None, ""):
            return row[column]
    return otherwise


def _made_id(messages: Sequence[Message], chosen: str, rejected: str) -> str:
    answers: tuple[Message, ...] = tuple({"role": "assistant", "content": text} for text in (chosen, rejected))
    return prompt_id((*messages, *answers))


def _answers(row: Mapping[str, Any], where: str) -> tuple[tuple[Message, ...], str, str]:
    """-> the conversation that both answers answer, the chosen one, the rejected one."""
    chosen, rejected = row.get("chosen"), row.get("rejected")
    if chosen is None or rejected is None:
        missing = " and no ".join(repr(name) for name in ("chosen", "rejected") if row.get(name) is None)
        found = ", ".join(map(str, row)) or "nothing"
        hint = "a prompt with `chosen` and `rejected`; or map columns of ratings by preferences.ratings"
        raise DataError(f"has no {missing}; it has {found}", where=where, hint=hint)
    if isinstance(chosen, str) and isinstance(rejected, str):
        asked = _asked(row, where)
        if asked is not None:
            return asked, chosen, rejected
        turns = [transcript(text) for text in (chosen, rejected)]
        if turns[0] is None or turns[1] is None:
            hint = "add a column `prompt` or `messages`, or write conversations"
            raise DataError("has no prompt, and the answers are texts without one", where=where, hint=hint)
        return _apart(turns[0], turns[1], None, where)
    if not is_conversation(chosen) or not is_conversation(rejected):
        raise DataError("chosen and rejected have to be two texts or two conversations", where=where)
    return _apart(conversation(chosen, where), conversation(rejected, where), _asked(row, where), where)


def _asked(row: Mapping[str, Any], where: str) -> tuple[Message, ...] | None:
    """The prompt that a row names beside its answers; a conversation up to its answer."""
    if not any(row.get(name) not in (None, "") for name in ("messages", CONVERSATIONS, "prompt")):
        return None
    return without_answer(to_prompt(row, Columns(), where, whole=True).messages)[0]


def _apart(
    chosen: tuple[Message, ...], rejected: tuple[Message, ...], asked: tuple[Message, ...] | None, where: str
) -> tuple[tuple[Message, ...], str, str]:
    """Conversations with their prompt in them, or answers alone."""
    if any(turn["role"] == "user" for turn in (*chosen, *rejected)):
        shared = chosen[: shared_turns(chosen, rejected)]
        if chosen == rejected:
            shared = chosen[:-1]
        if asked is not None and (not shared or shared[-1] != asked[-1]):
            raise DataError(
                "chosen and rejected are conversations that do not begin with the row's prompt", where=where
            )
        asked, chosen, rejected = shared, chosen[len(shared) :], rejected[len(shared) :]
    if not asked or asked[-1]["role"] != "user":
        raise DataError(
            "chosen and rejected share no turns up to one of the user's, and the row has no prompt", where=where
        )
    for name, turns in (("chosen", chosen), ("rejected", rejected)):
        if len(turns) != 1 or turns[0]["role"] != "assistant":
            roles = ", ".join(turn["role"] for turn in turns) or "nothing"
            raise DataError(f"{name} goes on with {roles}; it has to be one turn of the assistant's", where=where)
    return asked, chosen[0]["content"], rejected[0]["content"]


def _given(values: Any) -> Any:
    """Without what is empty, which says nothing."""
    return {key: value for key, value in values.items() if value not in (None, "")}


_Text = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]


class _Cells(BaseModel):
    """What a row says beside its texts."""

    pair_id: _Text = ""
    category: str = "general"
    margin: float = Field(0.0, allow_inf_nan=False)
    decided_by: str = ""
    flipped: bool = False

    _without_empty = model_validator(mode="before")(_given)
