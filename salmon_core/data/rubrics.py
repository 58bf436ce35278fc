"""Principles for single prompts in a file of their own, joined to the prompts by id, or by what they say."""

from __future__ import annotations

from pathlib import Path

from salmon_core.data.own_principles import own_principles
from salmon_core.data.prompts import Columns, to_prompt
from salmon_core.data.readers import read_file
from salmon_core.errors import ConfigError, DataError, Problem
from salmon_core.principle import Principle
from salmon_core.records import Prompt, prompt_id

Own = tuple[Principle | str, ...]


class Rubrics:
    """The rows of a JSON Lines, CSV or Parquet file: `principles`, and `id`, `prompt` or `messages` of the prompt.

    Raises:
        ConfigError: every row that cannot be used, with its place; or the file cannot be read.
    """

    def __init__(self, path: Path):
        self._by_prompt: dict[tuple[str, str], tuple[str, Own]] = {}
        self._used: set[tuple[str, str]] = set()
        problems: list[Problem] = []
        try:
            for where, row in read_file(path):
                try:
                    key, own = _key(row, where), own_principles(row.get("principles"), where)
                except DataError as error:
                    problems.append(Problem(error.where or where, error.message, error.hint))
                    continue
                if not own:
                    problems.append(Problem(where, "has no `principles`"))
                elif key in self._by_prompt:
                    problems.append(Problem(where, f"is about the prompt of {self._by_prompt[key][0]} again"))
                else:
                    self._by_prompt[key] = (where, own)
        except DataError as error:
            problems.append(Problem(error.where or str(path), error.message, error.hint))
        if not problems and not self._by_prompt:
            problems.append(Problem(str(path), "has no rows"))
        if problems:
            raise ConfigError(problems)

    def of(self, prompt: Prompt) -> Own:
        """What the file says of a prompt: by its id, or by its conversation; nothing, mostly."""
        found: Own = ()
        for key in (("id", prompt.id), ("messages", prompt_id(prompt.messages))):
            if key in self._by_prompt:
                self._used.add(key)
                found = found or self._by_prompt[key][1]
        return found

    @property
    def unused(self) -> list[str]:
        """Places of the rows whose prompt was not asked about."""
        return [where for key, (where, _) in self._by_prompt.items() if key not in self._used]


def _key(row: dict[str, object], where: str) -> tuple[str, str]:
    if row.get("id") not in (None, ""):
        return "id", str(row["id"])
    return "messages", prompt_id(to_prompt(row, Columns(), where).messages)
