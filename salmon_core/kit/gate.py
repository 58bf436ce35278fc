"""For plugins that serve pages: who may ask for them. Plain ASGI: whatever the pages are made with.

Whoever has a token, from a page of this server, under a name of this server.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlencode, urlsplit

from salmon_core.kit.serving import is_loopback

#: as ASGI has them
Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

#: in a scope: whose token it was
WHO = "salmon.who"
#: nothing from elsewhere, no script and no style in a page itself, in nobody's frame
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with none at all, forms would not say where they come from either
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_UNCHANGING = frozenset({"GET", "HEAD"})


class _Refused(Exception):
    """Answered with this status and these words."""

    def __init__(self, status: int, text: str):
        super().__init__(text)
        self.status, self.text = status, text


class Gate:
    """Middleware.

    A browser brings its token once, in the address (`?token=`), and gets a cookie for it, which no other site can use
    (`SameSite=Strict`); programs send `Authorization: Bearer`. The name that was asked for has to be one of this
    server's, so that no foreign name can be pointed at it, and what changes something has to come from its own pages.

    Args:
        who: whose token it is, for `scope[WHO]`; None: nobody's. It has to compare in constant time.
        host: that the server was told to listen at.
        port: that it listens at.
        command: that printed the address, for people and for the cookie's name.
    """

    def __init__(self, app: AsgiApp, who: Callable[[str], str | None], host: str, port: int, *, command: str):
        self._app, self._who, self._host, self._port = app, who, host, port
        self._command, self._cookie = command, f"{command.replace(' ', '-')}-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", []))
                present = {bytes(name).lower() for name, _ in headers}
                own = ((name.lower().encode(), value.encode()) for name, value in HEADERS.items())
                message = {**message, "headers": [*headers, *(each for each in own if each[0] not in present)]}
            await send(message)

        try:
            redirect = self._admitted(scope)
        except _Refused as refused:
            await _answer(with_headers, refused.status, refused.text)
            return
        if redirect is not None:
            await _answer(with_headers, 303, "", redirect)
            return
        await self._app(scope, receive, with_headers)

    def _admitted(self, scope: Scope) -> dict[str, str] | None:
        """Headers of a redirect where a token has to go from the address into a cookie; else None."""
        headers = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        method, name = scope["method"], headers.get("host", "")
        if not self._is_ours(name):
            raise _Refused(421, "this server does not go by that name")
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        foreign = method not in _UNCHANGING and site not in (None, "same-origin")
        if (origin is not None and origin != f"http://{name}") or foreign:
            raise _Refused(403, "refused: asked from a page of another origin")
        query = parse_qs(bytes(scope["query_string"]).decode("latin-1"))
        given = query.get("token", [""])[0]
        if given and method in _UNCHANGING and self._who(given) is not None:
            # Out of the address, where it would stay in the browser's history.
            rest = urlencode([(key, value) for key, values in query.items() if key != "token" for value in values])
            cookie = f"{self._cookie}={given}; HttpOnly; Path=/; SameSite=Strict"
            # Two slashes at the start would name another server.
            path = "/" + bytes(scope.get("raw_path") or scope["path"].encode()).decode("latin-1").lstrip("/")
            return {"location": path + (f"?{rest}" if rest else ""), "set-cookie": cookie}
        bearer = headers.get("authorization", "")
        if bearer.startswith("Bearer ") and (who := self._who(bearer.removeprefix("Bearer "))) is not None:
            scope[WHO] = who
            return None
        who = self._who(_cookie(headers.get("cookie", ""), self._cookie))
        if who is None:
            raise _Refused(401, f"no token, or a wrong one: open the address that `{self._command}` printed")
        if method not in _UNCHANGING and origin is None:  # a browser says where a changing request comes from
            raise _Refused(403, "refused: not asked from a page of this server")
        scope[WHO] = who
        return None

    def _is_ours(self, name: str) -> bool:
        try:
            parts = urlsplit(f"//{name}")
            host, port = parts.hostname or "", parts.port or 80
        except ValueError:
            return False
        if port != self._port:
            return False
        if host == "localhost" or is_loopback(host):
            return True
        if is_loopback(self._host) or self._host == "localhost":
            return False
        try:  # no foreign name can be pointed at a number
            ipaddress.ip_address(host)
            return True
        except ValueError:
            return host in {self._host.lower(), socket.gethostname().lower(), socket.getfqdn().lower()}


async def _answer(send: Send, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
    own = {"content-type": "text/plain; charset=utf-8", **(headers or {})}
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in own.items()]
    body = f"{text}\n".encode() if text else b""
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value
