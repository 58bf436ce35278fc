"""Starts the server of a study's pages, and says where each rater finds their own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from salmon_core.errors import SalmonError
from salmon_core.kit.browser import browsing
from salmon_core.kit.gate import Gate
from salmon_core.kit.serving import (
    Access,
    bind,
    open_access,
    remove_ready,
    run_server,
    server_config,
    write_ready,
)
from salmon_study.app import App
from salmon_study.order import steps_of
from salmon_study.ratings import RatingLog
from salmon_study.task import ratings_folder, read_task

#: of the environment, with the token of one rater
VARIABLE = "SALMON_STUDY_TOKEN"


@dataclass(frozen=True)
class Settings:
    """How to serve.

    Attributes:
        port: 0 takes a free one.
        token_file: holds the token, for its owner alone; of one rater.
        ready_file: gets the addresses once they can be opened.
        browser: whether one is opened.
    """

    host: str = "127.0.0.1"
    port: int = 0
    token_file: Path | None = None
    ready_file: Path | None = None
    browser: bool = True


def serve(path: Path, raters: Sequence[str], settings: Settings) -> None:
    """Serves pages until a signal ends it.

    Raises:
        SalmonError: no study, a name or a token does not fit, a rater is being asked already, the address is taken,
            the ready file cannot be written.
    """
    task = read_task(path)
    names = list(dict.fromkeys(raters))
    if settings.token_file is not None and len(names) > 1:
        raise SalmonError(
            "each rater has a token of their own", where="--token-file", hint="one --rater, or none of it"
        )
    first = open_access(settings.token_file, VARIABLE)
    keys = {name: first if len(names) == 1 else open_access(None, VARIABLE) for name in names}
    with ExitStack() as opened:
        logs = {name: opened.enter_context(RatingLog(ratings_folder(path), task, name, "person")) for name in names}
        listener, url = bind(settings.host, settings.port)
        opened.callback(listener.close)
        addresses = {name: f"{url}/?token={access.token}" for name, access in keys.items()}
        gate = Gate(
            App(task, logs).asgi,
            lambda token: _whose(keys, token),
            settings.host,
            listener.getsockname()[1],
            command="salmon study",
        )
        config = server_config(gate, leave=2)

        def announce() -> None:
            if settings.ready_file is not None:
                opened.callback(remove_ready, settings.ready_file)
                write_ready(settings.ready_file, {"url": url, "raters": addresses, "pid": os.getpid()})

        for name, log in logs.items():
            print(f"{name} has rated {len(log.done)} of {len(steps_of(task, name))}: {addresses[name]}", flush=True)
        if settings.browser and len(names) == 1:
            opened.enter_context(browsing(addresses[names[0]]))
        run_server(config, listener, announce)


def _whose(keys: dict[str, Access], token: str) -> str | None:
    """Compares with all of them, so that time tells nothing."""
    found = [name for name, access in keys.items() if access.allows(token)]
    return found[0] if found else None
