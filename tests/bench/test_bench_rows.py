"""The data that is shipped: every right answer checked again, and the same bytes from the code that made it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from salmon_bench import make
from salmon_bench.rows import FILE, KINDS, Row, chosen, read_rows, swapped, write_lines
from salmon_bench.rules import BY_NAME, FAMILIES, RULES
from salmon_core.errors import DataError
from salmon_core.plugins.oracles import find_oracle
from salmon_core.plugins.registry import Registry


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return read_rows()


def test_every_right_answer_is_right(rows: list[Row]) -> None:
    """By the checker, or in the embedded world by its oracle, under each principle in the polarity that is shown."""
    oracle = find_oracle(Registry.discover(), "minnow")
    for row in rows:
        by = []
        for shown in row.principles:
            values = row.measured[shown.name]
            if row.writer == "minnow":
                value = make.world_value(oracle, row.prompt, row.answers, shown.name)
                assert values == (value, -value), row.id
                right = 0 if value > 0 else 1
                assert value, row.id
            else:
                rule = BY_NAME[shown.name]
                found = rule.right(row.answers, row.prompt)
                assert found is not None, row.id
                right = found
                assert values == tuple(rule.measured(answer, row.prompt) for answer in row.answers), row.id
                assert shown.text in ((rule.negated,) if shown.negated else rule.texts), row.id
            by.append(1 - right if shown.negated else right)
        if row.kind == "conflict":
            heavy = max(row.principles, key=lambda each: each.weight)
            assert by[row.principles.index(heavy)] == row.right, row.id
            assert len(by) == 2, row.id
            assert len(set(by)) == 2, row.id
        else:
            assert set(by) == {row.right}, row.id


def test_it_is_as_varied_as_the_card_says(rows: list[Row]) -> None:
    assert len({row.id for row in rows}) == len(rows)
    assert FILE.stat().st_size < 2_000_000
    assert {row.writer for row in rows} == {"templates", "smollm2", "minnow"}
    assert {row.kind for row in rows} == set(KINDS)
    assert {row.family for row in rows} == {*FAMILIES, "minnow", "sets", "conflicts"}
    assert {shown.name for row in rows if row.writer == "templates" for shown in row.principles} == {
        rule.name for rule in RULES
    }
    places = Counter(row.right for row in rows)
    assert abs(places[0] - places[1]) < 0.1 * len(rows)
    assert {len(row.principles) for row in rows if row.kind == "set"} == {2, 3, 4}
    assert {each.weight for row in rows if row.kind == "conflict" for each in row.principles} == {1.0, 2.0, 4.0}
    heavy_first = [row.principles[0].weight > 1 for row in rows if row.kind == "conflict"]
    assert 0.3 < sum(heavy_first) / len(heavy_first) < 0.7
    assert sum(row.trap for row in rows) > 50
    for pair in {row.pair for row in rows if row.kind == "own"}:
        own = [row for row in rows if row.pair == pair]
        assert {"own", "negated", "reworded"} == {row.kind for row in own}, pair
        assert len({row.answers for row in own}) == 1, pair


def test_the_code_gives_the_same_bytes(rows: list[Row], tmp_path: Path) -> None:
    templates = [row for row in rows if row.writer == "templates"]
    assert write_lines(make.template_rows()) == write_lines(templates)
    make.main([str(tmp_path / "again.jsonl")])
    assert (tmp_path / "again.jsonl").read_bytes() == FILE.read_bytes()


def test_pairs_are_chosen_evenly_and_the_same_again(rows: list[Row]) -> None:
    some = chosen(rows, limit=60)
    assert some == chosen(rows, limit=60)
    assert len({row.pair for row in some}) == 60
    counts = Counter((row.family, row.writer) for row in {row.pair: row for row in some}.values())
    assert max(counts.values()) - min(counts.values()) <= 1
    assert {row.pair for row in some} < {row.pair for row in chosen(rows, limit=90)}
    assert chosen(rows, limit=None) == rows


def test_a_row_turned_round_says_the_same(rows: list[Row]) -> None:
    for row in rows[::97]:
        other = swapped(row)
        assert other.answers[other.right] == row.answers[row.right]
        assert swapped(other) == row


def test_a_row_that_is_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"id": "a"}\n')
    with pytest.raises(DataError, match=r"rows\.jsonl.*no row of the benchmark"):
        read_rows(file)
    file.write_text(read_rows()[0].to_json().replace('"version": 1', '"version": 99') + "\n")
    with pytest.raises(DataError, match="version 99"):
        read_rows(file)
