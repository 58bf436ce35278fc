"""Preference rows of the user's own, by shape; what is none is told with its place, all at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from core_world import Cli, make_folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rows_world import assistant, spoken, system, user, write
from test_data_prompts import VALUES

from salmon_core import DataError
from salmon_core.api.principles import Principle
from salmon_core.data import parquet
from salmon_core.data.own_principles import name_of
from salmon_core.data.preferences import OWN, PreferenceSource, read_preferences, to_preference
from salmon_core.records import PreferenceRow, ShownPrinciple

KIND = Principle("kind", "The answer is kind.", "The answer is harsh.")
BRIEF = Principle("brief", "The answer is brief.")
KNOWN = (KIND, BRIEF)
ASKED = [system("Speak up."), user("Why?"), assistant("So."), user("Is it?")]
GOOD, BAD = "Yes, it is.", "No!"
SHAPES: dict[str, dict[str, Any]] = {
    "ours": {"messages": ASKED, "chosen": GOOD, "rejected": BAD},
    "TRL, conversational": {"prompt": ASKED, "chosen": [assistant(GOOD)], "rejected": [assistant(BAD)]},
    "TRL, implicit prompt": {"chosen": [*ASKED, assistant(GOOD)], "rejected": [*ASKED, assistant(BAD)]},
    "a prompt and whole conversations": {
        "prompt": "Is it?", "chosen": [*ASKED, assistant(GOOD)], "rejected": [*ASKED, assistant(BAD)],
    },
    "messages that are the chosen ones": {
        "prompt": "Is it?", "messages": [*ASKED, assistant(GOOD)],
        "chosen": [*ASKED, assistant(GOOD)], "rejected": [*ASKED, assistant(BAD)],
    },
    "ShareGPT's words": {
        "chosen": spoken(*ASKED, assistant(GOOD)), "rejected": spoken(*ASKED, assistant(BAD)),
    },
    "ShareGPT's column": {"conversations": spoken(*ASKED), "chosen": GOOD, "rejected": BAD},
}  # fmt: skip


def source(path: Path, **more: Any) -> PreferenceSource:
    return PreferenceSource(path, known=KNOWN, **more)


def read(path: Path, **more: Any) -> list[PreferenceRow]:
    return list(read_preferences(source(path, **more)).rows)


def plain(messages: list[Any], **more: Any) -> dict[str, Any]:
    """What matters of a row."""
    return {"messages": messages, "chosen": GOOD, "rejected": BAD, **more}


def texts(row: PreferenceRow) -> dict[str, Any]:
    return {"messages": [dict(m) for m in row.messages], "chosen": row.chosen, "rejected": row.rejected}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ending", ["jsonl", "json", "parquet"])
def test_every_shape_is_the_same_row(shape: str, ending: str, tmp_path: Path) -> None:
    (row,) = read(write(tmp_path / f"rows.{ending}", [SHAPES[shape]]))
    assert texts(row) == plain(ASKED)
    assert (row.principles, row.margin, row.decided_by, row.category) == ((), 0.0, OWN, "general")
    assert row.pair_id == read(write(tmp_path / "ours.jsonl", [SHAPES["ours"]]))[0].pair_id


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_texts_alone(ending: str, tmp_path: Path) -> None:
    rows = [{"prompt": "Is it?", "chosen": GOOD, "rejected": BAD, "principle": "kind", "margin": "1.5"}]
    (row,) = read(write(tmp_path / f"rows.{ending}", rows))
    assert texts(row) == plain([user("Is it?")])
    assert (row.principles, row.margin, row.decided_by) == ((KIND.shown(),), 1.5, "kind")


def test_transcripts(tmp_path: Path) -> None:
    before = "\n\nHuman: Why?\n\nAssistant: So.\n\nHuman: Is it?\n\nAssistant: "
    (row,) = read(write(tmp_path / "rows.jsonl", [{"chosen": before + GOOD, "rejected": before + BAD}]))
    assert texts(row) == plain([user("Why?"), assistant("So."), user("Is it?")])


PRINCIPLES: dict[str, tuple[dict[str, Any], tuple[ShownPrinciple, ...]]] = {
    "a name": ({"principle": "kind"}, (KIND.shown(),)),
    "a negated name": ({"principle": "not kind"}, (KIND.shown(negated=True),)),
    "a text": ({"principle": "Say it in verse."}, (ShownPrinciple(name_of("Say it in verse."), "Say it in verse."),)),
    "several": ({"principles": ["brief", "not kind"]}, (BRIEF.shown(), KIND.shown(negated=True))),
    "several in one cell": ({"principles": '["brief", "not kind"]'}, (BRIEF.shown(), KIND.shown(negated=True))),
    "objects": ({"principles": [{"name": "x", "text": "Be.", "negated": True}]}, (ShownPrinciple("x", "Be.", True),)),
    "objects with names": ({"principles": [{"name": "kind", "negated": True}]}, (KIND.shown(negated=True),)),
    "none": ({"principles": []}, ()),
    "what is set": ({}, (BRIEF.shown(),)),
    "what is set, an empty cell": ({"principle": ""}, (BRIEF.shown(),)),
}  # fmt: skip


@pytest.mark.parametrize("name", PRINCIPLES)
def test_principles(name: str, tmp_path: Path) -> None:
    columns, shown = PRINCIPLES[name]
    (row,) = read(write(tmp_path / "rows.jsonl", [SHAPES["ours"] | columns]), default_principle="brief")
    assert row.principles == shown
    assert row.decided_by == (shown[0].name if len(shown) == 1 else OWN)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no rejected": ({"prompt": "a", "chosen": "b"}, "has no 'rejected'; it has prompt, chosen"),
    "no prompt": ({"chosen": "a", "rejected": "b"}, "has no prompt"),
    "the same": ({"prompt": "a", "chosen": "b", "rejected": "b"}, "chosen and rejected are the same"),
    "a text and a conversation": ({"prompt": "a", "chosen": "b", "rejected": [assistant("c")]}, "two texts or two"),
    "another prompt": (SHAPES["TRL, implicit prompt"] | {"prompt": "Who?"}, "do not begin with the row's prompt"),
    "nothing shared": (
        {"chosen": [user("a"), assistant("b")], "rejected": [user("c"), assistant("d")]}, "share no turns",
    ),
    "parted earlier": (
        {"chosen": [user("a"), assistant("b"), user("c"), assistant("d")], "rejected": [user("a"), assistant("x")]},
        "chosen goes on with assistant, user, assistant",
    ),
    "a question at the end": ({"prompt": [user("a"), assistant("b")], "chosen": "c", "rejected": "d"}, "the user's"),
    "a misspelt principle": (SHAPES["ours"] | {"principle": "knd"}, "no principle 'knd'; did you mean 'kind'?"),
    "no negated text": (SHAPES["ours"] | {"principle": "not brief"}, "'brief' has no negated text"),
    "a principle that is a number": (SHAPES["ours"] | {"principle": 3}, "a principle is a name"),
    "a margin in words": (SHAPES["ours"] | {"margin": "much"}, "column margin: "),
    "no finite margin": (SHAPES["ours"] | {"margin": float("nan")}, "column margin: "),
}  # fmt: skip


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    rows = [SHAPES["ours"], *(row for row, _ in WRONG.values())]
    path = write(tmp_path / "rows.jsonl", [{k: "NaN" if v != v else v for k, v in row.items()} for row in rows])
    with pytest.raises(DataError) as caught:
        read(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: {len(WRONG)} rows cannot be used")
    for number, (_, says) in list(enumerate(WRONG.values(), 2))[:12]:
        (line,) = [line for line in said.splitlines() if line.startswith(f"  - line {number}")]
        assert says in line
    assert said.splitlines()[-1] == "  ... and 1 more"
    assert read(path, on_bad_row="drop") == read(write(tmp_path / "ours.jsonl", [SHAPES["ours"]]))


@pytest.mark.parametrize("name", WRONG)
def test_one_that_is_wrong(name: str) -> None:
    row, says = WRONG[name]
    with pytest.raises(DataError) as caught:
        to_preference(row, KNOWN, "here")
    assert str(caught.value).startswith("here")
    assert says in str(caught.value)


def test_a_file_that_breaks_off_is_never_dropped(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(SHAPES["ours"]) + "\n{}\n{\n")
    for choice in ("error", "drop"):
        with pytest.raises(
            DataError, match=r"2 rows cannot be used\n  - line 2: has no 'chosen'.*\n  - line 3: is not"
        ):
            read(path, on_bad_row=choice)


# -- ratings ---------------------------------------------------------------------------------------------------------

RATED = [
    {"prompt": "Why?", "response": "So.", "helpfulness": 1, "verbosity": 0},
    {"prompt": "How?", "response": "Thus.", "helpfulness": 4, "verbosity": 2},
    {"prompt": "Why?", "response": "Because of that.", "helpfulness": 3, "verbosity": 2},
    {"prompt": "Why?", "response": "Because.", "helpfulness": 3, "verbosity": None},
]
RATINGS = {"helpfulness": "kind", "verbosity": "Say it at length."}


@pytest.mark.parametrize("ending", ["jsonl", "parquet", "csv"])
def test_ratings_make_pairs(ending: str, tmp_path: Path) -> None:
    """Of responses to one prompt, of different ratings; the margin is the difference."""
    rated = [{k: "" if v is None else v for k, v in row.items()} for row in RATED] if ending == "csv" else RATED
    rows = read(write(tmp_path / f"rows.{ending}", rated), ratings=RATINGS)
    found = [(r.chosen, r.rejected, r.decided_by, r.margin, r.pair_id.split("/")[1]) for r in rows]
    assert found == [
        ("Because of that.", "So.", "kind", 2.0, "0-1"),
        ("Because of that.", "So.", name_of("Say it at length."), 2.0, "0-1"),
        ("Because.", "So.", "kind", 2.0, "0-2"),
    ]
    assert {r.messages[0]["content"] for r in rows} == {"Why?"}


def test_what_is_no_rating(tmp_path: Path) -> None:
    wrong = [
        {"prompt": "Why?", "response": "x", "helpfulness": "good", "verbosity": 1},
        {"prompt": "Why?", "helpfulness": 1, "verbosity": 1},
        {"prompt": "Why?", "response": "x", "helpfulness": True, "verbosity": 1},
        {"prompt": "", "response": "x", "helpfulness": 1, "verbosity": 1},
        {"prompt": "Why?", "response": "x", "helpfulness": 1},
    ]
    path = write(tmp_path / "rows.jsonl", [*RATED, *wrong])
    with pytest.raises(DataError) as caught:
        read(path, ratings=RATINGS)
    said = str(caught.value).splitlines()
    assert said[0].endswith("5 rows cannot be used")
    for line, says in zip(
        said[1:],
        ("line 5, column helpfulness: a rating is a number, not 'good'", "line 6: has no text in 'response' or",
         "line 7, column helpfulness: a rating is a number, not True", "line 8: has an empty 'prompt'",
         "line 9: has no column 'verbosity'"),
        strict=True,
    ):  # fmt: skip
        assert says in line
    with pytest.raises(DataError, match="no two different responses to a prompt have different ratings"):
        read(write(tmp_path / "same.jsonl", [RATED[0], RATED[1]]), ratings=RATINGS)


# -- written by others -----------------------------------------------------------------------------------------------


def test_data_sets_of_trl(tmp_path: Path) -> None:
    """Rows that TRL's own code has converted, saved by `datasets`: explicit and implicit, conversational and paired."""
    datasets = pytest.importorskip("datasets")
    utils = pytest.importorskip("trl.data_utils")

    implicit = {"chosen": [*ASKED, assistant(GOOD)], "rejected": [*ASKED, assistant(BAD)]}
    explicit = utils.extract_prompt(implicit)
    assert set(explicit) == {"prompt", "chosen", "rejected"}
    prompt = [user("Is it?")]
    unpaired = utils.unpair_preference_dataset(
        datasets.Dataset.from_list([{"prompt": prompt, "chosen": [assistant(GOOD)], "rejected": [assistant(BAD)]}])
    )
    assert set(unpaired.column_names) == {"prompt", "completion", "label"}
    standard = {"prompt": "Is it?", "chosen": GOOD, "rejected": BAD}
    for name, row, asked in (
        ("implicit", implicit, ASKED),
        ("explicit", explicit, ASKED),
        ("standard", standard, prompt),
    ):
        assert utils.is_conversational(row) == (name != "standard")
        data = datasets.Dataset.from_list([row])
        data.save_to_disk(tmp_path / name)
        data.to_parquet(tmp_path / f"{name}.parquet")
        data.to_json(tmp_path / f"{name}.jsonl")
        for path in (tmp_path / name, tmp_path / f"{name}.parquet", tmp_path / f"{name}.jsonl"):
            (found,) = read(path)
            assert texts(found) == plain(asked)
    unpaired.save_to_disk(tmp_path / "unpaired")
    with pytest.raises(DataError, match="has no 'chosen' and no 'rejected'; it has prompt, completion, label"):
        read(tmp_path / "unpaired")


