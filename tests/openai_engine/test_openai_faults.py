"""Servers in trouble, kills, costs and keys: nothing is lost, nothing asked twice, nothing told."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from openai_engine_server import OpenAIServer
from openai_engine_world import MODEL, engine, prompts, questions, rendered

from salmon_core.api import ModelSpec, Sampling
from salmon_core.calls import still
from salmon_core.errors import ConfigError, SalmonError
from salmon_openai.waiting import asked_for

PROCESS = Path(__file__).with_name("openai_engine_process.py")
KEY = "sk-secret-0123456789"
SAMPLING = Sampling(samples=2, seed=1, max_new_tokens=24)


def sampled(url: str, count: int = 4, sampling: Sampling = SAMPLING, **options: Any) -> list[str]:
    made = engine(url, **options)
    with made.sampler(MODEL) as model:
        return [each.text for each in model.sample(rendered(made, prompts(count)), sampling)]


def start(server: OpenAIServer, cache: Path, count: int, env: dict[str, str] | None = None, **options: Any) -> Any:
    return subprocess.Popen(
        [sys.executable, str(PROCESS), server.url, str(cache), str(count), json.dumps(options)],
        env={**os.environ, "PYTHONPATH": str(PROCESS.parent), **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def kept(cache: Path) -> int:
    try:
        with sqlite3.connect(f"file:{cache}?mode=ro", uri=True) as file:
            return int(file.execute("SELECT count(*) FROM answers").fetchone()[0])
    except sqlite3.Error:
        return 0


def usage(cache: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(cache) as file:
        return file.execute("SELECT model, requests, prompt_tokens, completion_tokens FROM usage").fetchall()


def test_trouble_passes(tmp_path: Path) -> None:
    """Each kind of it once, and all are answered as without."""
    trouble: dict[str, list[str | int]] = {
        "number 0": ["busy"],
        "number 1": [500, "drop"],
        "number 2": ["garbage", 502],
        "number 3": ["half", 504, "slow"],
    }
    with OpenAIServer() as server:
        plain = sampled(server.url)
    with OpenAIServer(trouble=trouble) as server:
        assert sampled(server.url, concurrency=3, timeout=1.5, cache=tmp_path / "a.sqlite") == plain
        assert server.most <= 3
        times = Counter(text for _, text in server.asked)
        assert times.total() == 8 + 8
        # `slow` was answered after all, but too late.
        assert set(server.answered.values()) == {1}
        busy = [(when, text) for when, text in server.asked if "number 0" in text]
        first, second = (when for when, text in busy if times[text] == 2)
        assert second - first >= 1.0
    assert usage(tmp_path / "a.sqlite") == [("served", 8, 80, 40)]


def test_an_http_date_is_waited_for() -> None:
    with OpenAIServer(trouble={"number 0": ["date"]}) as server:
        sampled(server.url, 1, Sampling(samples=1))
        (first, _), (second, _) = server.asked
        assert second - first >= 0.9
    assert asked_for("7") == 7
    assert asked_for("Fri, 31 Dec 1999 23:59:59 GMT") == 0
    assert 3e9 > (asked_for("Fri, 31 Dec 2100 23:59:59 GMT") or 0) > 1e9
    assert [asked_for(text) for text in (None, "", "soon", "nan", "-3")] == [None, None, None, None, 0]


def test_it_gives_up_and_says_so(tmp_path: Path) -> None:
    """What was answered by then is kept."""
    with OpenAIServer(trouble={"number 3": [500] * 9}) as server:
        with pytest.raises(SalmonError, match="after 2 attempts: status 500: something is wrong here") as caught:
            sampled(server.url, attempts=2, concurrency=2, cache=tmp_path / "a.sqlite")
        assert "of prompt p3" in str(caught.value)
        assert kept(tmp_path / "a.sqlite") == server.answered.total() == 6
        server.trouble.clear()
        assert len(sampled(server.url, cache=tmp_path / "a.sqlite")) == 8
        assert set(server.answered.values()) == {1}
    with pytest.raises(SalmonError, match="after 1 attempt: Connect"):
        sampled(server.url, attempts=1)


def test_what_the_endpoint_refuses_is_asked_once(tmp_path: Path) -> None:
    with OpenAIServer() as server:
        made = engine(server.url, extra={"temprature": 2}, concurrency=1)
        with made.sampler(MODEL) as model, pytest.raises(SalmonError, match=r"status 400: unknown keys") as caught:
            model.sample(rendered(made, prompts(3)), SAMPLING)
        assert "`extra`" in str(caught.value)
        with engine(server.url, extra={"temprature": 2}).chooser(MODEL) as chooser, pytest.raises(SalmonError):
            chooser.choose(questions(made, 1), ("a", "b"))
        with (
            engine(server.url).sampler(ModelSpec("other")) as model,
            pytest.raises(SalmonError, match="`other` does not exist") as caught,
        ):
            model.sample(rendered(made, prompts(1)), SAMPLING)
        assert "base_url" in str(caught.value)
    for status, word in ((401, "environment variable"), (403, "may not do this"), (404, "base_url")):
        with OpenAIServer(trouble={"number": [status] * 9}) as server:
            with pytest.raises(SalmonError, match=f"status {status}: something is wrong") as caught:
                sampled(server.url, concurrency=1)
            assert word in str(caught.value)
            assert len(server.asked) == 1


def test_a_killed_process_asks_for_nothing_twice(tmp_path: Path) -> None:
    """Of what was answered nothing is asked again; what was under way is."""
    cache = tmp_path / "kept" / "answers.sqlite"
    with OpenAIServer(hold_after=11) as server:
        process = start(server, cache, 15, concurrency=4)
        deadline = time.monotonic() + 30
        while not (kept(cache) == 11 and server.working == 4):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.wait()
        answered = set(server.answered)
        under_way = {text for _, text in server.asked} - answered
        assert (len(answered), len(under_way)) == (11, 4)
        server.hold_after = None
        server.release.set()
        out, err = start(server, cache, 15, concurrency=4).communicate(timeout=60)
        times = Counter(text for _, text in server.asked)
        assert len(times) == 30, err
        assert server.most == 4
        assert {text for text, count in times.items() if count == 2} == under_way
        # All is known: another process asks nothing, and says the same.
        asked = len(server.asked)
        again, _ = start(server, cache, 15).communicate(timeout=60)
        assert (again, len(server.asked)) == (out, asked)
        assert [each[:2] for each in json.loads(out)] == [[f"p{n}", i] for n in range(15) for i in range(2)]
    assert usage(cache) == [("served", 30, 300, 150)]


def test_equal_requests_are_asked_once() -> None:
    with OpenAIServer() as server, engine(server.url).chooser(MODEL) as model:
        model.choose(questions(engine(server.url), 1, (" Same?\n", " Same?\n", " Other?\n")), ("a", "b"))
        assert len(server.asked) == 3, "one to see whether there are log-probabilities"


def test_the_key_is_sent_and_never_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "answers.sqlite"
    caplog.set_level(logging.DEBUG)
    with OpenAIServer(key=KEY, trouble={"number 1": ["busy"]}) as server:
        monkeypatch.setenv("MY_KEY", KEY)
        sampled(server.url, key_variable="MY_KEY", cache=cache)
        server.key = "another"
        with pytest.raises(SalmonError, match="status 401") as caught:
            sampled(server.url, key_variable="MY_KEY", sampling=Sampling(seed=2))
        assert "[key]" in str(caught.value)
        assert "MY_KEY" in str(caught.value)
        process = start(server, cache, 6, {"MY_KEY": KEY}, key_variable="MY_KEY")
        out, err = process.communicate(timeout=60)
        assert process.returncode == 1
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"served" in files
    assert KEY.encode() not in files
    for told in (out, err, caplog.text, repr(caught.value), str(caught.value.__cause__), caught.value.hint or ""):
        assert KEY not in told


def test_a_key_is_needed_but_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    made = engine("https://api.example.org/v1")
    for ask in (made.sampler, made.chooser, lambda model: made.check(model, "sampler")):
        with pytest.raises(SalmonError, match="NO_SUCH_KEY has no key"):
            ask(MODEL)
    engine("https://api.example.org/v1", key_variable=None).check(MODEL, "sampler")
    for host in ("localhost", "127.0.0.1:8000", "[::1]:8000"):
        engine(f"http://{host}/v1").check(MODEL, "chooser")
    monkeypatch.setenv("NO_SUCH_KEY", "sk secret\x07")
    with pytest.raises(SalmonError, match="spaces or odd characters") as caught:
        made.check(MODEL, "sampler")
    assert "secret" not in str(caught.value)


def test_the_cost_limit_holds_over_restarts(tmp_path: Path) -> None:
    """A request takes 10 and 5 tokens, so it costs 0.02; the fourth exceeds 0.07."""
    money: dict[str, Any] = {"price_in": 1000, "price_out": 2000, "max_cost": 0.07, "cache": tmp_path / "a.sqlite"}
    with OpenAIServer() as server:
        with pytest.raises(SalmonError, match=r"4 requests have cost 0.08, which is over max_cost: 0.07") as caught:
            sampled(server.url, concurrency=1, **money)
        assert "raise max_cost" in str(caught.value)
        assert len(server.asked) == 4
        with pytest.raises(SalmonError, match="over max_cost"):
            sampled(server.url, **money)
        # What is known costs nothing.
        sampled(server.url, 2, **money)
        assert len(server.asked) == 4
        assert len(sampled(server.url, **{**money, "max_cost": 1})) == 8
        assert set(server.answered.values()) == {1}


def test_a_damaged_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_bytes(b"no database, but long enough to look at" * 9)
    with OpenAIServer() as server, pytest.raises(SalmonError, match="the cache of answers cannot be used") as caught:
        sampled(server.url, cache=tmp_path / "a.sqlite")
    assert "a.sqlite" in str(caught.value)


def test_answers_are_signs_of_life() -> None:
    with OpenAIServer() as server:
        time.sleep(0.2)
        before = time.monotonic()
        sampled(server.url, 2)
        assert still()[1] < time.monotonic() - before


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"url": "127.0.0.1:8000"}, "write it as http://HOST:PORT/v1"),
        ({"url": "http://127.0.0.1:9 /v1"}, "is no address"),
        ({"url": f"http://user:{KEY}@host/v1"}, "a key belongs into the environment"),
        ({"api": "completions"}, "needs a `tokenizer`"),
        ({"max_cost": 1}, "needs price_in, price_out, cache"),
        ({"extra": {"stream": True}}, "cannot set stream"),
        ({"api_key": KEY}, "api_key"),
    ],
)
def test_what_cannot_be_is_refused_at_once(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        engine(**{"url": "http://127.0.0.1:9/v1", **options})
    assert KEY not in str(caught.value)


def test_an_adapter_is_refused() -> None:
    with pytest.raises(SalmonError, match="no adapter"):
        engine("http://127.0.0.1:9/v1").sampler(ModelSpec("served", adapter="./adapter"))
