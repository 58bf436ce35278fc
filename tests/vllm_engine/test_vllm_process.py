"""vLLM's process: that its end is told, and that it never outlives us. With a stand-in for vLLM, in real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from processes import below, until
from vllm_world import engine, model, prompts, requests, standin

from salmon_core.api import Sampling
from salmon_core.calls import heard, still
from salmon_core.errors import SalmonError

SAMPLING = Sampling(temperature=1.0, max_new_tokens=12, samples=2, seed=3)
HOLD = """
import sys, time
sys.path[:0] = {paths!r}
from vllm_world import engine, model
opened = engine(python={python!r}, max_model_len=512, extra={{"trouble": "has workers"}}).sampler(model({path!r}))
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture
def standing(tmp_path: Path, make: Callable[..., Path]) -> Callable[..., Any]:
    """standing(ability, trouble, **options) -> a model opened by the stand-in."""

    def opened(ability: str = "sampler", trouble: str = "", **options: Any) -> Any:
        made = engine(python=standin(tmp_path), max_model_len=512, extra={"trouble": trouble}, **options)
        return getattr(made, ability)(model(make(reward=ability == "scorer")))

    return opened


def test_samples_choices_and_scores_come_in_order(standing: Callable[..., Any]) -> None:
    """Whatever vLLM prints meanwhile; and closing leaves no process."""
    before = below()
    with standing() as opened:
        found = opened.sample(prompts(3), SAMPLING)
        again = opened.sample(prompts(3)[::-1], SAMPLING)
    assert [(each.prompt_id, each.index) for each in found] == [(f"p{n}", i) for n in range(3) for i in range(2)]
    assert sorted(found, key=str) == sorted(again, key=str)
    assert len({each.text for each in found}) == 6
    with standing("chooser") as opened:
        pairs = opened.choose(requests(3), ("a", "b"))
    assert [len(row) for row in pairs] == [3, 3, 3]
    assert len({value for row in pairs for pair in row for value in pair}) == 18
    with standing("scorer") as opened:
        assert len({value for row in opened.score(requests(3)) for value in row}) == 9
        opened.close()
        with pytest.raises(SalmonError, match="was closed"):
            opened.score(requests(1))
    assert below() == before


def test_a_stop_string_cuts_and_ends(standing: Callable[..., Any]) -> None:
    with standing() as opened:
        whole = opened.sample(prompts(3), SAMPLING)
        stop = next(letter for letter in whole[0].text[1:] if letter.isascii())
        cut = opened.sample(prompts(3), Sampling(1.0, 1.0, 12, 2, (stop,), 3))
        # What was enough of one question is none of the next one's business.
        assert opened.sample(prompts(3), SAMPLING) == whole
    assert [each.text for each in cut] == [each.text.partition(stop)[0] for each in whole]
    shorter = [len(each.token_ids) < len(one.token_ids) for each, one in zip(cut, whole, strict=True)]
    assert any(shorter)
    assert all(each.stopped for each, less in zip(cut, shorter, strict=True) if less)


def test_progress_is_told_while_it_works(standing: Callable[..., Any]) -> None:
    shares: list[float] = []
    with standing(trouble="slow") as opened, heard(shares.append):
        before = time.monotonic()
        opened.sample(prompts(2), SAMPLING)
        assert still()[1] < 1
    assert time.monotonic() - before > 3
    assert shares[-1] == 1.0
    assert sorted(shares) == shares


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        ("refuses", "vLLM refuses: no such architecture"),
        ("dies at once", "was ended by signal 9; its output ends with:(.|\n)*out of memory"),
        ("never ready", "was not ready within 3 s; its output ends with:(.|\n)*INFO loading"),
    ],
)
def test_what_keeps_it_from_starting_is_told(standing: Callable[..., Any], trouble: str, why: str) -> None:
    before = below()
    with pytest.raises(SalmonError, match=why) as caught:
        standing(trouble=trouble, start_timeout=3)
    assert caught.value.where
    assert caught.value.hint
    assert below() == before


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        ("dies at work", "ended by signal 11(.|\n)*Segmentation fault"),
        ("raises at work", "refuses: CUDA out of memory"),
    ],
)
def test_its_death_at_work_is_told(standing: Callable[..., Any], trouble: str, why: str) -> None:
    with standing(trouble=trouble) as opened:
        with pytest.raises(SalmonError, match=why):
            opened.sample(prompts(2), SAMPLING)
        with pytest.raises(SalmonError, match="vLLM's process"):
            opened.sample(prompts(2), SAMPLING)


def test_it_can_be_killed_from_outside(standing: Callable[..., Any]) -> None:
    with standing(trouble="slow") as opened:
        (child,) = [each for each in below() if "child.py" in " ".join(each.cmdline()) and each.children() == []][-1:]
        child.kill()
        with pytest.raises(SalmonError, match="ended by signal 9"):
            opened.sample(prompts(2), SAMPLING)


def test_nothing_outlives_a_killed_process(tmp_path: Path, make: Callable[..., Path]) -> None:
    """Neither vLLM's process nor one that it started."""
    here = Path(__file__).parent
    code = HOLD.format(paths=[str(here), str(here.parent)], python=standin(tmp_path), path=str(make()))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ})
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"

    def worker() -> bool:  # forked already, it may not have its own command line yet
        return any("a-vllm-worker" in " ".join(each.cmdline()) for each in below(process.pid))

    until(worker)
    started = below(process.pid)
    process.kill()
    process.wait()
    until(lambda: not any(map(_lives, started)))


def _lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_long_path_of_temporary_files_is_no_hindrance(
    standing: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Unix socket takes about a hundred bytes."""
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with standing("chooser") as opened:
        assert len(opened.choose(requests(1), ("a", "b"))[0]) == 3
    assert not list(long.iterdir())
