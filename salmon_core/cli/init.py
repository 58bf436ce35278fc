"""`salmon init`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.markup import escape

from salmon_core.api.starter import Starter
from salmon_core.cli.output import OUT
from salmon_core.cli.schema import schema_text
from salmon_core.cli.starter import general_starter
from salmon_core.config.schema import RUN_NAME
from salmon_core.data.files import full_path, write_text
from salmon_core.data.yaml import parse_yaml
from salmon_core.errors import ConfigError, PluginError, SalmonError, boundary
from salmon_core.plugins.registry import Registry

#: the file of the configuration, and of its schema for editors
CONFIG, SCHEMA = "salmon.yaml", ".salmon-schema.json"
#: by which editors find it
SCHEMA_LINE = f"# yaml-language-server: $schema=./{SCHEMA}\n"


def init_folder(folder: Path, model: str | None, name: str | None) -> None:
    """Writes a configuration to start from, with the files that it names; existing ones are kept.

    Also its schema, for editors, which is written anew each time: what is installed may have changed.

    Args:
        model: hub id, folder, or `plugin:NAME`; None: the one that the only installed starting point is for.
        name: the run's; None: after the folder.

    Raises:
        SalmonError: no name for a run, or no model and not exactly one to take.
        PluginError: a plugin's starting point cannot be filled in.
    """
    run_name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", full_path(folder).name).strip("._-")[:60] or "first"
    if not re.fullmatch(RUN_NAME, run_name):
        raise SalmonError(f"{run_name!r} is no name for a run", hint="letters, digits, dots, dashes and underscores")
    registry = Registry.discover()
    installed = _installed(registry)
    if model is None:
        model = _only(installed)
    owner, starter = installed.get(model) or ("salmon-core", general_starter(registry))
    with boundary(owner, f"starting point for {model}"):
        texts = starter.texts(name=_scalar(run_name), model=_scalar(model))
    schema = schema_text(registry)
    with _nothing_empty(folder):
        for relative, text in texts.items():
            target = folder / relative
            if target.exists():
                OUT.print(escape(f"kept    {target}"))
                continue
            write_text(target, SCHEMA_LINE + text if relative == CONFIG else text)
            OUT.print(escape(f"written {target}"))
        write_text(folder / SCHEMA, schema)
        OUT.print(escape(f"written {folder / SCHEMA}"))
    config = folder / CONFIG
    OUT.print(escape(f"next: salmon check {config}, then salmon run {config}"))


@contextmanager
def _nothing_empty(folder: Path) -> Iterator[None]:
    """A folder that was not there before and in which nothing could be written is not there afterwards."""
    there = folder.exists()
    try:
        yield
    except BaseException:
        if not there:
            with suppress(OSError):  # it has something in it
                folder.rmdir()
        raise


def _installed(registry: Registry) -> dict[str, tuple[str, Starter]]:
    """Starting points with their owners, by their models; broken ones are said and passed over."""
    found = {}
    for owned in registry.components("starters"):
        try:
            starter = owned.load()
            if not isinstance(starter, Starter):
                message = f"is a {type(starter).__name__}, not a salmon_core.api.Starter"
                raise PluginError(str(owned.owner), message, what=f"starter {owned.name!r}")
        except PluginError as error:
            OUT.print(escape(f"passed over: {error}"))
            continue
        if starter.model:
            found[starter.model] = (str(owned.owner), starter)
    return found


def _only(installed: Mapping[str, object]) -> str:
    """The model of the only installed starting point."""
    if len(installed) == 1:
        return next(iter(installed))
    known = ", ".join(sorted(installed)) or "none"
    raise SalmonError(
        "no model is named", where="--model", hint=f"a hub id or a folder; installed starting points: {known}"
    )


def _scalar(text: str) -> str:
    """A text as YAML reads it back, in quotes where it needs them, such as `2026` or `a: b`."""
    try:
        plain = parse_yaml(f"{{key: {text}}}", "") == {"key": text} == parse_yaml(f"key: {text} # more", "")
    except ConfigError:
        plain = False
    return text if plain else json.dumps(text, ensure_ascii=False)
