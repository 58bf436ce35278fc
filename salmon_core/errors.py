"""What goes wrong, said so that the reader can act: where, what, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


class SalmonError(Exception):
    """A failure the user can act on; shown without a stack trace.

    Args:
        message: what was wrong, in one sentence.
        where: the file, configuration key or line concerned.
        hint: what to do about it.
    """

    exit_code = 1

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None):
        super().__init__(message)
        self.message, self.where, self.hint = message, where, hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text} ({self.hint})" if self.hint else text


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration or a data file.

    Args:
        where: the key or line concerned.
        file: the file it is in, where `where` does not name it.
    """

    where: str
    message: str
    hint: str | None = None
    file: str = ""

    @property
    def place(self) -> str:
        """File and key."""
        return ": ".join(filter(None, [self.file, self.where]))

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class ConfigError(SalmonError):
    """Everything wrong with a configuration, all at once. Exit code 2."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]):
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class DataError(SalmonError):
    """Bad input data; `where` names the file and the row or line."""


class StageError(SalmonError):
    """A stage of a run failed; finished shards of it stay and are used by the next run."""


class PluginError(SalmonError):
    """A plugin broke its promise. Names the plugin, and the component or hook at fault."""

    def __init__(self, plugin: str, message: str, *, what: str = "", hint: str | None = None):
        self.plugin, self.what = plugin, what
        super().__init__(message, where=f"plugin {plugin}" + (f", {what}" if what else ""), hint=hint)


@contextmanager
def boundary(plugin: str, what: str) -> Iterator[None]:
    """Runs a plugin's code; whatever it raises leaves as a `PluginError` that names its owner.

    A `SalmonError` passes unchanged: a plugin that can say what its user should do has said it.
    """
    try:
        yield
    except SalmonError:
        raise
    except Exception as error:
        raise PluginError(plugin, f"{type(error).__name__}: {error}", what=what) from error
