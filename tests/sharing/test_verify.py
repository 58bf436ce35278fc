"""`salmon verify`: servers, folders of reward models and recorded rewards, equal and not."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from core_world import SALMON, environment, make_folder, salmon
from sharing_world import rollouts, write_lines

pytestmark = pytest.mark.slow

QUESTIONS = [
    {
        "prompt": f"Question {n}?",
        "completion": "the tree " * n,
        "principles": [{"name": "kind", "text": "Be kind.", "negated": False}],
    }
    for n in range(5)
]


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the world in `tests/core`, with an intervention and a bonus."""
    folder = tmp_path_factory.mktemp("toy")
    interventions = [{"principle": "short", "text": "Keep it short.", "from_rollout": 2}]
    reward = {"principles": "rules.yaml", "show": 1, "engine": "bytes", "bonuses": ["letters"]}
    make_folder(folder, reward={**reward, "interventions": interventions})
    done = salmon("run", "salmon.yaml", cwd=folder, timeout=600)
    assert done.code == 0, done.text
    return folder


@contextmanager
def serving(folder: Path, ready: Path, *words: str) -> Iterator[None]:
    """A real `salmon serve`, until the block ends."""
    argv = [str(SALMON), "serve", *words, "--ready-file", str(ready)]
    with ready.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(argv, cwd=folder, env=environment(), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 300
        while not ready.exists():
            assert process.poll() is None, ready.with_suffix(".log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(60)


def scored(folder: Path, rows: list[dict[str, Any]], target: Path) -> Path:
    """The rows with the rewards that `salmon score` gives them, as a trainer would record them."""
    plain = write_lines(target.with_suffix(".plain.jsonl"), rows)
    done = salmon("score", next((folder / "runs").iterdir()), plain, cwd=folder, timeout=600)
    assert done.code == 0, done.text
    found = [json.loads(line) for line in done.out.splitlines()]
    recorded = [
        {**row, "reward": each["total"], "components": each["components"]}
        for row, each in zip(rows, found, strict=True)
    ]
    return write_lines(target, recorded)


def verify(folder: Path, *words: str | Path, env: dict[str, str] | None = None) -> Any:
    return salmon("verify", *words, cwd=folder, env=env, timeout=600)


def test_a_server_gives_the_same(toy: Path, tmp_path: Path) -> None:
    """By its ready file and by its address; with interventions in force for some rollouts."""
    rows = [{**row, "rollout_index": n} for n, row in enumerate(QUESTIONS)]
    file = write_lines(tmp_path / "rows.jsonl", rows)
    ready = tmp_path / "ready.json"
    with serving(toy, ready, "runs/toy"):
        done = verify(toy, ready, file, "--run", "runs/toy")
        assert done.code == 0, done.text
        assert "5 rollouts: the server at http://127.0.0.1:" in done.out
        assert "compared: total, rm, letters" in done.out
        assert "the same to 1e-05" in done.out
        server = json.loads(ready.read_text())
        named = verify(
            toy, server["url"], file, "--run", "runs/toy", env=environment(SALMON_SERVE_TOKEN=server["token"])
        )
        assert named.code == 0, named.text
        assert server["token"] not in named.text
        wrong = verify(toy, server["url"], file, "--run", "runs/toy", env=environment(SALMON_SERVE_TOKEN="no"))
        assert wrong.code == 1
        assert "HTTP 401" in wrong.err
        without = verify(toy, server["url"], file, "--run", "runs/toy")
        assert without.code == 1
        assert "there is no token for this server" in without.err


def test_a_server_with_another_reward_differs(toy: Path, tmp_path: Path) -> None:
    """The weight of a bonus: the rows with most of what it counts differ most."""
    file = write_lines(tmp_path / "rows.jsonl", QUESTIONS)
    ready = tmp_path / "ready.json"
    with serving(toy, ready, "salmon.yaml", "--set", "reward.bonuses=[{name: letters, weight: 3}]"):
        done = verify(toy, ready, file, "--run", "runs/toy")
        assert done.code == 1, done.text
        assert f"{file}: line 5" in done.out
        assert "4 of 5 differ by more than 1e-05" in done.out
        asked = verify(toy, ready, file, "--run", "runs/toy", "--tolerance", "1000", "--json")
        assert asked.code == 0, asked.text
        verdict = json.loads(asked.out)
        assert verdict["same"]
        assert verdict["largest"]["size"] == pytest.approx(2 * "the tree the tree the tree the tree ".count("e"))


def test_what_a_trainer_recorded(toy: Path, tmp_path: Path) -> None:
    """The toy trainer writes down rewards of its own making; `salmon score`'s are the run's."""
    done = verify(toy, "runs/toy", "runs/toy/train-policy")
    assert done.code == 1
    assert "4 of 4 differ" in done.out
    file = scored(toy, QUESTIONS, tmp_path / "rows.jsonl")
    assert verify(toy, "runs/toy", file).code == 0
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows[3]["components"]["letters"] += 1e-4
    done = verify(toy, "runs/toy", write_lines(file, rows))
    assert done.code == 1
    assert "largest difference: 0.0001 in letters" in done.out
    assert "line 4" in done.out
    assert verify(toy, "runs/toy", file, "--limit", "3").code == 0


def test_a_reward_models_folder(tiny: Path, model: Path, tmp_path: Path) -> None:
    """Without the run against what is recorded, with it against what it computes: the weight of the model is its."""
    file = scored(tiny, rollouts(), tmp_path / "rows.jsonl")
    done = verify(tmp_path, model, file, "--run", tiny / "runs" / "tiny")
    assert done.code == 0, done.text
    assert f"{len(rollouts())} rollouts: the reward model in {model}" in done.out
    assert "compared: rm\n" in done.out
    weighted = verify(tmp_path, model, file)
    assert weighted.code == 1  # recorded components are weighted, by 2 here
    assert verify(tmp_path, tiny / "runs" / "tiny", file).code == 0


@pytest.mark.parametrize(
    ("target", "row", "says"),
    [
        ("nothing", QUESTIONS[0], "nothing: there is no such thing"),
        ("runs", QUESTIONS[0], "there is no run in this folder"),
        ("salmon.yaml", QUESTIONS[0], "is no ready file of a reward server"),
        ("http://127.0.0.1:9", QUESTIONS[0], "there is no token for this server"),
        ("runs/toy", QUESTIONS[0], "has no recorded reward to compare with (name a run: --run FOLDER)"),
        ("runs/toy", {**QUESTIONS[0], "reward": "much"}, "columns reward and components: are no numbers"),
        ("runs/toy", {**QUESTIONS[0], "reward": 1.0, "components": [1]}, "are no numbers"),
        ("runs/toy", {**QUESTIONS[0], "reward": 1.0, "rollout_index": -1}, "column rollout_index"),
        ("runs/toy", {"prompt": "a"}, "column completion: is required"),
    ],
)
def test_what_cannot_be_compared(target: str, row: dict[str, Any], says: str, toy: Path, tmp_path: Path) -> None:
    done = verify(toy, target, write_lines(tmp_path / "rows.jsonl", [row]))
    assert done.code == 1
    assert says in done.err
    assert "Traceback" not in done.text


def test_no_rollouts(toy: Path, tmp_path: Path) -> None:
    done = verify(toy, "runs/toy", tmp_path)
    assert done.code == 1
    assert "has no rollouts/part-*.parquet" in done.err
