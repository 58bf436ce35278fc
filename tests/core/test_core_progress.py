"""How far the work is: within a shard, with its pace and what is left, in training too."""

from __future__ import annotations

import io
import json
import re
import time
from pathlib import Path
from typing import Any

from core_world import make_folder, salmon
from rich.console import Console

from salmon_core.api import events
from salmon_core.calls import heard, part, within
from salmon_core.cli.console import ConsoleSubscriber
from salmon_core.stages.work import Told


def test_parts_of_parts() -> None:
    found: list[float] = []
    with heard(found.append):
        part(0.1)
        with within(0.5, 1.0):
            part(0.5)
            with within(0.5, 0.75):
                part(1.0)
    part(0.3)  # nobody hears
    assert found == [0.1, 0.75, 0.875, 0.875, 1.0]


def test_within_a_shard(tmp_path: Path) -> None:
    file = tmp_path / "progress.json"
    progress = Told(file, "pairs", 100)
    progress(20)
    time.sleep(0.21)
    with progress.upto(60):
        part(0.5)
        assert json.loads(file.read_text()) == {"done": 40, "total": 100, "what": "pairs"}
        time.sleep(0.21)
        part(0.1)
        assert json.loads(file.read_text())["done"] == 40, "never back"
    time.sleep(0.21)
    progress(60)
    assert json.loads(file.read_text())["done"] == 60


def lines(*shown: events.Event) -> list[str]:
    """Plain lines, with 20 seconds from one event to the next."""
    out, moments = io.StringIO(), [0.0]
    console = Console(file=out, width=120, soft_wrap=True)
    subscriber = ConsoleSubscriber(console, clock=lambda: 1000.0 + moments[0])
    for event in shown:
        subscriber(event)
        moments[0] += 20
    return out.getvalue().splitlines()


def test_pace_and_time_left() -> None:
    def at(done: int, stage: str = "judge") -> events.Progress:
        return events.Progress(run="toy", time=0, stage=stage, done=done, total=100, what="pairs judged")

    started = events.StageStarted(run="toy", time=0, stage="judge", resumed=True)
    found = lines(started, at(40), at(60), at(100))
    assert found == [
        "judge         goes on where it was",
        "judge         40/100 pairs judged",
        "judge         60/100 pairs judged  1/s, 0:40 left",  # what was done before is not counted
        "judge         100/100 pairs judged  1.5/s",
    ]


def test_a_training_says_of_how_many() -> None:
    def step(number: int, total: int | None) -> events.StepLogged:
        return events.StepLogged(run="toy", time=0, stage="train-rm", step=number, values={"loss": 0.5}, total=total)

    assert lines(step(1, 9), step(2, 9), step(5, 9), step(6, None)) == [
        "train-rm      step 1/9 loss 0.5",
        "train-rm      step 2/9 loss 0.5  20 s each, 2:20 left",
        "train-rm      step 5/9 loss 0.5  10 s each, 0:40 left",
        "train-rm      step 6 loss 0.5  12 s each",
    ]


def test_what_is_done_is_said_in_words() -> None:
    def done(stage: str, **metrics: Any) -> events.StageFinished:
        manifest = {"seconds": 2.04, "metrics": metrics}
        return events.StageFinished(run="toy", time=0, stage=stage, skipped=False, manifest=manifest)

    final = {"reward": 3.8213, "kl": 0.1187, "loss": 0.2}
    assert lines(
        done("prompts", train=289, test=41, alike=0, cut=0, dropped=2),
        done("sample", completions=1734, mean_tokens=16.26, stopped=0.9994),
        done("judge", pairs=838, principles=6),
        done("verdict", verdict="good", agreement=0.538, first_shown=0.441, orders=0.998),
        done("verdict", verdict="too few"),
        done("train-rm", steps=677, rows=10827, resumed_from=300, seconds=76.0, final={"accuracy": 0.978}),
        done("train-policy", steps=24, resumed_from=0, explained_variance=-0.25, rows=960, final=final),
        done("evaluate"),
    ) == [
        "prompts       done     2.0 s  289 to train on, 41 held out, 2 left out",
        "sample        done     2.0 s  1734 answers of 16 tokens on average, 99.9% ended by themselves",
        "judge         done     2.0 s  838 pairs by 6 principles",
        "verdict       done     2.0 s  the judge is good, both orders prefer the same in 54%,"
        " the one shown first in 44%",
        "verdict       done     2.0 s  too few prompts to believe the judge",
        "train-rm      done     2.0 s  677 steps on 10827 rows, from step 300 on, accuracy 0.978 at last",
        "train-policy  done     2.0 s  24 steps on 960 rows, reward 3.82 at last, KL 0.119,"
        " the critic explains -25% of the variance",
        "evaluate      done     2.0 s",
    ]


def test_an_engine_is_heard_within_a_shard(tmp_path: Path) -> None:
    """Through a real run: a slow engine, one shard; `events.jsonl` has what was between its beginning and its end."""
    make_folder(tmp_path, judge={"judge": "toy-judge", "principles": "rules.yaml", "engine": "bytes", "shard_size": 99})
    source = (tmp_path / "world.py").read_text()
    place = "        found = []\n        for pair in pairs:\n            requests"
    assert place in source
    slow = place.replace(
        "for pair in pairs:\n",
        "for number, pair in enumerate(pairs):\n            part(number / len(pairs))\n            time.sleep(0.3)\n",
    )
    source = source.replace(place, slow)
    head = "from salmon_core.calls import part\nimport time\n"
    source = source.replace("from salmon_core import", f"{head}from salmon_core import", 1)
    (tmp_path / "world.py").write_text(source)
    done = salmon("run", "salmon.yaml", "--until", "judge", cwd=tmp_path)
    assert done.code == 0, done.text
    told = [json.loads(line) for line in (tmp_path / "runs/toy/events.jsonl").read_text().splitlines()]
    assert re.search(r"^judge +done +[\d.]+ s  9 pairs by \d principles", done.err, re.M), done.err
    counts = [event["done"] for event in told if event["event"] == "Progress" and event["stage"] == "judge"]
    assert counts == sorted(counts)
    assert len(set(counts)) >= 5
    assert counts[-1] == 9
