"""Small files in the form of other benchmarks, whose scores are worked out by hand."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from bench_subjects import Ruled

from salmon_bench.board import Result
from salmon_bench.official.formats import FORMATS, cases_of
from salmon_bench.official.measure import measure
from salmon_bench.subject import Orders, Question
from salmon_core.data.readers import read_file
from salmon_core.errors import DataError


def points(question: Question) -> float:
    """Answers carry their score: `... 3`."""
    first, second = (float(answer.rsplit(" ", 1)[1]) for answer in question.answers)
    return first - second


def scalar(question: Question) -> Orders:
    return points(question), points(question)


def scored(tmp_path: Path, rows: Sequence[Mapping[str, Any]], rule: Any = scalar, sort: str = "reward model") -> Result:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found, cases = cases_of(read_file(file))
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:  # else it would find the answers of another rule
        return measure(Ruled(rule, sort), found, cases, Path(folder))


def values(result: Result) -> dict[str, float]:
    for each in result.figures:
        assert each.low <= each.high
    return {each.about: round(each.value, 6) for each in result.figures}


def v1(subset: str, chosen: float, rejected: float) -> dict[str, Any]:
    return {
        "prompt": "q",
        "chosen": f"good {chosen}",
        "chosen_model": "m",
        "rejected": f"bad {rejected}",
        "rejected_model": "m",
        "subset": subset,
        "id": 1,
    }


def test_rewardbench_weights_subsets_by_their_full_size(tmp_path: Path) -> None:
    rows = [
        v1("alpacaeval-easy", 2, 1),
        v1("alpacaeval-easy", 1, 2),
        v1("mt-bench-med", 2, 1),
        v1("math-prm", 1, 1),  # level is not won
        v1("math-prm", 2, 1),
        v1("math-prm", 2, 0),
        v1("hep-go", 0, 1),
        v1("made-up", 2, 1),
    ]
    found = values(scored(tmp_path, rows))
    chat = (0.5 * 100 + 1.0 * 40) / 140
    reasoning = (2 / 3 * 984 + 0.0 * 164) / (984 + 164)
    assert found["Chat"] == pytest.approx(chat, abs=1e-6)
    assert found["Reasoning"] == pytest.approx(reasoning, abs=1e-6)
    assert found["made-up"] == 1.0
    assert "Safety" not in found
    assert found["overall"] == pytest.approx((chat + reasoning) / 2, abs=1e-6)


def v2(subset: str, row_id: str, chosen: Sequence[float], rejected: Sequence[float]) -> dict[str, Any]:
    return {
        "id": row_id,
        "prompt": f"q {row_id}",
        "chosen": [f"good {score}" for score in chosen],
        "rejected": [f"bad {score}" for score in rejected],
        "num_correct": len(chosen),
        "num_incorrect": len(rejected),
        "total_completions": len(chosen) + len(rejected),
        "subset": subset,
    }


def test_rewardbench2_takes_the_best_of_four_and_ties_apart(tmp_path: Path) -> None:
    rows = [
        v2("Math", "1", [5], [1, 2, 3]),
        v2("Math", "2", [3], [3, 3, 1]),  # level with two others: a third
        v2("Focus", "3", [1], [2, 0, 0]),
        v2("Ties", "ref:0", [5], [1, 2]),  # ahead by 3
        v2("Ties", "tied:0", [6, 5], [1, 3]),  # ahead by 2, spread 1
        v2("Ties", "ref:1", [2], [0, 1]),  # ahead by 1
        v2("Ties", "tied:1", [9, 4], [1, 2]),  # ahead by 2, spread 5
        v2("Ties", "tied:2", [3, 1], [2, 2]),  # behind by 1, and no ref
    ]
    found = values(scored(tmp_path, rows))
    assert found["Math"] == pytest.approx((1 + 1 / 3) / 2, abs=1e-6)
    assert found["Focus"] == 0.0
    further = (math.tanh(2 / 1 - 1) + math.tanh(1 / 5 - 1)) / 2
    ties = 0.3 * 2 / 3 + 0.3 * 1 + 0.2 * 1 / 2 + 0.2 * 1 / 2 + 0.01 * further
    assert found["Ties"] == pytest.approx(ties, abs=1e-6)
    assert found["overall"] == pytest.approx(((1 + 1 / 3) / 2 + 0 + ties) / 3, abs=1e-6)
    judge = values(scored(tmp_path, rows, scalar, "judge"))
    assert "Ties" not in judge
    assert judge["Math"] == found["Math"]


def test_rm_bench_has_three_levels_and_a_mean_of_domains(tmp_path: Path) -> None:
    def row(domain: str, chosen: Sequence[float], rejected: Sequence[float]) -> dict[str, Any]:
        own = {"chosen": [f"good {each}" for each in chosen], "rejected": [f"bad {each}" for each in rejected]}
        return {"id": domain, "prompt": f"q {domain}", "domain": domain, **own}

    rows = [
        row("chat", [1, 2, 3], [1, 2, 3]),  # easy 3 of 3, normal 0, hard 0
        row("safety-refuse", [9, 9, 9], [1, 2, 3]),
        row("safety-response", [0, 0, 0], [1, 2, 3]),
    ]
    found = values(scored(tmp_path, rows))
    assert found["chat"] == pytest.approx(1 / 3, abs=1e-6)
    assert found["safety"] == 0.5
    assert found["easy"] == 0.75
    assert found["normal"] == found["hard"] == 0.25
    assert found["overall"] == pytest.approx((1 / 3 + 0.5) / 2, abs=1e-6)
    assert found["overall"] == pytest.approx((found["easy"] + found["normal"] + found["hard"]) / 3, abs=1e-6)


def test_judgebench_counts_a_judge_right_where_more_orders_are(tmp_path: Path) -> None:
    def row(source: str, first: float, second: float, label: str) -> dict[str, Any]:
        texts = {"question": f"q {first} {second} {label}", "response_A": f"a {first}", "response_B": f"b {second}"}
        own = {"pair_id": "x", "original_id": "y", "source": source, "response_model": "m", "label": label}
        return {**own, **texts}

    rows = [
        row("mmlu-pro-math", 2, 1, "A>B"),
        row("mmlu-pro-law", 2, 1, "B>A"),
        row("livebench-math", 1, 4, "B>A"),
        row("livecodebench", 1, 1, "A>B"),
    ]
    found = values(scored(tmp_path, rows))
    assert found == {"mmlu-pro": 0.5, "livebench-math": 1.0, "livecodebench": 0.0, "overall": 0.5}

    def in_one_order(question: Question) -> Orders:
        """Sure of big differences only; else the first that is shown."""
        margin = points(question)
        return (margin, margin) if abs(margin) > 2 else (1.0, -1.0)

    judge = values(scored(tmp_path, rows, in_one_order, "judge"))
    assert judge == {"mmlu-pro": 0.0, "livebench-math": 1.0, "livecodebench": 0.0, "overall": 0.25}


def test_rmgap_has_pairs_best_ones_and_rankings(tmp_path: Path) -> None:
    def row(domain: str, scores: Sequence[float]) -> dict[str, Any]:
        responses = [{"key": f"r{number}", "text": f"text {score}"} for number, score in enumerate(scores)]
        groups = [
            {
                "group": number,
                "winner": f"r{number}",
                "prompts": [{"text": f"p {domain} {number} {i}"} for i in range(3)],
            }
            for number in range(4)
        ]
        return {"id": domain, "domain": domain, "source": "s", "responses": responses, "prompt_groups": groups}

    found = values(scored(tmp_path, [row("Chat", [4, 3, 2, 1]), row("Safety", [1, 1, 1, 1])]))
    assert found["Pair Chat"] == 0.5
    assert found["BoN Chat"] == 0.25
    assert found["Consistency Chat"] == 1.0
    assert found["Pair Safety"] == found["BoN Safety"] == 0.0
    assert found["Pair Avg"] == 0.25
    assert found["BoN Avg"] == 0.125
    assert found["Consistency Avg"] == 1.0

    def fickle(question: Question) -> Orders:
        sign = -1 if question.messages[0]["content"].endswith("2") else 1
        return sign * points(question), sign * points(question)

    assert values(scored(tmp_path, [row("Chat", [4, 3, 2, 1])], fickle))["Consistency Chat"] == 0.0
    judge = values(scored(tmp_path, [row("Chat", [4, 3, 2, 1])], scalar, "judge"))
    assert judge == {"Pair Chat": 0.5, "BoN Chat": 0.25, "Pair Avg": 0.5, "BoN Avg": 0.25}


def test_ifbench_has_levels_by_what_is_broken_in_both_of_its_forms(tmp_path: Path) -> None:
    def row(chosen: float, rejected: float, broken: int) -> dict[str, Any]:
        bad = {"content": f"bad {rejected}", "unsatisfied_constraints": ["c"] * broken}
        return {
            "id": 1,
            "source": "s",
            "instruction": f"do {chosen} {rejected} {broken}",
            "chosen": {"content": f"good {chosen}", "unsatisfied_constraints": []},
            "rejected": bad,
        }

    rows = [row(2, 1, 1), row(1, 2, 1), row(2, 1, 2), row(1, 1, 3), row(2, 1, 5)]
    expected = {"level-1": 0.75, "level-2": 1.0, "level-3": 0.5, "overall": 0.7}
    assert values(scored(tmp_path, rows)) == expected
    levels = ["level-3", "level-3", "level-2", "level-1", "level-1"]
    turned = [
        {
            "text_chosen": [_turn("user", each["instruction"]), _turn("assistant", each["chosen"]["content"])],
            "text_rejected": [_turn("user", each["instruction"]), _turn("assistant", each["rejected"]["content"])],
            "id": 1,
            "domain": level,
        }
        for each, level in zip(rows, levels, strict=True)
    ]
    assert values(scored(tmp_path, turned)) == expected


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


BAD = (
    ([{"some": "thing"}], "no format that is known"),
    ([{"key": 1, "prompt": "p", "instruction_id_list": ["count:words"], "kwargs": [{}]}], "two answers to compare"),
    ([v1("math-prm", 2, 1), {"prompt": "q", "chosen": 3}], "rows.jsonl"),
    ([v2("Ties", "7", [2], [1])], "ref:N or tied:N"),
    ([v2("Math", "7", [2, 3], [1])], "2 chosen answers"),
    ([{"prompt": "p", "domain": "verse", "chosen": ["a"] * 3, "rejected": ["b"] * 3}], "verse"),
    ([{"question": "q", "response_A": "a", "response_B": "b", "label": "A", "source": "mmlu-pro"}], "A>B or B>A"),
    ([{"responses": [], "prompt_groups": [], "domain": "Chat"}], "four responses"),
    ([{"instruction": "i", "chosen": "a", "rejected": "b"}], "no object"),
)


@pytest.mark.parametrize(("rows", "says"), BAD, ids=[says for _, says in BAD])
def test_a_row_of_another_form_is_named(rows: list[dict[str, Any]], says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        scored(tmp_path, rows)
    assert says in str(caught.value)


def test_every_format_is_told_from_the_others(tmp_path: Path) -> None:
    assert set(FORMATS) == {"rewardbench", "rewardbench2", "rm-bench", "judgebench", "rmgap", "ifbench"}
