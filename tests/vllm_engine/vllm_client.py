"""Samples with the engine `openai` at a server, as its arguments say, and prints the texts as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from vllm_world import prompts

from salmon_core.api import ModelSpec, Sampling
from salmon_openai.engine import OpenAIEngine
from salmon_openai.options import Options


def remote(**options: Any) -> OpenAIEngine:
    """The engine; any key of the environment stays there."""
    return OpenAIEngine(Options(**{"key_variable": None, "concurrency": 4, **options}))


def main(options: str, count: str) -> None:
    made = remote(**json.loads(options))
    with made.sampler(ModelSpec("served")) as opened:
        found = opened.sample(prompts(int(count)), Sampling(samples=2, seed=1, max_new_tokens=200))
    print(json.dumps([[each.prompt_id, each.index, each.text] for each in found]))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main(*sys.argv[1:])
