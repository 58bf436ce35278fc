"""Run in OpenRLHF's interpreter: prints the flags of its programs as the JSON that `flags.json` holds.

OPENRLHF_PYTHON list_flags.py > flags.json
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
from datetime import datetime
from pathlib import Path

PROGRAMS = ("train_sft", "train_rm", "train_ppo_ray", "train_dpo")


def parser_of(program: str) -> argparse.ArgumentParser:
    """The program's real parser, built by its own code without starting it."""
    spec = importlib.util.find_spec("openrlhf")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    tree = ast.parse((Path(spec.submodule_search_locations[0]) / "cli" / f"{program}.py").read_text())
    main = next(node for node in tree.body if isinstance(node, ast.If) and "__main__" in ast.unparse(node.test))
    until = next(index for index, node in enumerate(main.body) if "parse_args" in ast.unparse(node))
    scope = {"argparse": argparse, "datetime": datetime}
    exec(compile(ast.Module(main.body[:until], []), program, "exec"), scope)
    parser = scope["parser"]
    assert isinstance(parser, argparse.ArgumentParser)
    return parser


def flags_of(program: str) -> dict[str, dict[str, object]]:
    """Name without dashes -> kind and choices."""
    found: dict[str, dict[str, object]] = {}
    for action in parser_of(program)._actions:
        if action.dest == "help":
            continue
        several = action.nargs is not None and action.nargs != 0
        kind = "switch" if action.nargs == 0 else "many" if several else "one"
        found[action.option_strings[-1].removeprefix("--")] = {
            "kind": kind,
            **({"choices": list(action.choices)} if action.choices else {}),
        }
    return dict(sorted(found.items()))


if __name__ == "__main__":
    table = {program: flags_of(program) for program in PROGRAMS}
    programs = (
        f'"{program}": {{\n' + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in flags.items()) + "\n}"
        for program, flags in table.items()
    )
    print("{" + ",\n".join(programs) + "}")
