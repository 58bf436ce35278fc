"""How judges call APIs: again where that may help, not more at once than asked for, and nothing twice."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from judge_world import pair
from judging_world import BOTH, OWNER, PAIRS, World, all_of, judge_of

from salmon_core import PluginError, SalmonError, StageError
from salmon_core.api import (
    Judge,
    JudgeContext,
    Principle,
    TryAgain,
)
from salmon_core.records import Judgment, Pair


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