CELLS = VALUES | st.sampled_from([[user("a")], [assistant("b")], [user("a"), assistant("c")], "d"])
COLUMNS = ["prompt", "messages", "chosen", "rejected", "principle", "principles", "margin", "flipped", "salmon"]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(COLUMNS), CELLS))
def test_whatever_a_row_has_is_a_preference_or_an_error(row: dict[str, Any]) -> None:
    try:
        found = to_preference(row, KNOWN, "here")
    except DataError:
        return
    assert found.chosen != found.rejected
    assert found.messages[-1]["role"] == "user"


# -- in a run --------------------------------------------------------------------------------------------------------


def own_rows() -> list[dict[str, Any]]:
    return [{"prompt": f"Is it {n}?", "chosen": GOOD, "rejected": BAD, "principle": "short"} for n in range(4)]


def test_a_run_on_ones_own_rows(tmp_path: Path, cli: Cli) -> None:
    path = write(tmp_path / "own.csv", own_rows())
    make_folder(tmp_path, preferences="own.csv", evaluate=[])
    done = cli("run", "salmon.yaml", "--until", "train-rm")
    assert done.code == 0, done.text
    rows = parquet.read_table(tmp_path / "runs" / "toy" / "train-rm" / "data" / "train.parquet", parquet.RM_TEXTS)
    assert len(rows) == 4
    assert all("[[rule]] The answer is short. [[end]]" in row["chosen"] and GOOD in row["chosen"] for row in rows)
    assert cli("plan", "salmon.yaml").code == 0
    assert "trained" not in done.err
    write(path, [*own_rows(), {**own_rows()[0], "principle": ""}])
    done = cli("run", "salmon.yaml", "--until", "train-rm")
    assert "train-rm: 1 of 5 preference rows name no principle; see preferences.default_principle" in done.err


