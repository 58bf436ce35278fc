"""`salmon view`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from salmon_core.errors import SalmonError
from salmon_core.kit.commands import file_plugins_option

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=_PATH)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="By default a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Another than loopback is reached from outside.")
@click.option("--token-file", type=_PATH, help="Of mode 0600; or the variable SALMON_VIEW_TOKEN.")
@click.option("--ready-file", type=_PATH, help="Gets address and token (mode 0600) once it is ready.")
@click.option("--open/--no-browser", "browser", default=True, help="Open a browser; by default it does.")
@file_plugins_option
def view(runs: tuple[Path, ...], *, no_file_plugins: bool, **settings: Any) -> None:
    """Look at runs in the browser, finished or going on: did it work, rollouts, judge, reward model; steer, and try.

    RUN is a run's folder, or one with runs in it; by default ./runs. Several are compared.
    """
    from salmon_view.runs import found
    from salmon_view.server import Settings, serve

    paths = [each for folder in (runs or (Path("runs"),)) for each in found(folder)]
    missing = [folder for folder in runs if not found(folder)]
    if missing or not paths:
        where = str(missing[0] if missing else Path("runs"))
        raise SalmonError("there is no run in this folder", where=where, hint="name the folder of a run")
    serve(paths, Settings(**settings, file_plugins=not no_file_plugins))
