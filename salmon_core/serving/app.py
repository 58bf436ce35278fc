"""The endpoints."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import PlainTextResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from salmon_core import __version__
from salmon_core.serving.access import Access
from salmon_core.serving.desk import Desk, Refusal
from salmon_core.serving.metrics import Metrics
from salmon_core.serving.raw import answer_of, sample_of
from salmon_core.serving.schemas import (
    ErrorAnswer,
    Health,
    RawAnswer,
    RawRequest,
    RewardAnswer,
    RewardRequest,
    places,
)

#: bytes of a request's body, and seconds it may take to arrive
MAX_BODY, BODY_SECONDS = 8 << 20, 60.0
REWARDS, RAW = "/v1/rewards", "/get_reward"
_CLOSE = {"Connection": "close"}
_BEARER = HTTPBearer(auto_error=False)
_ABOUT = {
    401: "no token, or a wrong one",
    409: "an id was used for something else",
    413: "too large",
    422: "cannot be scored; says where",
    429: "the queue is full; says when to come again",
    500: "a component of the reward failed for good; names it and its owner",
    503: "the server is stopping",
}
M = TypeVar("M", bound=BaseModel)


def make_app(desk: Desk, access: Access, metrics: Metrics, *, raw: bool) -> ASGIApp:
    """The application.

    Args:
        raw: also answers OpenRLHF's protocol, at `/get_reward/TOKEN`.
    """
    # No pages of documentation: they would load scripts from elsewhere.
    app = FastAPI(title="salmon reward server", version=__version__, docs_url=None, redoc_url=None)

    async def allowed(given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> None:
        if given is None or not access.allows(given.credentials):
            raise Refusal(401, "no token, or a wrong one", headers={"WWW-Authenticate": "Bearer", **_CLOSE})

    @app.post(REWARDS, dependencies=[Depends(allowed)], **_described(RewardAnswer, RewardRequest, set(_ABOUT)))
    async def rewards(request: Request) -> Response:
        """Scores rollouts: all of them, or none."""
        desk.check_open()
        asked = _parsed(RewardRequest, await _body(request))
        answers = await _counted(desk, desk.score(asked.rollouts))
        return Response(b'{"rewards":[' + b",".join(answers) + b"]}", media_type="application/json")

    @app.get("/health", responses={503: {"model": Health, "description": "stopping, or failed"}})
    async def health(response: Response) -> Health:
        """Whether requests are taken; needs no token."""
        status = "failed" if desk.scorer.failure is not None else "stopping" if desk.stopping else "ok"
        response.status_code = 200 if status == "ok" else 503
        return Health(status=status, version=__version__)

    @app.get(
        "/metrics",
        dependencies=[Depends(allowed)],
        response_class=PlainTextResponse,
        responses={401: {"model": ErrorAnswer, "description": _ABOUT[401]}},
    )
    async def numbers() -> Response:
        """Counters in Prometheus' text format."""
        return PlainTextResponse(metrics.text(), media_type="text/plain; version=0.0.4")

    if raw:

        @app.post(RAW + "/{token}", **_described(RawAnswer, RawRequest, set(_ABOUT) - {409, 429}))
        async def get_reward(token: str, request: Request) -> Response:
            """OpenRLHF's `remote_url` protocol; its client sends no header, so the token stands in the path."""
            if not access.allows(token):
                raise Refusal(401, "no token, or a wrong one", headers=_CLOSE)
            desk.check_open()
            asked = _parsed(RawRequest, await _body(request))
            breakdown = await _counted(desk, desk.score_held(sample_of(asked), request.is_disconnected))
            if breakdown is None:
                raise ClientDisconnect
            return _json(answer_of(breakdown))

    @app.exception_handler(Refusal)
    async def refused(_: Request, error: Refusal) -> Response:
        return _json(error.body, error.status, error.headers)

    @app.exception_handler(HTTPException)
    async def unknown(_: Request, error: HTTPException) -> Response:
        return _json({"error": {"message": str(error.detail)}}, error.status_code, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> Response:
        return Response(status_code=400)  # nobody reads it

    schemas: list[type[BaseModel]] = [RewardRequest, RawRequest] if raw else [RewardRequest]
    app.openapi = lambda: _openapi(app, schemas)  # type: ignore[method-assign]
    return _Measured(app, metrics)


async def _counted(desk: Desk, work: Any) -> Any:
    desk.active += 1
    try:
        return await work
    finally:
        desk.active -= 1


async def _body(request: Request) -> bytes:
    """The body, if it is small enough; nothing of it is parsed before that is known.

    Raises:
        Refusal: too large, or too slow.
    """
    length = request.headers.get("content-length", "")
    parts, size = [], int(length) if length.isdigit() and int(length) > MAX_BODY else 0
    stream = request.stream()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while size <= MAX_BODY and (part := await anext(stream, None)) is not None:
                size += len(part)
                parts.append(part)
    except TimeoutError:
        raise Refusal(408, f"the body took more than {BODY_SECONDS:.0f} s to arrive", headers=_CLOSE) from None
    if size > MAX_BODY:
        parts.clear()
        await _discard(stream)
        raise Refusal(413, f"a request has at most {MAX_BODY} bytes", headers=_CLOSE)
    return b"".join(parts)


async def _discard(stream: AsyncIterator[bytes]) -> None:
    """Lets a client that is still sending come to the end, or it would see a broken connection and no answer."""
    left = 8 * MAX_BODY
    with contextlib.suppress(TimeoutError):
        while left > 0:
            part = await asyncio.wait_for(anext(stream, None), 1.0)
            if part is None:
                return
            left -= len(part)


def _parsed(model: type[M], body: bytes) -> M:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        large, found = places(error)
        message = "; ".join(f"{where}: {what}" for where, what in found)
        raise Refusal(413 if large else 422, message, where=found[0][0]) from None


def _json(values: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = json.dumps(values, separators=(",", ":"))
    return Response(body, status, headers=headers, media_type="application/json")


def _described(answer: type[BaseModel], body: type[BaseModel], statuses: set[int]) -> dict[str, Any]:
    """For the OpenAPI document: the body is read by hand, so that its size is limited while it arrives."""
    schema = {"$ref": f"#/components/schemas/{body.__name__}"}
    return {
        "response_model": answer,
        "responses": {status: {"model": ErrorAnswer, "description": _ABOUT[status]} for status in sorted(statuses)},
        "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}},
    }


def _openapi(app: FastAPI, schemas: list[type[BaseModel]]) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, routes=app.routes)
        for model in schemas:
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            parts = schema.pop("$defs", {})
            document["components"]["schemas"] |= {**parts, model.__name__: schema}
        app.openapi_schema = document
    return app.openapi_schema


class _Measured:
    """Counts requests by route, status and time."""

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
            route = scope["path"] if scope["path"] in (REWARDS, "/health", "/metrics", "/openapi.json") else "other"
            if scope["path"].startswith(RAW):
                route = RAW
            self._metrics.requested(route, status, time.perf_counter() - start)
