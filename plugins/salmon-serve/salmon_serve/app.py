"""The endpoints."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from salmon_core import __version__
from salmon_core.kit.serving import Access
from salmon_serve.admission import Admission, RequestError
from salmon_serve.bodies import CLOSE, body_of, describe_bodies, read_body
from salmon_serve.metrics import Metrics
from salmon_serve.openrlhf import answer_of, sample_of
from salmon_serve.schemas import ErrorAnswer, Health, RawAnswer, RawRequest, RewardAnswer, RewardRequest

_BEARER = HTTPBearer(auto_error=False)
_STATUSES = {
    401: "no token, or a wrong one",
    408: "the body did not arrive in time",
    409: "an id was used for something else",
    413: "too large",
    422: "cannot be scored; says where",
    429: "the queue is full; says when to come again",
    500: "a component of the reward failed for good; names it and its owner",
    503: "the server is stopping, or too many requests wait",
}


class AsciiJSONResponse(JSONResponse):
    """JSON in ASCII: an error may quote half of a surrogate pair, which UTF-8 cannot encode."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def make_app(
    admission: Admission, access: Access, metrics: Metrics, *, raw: bool, body_seconds: float = 60.0
) -> FastAPI:
    """The application.

    Args:
        raw: also answers OpenRLHF's protocol, at `/get_reward/TOKEN`.
        body_seconds: a request's body may take to arrive.
    """
    # No pages of documentation: they would load scripts from elsewhere.
    app = FastAPI(title="salmon reward server", version=__version__, docs_url=None, redoc_url=None)
    app.add_middleware(_Measured, metrics=metrics)

    async def authorize(given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> None:
        if given is None or not access.allows(given.credentials):
            raise RequestError(401, _STATUSES[401], headers={"WWW-Authenticate": "Bearer", **CLOSE})

    @app.post(
        "/v1/rewards",
        dependencies=[Depends(authorize)],
        response_model=RewardAnswer,
        responses=_errors(_STATUSES),
        openapi_extra=body_of(RewardRequest),
    )
    async def rewards(request: Request) -> Response:
        """Scores rollouts: all of them, or none."""
        admission.check_open()
        body = await read_body(request, RewardRequest, body_seconds)
        answers = await admission.score(body.rollouts)
        # Each answer is JSON already, kept for retries, so the model only describes what is returned.
        return Response(b'{"rewards":[' + b",".join(answers) + b"]}", media_type="application/json")

    @app.get("/health", responses={503: {"model": Health, "description": "stopping, or failed"}})
    async def health(response: Response) -> Health:
        """Whether requests are taken; needs no token."""
        failed = admission.scorer.failure is not None
        status = "failed" if failed else "stopping" if admission.stopping else "ok"
        response.status_code = 200 if status == "ok" else 503
        return Health(status=status, version=__version__)

    @app.get("/metrics", dependencies=[Depends(authorize)], response_class=PlainTextResponse, responses=_errors([401]))
    async def expose(request: Request) -> Response:
        """Counters in Prometheus' text format, or in OpenMetrics' for those who ask for it."""
        text, content_type = metrics.exposition(request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": content_type})

    if raw:

        @app.post(
            "/get_reward/{token}",
            response_model=RawAnswer,
            responses=_errors(status for status in _STATUSES if status not in (409, 429)),
            openapi_extra=body_of(RawRequest),
        )
        async def get_reward(token: str, request: Request) -> Response:
            """OpenRLHF's `remote_url` protocol; its client sends no header, so the token stands in the path."""
            if not access.allows(token):
                raise RequestError(401, _STATUSES[401], headers=CLOSE)
            admission.check_open()
            sample = sample_of(await read_body(request, RawRequest, body_seconds))
            breakdown = await admission.score_in_turn(sample, request.is_disconnected)
            if breakdown is None:
                raise ClientDisconnect
            return AsciiJSONResponse(answer_of(breakdown))

    # FastAPI's own handler says `detail`, where the protocol has `error`.
    @app.exception_handler(HTTPException)
    async def problem(_: Request, error: HTTPException) -> Response:
        detail: Any = error.detail  # a dictionary where this server raised it, else a text
        values = detail if isinstance(detail, dict) else {"message": str(detail)}
        return AsciiJSONResponse({"error": values}, error.status_code, error.headers)

    # Left to itself it would leave a stack trace in the log for every client that goes.
    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=400)

    describe_bodies(app, [RewardRequest, RawRequest] if raw else [RewardRequest])
    return app


def _errors(statuses: Iterable[int]) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route."""
    return {status: {"model": ErrorAnswer, "description": _STATUSES[status]} for status in statuses}


class _Measured:
    """Middleware that counts requests by route, status and time."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        start, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = getattr(scope.get("route"), "path", "other")  # its template, left there by the router
            self._metrics.requested(route, status, time.perf_counter() - start)
