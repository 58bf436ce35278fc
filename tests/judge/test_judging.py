"""What a judge is given, and what is refused of what it gives back."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from judge_world import pair, principles

from salmon_core import Component, PluginError, SalmonError, StageError, hookimpl
from salmon_core.api import (
    Ability,
    Chooser,
    ComponentSpec,
    Judge,
    JudgeContext,
    Limits,
    OpenModel,
    PrefixRequest,
    Principle,
    Sampler,
    Sampling,
    TokenCodec,
    TryAgain,
)
from salmon_core.records import Completion, Judgment, Message, Pair, Prompt
from salmon_core.run.judging import Judging
from salmon_core.testing import registry_of
from salmon_judge.template import STANDARD

PAIRS = [pair(name) for name in ("p", "q", "r")]
BOTH = principles("kind", "clear")
OWNER = "judge_of_the_test"


class Bytes:
    """A tokenizer: a byte is a token."""

    eos_token, eos_id, bos_token, special_tokens, max_length = "<eos>", 256, None, ("<eos>",), None

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        return bytes(ids).decode(errors="replace")

    def chat(self, messages: Sequence[Message]) -> str:
        return messages[-1]["content"]


class _Model(OpenModel):
    def __init__(self, log: list[str]):
        self.log = log

    @property
    def codec(self) -> TokenCodec:
        return Bytes()

    def close(self) -> None:
        self.log.append(f"close {type(self).__name__.lower()}")


class Choosing(_Model, Chooser):
    """Prefers the text shown first by the length of the whole prefix."""

    def choose(self, requests: Sequence[PrefixRequest], choices: tuple[str, str]) -> list[list[tuple[float, float]]]:
        assert choices == ("a", "b")
        return [[(float(len(request.prefix)), 0.0) for _ in request.suffixes] for request in requests]


class Sampled(_Model, Sampler):
    """Answers with the prompt."""

    def sample(self, prompts: Sequence[tuple[Prompt, str]], sampling: Sampling) -> list[Completion]:
        return [Completion(prompt.id, 0, text, (), 1, True) for prompt, text in prompts]


class World:
    """A plugin with one judge, and all that Judging needs."""

    def __init__(self, folder: Path, judge: Any, options: Mapping[str, str] | None = None, **changes: Any):
        self.log: list[str] = []
        self.cache = folder / "cache" / "answers.sqlite"
        component = Component("own", judge, "for a test")

        @hookimpl
        def salmon_judges() -> list[Component]:
            return [component]

        module = ModuleType(OWNER)
        module.salmon_judges = salmon_judges  # type: ignore[attr-defined]
        options = options or {}
        values: dict[str, Any] = {
            "judge": ComponentSpec("judges", "own", OWNER, options, tuple(options.values())),
            "registry": registry_of(module),
            "principles": BOTH,
            "template": STANDARD,
            "limits": Limits(total=4096),
            "seed": 7,
            "open_model": self.open_model,
            "codecs": self.codecs,
            "cache": self.cache,
            "concurrency": 2,
            "attempts": 2,
        }
        self.judging = Judging(**{**values, **changes})

    def open_model(self, ability: Ability) -> OpenModel:
        self.log.append(f"open {ability}")
        return {"chooser": Choosing, "sampler": Sampled}[ability](self.log)

    def codecs(self) -> tuple[TokenCodec, ...]:
        self.log.append("codecs")
        return ()


def all_of(pairs: Sequence[Pair], shown: Sequence[Principle], **values: Any) -> list[Judgment]:
    own = {"s12": 1.0, "s21": 1.0, **values}
    return [Judgment(each.id, principle.name, **own) for each in pairs for principle in shown]


def judge_of(function: Callable[..., Any]) -> type[Judge]:
    """A judge with this method."""
    return type("Own", (Judge,), {"judge": lambda self, *given: function(*given)})


# --- models ---


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
            "returned 5 judgments, not 6: one for each of 3 pairs under each of 2 principles",
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


def asking(action: Callable[[], Any], *, request: Any = None) -> type[Judge]:
    """A judge whose scores are the answers to one call for each pair and principle."""

    async def judge(pairs: Sequence[Pair], shown: Sequence[Principle], context: JudgeContext) -> list[Judgment]:
        async def one(each: Pair, principle: Principle) -> Judgment:
            asked = {"pair": each.id, "by": principle.text} if request is None else request
            score = await context.call(asked, action)
            return Judgment(each.id, principle.name, score, score)

        return list(await asyncio.gather(*(one(each, principle) for each in pairs for principle in shown)))

    return judge_of(judge)


class Api:
    """An API within the process: fails first as often as it is told, then answers."""

    def __init__(self, *failures: Exception, answer: Any = 2.0):
        self.failures, self.answer, self.calls = list(failures), answer, 0

    async def __call__(self) -> Any:
        self.calls += 1
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        return self.answer


@pytest.mark.parametrize("failure", [TryAgain("busy", after=0.0), TimeoutError(), ConnectionResetError("reset")])
def test_what_may_pass_is_tried_again(tmp_path: Path, failure: Exception) -> None:
    api = Api(failure)
    with World(tmp_path, asking(api)).judging as judging:
        assert judging.judge(PAIRS) == all_of(PAIRS, BOTH, s12=2.0, s21=2.0)
    assert api.calls == 7


def test_what_does_not_pass(tmp_path: Path) -> None:
    """Answers that came before are kept."""
    api = Api(*[TryAgain("busy", after=0.0)] * 100)
    with World(tmp_path, asking(api)).judging as judging:
        with pytest.raises(StageError) as error:
            judging.judge(PAIRS)
        assert str(error.value) == (
            f"plugin {OWNER}, judge 'own': gave up after 2 attempts: TryAgain: busy (run again later: answers so far"
            " are kept; or raise judge.attempts, or lower judge.concurrency)"
        )
        api.failures = []
        assert judging.judge(PAIRS[:1]) == all_of(PAIRS[:1], BOTH, s12=2.0, s21=2.0)
    api.failures = [ValueError("no such model")]
    with (
        World(tmp_path, asking(api)).judging as judging,
        pytest.raises(PluginError, match=f"plugin {OWNER}, judge 'own': ValueError: no such model"),
    ):
        judging.judge(PAIRS)
    calls = api.calls
    with World(tmp_path, asking(api)).judging as judging:
        judging.judge(PAIRS[:1])
    assert api.calls == calls


def test_a_task_group_says_what_went_wrong_in_it(tmp_path: Path) -> None:
    async def judge(pairs: Sequence[Pair], shown: Sequence[Principle], context: JudgeContext) -> list[Judgment]:
        async with asyncio.TaskGroup() as group:
            for each in pairs:
                group.create_task(context.call({"pair": each.id}, Api(*[TryAgain("busy", after=0.0)] * 2)))
        return all_of(pairs, shown)

    with World(tmp_path, judge_of(judge)).judging as judging, pytest.raises(StageError, match="gave up after 2"):
        judging.judge(PAIRS)


def test_of_several_failures_the_one_that_says_what_to_do(tmp_path: Path) -> None:
    def judge(*given: Any) -> None:
        inner = ExceptionGroup("inner", [StageError("no credit is left", hint="pay")])
        raise ExceptionGroup("outer", [ValueError("first"), inner])

    with World(tmp_path, judge_of(judge)).judging as judging, pytest.raises(StageError, match="no credit is left"):
        judging.judge(PAIRS)


def test_after_a_failure_nothing_goes_on(tmp_path: Path) -> None:
    begun = ended = 0

    async def action() -> float:
        nonlocal begun, ended
        begun += 1
        try:
            if begun == 3:
                raise ValueError("no")
            await asyncio.sleep(60)
        finally:
            ended += 1
        return 1.0

    with World(tmp_path, asking(action), concurrency=3).judging as judging:
        with pytest.raises(PluginError, match="ValueError: no"):
            judging.judge(PAIRS)
        assert begun == ended < 6


def test_the_server_says_how_long(tmp_path: Path) -> None:
    """Two waits of 0.3 seconds at least, although the own first wait may be shorter; nothing else is slowed down."""
    times: list[float] = []

    async def action() -> float:
        times.append(asyncio.get_running_loop().time())
        if len(times) < 3:
            raise TryAgain(after=0.3)
        return 1.0

    with World(tmp_path, asking(action), principles=BOTH[:1], attempts=3).judging as judging:
        judging.judge(PAIRS[:1])
    assert [round(later - earlier, 2) >= 0.3 for earlier, later in pairwise(times)] == [True, True]


def test_no_more_at_once_than_asked_for(tmp_path: Path) -> None:
    now = most = 0

    async def action() -> float:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        await asyncio.sleep(0.01)
        now -= 1
        return 1.0

    many = [pair(f"m{number}") for number in range(20)]
    with World(tmp_path, asking(action), concurrency=3).judging as judging:
        judging.judge(many)
    assert most == 3


def test_a_judge_may_keep_its_loop_or_run_its_own(tmp_path: Path) -> None:
    """Shard after shard: connections of an `async` judge stay usable; one that is not may call `asyncio.run`."""
    loops = set()

    async def action() -> float:
        loops.add(asyncio.get_running_loop())
        await asyncio.sleep(0.001)
        return 1.0

    with World(tmp_path / "a", asking(action)).judging as judging:
        judging.judge(PAIRS[:2])
        judging.judge(PAIRS[2:])
    assert len(loops) == 1
    inner = asking(action)()
    own = judge_of(lambda *given: asyncio.run(inner.judge(*given)))  # type: ignore[arg-type]
    with World(tmp_path / "b", own, concurrency=1).judging as judging:
        judging.judge(PAIRS[:2])
        judging.judge(PAIRS[2:])
    assert len(loops) == 3


# --- the cache ---


def test_answers_are_the_same_whether_new_or_known(tmp_path: Path) -> None:
    """JSON has no tuples, so a judge sees lists from the first time on; it has halves of characters, as servers do."""
    seen: list[Any] = []

    async def judge(pairs: Sequence[Pair], shown: Sequence[Principle], context: JudgeContext) -> list[Judgment]:
        seen.append(await context.call({"x": 1}, Api(answer={"logits": (1.5, "é\ud83d")})))
        seen.append(await context.call({"nothing": 1}, Api(answer=None)))
        return all_of(pairs, shown)

    for _ in range(2):
        with World(tmp_path, judge_of(judge)).judging as judging:
            judging.judge(PAIRS)
    assert seen == [{"logits": [1.5, "é\ud83d"]}, None] * 2


def test_keys_are_the_request_the_judge_and_its_options(tmp_path: Path) -> None:
    api, rules = Api(), tmp_path / "rules.txt"

    def calls(request: Any, *, rules: Path | None = None, **changes: Any) -> int:
        judge, before = asking(api, request=request), api.calls
        judge.__init__ = lambda self, rules=None: None  # type: ignore[method-assign,misc,assignment]
        world = World(tmp_path, judge, options={} if rules is None else {"rules": str(rules)}, **changes)
        with world.judging as judging:
            judging.judge(PAIRS)
        return api.calls - before

    assert calls({"a": 1, "b": [2, None]}) == 1
    assert calls({"b": [2, None], "a": 1}) == 0
    assert calls({"a": 1, "b": [2]}) == 1
    assert calls({"a": 1, "b": [2]}, seed=8, concurrency=1) == 0
    # A file among the options counts by its content, wherever it lies.
    rules.write_text("one")
    assert [calls({"a": 1}, rules=rules), calls({"a": 1}, rules=rules)] == [1, 0]
    moved = rules.rename(tmp_path / "moved.txt")
    assert calls({"a": 1}, rules=moved) == 0
    moved.write_text("two")
    assert calls({"a": 1}, rules=moved) == 1


@pytest.mark.parametrize(
    ("request_", "answer", "message"),
    [
        ({"x": object()}, 1.0, "TypeError: Object of type object is not JSON serializable"),
        ({"x": 1}, object(), "TypeError: Object of type object is not JSON serializable"),
        ({"x": 1}, float("nan"), "ValueError: Out of range float values are not JSON compliant"),
    ],
)
def test_what_is_not_json(tmp_path: Path, request_: Any, answer: Any, message: str) -> None:
    with (
        World(tmp_path, asking(Api(answer=answer), request=request_)).judging as judging,
        pytest.raises(PluginError, match=f"plugin {OWNER}, judge 'own': {message}"),
    ):
        judging.judge(PAIRS)


def test_the_file_of_answers(tmp_path: Path) -> None:
    """One SQLite file of JSON texts, closed with the rest; a damaged one is said to be."""
    world = World(tmp_path, asking(Api(answer=2.5)))
    with world.judging as judging:
        judging.judge(PAIRS)
    assert [path.name for path in world.cache.parent.iterdir()] == ["answers.sqlite"]
    connection = sqlite3.connect(world.cache)
    rows = connection.execute("SELECT key, answer FROM answers").fetchall()
    connection.close()
    assert len(rows) == 6
    assert {(len(key), json.loads(answer)) for key, answer in rows} == {(64, 2.5)}
    world.cache.write_bytes(b"no data base at all " * 100)
    with (
        World(tmp_path, asking(Api())).judging as judging,
        pytest.raises(SalmonError, match=r"answers.sqlite: the cache of answers cannot be used: .* move it away"),
    ):
        judging.judge(PAIRS)
