"""What goes wrong, said so that the reader can act: where, what, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from salmon_core.calls import called


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
    """Everything wrong with a configuration or another file that people write, all at once. Exit code 2.

    Args:
        about: the file, where it is no configuration.
    """

    exit_code = 2

    def __init__(self, problems: Sequence[Problem], *, about: str = ""):
        self.problems, self.about = tuple(problems), about
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
    """Runs a plugin's code; whatever it raises leaves as a `PluginError` that names its owner and the line.

    A call of `sys.exit` is a failure like any other. A `SalmonError` passes unchanged: a plugin that can say what its
    user should do has said it. So does what ends the process or the task from outside.
    """
    try:
        with called(plugin, what):
            yield
    except (SalmonError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        if type(error).__name__ == "CancelledError":
            raise
        message = f"called sys.exit({error.code!r})" if isinstance(error, SystemExit) else _in_words(error)
        raise PluginError(plugin, message, what=what, hint=_place(error)) from error


def _in_words(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _place(error: BaseException) -> str | None:
    """File and line of the plugin at which it happened: the last of the package that was called first."""
    trace = error.__traceback__
    trace = trace.tb_next if trace is not None else None  # the first is the boundary's own
    frames = []
    while trace is not None:
        frames.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    packages = [str(frame.f_globals.get("__name__", "")).partition(".")[0] for frame, _ in frames]
    foreign = [package for package in packages if package != "salmon_core"]
    if not foreign:
        return None
    index = len(packages) - 1 - packages[::-1].index(foreign[0])
    frame, line = frames[index]
    return f"at {frame.f_code.co_filename}:{line}"
