"""Where the sizes of a run's models are found: in folders, in the hub's cache, in files that stand for both."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from salmon_core.api.models import ModelSpec
from salmon_core.errors import SalmonError
from salmon_core.memory.shapes import Shape, read_shape


@dataclass
class FoundShapes:
    """Sizes by model.

    Attributes:
        given: files like a model's `config.json`, by the name of a model that need not be there.
        made: folders that a run will leave -> the model that each is made from, and the type of its weights.
    """

    given: Mapping[str, Path] = field(default_factory=dict)
    made: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __call__(self, model: ModelSpec) -> Shape:
        """
        Raises:
            SalmonError: the model is not there, or no decoder-only transformer.
        """
        return self._of(model.path)

    def _of(self, path: str) -> Shape:
        if path in self.given:
            return read_shape(self.given[path])
        folder = Path(path).expanduser()
        if (folder / "config.json").is_file():
            return read_shape(folder)
        if path in self.made:
            base, dtype = self.made[path]
            shape = self._of(base)
            return shape if dtype == "auto" else replace(shape, dtype=dtype)
        if (below := _adapter_base(folder)) is not None:
            return self._of(below)
        if (cached := _cached(path)) is not None:
            return read_shape(cached)
        raise SalmonError("its config.json is not here", where=path)


def _adapter_base(folder: Path) -> str | None:
    """What an adapter's folder belongs to."""
    try:
        base = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return base if isinstance(base, str) and base else None


def _cached(name: str) -> Path | None:
    """The newest folder of a model in the hub's cache on this machine; nothing is asked of the hub."""
    home = Path(os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    snapshots = cache / f"models--{name.replace('/', '--')}" / "snapshots"
    if ".." in name or not snapshots.is_dir():
        return None
    found = [folder for folder in snapshots.iterdir() if (folder / "config.json").is_file()]
    return max(found, key=lambda folder: folder.stat().st_mtime, default=None)
