"""`salmon principles`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from salmon_core.api.principles import PrincipleSet
from salmon_core.cli.output import ERR, OUT
from salmon_core.config.names import find_principle_set
from salmon_core.data.files import write_text
from salmon_core.errors import ConfigError, SalmonError
from salmon_core.plugins.registry import Registry
from salmon_core.principles.exported import export_principles, published_json
from salmon_core.principles.files import SUFFIXES
from salmon_core.principles.formats.registry import FORMATS
from salmon_core.principles.imported import default_target, grouped, import_principles, write_imported


def list_principles() -> None:
    """All sets, with what is broken about those that are."""
    registry = Registry.discover()
    table = Table("set", "principles", "negated", "description", "from", box=None, pad_edge=False)
    for owned in registry.components("principle_sets"):
        try:
            found = find_principle_set(registry, owned.address, Path.cwd())
        except SalmonError as error:
            table.add_row(owned.name, "-", "-", escape(f"broken: {error}"), str(owned.owner))
            continue
        negated = sum(p.negated is not None for p in found)
        table.add_row(owned.name, str(len(found)), str(negated), escape(found.description), str(owned.owner))
    OUT.print(table)


def show_principles(name: str, *, as_json: bool) -> None:
    """One set, for people or in the published format."""
    found = find_set(name)
    if as_json:
        print(published_json(found), end="")
        return
    OUT.print(f"[bold]{escape(found.name)}[/bold] {escape(found.description)}")
    for principle in found:
        extra = "".join(f", +{boost:g} on {category}" for category, boost in principle.categories.items())
        OUT.print(f"\n[bold]{escape(principle.name)}[/bold] (weight {principle.weight:g}{extra})")
        OUT.print(f"  {escape(principle.text)}")
        if principle.negated:
            OUT.print(f"  [dim]negated:[/dim] {escape(principle.negated)}")


def import_file(source: Path, target: Path | None, format_name: str | None) -> None:
    """From whatever format to ours; lists what has no place there."""
    with about_file(source):
        imported = import_principles(source, format_name)
    where = target or default_target(source, imported)
    write_imported(imported, where)
    rows = f" for {counted(len(imported.prompts), 'prompt')}" if imported.prompts else ""
    OUT.print(escape(f"{imported.count} principles{rows} written to {where} (read as {imported.format})"))
    lost = sum(each.item for each in imported.unmapped)
    if imported.unmapped:
        ERR.print(escape(f"not mapped, of {source}" + (f"; {counted(lost, 'item')} left out" if lost else "")))
    for place, what in grouped(imported.unmapped):
        ERR.print(f"  - {escape(place)}: {escape(what)}")


def list_formats() -> None:
    """The formats that can be imported."""
    width = max(len(each.name) for each in FORMATS)
    OUT.print(f"[bold]{'format':{width}}  looks like")
    for each in FORMATS:
        OUT.print(f"{each.name:{width}}  {escape(each.summary)}", soft_wrap=True)


def export_set(name: str, format_name: str, output: Path | None) -> None:
    """A set in a format that others read."""
    found = find_set(name)
    text, lost = export_principles(found, format_name)
    if output is None:
        sys.stdout.write(text)
        sys.stdout.flush()  # before what is said on standard error
    else:
        if output.exists() or output.is_symlink():
            raise SalmonError("the file exists already", where=str(output), hint="give another name")
        write_text(output, text)
        OUT.print(escape(f"{counted(len(found), 'principle')} written to {output}"))
    for what in lost:
        ERR.print(f"not in {format_name}: {escape(what)}")


def find_set(name: str) -> PrincipleSet:
    """A set by name or file.

    Raises:
        SalmonError: there is none, or the file is in another format.
        ConfigError: everything wrong with its file.
    """
    if Path(name).is_file() and Path(name).suffix.lower() not in SUFFIXES:
        hint = f"turn it into one: salmon principles import {name}"
        raise SalmonError("is no principle set in YAML", where=name, hint=hint)
    with about_file(name):
        return find_principle_set(Registry.discover(), name, Path.cwd())


@contextmanager
def about_file(file: Path | str) -> Iterator[None]:
    """What goes wrong in the block is said of a file that is no configuration."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(error.problems, about=str(file)) from None


def counted(count: int, what: str) -> str:
    """So many things, in words."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
