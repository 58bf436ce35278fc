"""`--help` is quick because it imports next to nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from core_world import environment, salmon

from salmon_core import __version__
from salmon_core.cli.main import main
from salmon_core.stages import STAGES, stage

HEAVY = ("torch", "transformers", "datasets", "pydantic", "yaml", "ruamel", "numpy", "pyarrow", "rich", "psutil")
COMMANDS = [
    *([name] for name in main.commands),
    *(["principles", name] for name in main.commands["principles"].commands),  # type: ignore[attr-defined]
    [],  # last: it finds plugins
]

_PROBE = """
import json, sys
from salmon_core.cli.main import main
results = []
for args in json.loads(sys.argv[1]):
    try:
        main([*args, "--help"], prog_name="salmon")
    except SystemExit as end:
        results.append([end.code, sorted({name.partition(".")[0] for name in sys.modules})])
print(json.dumps(results), file=sys.stderr)
"""


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    """Of the command and of every subcommand, in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, json.dumps(COMMANDS)], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    results = json.loads(done.stderr)
    assert len(results) == len(COMMANDS) > 10
    for args, (code, modules) in zip(COMMANDS, results, strict=True):
        assert code == 0
        # The list of commands has those of plugins in it, so bare `--help` finds plugins.
        heavy = {*HEAVY, "pluggy"} if args else {*HEAVY}
        loaded = {
            name for name in modules if name in heavy or (args and name.startswith("salmon_") and name != "salmon_core")
        }
        assert not loaded, f"{' '.join(args)} --help imports {loaded}"
    for args in COMMANDS:
        assert f"Usage: {' '.join(['salmon', *args])}" in done.stdout


def test_the_installed_command_is_as_light(tmp_path: Path) -> None:
    """The real console script, watched by the interpreter's own list of imports."""
    done = salmon("--help", cwd=tmp_path, env=environment(PYTHONPROFILEIMPORTTIME="1"))
    assert done.code == 0
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.err.splitlines()}
    assert {"click", "salmon_core"} <= imported
    assert not imported & set(HEAVY)


@pytest.mark.parametrize("way", ["module", "command"])
def test_both_ways_in_say_the_same(way: str, tmp_path: Path) -> None:
    argv = {
        "module": [sys.executable, "-m", "salmon_core"],
        "command": [str(Path(sys.executable).parent / "salmon-core")],
    }
    shown = subprocess.run([*argv[way], "--help"], capture_output=True, text=True, cwd=tmp_path, check=True).stdout
    assert "Align a language model to principles you wrote yourself." in shown
    assert all(name in shown for name in main.commands)
    version = subprocess.run([*argv[way], "--version"], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert version.stdout.strip() == f"salmon, version {__version__}"


def test_importing_the_package_is_light_too(tmp_path: Path) -> None:
    code = "import sys, salmon_core; print(sorted({m.partition('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert not [name for name in (*HEAVY, "click") if f"'{name}'" in done.stdout]


def test_stages_are_written_down_once() -> None:
    """The command line offers the stages that runs have, without a copy that could fall behind."""
    offered = [param.type.choices for param in main.commands["run"].params if isinstance(param.type, click.Choice)]
    assert [tuple(choices) for choices in offered] == [STAGES, STAGES]
    assert [stage(name).name for name in STAGES] == list(STAGES)
