"""Reading YAML written by people: safe, and strict about what is probably a mistake."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from salmon_core.errors import ConfigError, Problem


class _StrictLoader(yaml.SafeLoader):
    """The safe loader, but a key given twice is an error instead of silently the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key!r} is given twice", key_node.start_mark
                    )
                seen.add(key)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, where: str) -> Any:
    """The document in a text.

    Raises:
        ConfigError: not valid YAML; names the line.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"{where}: line {mark.line + 1}, column {mark.column + 1}" if mark else where
        problem = error.problem or "unknown"
        if problem.startswith("but "):  # half a sentence
            problem = f"{error.context}, {problem}"
        raise ConfigError([Problem(line, f"not valid YAML: {problem}")]) from None
    except yaml.YAMLError as error:
        raise ConfigError([Problem(where, f"not valid YAML: {str(error).splitlines()[0]}")]) from None
    except ValueError as error:  # a date such as 2026-13-45
        raise ConfigError([Problem(where, f"not valid YAML: {error}")]) from None
    except RecursionError:
        raise ConfigError([Problem(where, "is nested too deeply")]) from None


def read_yaml(path: Path) -> Any:
    """The document in a file.

    Raises:
        ConfigError: the file cannot be read, or is not valid YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError([Problem(str(path), "there is no such file")]) from None
    except IsADirectoryError:
        raise ConfigError([Problem(str(path), "is a folder, not a file")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(path), f"is not UTF-8 text (byte {error.start})")]) from None
    except OSError as error:
        raise ConfigError([Problem(str(path), f"cannot be read: {error.strerror}")]) from None
    return parse_yaml(text, str(path))
