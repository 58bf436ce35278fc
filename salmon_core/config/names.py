"""Looking up by name what a configuration may mean: templates, principle sets, models."""

from __future__ import annotations

import os
from pathlib import Path

from salmon_core.api.principles import PrincipleSet
from salmon_core.api.templates import Template
from salmon_core.data.files import full_path
from salmon_core.errors import PluginError, SalmonError
from salmon_core.plugins.registry import Owned, Registry, singular

PLUGIN = "plugin:"
#: by what a file of prompts ends, which source reads it
FILE_SOURCES = {".jsonl": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}


def find_template(owned: Owned) -> Template:
    """A plugin's template.

    Raises:
        PluginError: the plugin's object is none.
    """
    template = owned.load()
    if not isinstance(template, Template):
        message = f"is a {type(template).__name__}, not a salmon_core.api.Template"
        raise PluginError(str(owned.owner), message, what=f"template {owned.name!r}")
    return template


def find_principle_set(registry: Registry, name: str, base: Path) -> PrincipleSet:
    """A principle set by name, or by the path of its YAML file."""
    from salmon_core.principles.files import load_principle_set

    def lookup(wanted: str) -> PrincipleSet:
        owned = registry.find("principle_sets", wanted)
        target = owned.load()
        return target if isinstance(target, PrincipleSet) else load_principle_set(_path(owned, target), lookup=lookup)

    if Path(name).suffix in (".yaml", ".yml", ".json"):
        return load_principle_set(base / name, lookup=lookup, base=base)
    return lookup(name)


def resolve_model(registry: Registry, name: str, base: Path) -> str:
    """A model's path: of a plugin, of a folder relative to the configuration, or a hub id as it is.

    Raises:
        SalmonError: it looks like a folder, and there is none.
    """
    if name.startswith(PLUGIN):
        owned = registry.find("models", name.removeprefix(PLUGIN))
        path = _path(owned, owned.load())
        if not path.is_dir():
            raise PluginError(str(owned.owner), f"its folder {path} is not there", what=f"model {owned.name!r}")
        return str(path)
    folder = base / os.path.expanduser(name)
    if os.path.isdir(folder):
        return str(full_path(folder))
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or os.path.lexists(folder):
        raise SalmonError(f"there is no model folder {name!r}", hint=f"looked for {folder}")
    return name


def _path(owned: Owned, target: object) -> Path:
    if not isinstance(target, str | os.PathLike):
        what = f"{singular(owned.kind)} {owned.name!r}"
        raise PluginError(str(owned.owner), f"is a {type(target).__name__}, not a path", what=what)
    return Path(target)
