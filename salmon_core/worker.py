"""A stage's own work in a process of its own: `python -m salmon_core.worker STAGE RUN_FOLDER`."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from salmon_core.data.files import in_words
from salmon_core.errors import PluginError, SalmonError
from salmon_core.run.outputs import Outputs
from salmon_core.run.processes import fail, leave
from salmon_core.run.run import Run
from salmon_core.run.watch import watched
from salmon_core.stages import stage
from salmon_core.stages.base import Sources, Work


def main(argv: Sequence[str]) -> None:
    """Does the work, and says so in `outputs.json`.

    A `SalmonError`, and what the system refused, is left in `error.json` and on stderr, without a stack trace.
    """
    name, folder = argv
    try:
        with watched(leave):
            run = Run.open(Path(folder))
            own = stage(name)
            stage_folder = run.stage(name)
            inputs = own.inputs(Sources(run))
            own.work(inputs, Work(stage_folder, run.path / "cache", run.config.registry))
            Outputs(stage_folder.path).finish(own.worked(inputs))
    except PluginError as error:
        if error.__cause__ is not None:
            traceback.print_exception(error.__cause__)  # into the log, for the plugin's author
        fail(error)
    except SalmonError as error:
        fail(error)
    except OSError as error:
        fail(in_words(error, otherwise=os.path.join(folder, name)))


if __name__ == "__main__":
    main(sys.argv[1:])
