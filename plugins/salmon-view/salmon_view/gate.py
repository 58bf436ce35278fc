"""Who may ask for pages: whoever has the token, from a page of this server, under a name of this server."""

from __future__ import annotations

import ipaddress
import socket
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from salmon_core.kit.serving import Access, is_loopback

#: nothing from elsewhere, no script and no style in a page itself, in nobody's frame
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_UNCHANGING = frozenset({"GET", "HEAD"})


class Gate:
    """Middleware.

    A browser brings the token once, in the address (`?token=`), and gets a cookie for it, which no other site can use
    (`SameSite=Strict`); programs send `Authorization: Bearer`. The name that was asked for has to be one of this
    server's, so that no foreign name can be pointed at it, and what changes something has to come from its own pages.

    Args:
        host: that the server was told to listen at.
        port: that it listens at.
    """

    def __init__(self, app: ASGIApp, access: Access, host: str, port: int):
        self._app, self._access, self._host, self._port = app, access, host, port
        self._cookie = f"salmon-view-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refused(scope)
        await (refused or self._app)(scope, receive, with_headers)

    def _refused(self, scope: Scope) -> Response | None:
        headers, method = Headers(scope=scope), scope["method"]
        name = headers.get("host", "")
        if not self._is_ours(name):
            return PlainTextResponse("this server does not go by that name\n", 421)
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None and origin != f"http://{name}":
            return PlainTextResponse("refused: asked from a page of another origin\n", 403)
        if method not in _UNCHANGING and site not in (None, "same-origin"):
            return PlainTextResponse("refused: asked from a page of another origin\n", 403)
        query = parse_qs(scope["query_string"].decode("latin-1"))
        given = query.get("token", [""])[0]
        if given and method in _UNCHANGING and self._access.allows(given):
            # Out of the address, where it would stay in the browser's history.
            rest = urlencode([(key, value) for key, values in query.items() if key != "token" for value in values])
            response = RedirectResponse(scope["path"] + (f"?{rest}" if rest else ""), 303)
            response.set_cookie(self._cookie, given, httponly=True, samesite="strict", path="/")
            return response
        bearer = headers.get("authorization", "")
        if bearer.startswith("Bearer ") and self._access.allows(bearer.removeprefix("Bearer ")):
            return None
        if not self._access.allows(_cookie(headers.get("cookie", ""), self._cookie)):
            return PlainTextResponse("no token, or a wrong one: open the address that `salmon view` printed\n", 401)
        if method not in _UNCHANGING and origin is None:  # a browser says where a changing request comes from
            return PlainTextResponse("refused: not asked from a page of this server\n", 403)
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


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return "" if found is None else found.value
