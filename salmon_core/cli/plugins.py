"""`salmon plugins`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rich.markup import escape

from salmon_core.api.hooks import KINDS
from salmon_core.cli.output import OUT
from salmon_core.errors import SalmonError
from salmon_core.plugins.options import options_model
from salmon_core.plugins.registry import Owned, Registry


def list_plugins(*, as_json: bool, kind: str | None) -> None:
    """Components by kind; broken plugins at the end. Never fails because of a plugin."""
    if kind is not None and kind not in KINDS:
        raise SalmonError(f"there is no kind {kind!r}", hint=f"kinds: {', '.join(KINDS)}")
    registry = Registry.discover()
    found = [owned for owned in registry if kind in (None, owned.kind)]
    broken = [asdict(item.owner) | {"reason": item.reason} for item in registry.broken]
    if as_json:
        print(json.dumps({"components": [_described(owned) for owned in found], "broken": broken}, indent=1))
        return
    for each in KINDS:
        owned_here = [owned for owned in found if owned.kind == each]
        if not owned_here:
            continue
        OUT.print(f"[bold]{each}[/bold]")
        for owned in owned_here:
            source = f"{owned.owner.distribution} {owned.owner.version}"
            default = " (default)" if owned.component.default else ""
            OUT.print(f"  {owned.name:18} {escape(owned.component.summary)}{default}  [dim]{escape(source)}[/dim]")
    for item in broken:
        name = f"{item['plugin']} ({item['distribution']} {item['version']})"
        OUT.print(f"[red]broken[/red] {escape(name)}: {escape(item['reason'])}")


def _described(owned: Owned) -> dict[str, Any]:
    values: dict[str, Any] = {
        "kind": owned.kind,
        "name": owned.name,
        "plugin": owned.owner.plugin,
        "distribution": owned.owner.distribution,
        "version": owned.owner.version,
        "summary": owned.component.summary,
        "default": owned.component.default,
        "options": None,
        "broken": None,
    }
    try:
        target = owned.load()
        if owned.kind == "backends":
            backend = target()
            options: dict[str, Any] = {}
            for stage in sorted(backend.stages):
                for algorithm in sorted(backend.algorithms) if stage == "train-policy" else [None]:
                    key = stage if algorithm is None else f"{stage}: {algorithm}"
                    options[key] = backend.options_for(stage, algorithm).model_json_schema()
            values["options"] = options
        elif (model := options_model(target)) is not None:
            values["options"] = model.model_json_schema()
    except Exception as error:
        values["broken"] = str(error)
    return values
