"""Subjects whose worth is known get the figures that say so; answers stay, whatever ends the command."""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_subjects import Ruled, deaf, first, knowing

from salmon_bench.answers import Answers
from salmon_bench.board import Board, Result, as_markdown, by_family, leaderboard, read_board
from salmon_bench.examine import examine, questions_of, readable
from salmon_bench.rows import Row, chosen, read_rows
from salmon_bench.subject import Coin, Length, Question, Subject
from salmon_core.errors import SalmonError


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """Those that rules check."""
    return chosen([row for row in read_rows() if row.writer != "minnow"], limit=300)


def value(result: Result, what: str, about: str = "all") -> float:
    found = result.figure(what, about)
    assert found is not None
    assert found.low - 1e-9 <= found.value <= found.high + 1e-9
    return found.value


@pytest.mark.parametrize("joint", [False, True])
def test_one_that_knows_is_always_right(rows: list[Row], tmp_path: Path, joint: bool) -> None:
    result = examine(Ruled(knowing, joint=joint), rows, tmp_path)
    for what in ("right", "own", "negated", "turns round", "reworded", "stays", "sets", "conflicts", "dressed up"):
        assert value(result, what) == 1.0, what
    found = result.figure("right")
    assert found is not None
    assert found.verdict == "good"
    assert found.q is not None
    assert result.figure("both orders") is None
    assert result.rows == len(rows)


def test_one_that_does_not_hear_not_is_found_out(rows: list[Row], tmp_path: Path) -> None:
    result = examine(Ruled(deaf), rows, tmp_path)
    assert value(result, "own") == value(result, "reworded") == 1.0
    assert value(result, "negated") == value(result, "turns round") == 0.0
    assert value(result, "right") == 0.5
    found = result.figure("negated")
    assert found is not None
    assert found.verdict == "backwards"


def test_a_judge_that_goes_by_places_is_found_out(rows: list[Row], tmp_path: Path) -> None:
    result = examine(Ruled(first, "judge"), rows, tmp_path)
    assert value(result, "first shown wins") == 1.0
    assert value(result, "both orders") == value(result, "orders agree") == 0.0
    assert value(result, "right") == 0.5


def test_length_and_coins_are_what_they_are(rows: list[Row], tmp_path: Path) -> None:
    length = examine(Length(), rows, tmp_path)
    assert value(length, "dressed up") == 0.0
    assert value(length, "longer is right") == 1.0
    assert value(length, "shorter is right") == 0.0
    coin = examine(Coin(), rows, tmp_path)
    assert 0.4 < value(coin, "right") < 0.6
    found = coin.figure("right")
    assert found is not None
    assert found.verdict == "bad"


def test_few_pairs_are_called_underpowered(rows: list[Row], tmp_path: Path) -> None:
    result = examine(Ruled(knowing), chosen(rows, limit=12), tmp_path)
    found = result.figure("right")
    assert found is not None
    assert (found.verdict, found.q) == ("underpowered", None)


def test_several_principles_are_asked_at_once_only_where_none_is_heavier(rows: list[Row]) -> None:
    by_kind = {row.kind: row for row in rows}
    assert len(questions_of(by_kind["set"], joint=True)) == 1
    assert len(questions_of(by_kind["set"], joint=False)) == len(by_kind["set"].principles)
    assert len(questions_of(by_kind["conflict"], joint=True)) == 2


def test_what_cannot_be_read_is_left_out_and_counted(rows: list[Row], tmp_path: Path) -> None:
    class Short(Ruled):
        def fits(self, question: Question) -> bool:
            return max(map(len, question.answers)) < 200

    subject: Subject = Short(knowing)
    kept, lost = readable(subject, rows)
    assert 0 < lost < len(rows)
    assert examine(subject, kept, tmp_path, left_out=lost).left_out == lost
    with pytest.raises(SalmonError, match="can read none"):
        examine(subject, [], tmp_path, left_out=lost)


def test_answers_stay_and_a_torn_line_costs_one(rows: list[Row], tmp_path: Path) -> None:
    questions = [each for row in rows[:80] for each in questions_of(row, False)]
    asked = Ruled(knowing)
    first_time = Answers(tmp_path, asked).of(questions)
    file = Answers(tmp_path, asked).path
    data = file.read_bytes()
    file.write_bytes(data[:-9])  # as a kill within a write leaves it
    again = Ruled(knowing)
    assert Answers(tmp_path, again).of(questions) == first_time
    assert len(again.asked) == 1
    last = Ruled(knowing)
    assert Answers(tmp_path, last).of(questions) == first_time
    assert not last.asked


def test_a_board_is_read_as_it_was_written(rows: list[Row], tmp_path: Path) -> None:
    results = (examine(Ruled(first, "judge"), rows, tmp_path), examine(Coin(), rows, tmp_path))
    board = Board("rows", results)
    board.write(tmp_path / "board.json")
    assert read_board(tmp_path / "board.json") == board
    lines = leaderboard(board)
    assert [line[0] for line in lines[1:]] == sorted(
        (own.name for own in results), key=lambda name: -value(next(r for r in results if r.name == name), "right")
    )
    assert len(set(map(len, lines))) == len(set(map(len, by_family(board)))) == 1
    assert as_markdown(lines).count("\n") == len(lines) + 1
    (tmp_path / "none.json").write_text("{}")
    with pytest.raises(SalmonError, match="no results"):
        read_board(tmp_path / "none.json")
