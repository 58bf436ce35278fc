"""What a configuration may say of an endpoint."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from salmon_core.api import HubPath, uncounted
from salmon_core.errors import SalmonError

#: keys of a request that are the engine's own
_OWN = ("model", "messages", "prompt", "n", "stream")


class Options(BaseModel):
    """What a configuration may set."""

    model_config = ConfigDict(extra="forbid")

    base_url: str = Field(description="of the endpoint, up to and with its version: http://127.0.0.1:8000/v1")
    key_variable: str | None = Field(
        "OPENAI_API_KEY",
        min_length=1,
        description="environment variable that has the key; a loopback endpoint needs none; null: no key is sent",
        json_schema_extra=uncounted(),
    )
    api: Literal["completions", "chat"] = Field(
        "chat", description="completions: texts go as they are, as token ids; chat: as a list of messages"
    )
    tokenizer: HubPath | None = Field(
        None,
        description="model folder or hub id whose tokenizer counts exactly, and has the chat template of `completions`,"
        " which needs it",
    )
    concurrency: int = Field(16, ge=1, le=1024, description="requests at once", json_schema_extra=uncounted())
    attempts: int = Field(6, ge=1, description="per request, the first one included", json_schema_extra=uncounted())
    timeout: float = Field(120, gt=0, description="seconds for one attempt", json_schema_extra=uncounted())
    votes: int = Field(
        8, ge=1, description="answers sampled for one choice where the endpoint gives no log-probabilities"
    )
    cache: Path | None = Field(
        None,
        description="SQLite file of answers and usage, made when it is first needed; null: nothing is kept",
        json_schema_extra=uncounted(),
    )
    price_in: float | None = Field(None, ge=0, description="of a million prompt tokens", json_schema_extra=uncounted())
    price_out: float | None = Field(
        None, ge=0, description="of a million completion tokens", json_schema_extra=uncounted()
    )
    max_cost: float | None = Field(
        None,
        gt=0,
        description="nothing more is asked once this is exceeded, by what the cache has counted for this endpoint and"
        " model; needs `price_in`, `price_out` and `cache`",
        json_schema_extra=uncounted(),
    )
    extra: dict[str, Any] = Field(
        default_factory=dict, description="put into the body of every request; null leaves a key out"
    )

    @field_validator("base_url")
    @classmethod
    def _address(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            plain = value.isascii() and value.isprintable() and " " not in value
            good = plain and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good:
            raise ValueError("is no address; write it as http://HOST:PORT/v1 or https://HOST/v1")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("has more than host, port and path; a key belongs into the environment (key_variable)")
        return value.rstrip("/")

    @field_validator("extra")
    @classmethod
    def _additions(cls, value: dict[str, Any]) -> dict[str, Any]:
        if own := [key for key in _OWN if key in value]:
            raise ValueError(f"cannot set {', '.join(own)}: the engine does")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Options:
        if self.api == "completions" and self.tokenizer is None:
            raise ValueError("`api: completions` needs a `tokenizer`: a model folder or hub id")
        needed = {"price_in": self.price_in, "price_out": self.price_out, "cache": self.cache}
        if self.max_cost is not None and (missing := [name for name, value in needed.items() if value is None]):
            raise ValueError(f"`max_cost` needs {', '.join(missing)} as well")
        return self

    @property
    def loopback(self) -> bool:
        """Whether the endpoint is on this machine."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def key(self) -> str | None:
        """The key from the environment.

        Raises:
            SalmonError: there is none and the endpoint is not on this machine, or it could not be sent.
        """
        if self.key_variable is None:
            return None
        key = os.environ.get(self.key_variable, "").strip()
        if not key:
            if self.loopback:
                return None
            raise SalmonError(
                f"the environment variable {self.key_variable} has no key",
                where=self.base_url,
                hint="set it; name another one as key_variable, or null for an endpoint without keys",
            )
        if not (key.isascii() and key.isprintable()) or " " in key:
            # The key itself must not be shown.
            raise SalmonError(
                f"what the environment variable {self.key_variable} has is no key: it has spaces or odd characters",
                where=self.base_url,
                hint="set it to the key alone",
            )
        return key
