"""The checking process: `python -m salmon_core.check.child CONFIG_JSON FINDINGS`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from salmon_core.check.findings import Writer
from salmon_core.check.trials import Trials
from salmon_core.config.resolve import from_saved
from salmon_core.data.json import read_json
from salmon_core.errors import PluginError, SalmonError
from salmon_core.run.run import Run


def main(argv: Sequence[str]) -> None:
    """Tries everything, one after the other; what fails stops nothing else."""
    saved, writer = read_json(Path(argv[0])), Writer(Path(argv[1]))
    run = Run(Path(saved["folder"]), from_saved(saved))
    for what, key, trial in Trials(run, writer.note):
        writer.begin(what)
        try:
            trial()
        except SalmonError as error:
            writer.problem(key, error)
        except Exception as error:  # of ours, or of a library that a plugin has no boundary around
            writer.problem(key, PluginError("salmon-core", f"{type(error).__name__}: {error}", what=what))
    writer.end()


if __name__ == "__main__":
    main(sys.argv[1:])
