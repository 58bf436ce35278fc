"""Prompts that bring principles of their own: read, judged, labelled, drawn and scored by them."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from core_world import Cli, document, make_folder
from hypothesis import given
from hypothesis import strategies as st

from salmon_core.api import Principle
from salmon_core.data import parquet
from salmon_core.data.own_principles import own_principles
from salmon_core.errors import DataError
from salmon_core.principles.per_prompt import PerPrompt, Pools
from salmon_core.records import Prompt

SHORT = Principle("short", "The answer is short.", "The answer is long.", 2.0)
KIND = Principle("kind", "The answer is kind.")


def lines(own: dict[int, Any], count: int = 12) -> str:
    rows: list[dict[str, Any]] = [{"id": f"p{i}", "prompt": f"Question number {i}?"} for i in range(count)]
    for number, principles in own.items():
        rows[number]["principles"] = principles
    return "".join(json.dumps(row) + "\n" for row in rows)


def folder_of(path: Path, own: dict[int, Any], how: str | None = "add", **reward: Any) -> Path:
    principles = {"name": "rules.yaml", **({"per_prompt": how} if how else {})}
    config = make_folder(path, reward={**document()["reward"], "principles": principles, **reward})
    (path / "prompts.jsonl").write_text(lines(own))
    return config


# -- what a row may say ----------------------------------------------------------------------------------------------


def test_names_texts_and_objects() -> None:
    found = own_principles(
        ["short", "not kind", "The answer names a dose.", {"text": "It lies.", "weight": -3, "veto": True}], "row 1"
    )
    assert found[:3] == ("short", "not kind", "The answer names a dose.")
    assert isinstance(found[3], Principle)
    assert (found[3].text, found[3].negated) == ("The response avoids this: It lies.", "It lies.")
    assert (found[3].weight, found[3].veto) == (3.0, True)
    assert own_principles(json.dumps(["a", "b"]), "row 1") == ("a", "b")  # a cell of CSV
    assert own_principles("The answer is calm.", "row 1") == ("The answer is calm.",)
    assert own_principles(None, "row 1") == own_principles("", "row 1") == own_principles([], "row 1") == ()


def test_all_that_is_wrong_with_a_row_at_once() -> None:
    with pytest.raises(DataError) as caught:
        own_principles([3, {"text": " "}, {"text": "a b", "weight": 0}, {"txt": "a"}, "x", "x"], "f.jsonl: line 7")
    said = str(caught.value)
    for part in (
        "f.jsonl: line 7, principles: [0]: is a int",
        "[1].text: is empty",
        "its weight is 0",
        "txt",
        "'x' is given twice",
    ):
        assert part in said
    with pytest.raises(DataError, match="is a int, not a list"):
        own_principles(4, "row")
    with pytest.raises(DataError, match="is not JSON"):
        own_principles("[a", "row")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_whatever_a_row_says_it_is_read_or_refused(value: Any) -> None:
    try:
        found = own_principles(value, "row")
    except DataError:
        return
    assert all(isinstance(each, str | Principle) for each in found)


# -- which ones a prompt has -----------------------------------------------------------------------------------------


def test_beside_the_set_or_instead_of_it() -> None:
    own = Principle("own", "The answer is calm.", weight=4)
    prompt = Prompt("p", ({"role": "user", "content": "?"},), principles=(own, "short", "It is a haiku."))
    add, only = PerPrompt("add", ()), PerPrompt("only", ())
    assert [p.name for p in only.of(prompt, [SHORT, KIND])][:2] == ["own", "short"]
    assert [p.text for p in add.of(prompt, [SHORT, KIND])] == [own.text, SHORT.text, "It is a haiku.", KIND.text]
    without = Prompt("q", prompt.messages)
    assert add.of(without, [SHORT]) == only.of(without, [SHORT]) == (SHORT,)
    turned = only.of(Prompt("p", prompt.messages, principles=("not short",)), [SHORT])[0]
    assert (turned.name, turned.text, turned.negated) == ("not short", SHORT.negated, SHORT.text)
    assert [p.name for p in add.of(Prompt("p", prompt.messages, principles=("not short",)), [SHORT, KIND])] == [
        "not short", "kind",
    ]  # fmt: skip
    for name, message in (("calm", "no principle named 'calm'"), ("not kind", "'kind' has no negated text")):
        with pytest.raises(DataError, match=f"prompt p: .*{message}"):
            add.of(Prompt("p", prompt.messages, principles=(name,)), [SHORT, KIND])
    assert PerPrompt("add", (KIND,)).of(Prompt("p", prompt.messages, principles=("kind",)), [])[0] == KIND


def test_drawn_by_weight_with_what_it_brings() -> None:
    own = Principle("own", "The answer is calm.", weight=6)
    prompt = Prompt("p", ({"role": "user", "content": "?"},), principles=(own,))
    pools = Pools((SHORT, KIND), {"short": SHORT.shown(negated=True), "kind": KIND.shown()}, PerPrompt("add", ()))
    drawn = [pools.draw(prompt, Random(seed), show=1)[0] for seed in range(900)]
    counts = {name: sum(each.name == name for each in drawn) for name in ("own", "short", "kind")}
    assert counts["own"] == pytest.approx(600, abs=60)
    assert counts["short"] == pytest.approx(200, abs=50)
    by_name = {each.name: each for each in drawn}
    assert by_name["own"].weight == 6.0
    assert by_name["short"].negated, "the set's are shown as configured"
    assert by_name["short"].weight is None


# -- in a run --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["add", "only"])
def test_a_run_goes_by_them_from_the_judge_to_rl(tmp_path: Path, cli: Cli, how: str) -> None:
    own = {i: [{"name": "calm", "text": f"The answer {i} is calm.", "negated": "It is not."}, "kind"] for i in range(6)}
    done = cli("run", folder_of(tmp_path, own, how, show=3))
    assert done.code == 0, done.text
    run = tmp_path / "runs/toy"
    kept = parquet.read_rows(run / "prompts/prompts.parquet", parquet.PROMPTS, parquet.to_prompt)
    mine = {prompt.id for prompt in kept if prompt.principles}
    assert mine == {f"p{i}" for i in range(6)}
    expected = {"calm", "kind"} | ({"short"} if how == "add" else set())
    judged: dict[str, set[str]] = {}
    for file in (run / "judge").glob("part-*.parquet"):
        for row in parquet.read_rows(file, parquet.JUDGMENTS, parquet.to_judgment):
            judged.setdefault(row.pair_id.split("/")[0], set()).add(row.principle)
    assert judged
    assert all(names == (expected if prompt in mine else {"short", "kind"}) for prompt, names in judged.items())
    drawn: dict[str, set[str]] = {}
    for row in parquet.open_table(run / "train-policy/rl_prompts.parquet").to_pylist():
        drawn.setdefault(row["prompt_id"], set()).update(p["text"] for p in row["principles"])
    for prompt, texts in drawn.items():
        assert (f"The answer {prompt[1:]} is calm." in texts) == (prompt in mine)
    verdict = json.loads((run / "verdict/verdict.json").read_text())
    assert "(of the prompts)" in verdict["principles"]
    again = cli("run", tmp_path / "salmon.yaml")
    assert again.code == 0
    assert "starts" not in again.text, "nothing is done anew"


def test_unused_ones_are_told_of(tmp_path: Path, cli: Cli) -> None:
    done = cli("run", folder_of(tmp_path, {0: ["kind"], 3: ["short"]}, None), "--until", "prompts")
    assert done.code == 0, done.text
    assert "2 prompts bring principles of their own, which are not used: see reward.principles.per_prompt" in done.text
    none = cli("run", folder_of(tmp_path / "none", {}), "--until", "prompts")
    assert none.code == 1
    assert "no prompt has principles of its own" in none.text


def test_a_rubric_file_is_joined_by_id_or_by_what_a_prompt_says(tmp_path: Path, cli: Cli) -> None:
    config = folder_of(tmp_path, {})
    rubric = tmp_path / "rubric.jsonl"
    rows = [
        {"id": "p1", "principles": ["The answer counts."]},
        {"prompt": "Question number 4?", "principles": [{"text": "The answer is even.", "weight": -2}]},
        {"prompt": "Nobody asks this?", "principles": ["kind"]},
    ]
    rubric.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = cli("run", config, "--set", "prompts={name: prompts.jsonl, rubrics: rubric.jsonl}", "--until", "prompts")
    assert done.code == 0, done.text
    assert "1 rows of" in done.text
    assert "line 3" in done.text
    kept = {p.id: p for p in parquet.read_rows(
        tmp_path / "runs/toy/prompts/prompts.parquet", parquet.PROMPTS, parquet.to_prompt
    )}  # fmt: skip
    assert kept["p1"].principles == ("The answer counts.",)
    (own,) = kept["p4"].principles
    assert isinstance(own, Principle)
    assert (own.weight, own.negated) == (2.0, "The answer is even.")
    assert not kept["p2"].principles


def test_every_bad_row_of_a_rubric_file(tmp_path: Path, cli: Cli) -> None:
    config = folder_of(tmp_path, {})
    rows = [
        '{"id": "p1"}',
        '{"principles": ["kind"]}',
        '{"id": "p2", "principles": [7]}',
        '{"id": "p3", "principles": ["kind"]}',
        '{"id": "p3", "principles": ["short"]}',
    ]
    (tmp_path / "rubric.jsonl").write_text("\n".join(rows))
    done = cli("run", config, "--set", "prompts={name: prompts.jsonl, rubrics: rubric.jsonl}", "--until", "prompts")
    assert done.code != 0
    for part in (
        "line 1: has no `principles`",
        "line 2",
        "line 3, principles: [0]: is a int",
        "line 5: is about the prompt",
    ):
        assert part in done.text
    assert "Traceback" not in done.text


def test_a_name_that_is_none_stops_before_anything_is_asked(tmp_path: Path, cli: Cli) -> None:
    done = cli("run", folder_of(tmp_path, {2: ["vivid"]}))
    assert done.code != 0
    assert "prompt p2: there is no principle named 'vivid' (there are" in done.text
    assert "Traceback" not in done.text


# -- what others wrote, in a run ---------------------------------------------------------------------------------------

FORMATS = Path(__file__).parents[1] / "principles" / "formats"
#: those that give each prompt its own
PER_PROMPT = {"points.jsonl", "principle.jsonl", "question.jsonl"}


@pytest.mark.parametrize("name", sorted(PER_PROMPT))
def test_rubrics_of_others_become_a_runs(name: str, tmp_path: Path, cli: Cli) -> None:
    config = folder_of(tmp_path, {}, "only")
    imported = cli("principles", "import", FORMATS / name, tmp_path / "rubric.jsonl")
    assert imported.code == 0, imported.text
    rows = [json.loads(line) for line in (tmp_path / "rubric.jsonl").read_text().splitlines()]
    asked = [{key: row[key] for key in ("id", "prompt", "messages") if key in row} for row in rows]
    with (tmp_path / "prompts.jsonl").open("a") as more:
        more.writelines(json.dumps({**row, "split": "train"}) + "\n" for row in asked)
    prompts = "prompts={name: prompts.jsonl, rubrics: rubric.jsonl}"
    limits = "limits={prompt: 64, completion: 128, total: 2048}"
    done = cli("run", config, "--set", prompts, "--set", limits, "--until", "train-policy")
    assert done.code == 0, done.text
    said = {p["text"] for row in parquet.open_table(tmp_path / "runs/toy/train-policy/rl_prompts.parquet").to_pylist()
            for p in row["principles"]}  # fmt: skip
    mine = {principle["text"] for row in rows for principle in row["principles"]}
    assert mine & said
    assert len(said - mine) == 2  # the others are rewarded by the set


@pytest.mark.parametrize("name", sorted({file.name for file in FORMATS.iterdir()} - PER_PROMPT))
def test_sets_of_others_become_a_runs(name: str, tmp_path: Path, cli: Cli) -> None:
    judge = {**document()["judge"], "principles": "imported.yaml"}
    config = make_folder(tmp_path, judge=judge, limits={"prompt": 64, "completion": 128, "total": 4096})
    imported = cli("principles", "import", FORMATS / name, tmp_path / "imported.yaml")
    assert imported.code == 0, imported.text
    done = cli("run", config, "--until", "judge")
    assert done.code == 0, done.text
    (file,) = (tmp_path / "runs/toy/judge").glob("part-00000.parquet")
    judged = {each.principle for each in parquet.read_rows(file, parquet.JUDGMENTS, parquet.to_judgment)}
    assert len(judged) == int(imported.out.split()[0])
