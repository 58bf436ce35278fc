"""Samples with the engine `openai` as its arguments say, and prints the texts as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from openai_engine_world import MODEL, engine, prompts, rendered

from salmon_core.api import Sampling
from salmon_core.errors import SalmonError


def main(url: str, cache: str, count: str, options: str) -> int:
    made = engine(url, cache=Path(cache), **json.loads(options))
    try:
        with made.sampler(MODEL) as model:
            found = model.sample(rendered(made, prompts(int(count))), Sampling(samples=2, seed=1, max_new_tokens=24))
    except SalmonError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps([[each.prompt_id, each.index, each.text] for each in found]))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
