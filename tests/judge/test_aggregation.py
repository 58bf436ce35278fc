"""From judgments to preferences: known answers worked out by hand, and properties."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from dataclasses import asdict
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_world import judgments, pair, plain, principles

from salmon_core.api import MadeLabels
from salmon_core.errors import DataError, SalmonError
from salmon_core.records import Completion, Judgment, Pair, PreferenceRow, Prompt
from salmon_core.rng import named_rng
from salmon_judge.labeller import SalmonLabeller
from salmon_judge.options import Options
from salmon_judge.scores import Tally, scale_of

PAIRS = [pair(name) for name in ("p", "q", "r")]
#: scores by hand. kind: 2, -4, 0 (its orders disagree on r); clear: 0.5, 0.5, -1
TABLE = {"kind": [(1.0, 3.0), (-6.0, -2.0), (5.0, -1.0)], "clear": [(0.5, 0.5), (0.25, 0.75), (-1.0, -1.0)]}
BOTH = principles("kind", "clear")


def run(options: Options, seed: int = 0, table: dict = TABLE, pairs: list[Pair] = PAIRS) -> MadeLabels:
    return SalmonLabeller(options).label(pairs, judgments(pairs, table), principles(*table), Random(seed)).made()


def describe(judgments: list[Judgment]) -> dict[str, Any]:
    tally = Tally()
    for judgment in judgments:
        tally.add(judgment)
    return tally.describe()


def winner(row: PreferenceRow) -> int:
    return 1 if row.chosen.startswith("The first") else 2


def test_scales_by_hand() -> None:
    kind, clear = [2.0, -4.0, 0.0], [0.5, 0.5, -1.0]
    # means -2/3 and 0; squared deviations (64 + 100 + 4)/9 / 3 = 56/9 and (0.25 + 0.25 + 1)/3 = 0.5
    assert scale_of(kind, "variance").divisor == pytest.approx(56 / 9)
    assert scale_of(clear, "variance").divisor == pytest.approx(0.5)
    assert scale_of(clear, "std").divisor == pytest.approx(math.sqrt(0.5))
    assert scale_of(kind, "none").divisor == 1.0
    assert scale_of([0.1] * 7, "variance").divisor is None
    assert scale_of([], "std").divisor is None
    assert scale_of([1e-200, -1e-200], "variance").divisor is None  # the quotient would overflow


def test_dominant_label_by_hand() -> None:
    """Both principles shown, divided by variance: p: kind 0.32, clear 1; q: -0.64, 1; r: 0, -2."""
    result = run(plain(geometric_p=1e-9, cap=2, repeats=60))
    expected = {
        ("p", ("kind",)): (1, "kind", 2 / (56 / 9)),
        ("p", ("clear",)): (1, "clear", 1.0),
        ("p", ("clear", "kind")): (1, "clear", 1.0),
        ("q", ("kind",)): (2, "kind", 4 / (56 / 9)),
        ("q", ("clear",)): (1, "clear", 1.0),
        ("q", ("clear", "kind")): (1, "clear", 1.0),
        ("r", ("clear",)): (2, "clear", 2.0),
        ("r", ("clear", "kind")): (2, "clear", 2.0),
    }
    seen = set()
    for row in result.rows:
        key = (row.pair_id.split("/")[0], tuple(sorted(p.name for p in row.principles)))
        assert (winner(row), row.decided_by, row.margin) == (*expected[key][:2], pytest.approx(expected[key][2]))
        seen.add(key)
    assert seen == set(expected)
    # r under kind alone is a tie; that is one row in four of its draws, and nothing else is dropped.
    dropped = result.statistics["dropped_rows"]
    assert dropped["tie"] == 180 - len(result.rows) > 5
    assert dropped["below_margin"] == 0


def test_mean_label_by_hand() -> None:
    """Undivided, both shown: p: (2 + 0.5)/2, q: (-4 + 0.5)/2, r: (0 - 1)/2."""
    rows = run(plain(label="mean", normalise="none", geometric_p=1e-9, repeats=60)).rows
    both = {row.pair_id[0]: row for row in rows if len(row.principles) == 2}
    assert {name: (winner(row), row.margin, row.decided_by) for name, row in both.items()} == {
        "p": (1, 1.25, "kind"),
        "q": (2, 1.75, "kind"),
        "r": (2, 0.5, "clear"),
    }


def test_min_margin_drops_rows() -> None:
    options = {"normalise": "none", "repeats": 40}
    result = run(plain(min_margin=1.0, **options))
    assert {row.margin for row in result.rows} == {1.0, 2.0, 4.0}
    assert result.statistics["dropped_rows"]["below_margin"] > 0
    assert run(plain(min_margin=4.1, **options)).rows == []


def test_excluded_principles_are_judged_but_never_shown() -> None:
    result = run(plain(exclude=("kind",), repeats=20))
    assert {p.name for row in result.rows for p in row.principles} == {"clear"}
    assert result.statistics["excluded"] == ["kind"]
    assert result.statistics["principles"]["kind"]["judged"] == 3
    table = {"kind": TABLE["kind"], "multilingual": TABLE["clear"]}
    assert run(plain(repeats=20), table=table).statistics["excluded"] == ["multilingual"]
    assert run(plain(repeats=20, exclude=()), table=table).statistics["excluded"] == []


def test_what_cannot_be_aggregated() -> None:
    with pytest.raises(SalmonError, match=r"label.exclude: there is no principle named x \(the set has clear"):
        run(plain(exclude=("x", "kind")))
    with pytest.raises(SalmonError, match="all principles are excluded"):
        run(plain(exclude=("kind", "clear")))
    one = judgments(PAIRS, TABLE)
    label = SalmonLabeller(plain()).label
    with pytest.raises(DataError, match=r"judgment of r/0-1 under clear: is missing \(judge again"):
        label(PAIRS, one[:-1], BOTH, Random(0))
    with pytest.raises(DataError, match="judgment of p/0-1 under kind: is given twice"):
        label(PAIRS, [*one, one[0]], BOTH, Random(0))
    with pytest.raises(DataError, match="is not finite"):
        label(PAIRS, [Judgment("p/0-1", "kind", math.nan, 1.0), *one[1:]], BOTH, Random(0))
    with pytest.raises(DataError, match="pair p/0-1: the pair is given twice"):
        label([PAIRS[0], *PAIRS], one, BOTH, Random(0))


def test_useless_pairs_are_dropped_and_counted() -> None:
    """Fifteen characters are too few, sixteen are not; white space around does not count."""
    pairs = [pair("a", "x" * 15), pair("b", f" {'x' * 15}\n"), pair("c", "x" * 16), pair("d", "y" * 20, "y" * 20)]
    table = {"kind": [(1.0, 1.0), (1.0, 1.0), (1.0, 1.0), (9.0, 9.0)]}
    result = run(plain(normalise="none", repeats=3), table=table, pairs=pairs)
    assert {row.pair_id for row in result.rows} == {"c/0-1"}
    assert result.statistics["pairs"] == 4
    assert result.statistics["dropped_pairs"] == {"short": 2, "identical": 1}
    assert result.statistics["drawn"] == result.statistics["rows"] == 3
    # Dropped pairs need no judgments.
    assert SalmonLabeller(plain()).label(pairs[:1], [], BOTH, Random(0)).made().rows == []


def test_no_variance_scores_nothing() -> None:
    table = {"kind": [(2.0, 2.0)] * 3, "clear": TABLE["clear"]}
    result = run(plain(repeats=30), table=table)
    assert result.statistics["without_variance"] == ["kind"]
    assert {row.decided_by for row in result.rows} == {"clear"}
    assert result.statistics["principles"]["kind"]["divisor"] is None
    assert result.statistics["dropped_rows"]["tie"] > 0


def test_statistics_of_a_judge_by_hand() -> None:
    found = describe([Judgment("p", "kind", *scores) for scores in TABLE["kind"]])
    # Orders won by the output shown first: s12 > 0 on p and r; s21 < 0 on q and r: 4 of 6.
    assert found == {
        "judged": 3,
        "ties": 0.0,
        "agreement": pytest.approx(2 / 3),
        "first_shown": pytest.approx(4 / 6),
        "mean_abs_score": 3.0,
        "prefers_first": 0.5,
    }
    assert describe([Judgment("p", "k", 0.0, 0.0)])["first_shown"] == 0.5
    assert describe([])["agreement"] is None
    always_first = describe([Judgment(str(i), "k", 1.0, -1.0) for i in range(9)])
    assert (always_first["agreement"], always_first["first_shown"]) == (0.0, 1.0)


def test_ties_of_any_judge_by_hand() -> None:
    """A judge that says so: a tie scores nothing whatever its numbers, and is not held against the agreement."""
    table = [
        Judgment("p/0-1", "kind", 1.0, 1.0, reason="The first is kinder."),
        Judgment("q/0-1", "kind", 3.0, 3.0, reason="Neither is kind.", tie=True),
        Judgment("r/0-1", "kind", 1.0, -1.0),
    ]
    found = describe(table)
    # Of p and r the orders agree on p. The output shown first wins 1 order of p, half of each of q, both of r: 4 of 6.
    assert found == {
        "judged": 3,
        "ties": pytest.approx(1 / 3),
        "agreement": 0.5,
        "first_shown": pytest.approx(4 / 6),
        "mean_abs_score": 1.0,
        "prefers_first": 1.0,
    }
    result = SalmonLabeller(plain(normalise="none")).label(PAIRS, table, principles("kind"), Random(0)).made()
    assert {row.pair_id for row in result.rows} == {"p/0-1"}
    assert result.statistics["dropped_rows"]["tie"] == 8
    assert result.statistics["principles"]["kind"]["ties"] == pytest.approx(1 / 3)
    all_ties = describe([Judgment("p", "kind", 0.0, 0.0, tie=True)])
    assert (all_ties["ties"], all_ties["agreement"], all_ties["first_shown"]) == (1.0, None, 0.5)


WORDS = ["tide", "salt", "river", "stone", "upstream", "gravel", "spawn", "current", "eddy", "pool", "shallow", "deep"]
GOLDEN = [
    ({"rules": ["phrase"]}, 32, "cc3c3595b50507cb7526d55f730b9edba31bcd20e48c24532b64e8f147611e13"),
    (
        {"rules": ["phrase"], "label": "mean", "normalise": "std", "repeats": 3, "exclude": [], "min_margin": 0.2},
        19,
        "873b6a043f5a0e2fb7b006d261b9c7ee2ae0664c6e80f0585eb98823baa27d41",
    ),
]


@pytest.mark.parametrize(("options", "count", "digest"), GOLDEN)
def test_rows_are_what_they_always_were(options: dict, count: int, digest: str) -> None:
    """Known values: a change of these changes the preferences of every run."""
    rng, shown = named_rng(5, "golden"), principles("kind", "clear", "brief", "multilingual", "calm")
    pairs: list[Pair] = []
    judged: list[Judgment] = []
    for number in range(12):
        texts = []
        for _ in range(2):
            length = 3 + int(rng.random() * 4)
            texts.append(" ".join(WORDS[int(rng.random() * len(WORDS))] for _ in range(length)) + ".")
        if number == 3:
            texts[1] = "As an AI language model, " + texts[1]
        if number == 4:
            texts[0] = "short"
        of = Prompt.from_text("Where do salmon go?", id=f"g{number}", category=("general", "reasoning")[number % 2])
        pairs.append(Pair(of, *(Completion(of.id, index, text, (), 5, True) for index, text in enumerate(texts))))
        for each in shown:
            scores = (round(rng.random() * 8 - 4, 3) for _ in range(2))
            judged.append(Judgment(pairs[-1].id, each.name, *scores))
    labeller = SalmonLabeller(Options.model_validate(options))
    rows = labeller.label(pairs, judged, shown, named_rng(7, "aggregate")).made().rows
    said = [asdict(row) for row in rows]
    for row in said:  # as they are written down
        row["principles"] = [{key: each[key] for key in ("name", "text", "negated")} for each in row["principles"]]
    text = json.dumps(said, sort_keys=True)
    assert (len(rows), hashlib.sha256(text.encode()).hexdigest()) == (count, digest)


def test_label_noise_has_its_rate() -> None:
    pairs = [pair(f"n{i}") for i in range(500)]
    table = {"kind": [(1.0, 1.0)] * 500}
    result = run(plain(flip=0.1, normalise="none"), table=table, pairs=pairs)
    flipped = [row for row in result.rows if row.flipped]
    assert all((winner(row) == 2) == row.flipped for row in result.rows)
    assert len(result.rows) == 2000
    assert result.statistics["flipped"] == len(flipped)
    assert abs(len(flipped) / 2000 - 0.1) < 4 * math.sqrt(0.09 / 2000)
    by_pair = Counter(row.pair_id for row in flipped)
    assert 0 < sum(count > 1 for count in by_pair.values()) < 100  # fresh noise for each repeat


# --- properties ---

SCORE = st.floats(-30, 30).map(lambda value: round(value, 3))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Pair], dict[str, list[tuple[float, float]]]]:
    count = draw(st.integers(1, 6))
    names = [f"k{i}" for i in range(draw(st.integers(1, 5)))]
    column = st.lists(st.tuples(SCORE, SCORE), min_size=count, max_size=count)
    return [pair(f"w{i}") for i in range(count)], {name: draw(column) for name in names}


OPTIONS = st.fixed_dictionaries(
    {
        "label": st.sampled_from(["dominant", "mean"]),
        "normalise": st.sampled_from(["variance", "std", "none"]),
        "repeats": st.integers(1, 5),
        "cap": st.integers(1, 8),
        "geometric_p": st.floats(0.05, 1),
        "min_margin": st.sampled_from([0.0, 0.5]),
        "flip": st.sampled_from([0.0, 0.1, 0.5]),
    }
)
SETTINGS = settings(max_examples=100, deadline=None)


@SETTINGS
@given(worlds(), OPTIONS, st.floats(0, 1), st.integers())
def test_rows_keep_their_promises(world: tuple, options: dict, negate: float, seed: int) -> None:
    pairs, table = world
    chosen = plain(**options, negate_probability=negate)
    result = run(chosen, seed, table, pairs)
    again = run(chosen, seed, table, pairs)
    assert result == again
    statistics = json.loads(json.dumps(result.statistics, allow_nan=False))
    drawn = len(pairs) * chosen.repeats
    assert len(result.rows) == statistics["rows"] == drawn - sum(statistics["dropped_rows"].values())
    decided = sum(each["decided"] for each in statistics["principles"].values())
    assert decided == len(result.rows)
    assert sum(each["shown"] for each in statistics["principles"].values()) == sum(
        len(row.principles) for row in result.rows
    )
    texts = {each.id: {each.first.text, each.second.text} for each in pairs}
    for row in result.rows:
        assert {row.chosen, row.rejected} == texts[row.pair_id]
        assert row.margin > 0
        assert row.margin >= chosen.min_margin
        assert math.isfinite(row.margin)
        assert row.decided_by in {p.name for p in row.principles}
        assert 1 <= len(row.principles) <= min(chosen.cap, len(table))


@SETTINGS
@given(worlds(), OPTIONS, st.floats(0, 1), st.integers())
def test_swapping_the_completions_swaps_nothing_in_the_rows(
    world: tuple, options: dict, negate: float, seed: int
) -> None:
    """What was completion 1 becomes completion 2: scores change sign and place, the same text wins."""
    pairs, table = world
    # The pairs keep their ids, so that the draws are the same.
    swapped = [pair(each.prompt.id, each.second.text, each.first.text) for each in pairs]
    mirrored = {name: [(-s21, -s12) for s12, s21 in column] for name, column in table.items()}
    chosen = plain(**options, negate_probability=negate)
    one, two = run(chosen, seed, table, pairs), run(chosen, seed, mirrored, swapped)
    assert one.rows == two.rows
    assert one.statistics["dropped_rows"] == two.statistics["dropped_rows"]


@SETTINGS
@given(worlds(), OPTIONS, st.integers())
def test_negating_everything_turns_every_label_round(world: tuple, options: dict, seed: int) -> None:
    pairs, table = world
    shown, negated = (run(plain(**options, negate_probability=p), seed, table, pairs).rows for p in (0.0, 1.0))
    assert len(shown) == len(negated)
    for row, turned in zip(shown, negated, strict=True):
        assert (row.chosen, row.rejected, row.margin) == (turned.rejected, turned.chosen, turned.margin)
        assert [p.name for p in row.principles] == [p.name for p in turned.principles]
        assert all(p.negated for p in turned.principles)


@SETTINGS
@given(worlds(), OPTIONS, st.integers(), st.randoms(use_true_random=False))
def test_other_pairs_do_not_change_a_pairs_draws(world: tuple, options: dict, seed: int, rng: Random) -> None:
    """Without normalisation a pair's rows are its own, whatever the order and number of the others."""
    pairs, table = world
    chosen = plain(**{**options, "normalise": "none"}, negate_probability=0.5)
    whole = run(chosen, seed, table, pairs).rows
    places = rng.sample(range(len(pairs)), rng.randint(1, len(pairs)))
    some = {name: [column[place] for place in places] for name, column in table.items()}
    part = run(chosen, seed, some, [pairs[place] for place in places]).rows
    kept = {pairs[place].id for place in places}
    assert sorted(part, key=repr) == sorted((row for row in whole if row.pair_id in kept), key=repr)


@SETTINGS
@given(worlds(), st.integers(), st.floats(0.1, 50))
def test_a_sharper_judge_gives_the_same_labels(world: tuple, seed: int, factor: float) -> None:
    """Divided by variance or std, labels do not depend on the unit of the logits."""
    pairs, table = world
    scaled = {name: [(a * factor, b * factor) for a, b in column] for name, column in table.items()}
    one, two = (run(plain(normalise="std", label="mean"), seed, each, pairs).rows for each in (table, scaled))
    big = {(row.pair_id, row.principles): row.chosen for row in one if row.margin > 1e-6}
    assert all(big.get((row.pair_id, row.principles), row.chosen) == row.chosen for row in two if row.margin > 1e-6)
