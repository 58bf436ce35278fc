"""For plugins that serve pages: opens a browser at an address with a token in it."""

from __future__ import annotations

import os
import sys
import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path


@contextmanager
def browsing(address: str) -> Iterator[None]:
    """Opens a browser, by a file that only its owner reads: arguments of processes are seen by everybody.

    The file lasts as long as the block. Where no browser can be opened, that is said on standard error.
    """
    number, name = tempfile.mkstemp(prefix="salmon-", suffix=".html")
    path = Path(name)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(f'<!doctype html><meta http-equiv="refresh" content="0; url={escape(address, quote=True)}">')
        if not _open(path.as_uri()):
            print("no browser could be opened; open the address yourself", file=sys.stderr, flush=True)
        yield
    finally:
        path.unlink(missing_ok=True)


def _open(address: str) -> bool:
    try:
        return webbrowser.open(address)
    except webbrowser.Error:
        return False
