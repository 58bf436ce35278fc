"""Who may make requests: one bearer token, from the environment, from a file of its owner's, or made at the start."""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
from pathlib import Path

from salmon_core.errors import SalmonError

VARIABLE = "SALMON_SERVE_TOKEN"
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


def open_access(token_file: Path | None) -> Access:
    """The token of the file, of the environment (taken out of it, so that no child inherits it), or a new one.

    Raises:
        SalmonError: others than its owner can read the file, or it holds no token.
    """
    given = os.environ.pop(VARIABLE, None)
    if token_file is not None:
        return Access(_read(token_file), str(token_file))
    if given is not None:
        return Access(given, VARIABLE)
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
