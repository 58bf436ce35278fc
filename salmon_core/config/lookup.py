"""Names of a configuration looked up one by one, and what is wrong with them collected."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from salmon_core.api.component import ComponentSpec
from salmon_core.config.choices import BonusChoice, DefaultSelection, Selection
from salmon_core.config.schema import Config
from salmon_core.data.files import full_path
from salmon_core.errors import ConfigError, PluginError, Problem, SalmonError
from salmon_core.plugins.options import validate_options
from salmon_core.plugins.registry import Registry

T = TypeVar("T")


class Lookup:
    """Looks up what one configuration names.

    Attributes:
        files: its file plugins.
        problems: all that was found to be wrong, in order.
    """

    def __init__(self, config: Config, base: Path, source: str, announce: Callable[[Path], None] | None):
        self.config, self.base, self.source, self.problems = config, base, source, list[Problem]()
        self.files = self.plugin_files()
        if announce is not None:
            for path in self.files:
                announce(path)
        self.registry = Registry.discover(self.files)
        for broken in self.registry.broken:
            if broken.owner.version == "file":
                self.problem(f"plugins: {broken.owner.plugin}.py", broken.reason)

    def problem(self, where: str, message: str, hint: str | None = None) -> None:
        self.problems.append(Problem(where, message, hint))

    def plugin_files(self) -> tuple[Path, ...]:
        files = []
        for index, name in enumerate(self.config.plugins):
            path = full_path(self.base / name)
            where = f"plugins[{index}]"
            if path.suffix != ".py" or not os.path.isfile(path):
                self.problem(where, f"there is no Python file {name!r} beside the configuration")
            elif not path.is_relative_to(self.base):
                self.problem(where, f"{name!r} lies outside the configuration's folder")
            else:
                files.append(path)
        return tuple(files)

    def select(self, kind: str, choice: Selection | DefaultSelection | BonusChoice, where: str) -> ComponentSpec | None:
        def find() -> ComponentSpec:
            owned = self.registry.default(kind) if choice.name is None else self.registry.find(kind, choice.name)
            return validate_options(owned, choice.options, where, self.base)

        return self.attempt(where, find)

    def attempt(self, where: str, action: Callable[[], T]) -> T | None:
        """The action's result; what it raises becomes a problem at that place."""
        try:
            return action()
        except ConfigError as error:
            for problem in error.problems:
                place = problem.place
                if not place.startswith(where):
                    place = f"{where}: {place}" if place else where
                self.problem(place, problem.message, problem.hint)
        except PluginError as error:
            self.problem(where, str(error))
        except SalmonError as error:
            self.problem(where if error.where is None else f"{where}: {error.where}", error.message, error.hint)
        return None
