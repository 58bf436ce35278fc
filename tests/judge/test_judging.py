"""What a judge is given, and what is refused of what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from judge_world import pair
from judging_world import BOTH, OWNER, PAIRS, Bytes, Sampled, World, all_of, judge_of

from salmon_core import PluginError, SalmonError
from salmon_core.api import (
    JudgeContext,
    Principle,
    Sampling,
    TokenCodec,
)
from salmon_core.records import Judgment, Pair
from salmon_judge.template import STANDARD


def test_nothing_is_opened_before_it_is_asked_for(tmp_path: Path) -> None:
    world = World(tmp_path, judge_of(lambda pairs, shown, context: all_of(pairs, shown)))
    with world.judging as judging:
        assert judging.judge(PAIRS) == all_of(PAIRS, BOTH)
        assert judging.judge([]) == []
    assert world.log == []
    assert not world.cache.parent.exists()


def test_one_model_at_a_time_and_none_afterwards(tmp_path: Path) -> None:
    def judge(pairs: Sequence[Pair], shown: Sequence[Principle], context: JudgeContext) -> list[Judgment]:
        assert (context.seed, context.template) == (7, STANDARD)
        for each in pairs:
            one, two = context.render(each, [principle.shown() for principle in shown])
            assert [each.first.text in text and each.second.text in text for text in one.texts] == [True, True]
            assert one.prefix.index(each.first.text) < one.prefix.index(each.second.text)
            assert two.prefix.index(each.second.text) < two.prefix.index(each.first.text)
        assert context.chooser is context.chooser
        ((logits, _),) = context.chooser.choose([one], context.template.choices)
        assert logits == (len(one.prefix), 0.0)
        (sampled,) = context.sampler.sample([(pairs[0].prompt, "hello")], Sampling())
        assert sampled.text == "hello"
        return all_of(pairs, shown)

    world = World(tmp_path, judge_of(judge))
    with world.judging as judging:
        judging.judge(PAIRS)
        assert world.log == ["open chooser", "codecs", "close choosing", "open sampler"]
        judging.judge(PAIRS)
    again = ["codecs", "close sampled", "open chooser", "close choosing", "open sampler", "close sampled"]
    assert world.log[4:] == again


def test_a_question_of_the_judges_own(tmp_path: Path) -> None:
    """Instead of the template's; all else of the text is the same, in both orders and in other words."""
    seen: list[tuple[str, ...]] = []

    def judge(pairs: Sequence[Pair], shown: Sequence[Principle], context: JudgeContext) -> list[Judgment]:
        principles = [principle.shown() for principle in shown]
        asked = context.ask(pairs[0], principles, "Why {first}?\n")
        for own, plain in zip(asked, context.render(pairs[0], principles), strict=True):
            assert own.prefix == plain.prefix
            for mine, theirs in zip(own.suffixes, plain.suffixes, strict=True):
                assert theirs.endswith(STANDARD.question + STANDARD.verdict)
                assert mine == theirs.removesuffix(STANDARD.question + STANDARD.verdict) + "Why {first}?\n"
        assert context.ask(pairs[0], principles, "Who?\n")[0].suffixes[0].endswith("Who?\n")
        seen.append(asked[0].texts)
        return all_of(pairs, shown)

    world = World(tmp_path, judge_of(judge))
    with world.judging as judging:
        judging.judge(PAIRS[:1])
        judging.judge(PAIRS[:1], wording=1)
        assert judging.form == "text"
    assert world.log[:1] == ["open sampler"], "a question is for a sampler"
    assert world.log.count("open sampler") == 1
    assert seen[0] != seen[1]


def test_room_for_an_answer_is_kept(tmp_path: Path) -> None:
    class Short(Sampled):
        @property
        def codec(self) -> TokenCodec:
            codec = Bytes()
            codec.max_length = 900  # type: ignore[misc]
            return codec

    def judge(pairs: Sequence[Pair], shown: Sequence[Principle], context: JudgeContext) -> list[Judgment]:
        long = [pair("p", "x" * 900, "y" * 900)]
        principles = [principle.shown() for principle in shown]
        for room in (0, 200):
            for request in context.ask(long[0], principles, "Why?\n", room=room):
                assert request.truncated > 0
                longest = max(len(text) for text in request.texts)
                assert 900 - room - 40 < longest <= 900 - room
        context.ask(long[0], principles, "Why?\n", room=880)
        return all_of(pairs, shown)

    world = World(tmp_path, judge_of(judge), open_model=lambda ability: Short([]))
    with world.judging as judging, pytest.raises(SalmonError, match="beside the 880 that are kept for the answer"):
        judging.judge(PAIRS[:1])


# --- what comes back ---


def first_replaced(**values: Any) -> Callable[..., list[Any]]:
    def judge(pairs: Sequence[Pair], shown: Sequence[Principle], context: JudgeContext) -> list[Any]:
        found = all_of(pairs, shown)
        return [replace(found[0], **values), *found[1:]]

    return judge


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        (lambda *given: None, "returned NoneType, not a sequence of judgments"),
        (lambda *given: "abcdef", "returned str, not a sequence of judgments"),
        (lambda *given: (each for each in ()), "returned generator, not a sequence of judgments"),
        (
            lambda pairs, shown, context: all_of(pairs, shown)[:5],
            "returned 5 judgments, not 6: one for each of 3 pairs under each of its principles",
        ),
        (lambda *given: [1.0] * 6, "returned float, not a Judgment, for pair p/0-1 under 'kind'"),
        (
            lambda pairs, shown, context: all_of(pairs, shown[::-1]),
            "returned a judgment of pair p/0-1 under 'clear' in the place of pair p/0-1 under 'kind' (pairs come in",
        ),
        (first_replaced(s12=float("nan")), "s12 is nan, not a finite number, for pair p/0-1 under 'kind'"),
        (first_replaced(s21=float("-inf")), "s21 is -inf, not a finite number"),
        (first_replaced(s21="1"), "s21 is '1', not a finite number"),
        (first_replaced(s12=True), "s12 is True, not a finite number"),
        (first_replaced(reason=3), "reason is int, not a text"),
        (first_replaced(tie=None), "tie is None, neither true nor false"),
        (first_replaced(answers=2, unread=3), "of 2 answers 3 are unread, for pair p/0-1 under 'kind'"),
        (first_replaced(answers=2.0), "of 2.0 answers 0 are unread"),
        (first_replaced(unread=-1), "of 0 answers -1 are unread"),
        (lambda *given: 1 / 0, "ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_refused(tmp_path: Path, judge: Any, message: str) -> None:
    with World(tmp_path, judge_of(judge)).judging as judging, pytest.raises(PluginError) as error:
        judging.judge(PAIRS)
    assert str(error.value).startswith(f"plugin {OWNER}, judge 'own': {message}")


def test_no_judge_at_all(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=f"plugin {OWNER}, .*Nothing has no method judge"):
        World(tmp_path, type("Nothing", (), {}))


def test_reasons_ties_and_numpys_numbers(tmp_path: Path) -> None:
    given = {"s12": np.float32(0.5), "s21": np.float64(2), "reason": "It is kinder \ud83d.", "tie": True}
    world = World(tmp_path, judge_of(lambda pairs, shown, context: tuple(all_of(pairs, shown, **given))))
    found = world.judging.judge(PAIRS[:1])
    assert found == all_of(PAIRS[:1], BOTH, s12=0.5, s21=2.0, reason="It is kinder ?.", tie=True)
    assert {type(value) for judgment in found for value in (judgment.s12, judgment.s21)} == {float}


# --- calls ---
