"""A run's preference rows in forms that other trainers read.

Whatever the form, each row has what it was made of in the column `salmon`, so that `preferences:` reads the same rows
back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, Literal

import pyarrow as pa

from salmon_core.data import parquet
from salmon_core.data.preferences import RECORD
from salmon_core.errors import SalmonError
from salmon_core.records import Message, PreferenceRow, Prompt
from salmon_core.reward.rendering import Renderer
from salmon_core.run.run import Run
from salmon_core.stages.label import STAGE as LABEL
from salmon_core.stages.label import preference_input, preference_rows
from salmon_core.stages.sources import Sources
from salmon_core.stages.texts import texts_of

Format = Literal["trl", "trl-conversational", "openrlhf", "jsonl"]
Principles = Literal["prompt", "column"]

_RECORD = pa.field(RECORD, pa.struct(list(parquet.PREFERENCES)))
_TURNS = parquet.PREFERENCES.field("messages").type


def rows_of_run(run: Run, note: Callable[[str], None]) -> Sequence[PreferenceRow]:
    """What its reward model, or its policy, is trained on.

    Raises:
        SalmonError: it has none, or they are not made yet.
    """
    sources = Sources(run)
    if run.config.preferences is None and LABEL.name not in sources.stages:
        hint = "it trains no reward model of its own and no policy on preferences"
        raise SalmonError("this run has no preference rows", where=str(run.path), hint=hint)
    return preference_rows(preference_input(sources), note)


def renderer_of(run: Run) -> Renderer:
    """Makes texts for the run's policy."""
    return texts_of(Sources(run), "sample").renderer(run.config.registry)


def schema_of(form: Format, principles: Principles) -> pa.Schema:
    """The columns of a form."""
    if form == "jsonl":
        return parquet.PREFERENCES
    kind = pa.string() if form == "trl" else _TURNS
    names = ("chosen", "rejected") if form == "openrlhf" else ("prompt", "chosen", "rejected")
    fields = [pa.field(name, kind) for name in names]
    if principles == "column":
        fields.append(pa.field("principles", parquet.PRINCIPLES))
    if form == "openrlhf":
        fields.append(pa.field("margin", pa.float64()))
    return pa.schema([*fields, _RECORD])


def exported(
    rows: Iterable[PreferenceRow], form: Format, principles: Principles, renderer: Renderer | None
) -> Iterator[dict[str, Any]]:
    """Each row in a form. Texts for models are made safe by the renderer; the column `salmon` has them as they were."""
    for row in rows:
        record = asdict(row) | {"messages": [dict(turn) for turn in row.messages]}
        if form == "jsonl":
            yield record
            continue
        assert renderer is not None
        found = _answers(row, form, principles, renderer)
        if principles == "column":
            found["principles"] = record["principles"]
        if form == "openrlhf":  # which uses it where it is asked to; TRL's RewardTrainer always would
            found["margin"] = row.margin
        yield found | {RECORD: record}


def _answers(row: PreferenceRow, form: Format, principles: Principles, renderer: Renderer) -> dict[str, Any]:
    shown = row.principles if principles == "prompt" else ()
    chosen, rejected = renderer.safe_text(row.chosen), renderer.safe_text(row.rejected)
    if form == "trl":
        # TRL's tokenizer puts the BOS itself, and TRL the EOS.
        text = renderer.policy(Prompt(row.pair_id, row.messages, row.category), shown)
        return {"prompt": text.removeprefix(renderer.codec.bos_token or ""), "chosen": chosen, "rejected": rejected}
    asked = renderer.asked(row.messages, shown)
    if form == "openrlhf":
        return {"chosen": [*asked, _said(chosen)], "rejected": [*asked, _said(rejected)]}
    return {"prompt": asked, "chosen": [_said(chosen)], "rejected": [_said(rejected)]}


def _said(text: str) -> Message:
    return {"role": "assistant", "content": text}
