"""Starts the server, says where it is, and opens a browser."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from salmon_core.kit.browser import browsing
from salmon_core.kit.gate import Gate
from salmon_core.kit.serving import bind, open_access, remove_ready, run_server, server_config, write_ready
from salmon_view.app import App
from salmon_view.runs import opened

#: of the environment, with the token
VARIABLE = "SALMON_VIEW_TOKEN"


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve.

    Attributes:
        port: 0 takes a free one.
        token_file: holds the token, for its owner alone.
        ready_file: gets address and token, for its owner alone; None: there is none.
        browser: whether one is opened.
        file_plugins: whether runs' configurations may name some.
    """

    host: str = "127.0.0.1"
    port: int = 0
    token_file: Path | None = None
    ready_file: Path | None = None
    browser: bool = True
    file_plugins: bool = True


def serve(paths: Sequence[Path], settings: Settings) -> None:
    """Serves pages of these runs until a signal ends it.

    Raises:
        SalmonError: no run in a folder, the address is taken, a token is unusable, the ready file cannot be written.
    """
    access = open_access(settings.token_file, VARIABLE)
    runs = opened(list(paths))
    listener, url = bind(settings.host, settings.port)
    app = App(runs, file_plugins=settings.file_plugins)
    gate = Gate(
        app.asgi,
        lambda token: "" if access.allows(token) else None,
        settings.host,
        listener.getsockname()[1],
        command="salmon view",
    )
    config = server_config(gate, leave=2)
    address = f"{url}/?token={access.token}"

    def announce() -> None:
        if settings.ready_file is not None:
            write_ready(settings.ready_file, {"url": url, "token": access.token, "pid": os.getpid()})

    print(f"looking at {', '.join(run.name for run in runs)}: {address}", flush=True)
    try:
        with browsing(address) if settings.browser else nullcontext():
            run_server(config, listener, announce)
    finally:
        app.close()
        if settings.ready_file is not None:
            remove_ready(settings.ready_file)
