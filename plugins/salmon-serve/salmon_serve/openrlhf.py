"""OpenRLHF's `remote_url` protocol: one sample a request, as texts with their special tokens, no id and no header.

The completion's ids are those that its text encodes to. They are the generated ones but for rare texts that a
tokenizer writes in two ways; the batch endpoint takes the ids themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from salmon_core.records import RewardBreakdown, Rollout
from salmon_serve.decoding import Decoder, ItemError
from salmon_serve.schemas import FreeItem, RawRequest, RowItem, places

#: what a label may say of a prompt of no row
_LABEL_FIELDS = frozenset({"prompt", "messages", "category", "principles", "rollout_index"})
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

    def __call__(self, decoder: Decoder) -> Rollout:
        """
        Raises:
            ItemError: the query does not begin with the prompt, or the label fits nothing.
        """
        if not self.query.startswith(self.prompt):
            raise ItemError("does not begin with `prompts[0]`", where="query[0]")
        ids = decoder.codec.encode(self.query[len(self.prompt) :])
        eos = decoder.codec.eos_id
        stopped = eos in ids
        if stopped:
            ids = ids[: ids.index(eos) + 1]  # what comes after it is padding
        label = _parse(self.label)
        if isinstance(label, int) and decoder.rows:
            return decoder.rollout(RowItem(id="raw", row=label, completion_ids=ids, stopped=stopped))
        fields = label if isinstance(label, dict) else {}
        if unknown := fields.keys() - _LABEL_FIELDS:
            names = ", ".join(sorted(_LABEL_FIELDS))
            raise ItemError(f"has no use for {', '.join(sorted(map(str, unknown)))}", where="labels[0]", hint=names)
        if not {"prompt", "messages"} & fields.keys():
            plain = decoder.codec.decode(decoder.codec.encode(self.prompt), skip_special=True)
            fields = {"prompt": plain.strip(), **fields}
        values = {
            "id": "raw",
            "completion": decoder.decode(ids),
            "completion_ids": ids,
            "n_tokens": len(ids) - stopped,
            "stopped": stopped,
        }
        try:
            return decoder.rollout(_FREE.validate_python({**fields, **values}))
        except ValidationError as error:
            where, what = places(error)[1][0]
            raise ItemError(what, where=f"labels[0].{where}") from None


def sample_of(request: RawRequest) -> Sample:
    """The sample of a request."""
    return Sample(request.query[0], request.prompts[0], request.labels[0] if request.labels else None)


def _parse(label: Any) -> Any:
    """Labels travel as they stand in the trainer's data set, so numbers and objects often come as text."""
    if isinstance(label, str):
        try:
            label = from_json(label)
        except ValueError:
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