def test_bad_rows_leave_nothing(tmp_path: Path, cli: Cli) -> None:
    write(tmp_path / "own.jsonl", [*own_rows(), {"prompt": "a", "chosen": "b"}, {**own_rows()[0], "principle": "shrt"}])
    make_folder(tmp_path, preferences="own.jsonl", evaluate=[])
    done = cli("run", "salmon.yaml", "--until", "train-rm")
    assert done.code == 1
    assert "own.jsonl: 2 rows cannot be used\n  - line 5: has no 'rejected'" in done.err
    assert "  - line 6: there is no principle 'shrt'; did you mean 'short'?" in done.err
    assert not (tmp_path / "runs" / "toy" / "train-rm" / "data").exists()
    make_folder(tmp_path, preferences={"path": "own.jsonl", "on_bad_row": "drop"}, evaluate=[])
    done = cli("run", "salmon.yaml", "--until", "train-rm")
    assert done.code == 0, done.text
    assert "train-rm: 2 preference rows were left out, as preferences.on_bad_row says" in done.err


REFUSED: dict[str, tuple[Any, str]] = {
    "no such file": ("gone.jsonl", "preferences: there is no file 'gone.jsonl'"),
    "no such folder": ("./gone", "preferences: there is no file './gone'"),
    "a file of something else": ("rules.yaml", "preferences: 'rules.yaml' is no file of rows"),
    "a revision of a file": ({"path": "prompts.jsonl", "revision": "x"}, "preferences.revision: is of a data set"),
    "an unknown principle": ({"path": "prompts.jsonl", "ratings": {"a": "shrt"}}, "preferences.ratings.a: there is no"),
    "two ways to name it": (
        {"path": "prompts.jsonl", "ratings": {"a": "short"}, "default_principle": "kind"},
        "preferences.default_principle: would have",
    ),
    "an unknown key": ({"path": "prompts.jsonl", "rating": {}}, "did you mean 'ratings'?"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_configuration_may_not_say(name: str, tmp_path: Path, cli: Cli) -> None:
    value, says = REFUSED[name]
    make_folder(tmp_path, preferences=value)
    done = cli("check", "salmon.yaml", "--quick")
    assert done.code == 2
    assert says in done.err
