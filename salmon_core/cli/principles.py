"""`salmon principles`."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape
from rich.table import Table

from salmon_core.cli.output import OUT
from salmon_core.config.names import find_principle_set
from salmon_core.errors import SalmonError
from salmon_core.plugins.registry import Registry
from salmon_core.principles.salmon_json import read_salmon_json, salmon_json
from salmon_core.principles.yaml import write_principle_yaml


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
    found = find_principle_set(Registry.discover(), name, Path.cwd())
    if as_json:
        print(salmon_json(found, kind="reward-model" if all(p.negated for p in found) else "rl"), end="")
        return
    OUT.print(f"[bold]{escape(found.name)}[/bold] {escape(found.description)}")
    for principle in found:
        extra = "".join(f", +{boost:g} on {category}" for category, boost in principle.categories.items())
        OUT.print(f"\n[bold]{escape(principle.name)}[/bold] (weight {principle.weight:g}{extra})")
        OUT.print(f"  {escape(principle.text)}")
        if principle.negated:
            OUT.print(f"  [dim]negated:[/dim] {escape(principle.negated)}")


def import_principles(source: Path, target: Path) -> None:
    """From the published format to ours."""
    if target.exists():
        raise SalmonError("the file exists already", where=str(target), hint="give another name")
    found = read_salmon_json(source)
    write_principle_yaml(found, target)
    OUT.print(escape(f"{len(found)} principles written to {target}"))
