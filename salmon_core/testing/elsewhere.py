"""A component in a process of its own, as a run has it: made from a pickled `ComponentSpec`, and asked there.

`python -m salmon_core.testing.elsewhere` reads a pickled `Request` and writes a pickled answer; only ever from the
process that started it.
"""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from salmon_core.api.component import ComponentSpec
from salmon_core.plugins.registry import Registry
from salmon_core.testing.registry import registry_of


@dataclass(frozen=True)
class Made:
    """A component of a plugin, as a configuration chose it."""

    registry: Registry
    spec: ComponentSpec

    def build(self) -> Any:
        """The component, constructed anew."""
        return self.registry.build(self.spec)


@dataclass(frozen=True)
class Request:
    """What another process is to do.

    Attributes:
        plugin: a file, a module's name, or None for what is installed.
        ask: what to ask the component; None only constructs it.
        heavy: modules of which the answer says whether they were imported.
    """

    plugin: Path | str | None
    spec: ComponentSpec
    ask: Callable[[Made, Any], Any] | None
    inputs: Any
    heavy: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What it found.

    Attributes:
        imported: those of the heavy modules that were imported on the way.
    """

    result: Any
    imported: tuple[str, ...]


def asked(request: Request, folder: Path) -> Answer:
    """The answer of a fresh process, whose hashes of texts are others than here.

    Args:
        folder: its working directory.

    Raises:
        AssertionError: it failed; shows what it printed last.
    """
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONHASHSEED": "4711"}
    argv = [sys.executable, "-m", __name__]
    done = subprocess.run(argv, input=pickle.dumps(request), capture_output=True, cwd=folder, env=env)
    assert done.returncode == 0, f"a fresh process failed:\n{done.stderr.decode(errors='replace')[-3000:]}"
    # What the plugin printed comes first.
    answer: Answer = pickle.loads(done.stdout.rpartition(_MARK)[2])
    return answer


_MARK = b"\n--- answer ---\n"


def registry_for(plugin: Path | str | ModuleType | None) -> Registry:
    """The registry of one plugin, or of those that are installed."""
    if plugin is None:
        return Registry.discover()
    return registry_of(importlib.import_module(plugin) if isinstance(plugin, str) else plugin)


def _main() -> None:
    request: Request = pickle.loads(sys.stdin.buffer.read())
    made = Made(registry_for(request.plugin), request.spec)
    result = made.build() is None if request.ask is None else request.ask(made, request.inputs)
    imported = tuple(name for name in request.heavy if name in sys.modules)
    sys.stdout.flush()
    sys.stdout.buffer.write(_MARK + pickle.dumps(Answer(result, imported)))


if __name__ == "__main__":
    # Pickles name classes by their module, which is not `__main__`.
    from salmon_core.testing import elsewhere

    elsewhere._main()
