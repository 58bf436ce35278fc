"""Parts of the evaluator `lm-eval`: the answers that it keeps, and intervals."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from salmon_lm_eval.answers import Answers
from salmon_lm_eval.comparing import compared


class Model:
    """Answers with the number of its calls."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def set_cache_hook(self, hook: Any) -> None:
        self.hook = hook

    def generate_until(self, requests: list[Any]) -> list[str]:
        self.asked.append([each.args for each in requests])
        for each in requests:
            self.hook.add_partial("generate_until", each.args, f"said to {each.args[0]}")
        return [f"said to {each.args[0]}" for each in requests]

    loglikelihood = loglikelihood_rolling = generate_until


@dataclass(frozen=True)
class Request:
    args: tuple[Any, ...]


@given(st.binary(max_size=80))
def test_torn_answers_are_asked_again(tail: bytes) -> None:
    import tempfile

    requests = [Request((name, {"do_sample": name == "chance"})) for name in ("one", "two", "chance")]
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "answers.jsonl"
        for _ in range(2):
            model = Model()
            with Answers(model, file, lambda kind, total: lambda done: None):
                assert model.generate_until(requests) == ["said to one", "said to two", "said to chance"]
            with file.open("ab") as torn:
                torn.write(tail.replace(b"\n", b"") + b"\n")
        assert model.asked == [[requests[2].args]], "the second time, only what chance decides"


def results(value: float, error: float | str, scores: dict[str, float]) -> dict[str, Any]:
    own = {"alias": "t", "sample_len": 3, "acc,none": value, "acc_stderr,none": error}
    return {"results": {"t": own}, "scores": {"t": {"acc,none": scores}}, "higher_is_better": {"t": {"acc": True}}}


def test_intervals_without_documents_come_from_standard_errors() -> None:
    (own,) = compared(results(0.5, 0.03, {}), results(0.6, 0.04, {}))
    assert own.ci == pytest.approx((0.1 - 1.96 * 0.05, 0.1 + 1.96 * 0.05), abs=1e-5)
    assert not own.paired
    (bare,) = compared(results(0.5, "N/A", {}), results(0.6, 0.04, {}))
    assert bare.ci is None
    assert bare.to_json()["change"] == {"value": pytest.approx(0.1), "paired": False, "n": 0}


def test_other_documents_are_not_paired() -> None:
    before, after = results(0.5, 0.1, {"0": 0.0, "1": 1.0}), results(0.5, 0.1, {"0": 0.0, "2": 1.0})
    (own,) = compared(before, after)
    assert not own.paired
    (same,) = compared(before, results(1.0, 0.1, {"0": 1.0, "1": 1.0}))
    assert same.paired
