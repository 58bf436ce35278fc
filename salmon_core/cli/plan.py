"""`salmon plan`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from salmon_core.config.resolve import load
from salmon_core.pipeline import Pipeline
from salmon_core.stages import stage
from salmon_core.stages.base import worker_argv


def print_plan(path: Path, overrides: Sequence[str], *, file_plugins: bool, as_json: bool) -> None:
    """Every stage with the processes it would start."""
    pipeline = Pipeline(load(path, overrides, file_plugins=file_plugins))
    plans: dict[str, Any] = {}
    training = pipeline.plans()
    for name in pipeline.stages:
        if not stage(name).keeps:
            continue
        own = {"name": name, "argv": worker_argv(name, pipeline.folder), "env": {}}
        plans[name] = {"steps": [own], "services": [], "files": {}, "expects": []}
        if name in training:
            plan = asdict(training[name])
            plans[name] = plan | {"steps": [own, *plan["steps"]]}
    if as_json:
        print(json.dumps(plans, indent=1))
        return
    for name, plan in plans.items():
        print(f"{name}:")
        for kind in ("services", "steps"):
            for process in plan[kind]:
                environment = "".join(f"{key}={value} " for key, value in process["env"].items())
                print(f"  {kind.removesuffix('s')} {process['name']}: {environment}{' '.join(process['argv'])}")
        for file, text in plan["files"].items():
            if file.endswith(".py"):  # a script that is copied; --json has it whole
                print(f"  file {file}: {len(text.splitlines())} lines")
                continue
            print(f"  file {file}:")
            print("".join(f"    {line}\n" for line in text.splitlines()), end="")
        if plan["expects"]:
            print(f"  expects: {', '.join(plan['expects'])}")
