"""uvicorn's httptools parser with a limit on a request's head, of which by itself it keeps whatever a client sends."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: bytes of a request's first line and headers
MAX_HEAD = 64 << 10


class BoundedProtocol(HttpToolsProtocol):
    """Closes the connection of a client whose head does not end."""

    #: bytes since the request began; None behind its head
    _head: int | None = 0

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += len(data)
        super().data_received(data)
        # Checked afterwards: what came may hold the end of the head, and much of the body.
        if self._head is not None and self._head > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response("The request's head is too long.")

    def on_message_begin(self) -> None:
        self._head = self._head or 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._head = 0
        super().on_message_complete()
