"""A run whose policy and judge are in the real vLLM, by the command line, killed on its way."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
import yaml
from processes import below, until
from vllm_world import QUICK

pytestmark = [pytest.mark.vllm, pytest.mark.slow]
SALMON = Path(sys.executable).parent / "salmon"
RULES = """\
name: rules
principles:
  - {name: short, text: The answer is short., negated: The answer is long.}
  - {name: kind, text: The answer is kind., negated: The answer is harsh.}
"""
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "COLUMNS": "200", "SALMON_QUICK": "1"}


def configuration(folder: Path, policy: Path) -> None:
    chosen = {"name": "vllm", **QUICK}
    values = {
        "run": {"name": "near", "seed": 3},
        "policy": {"model": str(policy), "dtype": "float32"},
        "prompts": "prompts.jsonl",
        "sample": {"engine": chosen, "max_new_tokens": 16, "shard_size": 4},
        "judge": {"engine": chosen, "principles": "rules.yaml", "shard_size": 4},
        "reward": {"principles": "rules.yaml", "engine": "transformers"},
        "train": {"backend": "trl", "algorithm": "grpo"},
    }
    (folder / "rules.yaml").write_text(RULES)
    lines = [json.dumps({"id": f"p{n}", "prompt": f"Question number {n}?"}) for n in range(10)]
    (folder / "prompts.jsonl").write_text("\n".join(lines))
    (folder / "salmon.yaml").write_text(yaml.safe_dump(values, sort_keys=False))


def command(*args: str) -> list[str]:
    return [str(SALMON), "run", "salmon.yaml", "--until", "judge", *args]


def salmon(folder: Path, *args: str) -> str:
    env = {**os.environ, **ENVIRONMENT}
    done = subprocess.run(command(*args), cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def test_a_run_that_is_killed_leaves_no_process_and_goes_on(tmp_path: Path, make: Callable[..., Path]) -> None:
    configuration(tmp_path, make())
    log = (tmp_path / "log.txt").open("wb")
    process = subprocess.Popen(command(), cwd=tmp_path, env={**os.environ, **ENVIRONMENT}, stdout=log, stderr=log)
    started: list[psutil.Process] = []

    def at_work() -> bool:
        assert process.poll() is None, (tmp_path / "log.txt").read_text()
        started[:] = below(process.pid)
        # vLLM has a model loading, or loaded.
        return any("child.py" in " ".join(_words(each)) and each.memory_info().rss > 200e6 for each in started)

    until(at_work, 120)
    process.kill()
    process.wait()
    until(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in started))
    salmon(tmp_path)
    run = tmp_path / "runs" / "near"
    judgments = rows(run / "judge")
    assert len(rows(run / "sample")) == 18
    assert len(judgments) == 2 * 9
    assert all(math.isfinite(each["s12"]) and each["s12"] != 0 for each in judgments)
    # What changes no result leaves it as it is; the judge of engine `transformers` says the same of the same samples.
    assert salmon(tmp_path, "--set", "judge.engine.kv_cache_gib=0.5").count("already done") >= 3
    salmon(tmp_path, "--set", "judge.engine=transformers")
    wanted = {(each["pair_id"], each["principle"]): (each["s12"], each["s21"]) for each in rows(run / "judge")}
    found = {(each["pair_id"], each["principle"]): (each["s12"], each["s21"]) for each in judgments}
    assert found.keys() == wanted.keys()
    assert all(found[key] == pytest.approx(wanted[key], abs=2e-3) for key in wanted)


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
