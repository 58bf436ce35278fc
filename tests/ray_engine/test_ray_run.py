"""A run by the command line whose policy and judge are in pools, of which workers are killed on the way."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from processes import below, lives, until
from ray_world import title

pytest.importorskip("salmon_ray")
pytestmark = pytest.mark.slow
SALMON = Path(sys.executable).parent / "salmon"
RULES = """\
name: rules
principles:
  - {name: short, text: The answer is short., negated: The answer is long.}
  - {name: kind, text: The answer is kind., negated: The answer is harsh.}
"""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "COLUMNS": "200", "SALMON_QUICK": "1"}
#: of judging, single texts: a piece's end cuts no batch in two, so that even last bits are those of one process
INNER = {"batch_tokens": 1}


def configuration(folder: Path, policy: Path, name: str, engine: dict[str, Any]) -> list[str]:
    values = {
        "run": {"name": name, "seed": 3},
        "policy": {"model": str(policy), "dtype": "float32", "device": "cpu"},
        "prompts": "prompts.jsonl",
        "sample": {"engine": engine, "max_new_tokens": 96, "shard_size": 40, "batch_size": 4},
        "judge": {"engine": engine, "principles": "rules.yaml", "shard_size": 40},
        "reward": {"principles": "rules.yaml", "engine": "transformers"},
        "train": {"backend": "trl", "algorithm": "grpo"},
    }
    (folder / "rules.yaml").write_text(RULES)
    lines = [json.dumps({"id": f"p{n}", "prompt": f"Question {n}{' and' * (n % 5)}?"}) for n in range(80)]
    (folder / "prompts.jsonl").write_text("\n".join(lines))
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return [str(SALMON), "run", f"{name}.yaml", "--until", "judge"]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.parquet"))}


def workers_of(pid: int) -> list[psutil.Process]:
    """Workers, below a process."""
    return [each for each in below(pid) if title(each).startswith("ray::Worker")]


def progress(run: Path, stage: str) -> bool:
    """Whether the stage has done some of its work, and has some left."""
    with contextlib.suppress(OSError, ValueError):
        told = json.loads((run / stage / "progress.json").read_text())
        return 0 < told["done"] < told["total"]
    return False


def killed_itself(argv: list[str], folder: Path, env: dict[str, str]) -> None:
    """The same run, ended by SIGKILL while workers start: nothing of it is left."""
    with subprocess.Popen(argv, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until(lambda: workers_of(process.pid), 60)
        started = below(process.pid)
        process.kill()
    until(lambda: not any(map(lives, started)), 30)


def test_files_are_those_of_one_process_though_workers_are_killed(tmp_path: Path, folders: dict[bool, Path]) -> None:
    env = {**os.environ, **ENVIRONMENT}
    plain = configuration(tmp_path, folders[False], "plain", {"name": "transformers", **INNER})
    done = subprocess.run(plain, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    pooled = {"name": "ray", "engine": "transformers", "options": INNER, "workers": 2, "chunk": 4}
    argv = configuration(tmp_path, folders[False], "pooled", pooled)
    run, log = tmp_path / "runs" / "pooled", tmp_path / "log.txt"
    started: dict[int, psutil.Process] = {}
    killed: list[str] = []
    killed_itself(argv, tmp_path, env)
    with log.open("wb") as output:
        process = subprocess.Popen(argv, cwd=tmp_path, env=env, stdout=output, stderr=output)
        try:
            for stage in ("sample", "judge"):
                deadline = time.monotonic() + 90
                while stage not in killed:
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < deadline, log.read_text()
                    workers = workers_of(process.pid) if progress(run, stage) else []
                    if workers:
                        started.update((each.pid, each) for each in below(process.pid))
                        for each in workers:  # by SIGKILL; a single one might have nothing to do yet
                            each.kill()
                        killed.append(stage)
                    time.sleep(0.005)
            assert process.wait(120) == 0, log.read_text()
        finally:
            for each in below(process.pid):
                with contextlib.suppress(psutil.Error):
                    each.kill()
            process.kill()
            process.wait()
    assert killed == ["sample", "judge"]
    for stage in ("sample", "judge"):
        assert "its piece of work is done again" in (run / stage / "log.txt").read_text()
        found, wanted = files(run / stage), files(tmp_path / "runs" / "plain" / stage)
        assert len(found) == 2
        assert found == wanted, stage
    until(lambda: not any(map(lives, started.values())))
    # What changes no result leaves all as it is.
    more = ["--set", "sample.engine.workers=1", "--set", "judge.engine.attempts=5"]
    again = subprocess.run(
        [*argv, *more], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=True
    )
    assert (again.stdout + again.stderr).count("already done") >= 3
