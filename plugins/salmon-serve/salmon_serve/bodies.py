"""Bodies of requests: read with limits, parsed in one pass, and described in the OpenAPI document.

FastAPI's own body parameters would be read and parsed before the token is looked at, take half as long again for
lists of token ids, and know a limit on size only in versions that vLLM, which may share the environment, refuses.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ValidationError

from salmon_serve.admission import RequestError
from salmon_serve.schemas import places

#: bytes of a request's body
MAX_BODY = 8 << 20
#: seconds for the rest of a body that is too large
_REST = 30.0
CLOSE = {"Connection": "close"}
_SCHEMAS = "#/components/schemas/{model}"
M = TypeVar("M", bound=BaseModel)


async def read_body(request: Request, model: type[M], seconds: float) -> M:
    """The body as a model.

    Args:
        seconds: it may take to arrive.

    Raises:
        RequestError: too large, too slow, no JSON, or not as the model says.
        ClientDisconnect: the client went.
    """
    body = await _read(request, seconds)
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        large, found = places(error)
        message = "; ".join(f"{where}: {what}" for where, what in found)
        raise RequestError(413 if large else 422, message, where=found[0][0]) from None


async def _read(request: Request, seconds: float) -> bytes:
    length = request.headers.get("content-length", "")
    parts, size = [], int(length) if length.isdigit() and int(length) > MAX_BODY else 0
    stream = request.stream()
    try:
        async with asyncio.timeout(seconds):
            while size <= MAX_BODY and (part := await anext(stream, None)) is not None:
                size += len(part)
                parts.append(part)
    except TimeoutError:
        raise RequestError(408, f"the body took more than {seconds:g} s to arrive", headers=CLOSE) from None
    if size > MAX_BODY:
        parts.clear()
        await _discard(stream)
        raise RequestError(413, f"a request has at most {MAX_BODY} bytes", headers=CLOSE)
    return b"".join(parts)


async def _discard(stream: AsyncIterator[bytes]) -> None:
    """Lets a client that is still sending come to the end, or it would see a broken connection and no answer."""
    left = 8 * MAX_BODY
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_REST):
            while left > 0:
                part = await asyncio.wait_for(anext(stream, None), 1.0)
                if part is None:
                    return
                left -= len(part)


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of a route whose body is `model`."""
    schema = {"$ref": _SCHEMAS.format(model=model.__name__)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def describe_bodies(app: FastAPI, models: Sequence[type[BaseModel]]) -> None:
    """Puts the schemas that `body_of` refers to into the application's OpenAPI document."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, routes=app.routes)
            for model in models:
                schema = model.model_json_schema(ref_template=_SCHEMAS)
                parts = schema.pop("$defs", {})
                document["components"]["schemas"] |= {**parts, model.__name__: schema}
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
