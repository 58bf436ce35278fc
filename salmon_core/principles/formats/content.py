"""What a file holds, whatever its format: JSON, JSON Lines, YAML, TOML, or text."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from salmon_core.data.readers import parse_json
from salmon_core.data.yaml import YamlDocument, parse_document
from salmon_core.errors import ConfigError, Problem

Kind = Literal["json", "jsonl", "yaml", "toml", "text"]
#: by a file's ending, how it may be written; other files may be written in any way
_BY_ENDING: dict[str, tuple[Kind, ...]] = {
    ".json": ("json", "jsonl"),
    ".jsonl": ("jsonl",),
    ".yaml": ("yaml",),
    ".yml": ("yaml",),
    ".toml": ("toml",),
    ".md": ("text",),
    ".markdown": ("text",),
}
_ANY: tuple[Kind, ...] = ("json", "jsonl", "toml", "yaml", "text")
#: lists and mappings in each other, at most
_DEPTH = 100
_JSON = re.compile(r"\s*(\{|\[\s*[\[{\"])")
_ROW = re.compile(r"\[(\d+)\]\.?(.*)", re.S)


@dataclass(frozen=True)
class Content:
    """A file, read in one way.

    Attributes:
        values: dictionaries with texts as keys, lists, texts, numbers, truth values and None; of JSON Lines a list; of
            a text None.
        lines: of JSON Lines, the line of each row.
        document: of YAML, where in the text its keys are.
    """

    path: Path
    kind: Kind
    text: str
    values: Any = None
    lines: tuple[int, ...] = ()
    document: YamlDocument | None = None

    def place(self, key: str) -> str:
        """A key path such as `criteria[2].weight` with its line, where that is known."""
        if self.kind == "jsonl" and (row := _ROW.fullmatch(key)):
            line = f"line {self.lines[int(row[1])]}"
            return f"{line}: {row[2]}" if row[2] else line
        line_number = self.document.line(key) if self.document is not None else None
        return f"line {line_number}: {key}" if line_number and key else key


def contents(path: Path, text: str) -> Iterator[Content]:
    """All ways in which a file can be read, the likeliest first.

    Raises:
        ConfigError: it cannot be read in the only way that its ending allows, or is broken JSON.
    """
    kinds = _BY_ENDING.get(path.suffix.lower(), _ANY)
    broken: ConfigError | None = None
    found = False
    for kind in kinds:
        if kind == "text":
            if kinds == _ANY and _JSON.match(text):
                continue  # broken JSON is no list of rules
            found = True
            yield Content(path, "text", text)
            continue
        try:
            content = _PARSERS[kind](path, text)
        except ConfigError as error:
            broken = broken or error
            continue
        if kinds == _ANY and kind in ("toml", "yaml") and not _structured(content.values):
            continue
        found = True
        yield content
    if not found:
        assert broken is not None
        raise broken


def _structured(values: Any) -> bool:
    """Whether YAML or TOML is more than a text that happens to be some."""
    return bool(values) and (isinstance(values, dict) or (isinstance(values, list) and isinstance(values[0], dict)))


def _json(path: Path, text: str) -> Content:
    try:
        return Content(path, "json", text, _plain(parse_json(text)))
    except ValueError as error:
        raise ConfigError([Problem(str(path), str(error))]) from None


def _jsonl(path: Path, text: str) -> Content:
    rows, lines, problems = [], [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(_plain(parse_json(line)))
            lines.append(number)
        except ValueError as error:
            message = str(error).replace("at line 1 column", "at column")
            problems.append(Problem(f"{path}: line {number}", message))
    if problems or not rows:
        raise ConfigError(problems or [Problem(str(path), "is empty")])
    return Content(path, "jsonl", text, rows, tuple(lines))


def _toml(path: Path, text: str) -> Content:
    try:
        return Content(path, "toml", text, _plain(tomllib.loads(text.replace("\r\n", "\n"))))
    except (ValueError, RecursionError) as error:
        reason = "is nested too deeply" if isinstance(error, RecursionError) else f"is not TOML: {error}"
        raise ConfigError([Problem(str(path), reason)]) from None


def _yaml(path: Path, text: str) -> Content:
    document = parse_document(text, str(path))
    try:
        return Content(path, "yaml", text, _plain(document.values), document=document)
    except ValueError as error:
        raise ConfigError([Problem(str(path), str(error))]) from None


_PARSERS: dict[Kind, Callable[[Path, str], Content]] = {"json": _json, "jsonl": _jsonl, "toml": _toml, "yaml": _yaml}


def _plain(value: Any, depth: int = 0) -> Any:
    """With texts as keys and dates as texts: what JSON can say.

    Raises:
        ValueError: nested too deeply.
    """
    if depth > _DEPTH:
        raise ValueError("is nested too deeply")
    if isinstance(value, dict):
        return {str(key): _plain(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each, depth + 1) for each in value]
    if isinstance(value, int) and value.bit_length() > 1024:
        return float("inf")  # as a number of that size reads everywhere else
    if value is None or isinstance(value, str | int | float):
        return value
    return str(value)
