"""Judges with the installed plugin `salmon-api-judge`, and prints the judgments as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from judge_world import pair, principles

from salmon_core.api import Ability, ComponentSpec, Limits
from salmon_core.errors import SalmonError
from salmon_core.plugins.registry import Registry
from salmon_core.run.judging import Judging
from salmon_judge.template import STANDARD


def no_model(ability: Ability) -> NoReturn:
    raise AssertionError(f"a {ability} was opened, for a judge that asks for none")


def main(url: str, cache: str, concurrency: str, prompts: str) -> int:
    registry = Registry.discover()
    owner = registry.find("judges", "api").owner.distribution
    assert owner == "salmon-api-judge"
    spec = ComponentSpec("judges", "api", owner, {"url": url, "timeout": 30.0})
    # The first completion is longer by the number in the prompt's name; 0 is a tie.
    pairs = [pair(name, "x" * (20 + int(name[-1])), "y" * 20, prompt=name) for name in json.loads(prompts)]
    judging = Judging(
        judge=spec,
        registry=registry,
        principles=principles("kind", "clear"),
        template=STANDARD,
        limits=Limits(),
        seed=7,
        open_model=no_model,
        codecs=no_model,  # type: ignore[arg-type]
        cache=Path(cache),
        concurrency=int(concurrency),
        attempts=3,
    )
    try:
        with judging:
            found = judging.judge(pairs)
    except SalmonError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps([asdict(judgment) for judgment in found]))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
