"""Stage `prompts`: every prompt once, with its split."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from salmon_core.api.component import ComponentSpec
from salmon_core.data import parquet
from salmon_core.errors import DataError, boundary
from salmon_core.plugins.options import require
from salmon_core.records import Prompt
from salmon_core.stages.base import Sources, Stage, Work, write_metrics

FILE = "prompts.parquet"


@dataclass(frozen=True)
class PromptsInputs:
    """Attributes:
    held_out: share of the prompts kept for evaluation, of those whose source says nothing.
    """

    seed: int
    source: ComponentSpec
    held_out: float


class Prompts(Stage[PromptsInputs]):
    """Reads the prompt source."""

    name = "prompts"
    outputs = (FILE,)

    def inputs(self, sources: Sources) -> PromptsInputs:
        config = sources.config
        return PromptsInputs(config.config.run.seed, config.prompts, config.config.held_out)

    def work(self, inputs: PromptsInputs, work: Work) -> None:
        spec = inputs.source
        owned = work.registry.owned(spec)
        source = require(owned, work.registry.build(spec), "load")
        place = str(spec.options.get("path") or f"prompts {spec.name}")
        found: dict[str, Prompt] = {}
        repeated = 0
        with boundary(str(owned.owner), f"prompts {spec.name!r}"):
            for prompt in source.load():
                if prompt.id in found:
                    if found[prompt.id].messages != prompt.messages:
                        raise DataError(f"two different prompts have the id {prompt.id!r}", where=place)
                    repeated += 1
                    continue
                split = prompt.split or _split(inputs, prompt.id)
                found[prompt.id] = Prompt(prompt.id, prompt.messages, prompt.category, split)
        if not any(prompt.split == "train" for prompt in found.values()):
            raise DataError(
                "there are no prompts to train on",
                where=place,
                hint=f"{len(found)} are held out; lower `held_out`" if found else None,
            )
        work.write_rows(FILE, found.values(), parquet.PROMPTS)
        counts = {split: sum(p.split == split for p in found.values()) for split in ("train", "test")}
        write_metrics(work, counts | {"repeated": repeated})


def _split(inputs: PromptsInputs, identifier: str) -> str:
    digest = hashlib.sha256(f"{inputs.seed}/held-out/{identifier}".encode()).digest()
    return "test" if int.from_bytes(digest[:8], "big") / 2**64 < inputs.held_out else "train"


def read_prompts(folder: Path, split: str | None = None) -> list[Prompt]:
    """What the stage left; None: both splits."""
    rows = parquet.read_rows(folder / FILE, parquet.PROMPTS, parquet.to_prompt)
    return [prompt for prompt in rows if split in (None, prompt.split)]


STAGE = Prompts()
