"""For plugins that serve over HTTP: one token for all requests, a socket that is loopback unless asked, a ready file.

The token comes from the environment, from a file of its owner's, or is made at the start.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import json
import os
import re
import secrets
import socket
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from salmon_core.data.files import in_words
from salmon_core.errors import SalmonError

if TYPE_CHECKING:
    import uvicorn

#: characters that need no quoting in a header or a path
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,512}")


class Access:
    """Compares tokens in constant time.

    Args:
        token: at least 16 letters, digits and `._~-`.
        where: it comes from, for the error.

    Raises:
        SalmonError: another kind of token.
    """

    def __init__(self, token: str, where: str = "token"):
        if not _TOKEN.fullmatch(token):
            hint = "16 to 512 letters, digits and ._~- ; for instance from `openssl rand -hex 32`"
            raise SalmonError("the token is too short, or has characters that do not fit", where=where, hint=hint)
        self.token = token

    def allows(self, token: str) -> bool:
        """Whether it is the token."""
        return hmac.compare_digest(token.encode(), self.token.encode())


def open_access(token_file: Path | None, variable: str) -> Access:
    """The token of the file, of the environment (taken out of it, so that no child inherits it), or a new one.

    Args:
        variable: of the environment.

    Raises:
        SalmonError: others than its owner can read the file, or it holds no token.
    """
    given = os.environ.pop(variable, None)
    if token_file is not None:
        return Access(_read(token_file), str(token_file))
    if given is not None:
        return Access(given, variable)
    return Access(secrets.token_urlsafe(32))


def _read(path: Path) -> str:
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise SalmonError("is no file", where=str(path))
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise SalmonError(f"others can read it (mode {mode:04o})", where=str(path), hint=f"chmod 600 {path}")
        return file.read(1024).decode("ascii", "replace").strip()


def bind(host: str, port: int) -> tuple[socket.socket, str]:
    """A listening socket and its URL; whoever chooses another address than loopback is warned.

    Args:
        port: 0 takes a free one.

    Raises:
        SalmonError: nobody can listen there.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        hint = "port 0 takes a free one"
        raise SalmonError(f"cannot listen there: {error}", where=f"{host}:{port}", hint=hint) from None
    at, number = listener.getsockname()[:2]
    url = f"http://[{at}]:{number}" if ":" in at else f"http://{at}:{number}"
    if not is_loopback(at):
        print(f"warning: {url} can be reached from outside, unencrypted", file=sys.stderr, flush=True)
    return listener, url


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches it. A name is no address: whoever owns it may point it anywhere."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def server_config(app: Callable[..., Any], *, leave: float, **more: Any) -> uvicorn.Config:
    """How a server of ours is run by uvicorn, which the plugin's distribution has to need: nothing that would tell a
    token, nothing that nobody asked for.

    Args:
        app: by ASGI, or what makes one.
        leave: seconds that answers on their way get when it is asked to stop; whole ones count.
        more: further settings of `uvicorn.Config`.
    """
    import uvicorn

    return uvicorn.Config(
        app,
        access_log=False,  # it would show tokens, which stand in addresses
        log_level="warning",
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=int(leave),
        **more,
    )


def run_server(config: uvicorn.Config, listener: socket.socket, announce: Callable[[], None]) -> None:
    """Serves until a signal asks it to end, and returns, so that its caller puts away what belongs to it.

    uvicorn by itself raises the signal again, which ends the process at once: files with tokens would stay.

    Args:
        announce: is called when it answers.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            announce()

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            self.force_exit, self.should_exit = self.should_exit, True  # asked twice

    Server(config).run([listener])


def write_ready(path: Path, values: Mapping[str, Any]) -> None:
    """Leaves address and token for its owner alone; the file appears complete.

    Raises:
        SalmonError: it cannot be written there.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.unlink(missing_ok=True)
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(dict(values), file)
        os.replace(aside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        if error.filename in (None, str(aside)):
            error.filename = str(path)
        raise in_words(error) from None


def remove_ready(path: Path) -> None:
    """Only the process's own: another server may have been started with the same file."""
    with contextlib.suppress(OSError, ValueError):
        if json.loads(path.read_text()).get("pid") == os.getpid():
            path.unlink()
