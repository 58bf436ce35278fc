"""uvicorn's httptools parser with a limit on a request's head, of which by itself it keeps whatever a client sends.

It also says what each connection waits for, so that none waits too long and not too many do (`connections`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from salmon_serve.connections import Connections, State

#: bytes of a request's first line and headers
MAX_HEAD = 64 << 10
_LATE = (
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 37\r\n\r\nThe request took too long to arrive.\n"
)


class _Flow(FlowControl):
    """Reads no more while requests that have been read wait behind another of their connection.

    By itself uvicorn reads on after every answer, so that a client that takes none makes it keep ever more requests.
    """

    def __init__(self, transport: asyncio.Transport, behind: deque[Any]):
        super().__init__(transport)
        self._behind = behind

    def resume_reading(self) -> None:
        # The body of a request that is being answered is never what is missing: it would be the last one read.
        if not self._behind:
            super().resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """Closes the connection of a client whose head does not end, and says what the connection waits for.

    Args:
        counted: all connections of the server.
    """

    #: bytes since the request began; None behind its head
    _head: int | None = 0

    def __init__(self, *args: Any, counted: Connections, **options: Any):
        super().__init__(*args, **options)
        self._counted = counted

    # -- called by the event loop ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)
        self._counted.enter(self, State.HEAD)

    def connection_lost(self, exc: Exception | None) -> None:
        self._counted.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += len(data)
        super().data_received(data)
        # Checked afterwards: what came may hold the end of the head, and much of the body.
        if self._head is not None and self._head > MAX_HEAD and not self.transport.is_closing():
            self.send_400_response("The request's head is too long.")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._becomes(State.TAKING)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._counted.state(self) is State.TAKING:
            self._becomes(self._after_answer() if self._answered else self._unanswered())

    # -- called by the parser --------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._head = self._head or 1  # a head that began in what held the end of the request before it
        super().on_message_begin()
        if self._counted.state(self) is State.IDLE:
            self._becomes(State.HEAD)

    def on_headers_complete(self) -> None:
        self._head = None
        # Only what is scored waits long enough to be counted; /health is to answer whatever else is going on.
        refused = self._counted.full and self.parser.get_method() == b"POST"
        self.limit_concurrency = 0 if refused else None
        super().on_headers_complete()
        if not self.pipeline and self._counted.state(self) is not State.TAKING:
            self._becomes(State.BODY)

    def on_message_complete(self) -> None:
        self._head = 0
        super().on_message_complete()
        if self._counted.state(self) is State.BODY:
            self._becomes(State.ANSWER)

    # -- called by a request's cycle -------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        waiting = bool(self.pipeline)
        super().on_response_complete()
        if self._counted.state(self) is not State.TAKING:
            self._becomes(self._unanswered() if waiting else self._after_answer())

    # -- called by the connections ---------------------------------------------------------------------------------

    def cut(self, state: State, *, late: bool) -> None:
        """See `connections.Connection`. A client that is merely slow is told so; the others would not listen."""
        if self.transport.is_closing():
            return self.transport.abort()
        if late and state in (State.HEAD, State.BODY) and self._head != 0 and not self._answering:
            self.transport.write(_LATE)
            self.transport.close()
        else:
            self.transport.abort()

    def _becomes(self, state: State) -> None:
        if self._counted.state(self) is not None:  # it may have been cut already
            self._counted.enter(self, state)

    @property
    def _answered(self) -> bool:
        """Whether no request waits for its answer."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def _answering(self) -> bool:
        """Whether a part of an answer has left."""
        return self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete

    def _unanswered(self) -> State:
        return State.BODY if self.cycle.more_body and not self.pipeline else State.ANSWER

    def _after_answer(self) -> State:
        return State.HEAD if self._head else State.IDLE
