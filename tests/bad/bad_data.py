"""Files of rows: prompts, preferences, demonstrations, and completions to be scored."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from bad_case import Bad, Files, Folder, Link
from core_world import prompt_lines

TRY = {"SALMON_QUICK": ""}
ROW = {"prompt": "Why?", "completion": "So."}


def lines(*rows: Any) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def prompts(name: str, says: tuple[str, ...], file: str, content: Any, **options: Any) -> list[Bad]:
    """By `salmon check`, which opens the file; and by `salmon run`, which leaves nothing of the stage."""
    changes = {"prompts": {"name": file, **options}}
    return [
        Bad(f"{name}, checked", says, changes=changes,
            files={file: content}, env=TRY),
        Bad(f"{name}, run", says, "run salmon.yaml --until prompts", changes=changes, files={file: content}, code=1,
            absent=["runs/toy/prompts/prompts.parquet"]),
    ]  # fmt: skip


def demonstrations(name: str, says: tuple[str, ...], content: Any, file: str = "sft.jsonl") -> Bad:
    return Bad(f"demonstrations: {name}", says, "run salmon.yaml --until sft", code=1, files={file: content},
        changes={"sft": {"data": file, "backend": "toy"}}, absent=["runs/toy/sft/data/train.parquet"])  # fmt: skip


def preferences(name: str, says: tuple[str, ...], content: Any) -> Bad:
    return Bad(
        f"preferences: {name}", says, files={"own.parquet": content}, changes={"preferences": "own.parquet"}, env=TRY
    )


def rollouts(name: str, says: tuple[str, ...], content: Any, file: str = "rows.jsonl") -> Bad:
    files: Files = {} if content is None else {file: content}
    return Bad(f"rollouts: {name}", says, f"score runs/toy {file} -o scores.jsonl", files=files, code=1, finished=True,
        absent=["scores.jsonl"])  # fmt: skip


_PROMPTS: list[tuple[Any, ...]] = [
    ("an empty file", ("p.jsonl", "no prompts to train on"), "p.jsonl", ""),
    ("a null byte", ("p.jsonl: line 4", "not JSON"), "p.jsonl", prompt_lines(3) + "\0\n"),
    ("a list of texts", ("p.json: item 1", "not a JSON object"), "p.json", json.dumps([{"prompt": "a"}, "b"])),
    ("a list that breaks off", ("p.json: is not JSON",), "p.json", '[{"prompt": "a"}'),
    ("a document of several lines", ("p.json: line 1", "not JSON"), "p.json", json.dumps({"prompt": "a"}, indent=1)),
    ("an empty prompt", ("p.jsonl: line 4", "empty 'prompt'", "on_bad_row"), "p.jsonl",
        prompt_lines(3) + lines({"prompt": " "})),
    ("an empty conversation", ("p.jsonl: line 1",), "p.jsonl", lines({"messages": []})),
    ("a turn without content", ("p.jsonl: line 1", "content"), "p.jsonl", lines({"messages": [{"role": "user"}]})),
    ("CSV of a header only", ("p.csv", "no prompts to train on"), "p.csv", "prompt\n"),
    ("CSV with an open quote", ("p.csv: line 2", "end of data", "left open"), "p.csv", 'prompt\n"Why?\nHow?\n'),
    ("binary as Parquet", ("p.parquet", "not a readable Parquet file"), "p.parquet", bytes(range(256))),
    ("Parquet of numbers", ("p.parquet: row 0", "'prompt'"), "p.parquet", parquet(prompt=[1, 2])),
    ("Parquet of other columns", ("p.parquet: row 0", "question", "columns"), "p.parquet", parquet(question=["Why?"])),
]  # fmt: skip
PREFERENCE = {
    "pair_id": ["a"], "messages": [[{"role": "user", "content": "Why?"}]], "category": ["general"],
    "principles": [[{"name": "kind", "text": "Kind.", "negated": False}]], "chosen": ["So."], "rejected": ["No."],
    "margin": [1.0], "decided_by": ["kind"], "flipped": [False],
}  # fmt: skip

DATA = [
    *(bad for case in _PROMPTS for bad in prompts(*case)),
    Bad("prompts: a column named that is not there", ("prompts.jsonl: line 1", "'text'", "columns"), env=TRY,
        changes={"prompts": {"name": "prompts.jsonl", "columns": {"prompt": "text"}}}),
    Bad("prompts: an unknown column key", ("prompts.columns.answer",),
        changes={"prompts": {"name": "prompts.jsonl", "columns": {"answer": "x"}}}),
    Bad("prompts: a folder", ("p.jsonl", "Is a directory"), changes={"prompts": "p.jsonl"},
        files={"p.jsonl": Folder()}, env=TRY),
    preferences("empty", ("own.parquet", "not a readable Parquet"), b""),
    preferences("text", ("own.parquet", "not a readable Parquet"), "chosen,rejected\na,b\n"),
    preferences("no rows", ("own.parquet", "has no rows"),
                parquet(**{name: pa.array(values)[:0] for name, values in PREFERENCE.items()})),
    preferences("columns missing", ("own.parquet: row 0", "has no 'chosen'; it has rejected"), parquet(rejected=["a"])),
    preferences("another type", ("own.parquet: row 0, column margin", "'much'"),
        parquet(**{**PREFERENCE, "margin": ["much"]})),
    preferences("no conversation", ("own.parquet: row 0", "has no prompt"),
        parquet(**{**PREFERENCE, "messages": pa.nulls(1)})),
    preferences("no finite margin", ("own.parquet: row 0, column margin", "finite"),
                parquet(**{**PREFERENCE, "margin": [float("inf")]})),
    preferences("cut short", ("own.parquet", "not a readable Parquet"), parquet(**PREFERENCE)[:-20]),
    Bad("preferences: a folder", ("preferences", "'own.parquet'"), changes={"preferences": "own.parquet"},
        files={"own.parquet": Folder()}),
    demonstrations("empty", ("sft.jsonl", "has no rows"), ""),
    demonstrations("no completion", ("sft.jsonl: line 1", "'completion'"), lines({"prompt": "Why?"})),
    demonstrations("no prompt", ("sft.jsonl: line 1", "'prompt'"), lines({"completion": "So."})),
    demonstrations("broken JSON", ("sft.jsonl: line 2", "not JSON"), lines(ROW, "{")),
    demonstrations("half a surrogate pair", ("sft.jsonl: line 1", "surrogate"), lines({**ROW, "completion": "\ud800"})),
    demonstrations("ragged", ("sft.csv: line 2", "number of fields"), "prompt,completion\na\n", "sft.csv"),
    demonstrations("no Parquet", ("sft.parquet", "not a readable Parquet"), "PAR1", "sft.parquet"),
    Bad("demonstrations: gone", ("sft.data", "there is no file 'gone.jsonl'"), changes={"sft": {"data": "gone.jsonl"}}),
    Bad("demonstrations: a link to itself", ("sft.data", "'loop.jsonl'"), changes={"sft": {"data": "loop.jsonl"}},
        files={"loop.jsonl": Link("loop.jsonl")}),
    rollouts("gone", ("rows.jsonl", "No such file"), None),
    rollouts("empty", ("rows.jsonl", "has no rows"), ""),
    rollouts("broken JSON", ("rows.jsonl: line 2", "not JSON"), lines(ROW, "{")),
    rollouts("completion missing", ("rows.jsonl: line 1, column completion", "is required"), lines({"prompt": "Why?"})),
    rollouts("completion a number", ("rows.jsonl: line 1, column completion", "7"), lines({**ROW, "completion": 7})),
    rollouts("half a surrogate pair", ("rows.jsonl: line 1", "surrogate"), lines({**ROW, "completion": "\ud800"})),
    rollouts("ids that are none", ("rows.jsonl: line 1, column completion_ids[0]",),
        lines({**ROW, "completion_ids": ["a"]})),
    rollouts("a negative count", ("rows.jsonl: line 1, column n_tokens", "-1"), lines({**ROW, "n_tokens": -1})),
    rollouts("a stop in words", ("rows.jsonl: line 1, column stopped", "'perhaps'"),
        lines({**ROW, "stopped": "perhaps"})),
    rollouts("principles in words", ("rows.jsonl: line 1, column principles",), lines({**ROW, "principles": "kind"})),
    rollouts("many wrong", ("rows.jsonl", "30 cells cannot be used", "more"), lines(*[{"prompt": "Why?"}] * 30)),
    rollouts("CSV without a header", ("rows.csv",), "Why?,So.\n", "rows.csv"),
    rollouts("no Parquet", ("rows.parquet", "not a readable Parquet"), "PAR1", "rows.parquet"),
    rollouts("a folder", ("rows.jsonl", "Is a directory"), Folder()),
    rollouts("a link to itself", ("rows.jsonl", "symbolic links"), Link("rows.jsonl")),
]  # fmt: skip
