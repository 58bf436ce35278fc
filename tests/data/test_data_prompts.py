"""Prompts by shape: texts, conversations of TRL and ShareGPT, answers at their end, and what is none of these."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from core_world import Cli, make_folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rows_world import assistant, spoken, system, user, write

from salmon_core import DataError, Prompt
from salmon_core.api.component import HubPath
from salmon_core.data.prompts import (
    Columns,
    CsvPrompts,
    DatasetPrompts,
    FileOptions,
    JsonlPrompts,
    to_prompt,
    unanswered,
)
from salmon_core.data.shapes import conversation
from salmon_core.records import prompt_id
from salmon_core.stages.prompts import read_prompts

TALK = [system("Be kind."), user("Why?"), assistant("So."), user("And then?")]
SHAPES: dict[str, dict[str, Any]] = {
    "our messages": {"messages": TALK},
    "TRL's prompt": {"prompt": TALK},
    "ShareGPT": {"conversations": spoken(*TALK)},
    "ShareGPT under another column": {"messages": spoken(*TALK)},
    "parts that are text": {
        "messages": [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in TALK]
    },
    "messages before a prompt": {"messages": TALK, "prompt": "another"},
    "an answer at the end": {"messages": [*TALK, assistant("Then that.")]},
    "ShareGPT with an answer": {"conversations": spoken(*TALK, assistant("Then that."))},
}


def read(folder: Path, cli: Cli, rows: list[Any], name: str = "rows.jsonl", **choice: Any) -> Any:
    make_folder(folder, prompts={"name": name, **choice})
    write(folder / name, rows)
    return cli("run", "salmon.yaml", "--until", "prompts")


def found(folder: Path) -> list[list[Any]]:
    return [[dict(m) for m in prompt.messages] for prompt in read_prompts(folder / "runs" / "toy" / "prompts")]


@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet"])
def test_every_shape_is_the_same_prompt(ending: str, tmp_path: Path) -> None:
    for number, row in enumerate(SHAPES.values()):
        path = write(tmp_path / f"{number}.{ending}", [row])
        (prompt,) = JsonlPrompts(FileOptions(path=path)).load()
        assert [dict(m) for m in prompt.messages] == TALK
        assert prompt.id == prompt_id(TALK)


def test_they_are_asked_once_and_answers_are_told(tmp_path: Path, cli: Cli) -> None:
    done = read(tmp_path, cli, list(SHAPES.values()), "rows.json")
    assert done.code == 0, done.text
    assert found(tmp_path) == [TALK]
    told = "prompts: 2 conversations end with a turn of the assistant's; it was taken for the answer and left out"
    assert told in done.err
    assert f"prompts: {len(SHAPES) - 1} rows repeat an earlier prompt" in done.err


def test_in_csv_a_conversation_is_json_and_a_prompt_is_a_text(tmp_path: Path) -> None:
    rows = [
        {"messages": TALK, "conversations": "", "prompt": ""},
        {"messages": "", "conversations": spoken(*TALK), "prompt": ""},
        {"messages": "", "conversations": "", "prompt": "[a]"},
    ]
    prompts = CsvPrompts(FileOptions(path=write(tmp_path / "rows.csv", rows))).load()
    assert [[dict(m) for m in prompt.messages] for prompt in prompts] == [TALK, TALK, [user("[a]")]]


def test_answers_of_one_prompt_are_one_prompt(tmp_path: Path, cli: Cli) -> None:
    """Data sets of answers have several to a prompt; and a prompt's id does not depend on its answer."""
    rows = [{"messages": [user("Why?"), assistant(text)]} for text in ("a", "b", "c")]
    done = read(tmp_path, cli, [*rows, {"messages": [user("Why?")]}, {"prompt": "How?"}])
    assert done.code == 0, done.text
    assert found(tmp_path) == [[user("Why?")], [user("How?")]]
    assert "3 rows repeat an earlier prompt" in done.err
    assert "3 conversations end with" in done.err


