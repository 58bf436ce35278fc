"""Responses with ratings, as in HelpSteer: two responses to one prompt, one of them rated higher, make a preference."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from salmon_core.data.prompts import Columns, to_prompt
from salmon_core.errors import DataError
from salmon_core.records import PreferenceRow, Prompt, ShownPrinciple, prompt_id

#: columns that a response may stand in, by preference
RESPONSES = ("response", "completion")


@dataclass(frozen=True, slots=True)
class _Rated:
    """A response; `ratings` by column, those that it has."""

    text: str
    ratings: Mapping[str, float]


def rated_rows(
    located: Iterable[tuple[str, Mapping[str, Any]]],
    principles: Mapping[str, Sequence[ShownPrinciple]],
    wrong: Callable[[DataError], None],
) -> Iterator[PreferenceRow]:
    """A row for each two responses to a prompt and each column that rates them differently; its margin is by how much.

    Args:
        principles: by column, what it rates.
        wrong: told of each row that is no rated response.
    """
    prompts: dict[str, Prompt] = {}
    responses: dict[str, list[_Rated]] = {}
    for where, row in located:
        try:
            prompt, rated = _rated(row, principles, where)
        except DataError as error:
            wrong(error)
            continue
        key = prompt_id(prompt.messages)
        prompts.setdefault(key, prompt)
        responses.setdefault(key, []).append(rated)
    for key, prompt in prompts.items():
        for (i, one), (j, other) in combinations(enumerate(responses[key]), 2):
            for column, shown in principles.items():
                if column not in one.ratings or column not in other.ratings or one.text == other.text:
                    continue
                difference = one.ratings[column] - other.ratings[column]
                if difference:
                    chosen, rejected = (one, other) if difference > 0 else (other, one)
                    yield PreferenceRow(
                        pair_id=f"{key}/{i}-{j}",
                        messages=prompt.messages,
                        category=prompt.category,
                        principles=tuple(shown),
                        chosen=chosen.text,
                        rejected=rejected.text,
                        margin=abs(difference),
                        decided_by=shown[0].name,
                    )


def _rated(row: Mapping[str, Any], columns: Iterable[str], where: str) -> tuple[Prompt, _Rated]:
    prompt = to_prompt(row, Columns(), where)
    text = next((row[name] for name in RESPONSES if row.get(name) is not None), None)
    if not isinstance(text, str):
        raise DataError(f"has no text in {' or '.join(map(repr, RESPONSES))}", where=where)
    ratings = {}
    for column in columns:
        if column not in row:
            found = ", ".join(map(str, row))
            raise DataError(f"has no column {column!r}; it has {found}", where=where, hint="see preferences.ratings")
        value = row[column]
        if value in (None, ""):
            continue
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise DataError(f"a rating is a number, not {value!r:.60}", where=f"{where}, column {column}")
        ratings[column] = number
    return prompt, _Rated(text, ratings)
