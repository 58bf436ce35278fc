"""Engines in a pool: constructed as a configuration does, in a cluster that a module's tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from salmon_core.api import ComponentSpec, ModelSpec, OpenModel
from salmon_core.plugins.engines import open_model
from salmon_core.plugins.options import validate_options
from salmon_core.plugins.registry import Registry
from salmon_core.records import Prompt

HERE = Path(__file__).resolve().parent
_BYTES = HERE.parent / "fixtures" / "plugins" / "salmon-bytes"


@contextmanager
def installed(folder: Path) -> Iterator[None]:
    """In the block, the engines `letters` and `odd` are found as installed ones, here and in workers."""
    for name in ("salmon_bytes", "ray_odd"):
        info = folder / f"{name}-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name.replace('_', '-')}\nVersion: 0.1.0\n")
        (info / "entry_points.txt").write_text(f"[salmon]\n{name} = {name}\n")
    before, more = list(sys.path), [str(folder), str(_BYTES), str(HERE / "odd"), str(HERE)]
    sys.path += more
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("PYTHONPATH", os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), *more]))
            yield
    finally:
        sys.path[:] = before


def spec(name: str, **options: Any) -> ComponentSpec:
    """An engine, as a configuration chose it."""
    return validate_options(Registry.discover().find("engines", name), options, "sample.engine", Path())


def opened(chosen: ComponentSpec, model: ModelSpec, ability: Any) -> OpenModel:
    """As a run opens it."""
    return open_model(Registry.discover(), chosen, model, ability)


def asked(*texts: str) -> list[tuple[Prompt, str]]:
    """Prompts with their rendered texts."""
    return [(Prompt.from_text(text, id=f"p{n}"), f"user: {text}\nassistant: ") for n, text in enumerate(texts)]


def title(process: psutil.Process) -> str:
    """What a process calls itself; empty for one that is gone."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