def test_answers_can_be_refused(tmp_path: Path, cli: Cli) -> None:
    rows = [{"prompt": "How?"}, {"messages": [user("Why?"), assistant("So.")]}]
    done = read(tmp_path, cli, rows, answers="error")
    assert done.code == 1
    assert "rows.jsonl: line 2: the last turn of a conversation has to be the user's (set prompts.answers: drop" in (
        done.err
    )
    done = read(tmp_path, cli, rows, answers="error", on_bad_row="drop")
    assert done.code == 0, done.text
    assert found(tmp_path) == [[user("How?")]]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "what TRL would go on with": ({"prompt": [user("a"), assistant("b")]}, "has to be the user's"),
    "no user": ({"messages": [assistant("b")]}, "has to be the user's"),
    "two answers": ({"messages": [user("a"), assistant("b"), assistant("c")]}, "has to be the user's"),
    "an unknown speaker": ({"conversations": [{"from": "tool", "value": "x"}]}, "{from: human | gpt | system"),
    "an unknown role": ({"messages": [{"role": "tool", "content": "x"}]}, "{role: system | user | assistant"),
    "a picture": ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "content: TEXT"),
    "no list": ({"messages": {"role": "user", "content": "x"}}, "a conversation is a list of"),
    "texts": ({"prompt": ["a", "b"]}, "a conversation is a list of"),
    "no JSON": ({"messages": "[x"}, "written as JSON"),
    "a text": ({"messages": "x"}, "a conversation is a list of {role, content} or {from, value}"),
    "an empty question with an answer": ({"messages": [user(" "), assistant("b")]}, "the last turn is empty"),
    "nothing": ({"text": "a"}, "has no prompt in 'prompt' and no conversation in 'messages' or 'conversations'"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_prompt_is_told_with_its_place(name: str, tmp_path: Path) -> None:
    row, says = BAD[name]
    path = write(tmp_path / "rows.jsonl", [{"prompt": "How?"}, row])
    with pytest.raises(DataError) as caught:
        list(JsonlPrompts(FileOptions(path=path)).load())
    assert str(caught.value).startswith(f"{path}: line 2: ")
    assert says in str(caught.value)


def test_a_list_in_one_piece_names_its_items(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.json", [{"prompt": "How?"}, {"prompt": " "}])
    with pytest.raises(DataError, match=r"rows.json: item 1: has an empty 'prompt'"):
        list(JsonlPrompts(FileOptions(path=path)).load())


def test_a_saved_data_set(tmp_path: Path) -> None:
    """Written by `datasets`, whole or in splits, read by the same shapes."""
    import datasets

    data = datasets.Dataset.from_list([SHAPES["ShareGPT with an answer"]])
    data.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": data, "rest": data}).save_to_disk(tmp_path / "several")
    for path, split in (("one", "train"), ("several", "rest")):
        options = DatasetPrompts.Options(path=HubPath(tmp_path / path), split=split)
        ((where, prompt),) = DatasetPrompts(options).located()
        assert where == f"{tmp_path / path}: row 0"
        assert isinstance(prompt, Prompt)
        assert [dict(m) for m in prompt.messages] == [*TALK, assistant("Then that.")]
        assert [dict(m) for m in unanswered(prompt).messages] == TALK


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab [{"}]\n', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "type", "text"]) | st.text("ab", max_size=3),
            inner | st.sampled_from(["user", "assistant", "human", "gpt", "text"]),
            max_size=3,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(VALUES)
def test_whatever_stands_there_is_a_conversation_or_an_error(value: Any) -> None:
    try:
        turns = conversation(value, "here")
    except DataError:
        return
    assert turns
    assert all(set(turn) == {"role", "content"} and isinstance(turn["content"], str) for turn in turns)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["prompt", "messages", "conversations", "id", "split", "category"]), VALUES))
def test_whatever_a_row_has_is_a_prompt_or_an_error(row: dict[str, Any]) -> None:
    try:
        prompt = to_prompt(row, Columns(), "here", whole=True)
    except DataError:
        return
    assert any(turn["role"] == "user" and turn["content"].strip() for turn in prompt.messages)
