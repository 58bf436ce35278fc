"""`salmon bench` end to end: real processes, real small models, an API, a kill."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import SALMON, environment, salmon
from local_server import LocalServer
from processes import kill_when

from salmon_bench import plugin
from salmon_bench.board import read_board
from salmon_bench.rows import read_rows
from salmon_core.testing import CommandContract


class TestCommand(CommandContract):
    plugin = plugin
    name = "bench"


@pytest.mark.slow
def test_all_sorts_of_subjects_on_one_board(models: dict[str, Path], minnow: Path, tmp_path: Path) -> None:
    argv = ("bench", "length", "random", minnow, models["scalar"], models["judge"], "--limit", "12", "--device", "cpu")
    done = salmon(*argv, "--json", "board.json", "--out", "board.md", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    board = read_board(tmp_path / "board.json")
    assert [own.sort for own in board.results] == ["baseline", "baseline", "reward model", "reward model", "judge"]
    assert all(own.pairs == 12 for own in board.results)
    for own in board.results:
        found = own.figure("right")
        assert found is not None
        assert found.verdict == "underpowered"
        assert (own.figure("both orders") is not None) == (own.sort == "judge")
    ours = board.results[2]
    assert ours.left_out > 500
    assert f"{ours.left_out} rows were left out" in done.stdout
    assert "underpowered" in done.stdout
    page = (tmp_path / "board.md").read_text()
    assert page.startswith("salmon-bench, version 1\n\n| subject ")
    assert "\n| by minnow " in page
    again = salmon(*argv, "--json", "again.json", cwd=tmp_path)
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "board.json").read_bytes(), again.stderr


@pytest.mark.slow
def test_killed_it_goes_on(models: dict[str, Path], tmp_path: Path) -> None:
    argv = ["bench", str(models["judge"]), "--limit", "24", "--device", "cpu", "--json"]
    kept = tmp_path / "bench"
    kill_when(
        [str(SALMON), *argv, "killed.json"],
        lambda: any(each.stat().st_size for each in kept.glob("answers-*.jsonl")),
        env=environment(),
        cwd=tmp_path,
    )
    assert not (tmp_path / "killed.json").exists()
    (file,) = kept.glob("answers-*.jsonl")
    before = file.read_bytes()
    done = salmon(*argv, "resumed.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert file.read_bytes().startswith(before[: before.rfind(b"\n")])
    keys = [json.loads(line)["key"] for line in file.read_text().splitlines() if line.endswith("}")]
    assert len(keys) == len(set(keys))
    whole = salmon(*argv, "whole.json", "--folder", "other", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    one, other = (read_board(tmp_path / name).results[0].figures for name in ("resumed.json", "whole.json"))
    assert one == other


def test_an_api_as_judge(api: LocalServer, tmp_path: Path) -> None:
    url = f"base_url=http://127.0.0.1:{api.server_port}/v1"
    argv = (
        "bench",
        "judge:some-model",
        "--engine",
        "openai",
        "--engine-option",
        url,
        "--limit",
        "4",
        "--json",
        "b.json",
    )
    done = salmon(*argv, "--engine-option", "key_variable=null", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (result,) = read_board(tmp_path / "b.json").results
    found = result.figure("first shown wins")
    assert found is not None
    assert found.value == 0.0
    assert api.asked


@pytest.fixture
def filtered(tmp_path: Path) -> Path:
    """A file in the form of RewardBench."""
    own = {"chosen_model": "m", "rejected_model": "m", "subset": "math-prm", "id": 1}
    rows = [{**own, "prompt": f"What is {n}?", "chosen": f"It is {n}, as it is.", "rejected": "No."} for n in range(3)]
    file = tmp_path / "filtered.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_a_file_of_another_benchmark(filtered: Path, tmp_path: Path) -> None:
    done = salmon("bench", "length", "--file", filtered, "--json", "b.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    board = read_board(tmp_path / "b.json")
    assert board.data == "filtered.jsonl, rewardbench"
    assert {found.about: found.value for found in board.results[0].figures} == {
        "math-prm": 1.0,
        "Reasoning": 1.0,
        "overall": 1.0,
    }
    assert "Prior Sets" in done.stdout


@pytest.mark.slow
def test_models_on_a_file_of_another_benchmark(models: dict[str, Path], filtered: Path, tmp_path: Path) -> None:
    argv = ("bench", models["scalar"], models["judge"], "--file", filtered, "--device", "cpu", "--json", "b.json")
    done = salmon(*argv, "--rm-template", "conversation", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [own.sort for own in read_board(tmp_path / "b.json").results] == ["reward model", "judge"]


def test_families_can_be_chosen(tmp_path: Path) -> None:
    done = salmon("bench", "length", "--families", "tense", "--families", "sets", "--json", "b.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    board = read_board(tmp_path / "b.json")
    assert {each for each in board.families() if not each.startswith("by ")} == {"tense"}
    assert board.results[0].figure("sets") is not None
    narrow = salmon("bench", "length", "--families", "tense", cwd=tmp_path, COLUMNS="60")
    assert max(map(len, narrow.stdout.splitlines()[:12])) <= 60


BAD = (
    (["nowhere"], "nowhere: is no subject"),
    (["."], "holds no model"),
    (["length", "--families", "verse"], "there is no verse"),
    (["length", "--format", "rmgap"], "--file PATH"),
    (["length", "--file", "odd.jsonl"], "no format that is known"),
    (["length", "--rows", "odd.jsonl"], "no row of the benchmark"),
    (["judge:a/b", "--judge-option", "votes"], "KEY=VALUE"),
    (["judge:a/b", "--judge-option", "voters=3"], "voters"),
    (["judge:some", "--engine", "openai"], "base_url"),
    (["rm:a/b", "--rm-template", "nothing"], "nothing"),
)


@pytest.mark.parametrize(("argv", "says"), BAD, ids=[" ".join(argv) for argv, _ in BAD])
def test_bad_input_gets_one_clear_error(argv: list[str], says: str, tmp_path: Path) -> None:
    (tmp_path / "odd.jsonl").write_text('{"a": 1}\n')
    done = salmon("bench", *argv, cwd=tmp_path)
    assert done.returncode != 0
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_listing_it_imports_nothing_heavy(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, salmon_bench.plugin, salmon_bench.command;"
        "assert not {'torch', 'pydantic', 'transformers', 'ruamel'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_rows_are_there() -> None:
    assert len(read_rows()) > 1000
