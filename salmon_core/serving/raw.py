"""OpenRLHF's `remote_url` protocol: one sample a request, as texts with their special tokens, no id and no header.

The completion's ids are those that its text encodes to. They are the generated ones but for rare texts that a
tokenizer writes in two ways; the batch endpoint takes the ids themselves.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from salmon_core.records import RewardBreakdown, Rollout
from salmon_core.serving.intake import Intake, Refused
from salmon_core.serving.schemas import FreeItem, RawRequest, RowItem, places

#: what a label may say of a prompt of no row
_FROM_LABEL = frozenset({"prompt", "messages", "category", "principles", "rollout_index"})
_FREE = TypeAdapter(FreeItem)


@dataclass(frozen=True, slots=True)
class Sample:
    """One request; called in the scoring thread, it becomes a rollout.

    Attributes:
        query: templated prompt and completion in one.
        prompt: the templated prompt.
        label: a row's number, or an object with some of a free item's fields, also as JSON text; or anything else.
    """

    query: str
    prompt: str
    label: Any

    def __call__(self, intake: Intake) -> Rollout:
        """
        Raises:
            Refused: the query does not begin with the prompt, or the label fits nothing.
        """
        if not self.query.startswith(self.prompt):
            raise Refused("does not begin with `prompts[0]`", where="query[0]")
        ids = intake.codec.encode(self.query[len(self.prompt) :])
        eos = intake.codec.eos_id
        stopped = eos in ids
        if stopped:
            ids = ids[: ids.index(eos) + 1]  # what comes after it is padding
        label = _read(self.label)
        if isinstance(label, int) and intake.rows:
            return intake.rollout(RowItem(id="raw", row=label, completion_ids=ids, stopped=stopped))
        told = label if isinstance(label, dict) else {}
        if unknown := told.keys() - _FROM_LABEL:
            names = ", ".join(sorted(_FROM_LABEL))
            raise Refused(f"has no use for {', '.join(sorted(map(str, unknown)))}", where="labels[0]", hint=names)
        if not {"prompt", "messages"} & told.keys():
            plain = intake.codec.decode(intake.codec.encode(self.prompt), skip_special=True)
            told = {"prompt": plain.strip(), **told}
        values = {
            "id": "raw",
            "completion": intake.decode(ids),
            "completion_ids": ids,
            "n_tokens": len(ids) - stopped,
            "stopped": stopped,
        }
        try:
            return intake.rollout(_FREE.validate_python({**told, **values}))
        except ValidationError as error:
            where, what = places(error)[1][0]
            raise Refused(what, where=f"labels[0].{where}") from None


def sample_of(request: RawRequest) -> Sample:
    """What a request asks."""
    return Sample(request.query[0], request.prompts[0], request.labels[0] if request.labels else None)


def _read(label: Any) -> Any:
    """Labels travel as they stand in the trainer's data set, so numbers and objects often come as text."""
    if isinstance(label, str):
        try:
            label = json.loads(label)
        except (ValueError, RecursionError):
            return None
    return None if isinstance(label, bool) else label


def answer_of(breakdown: RewardBreakdown) -> dict[str, Any]:
    """As `schemas.RawAnswer`: the same keys for every sample, as the trainer's logging demands."""
    logs = {
        **breakdown.components,
        "truncated": float(breakdown.truncated > 0),
        "fallbacks": float(len(breakdown.fallbacks)),
    }
    return {"rewards": breakdown.total, "scores": breakdown.total, "extra_logs": logs}
