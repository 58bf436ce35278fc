"""Bad data: one clear message with its place, no stack trace, nothing half-written."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from core_world import Cli, clear, make_folder, prompt_lines, salmon

from salmon_core import SalmonError
from salmon_core.config.resolve import load
from salmon_core.run.folder import MadeFrom
from salmon_core.run.run import Run
from salmon_core.stages import stage as stage_named
from salmon_core.stages.sources import Sources
from salmon_core.stages.work import Work


def lines(*rows: Any) -> str:
    return prompt_lines(3) + "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def parquet(prompts: pa.Array) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"prompt": prompts}), file)
    return file.getvalue()


#: said to be text, and is not
NO_TEXT = pa.array([b"\xff\xfe"]).view(pa.string())
ASSISTANT_LAST = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
DATA: dict[str, tuple[str, str | bytes, tuple[str, ...]]] = {
    "broken line": ("p.jsonl", lines('{"prompt": "a'), ("p.jsonl: line 4", "not JSON")),
    "not an object": ("p.jsonl", lines("[1, 2]"), ("p.jsonl: line 4", "not a JSON object")),
    "not UTF-8": ("p.jsonl", b'{"prompt": "caf\xe9"}\n', ("p.jsonl", "not UTF-8")),
    "column missing": ("p.jsonl", lines({"question": "Why?"}), ("p.jsonl: line 4", "it has question", "columns")),
    "prompt not text": ("p.jsonl", lines({"prompt": 3}), ("p.jsonl: line 4", "'prompt'")),
    "half a surrogate": ("p.jsonl", lines('{"prompt": "a\\ud800b"}'), ("p.jsonl: line 4", "surrogate")),
    "ends with assistant": (
        "p.jsonl",
        lines({"prompt": ASSISTANT_LAST["messages"]}),
        ("p.jsonl: line 4", "the user's"),
    ),
    "unknown role": ("p.jsonl", lines({"messages": [{"role": "bot", "content": "x"}]}), ("line 4", "'bot'")),
    "no conversation": ("p.jsonl", lines({"messages": "Hi"}), ("p.jsonl: line 4", "list of {role, content}")),
    "bad split": ("p.jsonl", lines({"prompt": "x", "split": "dev"}), ("p.jsonl: line 4", "'dev'")),
    "one id, two prompts": ("p.jsonl", lines({"prompt": "other", "id": "p1"}), ("p.jsonl", "id 'p1'")),
    "ragged CSV": ("p.csv", "id,prompt\n1,Why?\n2,How,come\n", ("p.csv: line 3", "number of fields")),
    "short CSV": ("p.csv", "id,prompt\n1\n", ("p.csv: line 2", "number of fields")),
    "deeply nested": (
        "p.jsonl",
        lines('{"prompt": ' + "[" * 99999 + "]" * 99999 + "}"),
        ("line 4", "nested too deeply"),
    ),
    "half a surrogate in an id": ("p.jsonl", lines('{"prompt": "a", "id": "\\ud800"}'), ("line 4", "surrogate")),
    "half of one in a category": ("p.jsonl", lines('{"prompt": "a", "category": "\\udfff"}'), ("line 4", "surrogate")),
    "one id twice, as number and text": (
        "p.jsonl",
        lines({"prompt": "a", "id": 7}, {"prompt": "b", "id": "7"}),
        ("'7'",),
    ),
    "a column twice": ("p.csv", "prompt,id,prompt\na,1,b\n", ("p.csv: line 1", "two columns 'prompt'")),
    "UTF-16": ("p.csv", "prompt\nWhy?\n".encode("utf-16"), ("p.csv", "not UTF-8")),
    "truncated Parquet": ("p.parquet", parquet(pa.array(["Why?"] * 99))[:-9], ("p.parquet", "not a readable Parquet")),
    "Parquet of no text": ("p.parquet", parquet(NO_TEXT), ("p.parquet", "not a readable Parquet file", "utf-8")),
    "broken Parquet": ("p.parquet", b"PAR1 no more", ("p.parquet", "not a readable Parquet file")),
    "empty": ("p.jsonl", "\n\n", ("p.jsonl", "no prompts to train on")),
    "all held out": ("p.jsonl", '{"prompt": "a", "split": "test"}\n', ("no prompts to train on", "1 are held out")),
}


def no_leftovers(stage: Path) -> None:
    assert not list(stage.rglob("*.tmp"))
    assert json.loads((stage / "manifest.json").read_text())["status"] == "started"


@pytest.mark.parametrize("case", DATA)
def test_bad_prompts(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the stage's own task, in this process; the next test goes all the way."""
    name, content, says = DATA[case]
    run = Run(tmp_path / "runs" / "toy", load(_config_for(tmp_path, name, content)))
    own, stage = stage_named("prompts"), run.stage("prompts")
    run.path.mkdir(parents=True)
    stage.begin(MadeFrom("mark", {}, {}), {})
    with pytest.raises(SalmonError) as error:
        own.work(own.inputs(Sources(run)), Work(stage, run.path / "cache", run.config.registry))
    for phrase in says:
        assert phrase in str(error.value)
    assert not (stage.path / "prompts.parquet").exists()
    no_leftovers(stage.path)


def _config_for(folder: Path, name: str, content: str | bytes) -> Path:
    config = make_folder(folder, prompts=name)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return config


def test_bad_prompts_by_the_command_and_mended(tmp_path: Path, cli: Cli) -> None:
    """All the way: exit code 1, one message, nothing half-written; then the same command with a good file."""
    name, content, says = DATA["broken line"]
    config = _config_for(tmp_path, name, content)
    done = salmon("run", config, cwd=tmp_path)
    assert done.code == 1
    assert done.err.count("error:") == 1
    for phrase in says:
        assert phrase in done.err
    clear(done.text)
    stage = tmp_path / "runs" / "toy" / "prompts"
    assert not (stage / "prompts.parquet").exists()
    no_leftovers(stage)
    (tmp_path / name).write_text(prompt_lines())
    assert cli("run", config, "--until", "prompts").code == 0
    assert (stage / "prompts.parquet").is_file()
    assert not (tmp_path / "runs/toy/archive").exists()
