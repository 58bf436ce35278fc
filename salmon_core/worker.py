"""A stage's own work in a process of its own: `python -m salmon_core.worker STAGE RUN_FOLDER`.

With `--goes-on` it reads the name of the next stage, until an empty line ends it, and keeps its model open for stages
that ask the same.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from salmon_core.data.files import in_words
from salmon_core.errors import PluginError, SalmonError
from salmon_core.plugins.kept import Kept, keeping
from salmon_core.run.outputs import Outputs
from salmon_core.run.processes import fail, leave
from salmon_core.run.run import Run
from salmon_core.run.watch import watched
from salmon_core.run.workers import GOES_ON, SIGN
from salmon_core.stages import stage
from salmon_core.stages.sources import Sources
from salmon_core.stages.work import Work


def main(argv: Sequence[str]) -> None:
    """Does the work, and says so in `outputs.json`.

    A `SalmonError`, and what the system refused, is left in `error.json` and on stderr, without a stack trace.
    """
    name, folder, *more = argv
    goes_on = more == [GOES_ON]
    try:
        with watched(leave), Kept() as models:
            run = Run.open(Path(folder))
            _work(run, name, models)
            while goes_on:
                (run.path / SIGN).touch()
                if not (name := sys.stdin.readline().strip()):
                    break
                _move(run.stage(name).path)
                _work(run, name, models)
    except PluginError as error:
        if error.__cause__ is not None:
            traceback.print_exception(error.__cause__)  # into the log, for the plugin's author
        fail(error)
    except SalmonError as error:
        fail(error)
    except OSError as error:
        fail(in_words(error, otherwise=os.path.join(folder, name)))


def _work(run: Run, name: str, models: Kept) -> None:
    own, folder = stage(name), run.stage(name)
    inputs = own.inputs(Sources(run))
    model = own.holds(inputs)
    if model is None:
        models.close()
    with nullcontext() if model is None else keeping(models, *model):
        own.work(inputs, Work(folder, run.path / "cache", run.config.registry))
    Outputs(folder.path).finish(own.worked(inputs))


def _move(folder: Path) -> None:
    """Into another stage's folder, its log included."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.chdir(folder)
    log = os.open("log.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    Path("error.json").unlink(missing_ok=True)


if __name__ == "__main__":
    main(sys.argv[1:])
