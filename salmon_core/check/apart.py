"""Checks a configuration in a process of its own, with a time limit."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from salmon_core.check import findings
from salmon_core.config.run_config import RunConfig
from salmon_core.data.json import write_json
from salmon_core.errors import ConfigError, Problem, StageError
from salmon_core.run.processes import ENVIRONMENT, Running

#: seconds, by default; a trainer's imports take most of it
LIMIT = 120.0
_CONFIG, _FOUND, _LOG = "config.json", "found.jsonl", "log.txt"


def check_apart(
    config: RunConfig, folder: Path, *, limit: float = LIMIT, tell: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Tries everything that can be tried without the models' weights.

    Args:
        folder: the run's, which need not exist.
        limit: seconds until whatever is being tried is said to block.
        tell: told of each thing as it is tried.

    Returns:
        what to know.

    Raises:
        ConfigError: all that will fail.
        StageError: the process ended without having tried all.
    """
    with tempfile.TemporaryDirectory(prefix="salmon-check-") as name:
        work = Path(name)
        write_json(work / _CONFIG, {**config.document(), "folder": str(folder)})
        argv = [sys.executable, "-m", "salmon_core.check.child", str(work / _CONFIG), str(work / _FOUND)]
        deadline = time.monotonic() + limit
        said = ""
        with Running(argv, env=ENVIRONMENT, cwd=work, log=work / _LOG) as running:
            while (code := running.poll()) is None and time.monotonic() < deadline:
                if (doing := findings.read(work / _FOUND).doing) != said:
                    said = doing
                    tell(said)
                time.sleep(0.05)
        found = findings.read(work / _FOUND)
        problems = [replace(problem, file=config.source) for problem in found.problems]
        if code is None:
            hint = "it blocks, or needs more time: see --time-limit, or leave these checks out by --quick"
            problems.append(Problem(found.doing, f"did not return within {limit:.0f} s", hint, config.source))
        if problems:
            raise ConfigError(problems)
        if not found.ended:
            log = (work / _LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = f": {log[-1].strip()[:300]}" if log else ""
            raise StageError(f"the check ended with exit code {code} while trying {found.doing or 'to begin'}{last}")
        return found.notes
