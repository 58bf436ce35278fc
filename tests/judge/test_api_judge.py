"""A judge of thirty lines that asks an HTTP API: an installed plugin, a real server, a real kill."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from judge_server import JudgeServer

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent / "fixtures" / "plugins" / "salmon-api-judge"
PROMPTS = [f"p{number}-{number % 3}" for number in range(9)]
#: pairs, principles, orders
ALL = len(PROMPTS) * 2 * 2


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plugin, built by hatchling and installed by pip."""
    folder = tmp_path_factory.mktemp("installed")
    shutil.copytree(SOURCE, folder / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-compile"]
    done = subprocess.run(
        [*pip, "--disable-pip-version-check", "--target", str(folder / "site"), str(folder / "source")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


def start(
    site: Path, url: str, cache: Path, prompts: list[str] = PROMPTS, *, concurrency: int = 4
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(HERE / "api_judge_process.py"), url, str(cache), str(concurrency), json.dumps(prompts)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def judged(site: Path, url: str, cache: Path, **options: Any) -> list[dict[str, Any]]:
    process = start(site, url, cache, **options)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    found: list[dict[str, Any]] = json.loads(out)
    return found


def expected(prompts: list[str] = PROMPTS) -> list[dict[str, Any]]:
    """By hand: completion 1 is longer by the last digit."""
    return [
        {
            "pair_id": f"{name}/0-1",
            "principle": principle,
            "s12": float(name[-1]),
            "s21": float(name[-1]),
            "reason": f"By {name[-1]} characters, says 'Is {principle}.'",
            "tie": name[-1] == "0",
            "mean": False,
            "answers": 0,
            "unread": 0,
        }
        for name in prompts
        for principle in ("kind", "clear")
    ]


def test_it_is_short_and_needs_no_private_name() -> None:
    text = (SOURCE / "salmon_api_judge" / "__init__.py").read_text()
    judge = text[text.index("class ApiJudge") : text.index("@hookimpl")].splitlines()
    assert sum(bool(line.strip()) for line in judge) <= 30
    imported = [line for line in text.splitlines() if "import" in line and "salmon_core" in line]
    assert {line.split()[1] for line in imported} == {"salmon_core", "salmon_core.api", "salmon_core.records"}


def test_answers_through_a_busy_server_and_a_dropped_connection(site: Path, tmp_path: Path) -> None:
    """Judgments as by hand, no more at once than asked for, and no sooner than the server said."""
    with JudgeServer(busy=(PROMPTS[2],), drop=(PROMPTS[5],)) as server:
        assert judged(site, server.url, tmp_path / "run" / "answers.sqlite") == expected()
        assert server.most == 4
        assert set(server.answered.values()) == {1}
        assert len(server.answered) == ALL
        assert len(server.asked) == ALL + 2
        again = [text for text, count in Counter(text for _, text in server.asked).items() if count == 2]
        assert sorted(json.loads(text)["prompt"] for text in again) == [PROMPTS[2], PROMPTS[5]]
        first, second = server.times(next(text for text in again if PROMPTS[2] in text))
        assert second - first >= 1.0


def test_what_is_answered_is_never_asked_again(site: Path, tmp_path: Path) -> None:
    """Killed in the middle: of what was answered nothing is asked again; what was under way is."""
    cache = tmp_path / "answers.sqlite"
    with JudgeServer(hold_after=10) as server:
        process = start(site, server.url, cache)
        until(lambda: kept(cache) == 10 and server.working == 4)
        process.kill()
        process.wait()
        answered = set(server.answered)
        under_way = {text for _, text in server.asked} - answered
        assert (len(answered), len(under_way)) == (10, 4)
        server.hold_after = None
        server.release.set()
        assert judged(site, server.url, cache) == expected()
        times = Counter(text for _, text in server.asked)
        assert len(times) == ALL
        assert answered.isdisjoint(under_way)
        assert {text for text, count in times.items() if count == 2} == under_way
        # All is known: another process asks nothing, even with no server to ask.
        asked = len(server.asked)
        assert judged(site, server.url, cache) == expected()
        assert len(server.asked) == asked
    assert judged(site, server.url, cache) == expected()


def test_equal_requests_at_the_same_time_are_made_once(site: Path, tmp_path: Path) -> None:
    twice = [PROMPTS[1], PROMPTS[1], PROMPTS[2], PROMPTS[1]]
    with JudgeServer() as server:
        assert judged(site, server.url, tmp_path / "a", prompts=twice, concurrency=8) == expected(twice)
        assert len(server.asked) == 2 * 2 * 2


def test_many_at_once(site: Path, tmp_path: Path) -> None:
    """As many as `concurrency` says, although threads make the calls and this machine has few processors."""
    with JudgeServer(hold_after=0) as server:
        process = start(site, server.url, tmp_path / "a", concurrency=30)
        until(lambda: server.working == 30)
        time.sleep(0.3)
        assert (server.working, len(server.asked)) == (30, 30)
        server.hold_after = None
        server.release.set()
        out, err = process.communicate(timeout=60)
        assert json.loads(out) == expected(), err
        assert (server.most, len(server.asked)) == (30, ALL)


def test_failures_name_the_plugin(site: Path, tmp_path: Path) -> None:
    with JudgeServer() as server:
        process = start(site, server.url, tmp_path / "a", [*PROMPTS[:2], "forbidden-1"])
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith("plugin salmon-api-judge, judge 'api': HTTPError: HTTP Error 400: Bad Request (at ")


def kept(cache: Path) -> int:
    """Answers on the disk, as another process sees them."""
    if not cache.exists():
        return 0
    connection = sqlite3.connect(cache)
    try:
        return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # not made yet
    finally:
        connection.close()


def until(condition: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)
