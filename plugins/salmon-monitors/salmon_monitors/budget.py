"""What monitors that use models share: how often they look, and at how many rollouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from random import Random
from typing import Any

from pydantic import Field

from salmon_core.api.monitors import SeenRollout
from salmon_core.records import Message, ShownPrinciple
from salmon_core.rng import shuffled
from salmon_monitors.windows import Compared


class Budgeted(Compared):
    """Options of all monitors that use models."""

    every: int = Field(4, ge=1, description="batches from one look to the next")
    most: int = Field(64, ge=20, description="rollouts of each side that models read in one look")


def due(looks: int, every: int) -> bool:
    """Whether models are asked at this look of the windows, the first being 1."""
    return (looks - 1) % every == 0


def times(looks: int, every: int) -> int:
    """What a p-value is multiplied by at such a look: as `Windows.corrected`, but only those looks count."""
    k = (looks - 1) // every + 1
    return k * (k + 1)


def drawn(rollouts: Sequence[SeenRollout], most: int, *name: object) -> list[SeenRollout]:
    """At most so many; the same ones of the same rollouts."""
    if len(rollouts) <= most:
        return list(rollouts)
    chosen = sorted(shuffled(range(len(rollouts)), Random(" ".join(map(str, name))))[:most])
    return [rollouts[place] for place in chosen]


def document(rollout: SeenRollout) -> dict[str, Any]:
    """What a question has of a rollout, JSON-ready."""
    return {
        "prompt_id": rollout.prompt_id,
        "prompt": rollout.prompt,
        "completion": rollout.completion,
        "principles": [asdict(each) for each in rollout.principles],
    }


def asked(document: Mapping[str, Any]) -> list[Message]:
    """The prompt of such a document as a conversation."""
    return [{"role": "user", "content": document["prompt"]}]


def shown(document: Mapping[str, Any]) -> list[ShownPrinciple]:
    """The principles of such a document."""
    return [ShownPrinciple(**each) for each in document["principles"]]
