"""YAML as people write it, read safely and strictly into plain values; and written so that it reads back the same.

It is YAML 1.2: `true` and `false` are the truth values, while `yes`, `no`, `on` and `off` are texts (which options that
are truth values accept as well), `1e-4` is a number, and `0o17` is octal where `017` is seventeen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, MaxDepthExceededError
from ruamel.yaml.constructor import ConstructorError, DuplicateKeyError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.representer import SafeRepresenter

from salmon_core.data.files import replacing
from salmon_core.data.text import read_text
from salmon_core.errors import ConfigError, Problem

#: mappings and lists in each other, at most; every reader of the values may go down one call for each
_DEPTH = 100
#: values in a document at most, those that an alias repeats counted each time; and characters
_VALUES, _CHARACTERS = 100_000, 1_000_000
_HINT = "settings and principles are never so many; rows of data belong in a JSON Lines file"
_TAG = "tag:yaml.org,2002:"
_PLAIN = ("null", "bool", "int", "float", "str", "timestamp", "seq", "map")
_SURROGATE = re.compile("[\ud800-\udfff]")
#: line breaks other than a line feed, which a reader takes for spaces unless they are escaped
_BREAKS = re.compile("[\r\x85\u2028\u2029]")


@dataclass(frozen=True)
class YamlDocument:
    """A document's values, and where in the text they are.

    Attributes:
        values: dictionaries, lists, texts, numbers, truth values, dates and None.
    """

    values: Any
    _root: Any

    def line(self, key: str) -> int | None:
        """The line, from 1, of a key path such as `principles[2].weight`, or of the nearest key above it."""
        while key and key not in self._lines:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return self._lines.get(key)

    @cached_property
    def _lines(self) -> dict[str, int]:
        return dict(_lines(self._root, ""))


def read_document(path: Path) -> YamlDocument:
    """The document in a file.

    Raises:
        ConfigError: the file cannot be read, or `parse_document` refuses it.
    """
    return parse_document(read_text(path), str(path))


def read_yaml(path: Path) -> Any:
    """The values in a file; see `read_document`."""
    return read_document(path).values


def parse_yaml(text: str, where: str) -> Any:
    """The values in a text; see `parse_document`."""
    return parse_document(text, where).values


def parse_document(text: str, where: str) -> YamlDocument:
    """The document in a text.

    Args:
        where: the text comes from, for messages.

    Raises:
        ConfigError: it is not valid YAML, has a key twice, a key that is a list or mapping, or half of a surrogate
            pair, contains itself, or is too deep or too large; names line and column.
    """
    if len(text) > _CHARACTERS:  # reading them could take minutes
        message = f"has {len(text):,} characters, and YAML is read up to {_CHARACTERS:,}"
        raise ConfigError([Problem(where, message, _HINT)])
    reader = YAML(typ="safe", pure=True)
    reader.Constructor, reader.Composer = _Constructor, _Composer
    reader.max_depth = _DEPTH
    reader.composer.warn_double_anchors = False  # YAML allows them, and a warning would be shown between other output
    hint = None
    try:
        root = reader.compose(text)
        if root is None:
            return YamlDocument(None, None)
        if _Extent().of(root)[1] > _DEPTH:
            raise MaxDepthExceededError(problem_mark=root.start_mark)
        return YamlDocument(reader.constructor.construct_document(root), root)
    except _TooManyError as error:
        message = f"has more than {_VALUES:,} values, counting what its aliases repeat, as of line {error.line}"
        mark, hint = None, _HINT
    except _RefusedError as error:
        message, mark = str(error), error.problem_mark
    except MaxDepthExceededError as error:
        message, mark = "is nested too deeply", error.problem_mark
    except MarkedYAMLError as error:
        message, mark = f"not valid YAML: {_reason(error)}", error.problem_mark
    except ReaderError as error:
        where = f"{where}: line {text.count(chr(10), 0, error.position) + 1}"
        message, mark = f"not valid YAML: {error.reason}", None
    except YAMLError as error:
        message, mark = f"not valid YAML: {str(error).partition(chr(10))[0]}", None
    except (AssertionError, LookupError):  # what ruamel raises for `%YAML 1.10`
        message, mark = "not valid YAML: there is no such version of it", None
    place = f"{where}: line {mark.line + 1}, column {mark.column + 1}" if mark else where
    raise ConfigError([Problem(place, message, hint)])


def write_yaml(path: Path, values: Any) -> None:
    """Writes values as a YAML file, which appears whole or not at all."""
    with replacing(path) as aside:
        aside.write_bytes(yaml_text(values).encode())


def yaml_text(values: Any) -> str:
    """Values as YAML."""
    writer = YAML(typ="safe", pure=True)
    writer.Representer = _Representer
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # None by default
    writer.width = 110
    text = BytesIO()
    writer.dump(values, text)
    return text.getvalue().decode()


class _RefusedError(MarkedYAMLError):
    """Valid YAML that is not taken all the same."""

    def __init__(self, message: str, mark: Any = None):
        super().__init__(problem=message, problem_mark=mark)

    def __str__(self) -> str:
        return str(self.problem)


class _TooManyError(YAMLError):
    """More values than are taken."""

    def __init__(self, mark: Any):
        self.line = mark.line + 1


class _Composer(Composer):
    """Counts nodes as they come: a long list would take minutes to its end."""

    _nodes = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        node = super().compose_node(parent, index)
        self._nodes += 1
        if self._nodes > _VALUES:
            raise _TooManyError(node.start_mark)
        return node


def _reason(error: MarkedYAMLError) -> str:
    problem = str(error.problem or "unknown")
    return f"{error.context}, {problem}" if problem.startswith("but ") else problem  # otherwise half a sentence


class _Constructor(SafeConstructor):
    """Makes plain values, and says the place of those that cannot be made."""

    yaml_constructors = {  # noqa: RUF012 - an attribute of the class it extends
        tag: make
        for tag, make in SafeConstructor.yaml_constructors.items()
        if tag is None or tag.removeprefix(_TAG) in _PLAIN
    }

    def construct_non_recursive_object(self, node: Any, tag: str | None = None) -> Any:
        try:
            return super().construct_non_recursive_object(node, tag)
        except ValueError as error:  # a date such as 2026-13-45, a number of thousands of digits
            raise ConstructorError(problem=str(error), problem_mark=node.start_mark) from None
        except LookupError:  # such as `!!bool x`
            raise ConstructorError(problem="is no value of its kind", problem_mark=node.start_mark) from None

    def check_mapping_key(self, node: Any, key_node: Any, mapping: Any, key: Any, value: Any) -> bool:
        if key in mapping:
            raise DuplicateKeyError(problem=f"the key {key!r} is given twice", problem_mark=key_node.start_mark)
        return True


class _Extent:
    """How large a document is once its aliases are followed; each node is looked at once."""

    def __init__(self) -> None:
        self._known: dict[Any, tuple[int, int] | None] = {}

    def of(self, node: Any) -> tuple[int, int]:
        """Number of values, and depth.

        Raises:
            _RefusedError: half of a surrogate pair in a text, a key that is no text or number, or an alias of what it
                stands in.
            _TooManyError: too large.
        """
        if isinstance(node, ScalarNode):
            if _SURROGATE.search(node.value):
                raise _RefusedError("has half of a surrogate pair, which is no character", node.start_mark)
            return 1, 0
        if node in self._known:
            found = self._known[node]
            if found is None:
                raise _RefusedError("contains itself, by way of an alias", node.start_mark)
            return found
        self._known[node] = None
        children = node.value
        if isinstance(node, MappingNode):
            for key, _ in node.value:
                if not isinstance(key, ScalarNode):
                    raise _RefusedError("a key has to be a single value, not a list or mapping", key.start_mark)
            children = [each for pair in node.value for each in pair]
        extents = [self.of(child) for child in children]
        found = 1 + sum(size for size, _ in extents), 1 + max((depth for _, depth in extents), default=0)
        if found[0] > _VALUES:
            raise _TooManyError(node.start_mark)
        self._known[node] = found
        return found


def _lines(node: Any, path: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            name = f"{path}.{key.value}" if path else str(key.value)
            yield name, key.start_mark.line + 1
            yield from _lines(value, name)
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            yield f"{path}[{index}]", value.start_mark.line + 1
            yield from _lines(value, f"{path}[{index}]")


class _Representer(SafeRepresenter):
    """Writes texts so that every line break in them is read back."""


def _represent_text(representer: SafeRepresenter, text: str) -> Any:
    style = '"' if _BREAKS.search(text) else None
    return representer.represent_scalar(f"{_TAG}str", text, style=style)


_Representer.add_representer(str, _represent_text)
