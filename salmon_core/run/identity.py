"""What a thing is, for fingerprints: contents of files and models, versions of plugins, never a path alone.

`identity` goes through whatever a stage declares as its inputs. A dataclass counts with all its fields but those
declared by `uncounted()`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel

from salmon_core.api.component import ComponentSpec
from salmon_core.api.models import ModelSpec
from salmon_core.api.reward import RewardSpec
from salmon_core.api.training import Launch
from salmon_core.config.run_config import BackendChoice
from salmon_core.data.json import canonical
from salmon_core.plugins.options import options_model, uncounted_options
from salmon_core.plugins.registry import Registry

_WHOLE_FILE = 64 << 20
_UNCOUNTED = "uncounted"


@runtime_checkable
class Identified(Protocol):
    """Something that knows its own identity."""

    def identity(self) -> Any:
        """JSON-ready."""


def uncounted(**values: Any) -> Any:
    """A dataclass field that does not change what is computed."""
    return field(metadata={_UNCOUNTED: True}, **values)


def fingerprint(parts: Any) -> str:
    """The first 16 hex digits of the sha256 of the parts' canonical JSON."""
    return hashlib.sha256(canonical(parts).encode()).hexdigest()[:16]


def identity(value: Any, registry: Registry) -> Any:
    """What a value is, JSON-ready.

    Raises:
        TypeError: a kind of value that has no identity here.
    """
    if isinstance(value, Identified):
        return value.identity()
    if isinstance(value, ComponentSpec):
        return component_identity(value, registry)
    if isinstance(value, ModelSpec):
        return model_identity(value)
    if isinstance(value, BackendChoice):
        options = by_content(value.options, frozenset(value.paths))
        return {"component": component_identity(value.component, registry), "options": options}
    if isinstance(value, Launch):
        file = value.accelerate_config
        return {"processes": value.processes, "accelerate_config": file and path_identity(Path(file))}
    if isinstance(value, RewardSpec):
        # Its models are inputs of their own, known by what made them; a file plugin counts with its component.
        return _fields(value, registry, without=("model", "policy", "file_plugins"))
    if is_dataclass(value) and not isinstance(value, type):
        return _fields(value, registry)
    if isinstance(value, BaseModel):  # a section of the configuration
        return identity(value.model_dump(mode="json"), registry)
    if isinstance(value, Mapping):
        return {str(key): identity(item, registry) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [identity(item, registry) for item in value]
    if isinstance(value, Path):
        return path_identity(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} has no identity")


def _fields(value: Any, registry: Registry, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Those of a dataclass that count."""
    counted = [each.name for each in fields(value) if _UNCOUNTED not in each.metadata and each.name not in without]
    return {name: identity(getattr(value, name), registry) for name in counted}


def component_identity(spec: ComponentSpec, registry: Registry) -> dict[str, Any]:
    """Name, options that count, and version; of a file plugin the file's content, of its paths theirs."""
    owned = registry.owned(spec)
    owner = owned.owner
    model = options_model(owned.load()) if spec.options else None
    aside = frozenset[str]() if model is None else uncounted_options(model)
    options = {name: value for name, value in spec.options.items() if name not in aside}
    from_file = owner.version == "file"
    return {
        "name": spec.name,
        "plugin": Path(owner.distribution).name if from_file else owner.distribution,
        "version": _digest(Path(owner.distribution)) if from_file else owner.version,
        "options": by_content(options, frozenset(spec.paths)),
    }


def by_content(value: Any, paths: frozenset[str]) -> Any:
    """The value with each of these paths replaced by what lies there, so that a project may be moved."""
    if isinstance(value, str) and value in paths:
        return path_identity(Path(value))
    if isinstance(value, Mapping):
        return {key: by_content(item, paths) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [by_content(item, paths) for item in value]
    return value


def file_identity(path: Path) -> str:
    """A file's content; of large files the size and time of change."""
    status = path.stat()
    if status.st_size > _WHOLE_FILE:
        return f"{status.st_size}@{status.st_mtime_ns}"
    return _digest(path)[:16]


def path_identity(path: Path) -> Any:
    """A file's content, or that of all files in a folder; None where there is nothing."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return {str(file.relative_to(path)): file_identity(file) for file in files}
    return file_identity(path) if path.is_file() else None


def model_identity(spec: ModelSpec) -> dict[str, Any]:
    """What a model is: a folder's files, or a hub id."""
    values = asdict(spec)
    for key in ("path", "adapter"):
        if values[key] and Path(values[key]).is_dir():
            values[key] = path_identity(Path(values[key]))
    return values


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
