"""Engines as a configuration makes them, and what they are asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from salmon_core.api import ModelSpec, PrefixRequest
from salmon_core.plugins.options import construct, validate_options
from salmon_core.records import Prompt
from salmon_core.testing.elsewhere import registry_for
from salmon_openai import plugin
from salmon_openai.engine import OpenAIEngine

MODEL = ModelSpec("served")


def engine(url: str, base: Path = Path(), **options: Any) -> OpenAIEngine:
    owned = registry_for(plugin).find("engines", "openai")
    spec = validate_options(owned, {"base_url": url, "key_variable": "NO_SUCH_KEY", **options}, "engine", base)
    built = construct(owned, spec.options)
    assert isinstance(built, OpenAIEngine)
    return built


def prompts(count: int) -> list[Prompt]:
    return [Prompt.from_text(f"Question number {number}?", id=f"p{number}") for number in range(count)]


def rendered(made: OpenAIEngine, asked: list[Prompt]) -> list[tuple[Prompt, str]]:
    codec = made.codec(MODEL)
    return [(prompt, codec.chat(prompt.messages)) for prompt in asked]


def questions(made: OpenAIEngine, count: int, suffixes: tuple[str, ...] = (" First?\n", " Second?\n")) -> Any:
    """Requests as a judge in a conversation makes them, with the beginning of an answer."""
    codec = made.codec(MODEL)
    before, _, after = codec.chat([{"role": "user", "content": "@"}]).partition("@")
    tails = tuple(f"{suffix}{after}The answer:\n" for suffix in suffixes)
    return [PrefixRequest(f"{before}Text {number}.", tails) for number in range(count)]
