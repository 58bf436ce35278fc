"""Answers of writers that are language models, made once and shipped: `python -m salmon_bench.sampling MODEL`.

    python -m salmon_bench.sampling examples/real/model

writes `data/smollm2.jsonl`, of the model that `examples/real/make_model.py` makes, and `data/minnow.jsonl`, of the
policy that salmon-minnow brings along. Another machine, or another version of torch, may sample other texts; what rows
are made of is what lies in those files, and `salmon_bench.make` gives the same rows of them anywhere.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from salmon_bench.asking import MANNERS, REQUESTS, whole
from salmon_core.api import Limits, ModelSpec, Sampling
from salmon_core.data.files import write_text
from salmon_core.plugins.engines import open_model
from salmon_core.plugins.options import validate_options
from salmon_core.plugins.registry import Registry
from salmon_core.records import Message, Prompt
from salmon_core.reward.rendering import Renderer

DATA = Path(__file__).parent / "data"
SEED = 20


def smollm2(registry: Registry, model: Path) -> list[dict[str, Any]]:
    """A few answers to each request, each asked for in another manner."""
    asked = [(request, number) for request in REQUESTS for number in range(len(MANNERS))]
    prompts = [
        Prompt(f"{request}/{number}", (Message(role="user", content=f"{request} {MANNERS[number]}".strip()),))
        for request, number in asked
    ]
    sampling = Sampling(temperature=0.8, max_new_tokens=72, samples=1, seed=SEED, batch_size=48)
    rows = []
    for (request, _), text, stopped in zip(asked, *_sampled(registry, str(model), prompts, sampling), strict=True):
        rows.append({"prompt": request, "answer": whole(text, stopped)})
    return [row for row in rows if row["answer"]]


def minnow(registry: Registry) -> list[dict[str, Any]]:
    """Answers to the held-out prompts of the embedded world."""
    source = registry.find("prompts", "minnow").load()()
    prompts = [prompt for prompt in source.load() if prompt.split == "test"]
    path = registry.find("models", "minnow").load()
    sampling = Sampling(temperature=1.0, max_new_tokens=60, samples=6, seed=SEED, batch_size=64)
    texts, stopped = _sampled(registry, str(path), prompts, sampling)
    rows = []
    for number, (text, whole_) in enumerate(zip(texts, stopped, strict=True)):
        row = {"prompt": prompts[number // 6].text, "answer": text}
        if whole_ and text.strip() and row not in rows:
            rows.append(row)
    return rows


def _sampled(
    registry: Registry, path: str, prompts: Sequence[Prompt], sampling: Sampling
) -> tuple[list[str], list[bool]]:
    engine = validate_options(registry.default("engines"), {}, "engine", Path.cwd())
    template = registry.default("templates").load()
    with open_model(registry, engine, ModelSpec(path, dtype="float32", device="cpu"), "sampler") as model:
        renderer = Renderer(template, model.codec, limits=Limits(256, 256, 512))
        found = model.sample([(prompt, renderer.policy(prompt)) for prompt in prompts], sampling)
    return [each.text for each in found], [each.stopped for each in found]


def _write(name: str, rows: Iterable[dict[str, Any]]) -> None:
    rows = list(rows)
    write_text(DATA / name, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    print(f"{DATA / name}: {len(rows)} answers")


def main() -> None:
    """Writes both files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path, help="folder of SmolLM2")
    model = parser.parse_args().model
    registry = Registry.discover()
    _write("minnow.jsonl", minnow(registry))
    _write("smollm2.jsonl", smollm2(registry, model))


if __name__ == "__main__":
    main()
