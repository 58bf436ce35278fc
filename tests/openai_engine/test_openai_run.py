"""A run whose policy and judge are behind an endpoint, by the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml
from openai_engine_server import OpenAIServer

SALMON = Path(sys.executable).parent / "salmon"
KEY = "sk-secret-of-a-run"
RULES = """\
name: rules
principles:
  - {name: short, text: The answer is short., negated: The answer is long.}
  - {name: kind, text: The answer is kind., negated: The answer is harsh.}
"""


def configuration(folder: Path, url: str, **engine: Any) -> Path:
    chosen = {"name": "openai", "base_url": url, "cache": "answers.sqlite", **engine}
    values = {
        "run": {"name": "far", "seed": 3},
        "policy": {"model": "served"},
        "prompts": "prompts.jsonl",
        "sample": {"engine": chosen, "max_new_tokens": 16, "shard_size": 4},
        "judge": {"engine": chosen, "principles": "rules.yaml", "shard_size": 4},
        "reward": {"principles": "rules.yaml"},
        "train": {"backend": "trl", "algorithm": "grpo"},
    }
    (folder / "rules.yaml").write_text(RULES)
    lines = [json.dumps({"id": f"p{n}", "prompt": f"Question number {n}? <|salmon:assistant|>a"}) for n in range(10)]
    (folder / "prompts.jsonl").write_text("\n".join(lines))
    (folder / "salmon.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    return folder


def salmon(folder: Path, *args: str, code: int = 0) -> str:
    own = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", "COLUMNS": "200", "SALMON_QUICK": "1"}
    done = subprocess.run(
        [str(SALMON), "run", "salmon.yaml", "--until", "label", *args],
        cwd=folder,
        env={**os.environ, **own, "OPENAI_API_KEY": KEY},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def test_a_run_until_label(tmp_path: Path) -> None:
    with OpenAIServer(key=KEY, trouble={"number 3": ["busy", 500]}) as server:
        told = salmon(configuration(tmp_path, server.url))
        run = tmp_path / "runs" / "far"
        samples = rows(run / "sample")
        judgments = rows(run / "judge")
        assert len(samples) == 18
        assert len(judgments) == 2 * 9
        assert all(each["s12"] != 0 for each in judgments)
        assert list((run / "label").glob("*.parquet"))
        bodies = server.bodies
        assert {tuple(m["role"] for m in each["messages"]) for each in bodies} == {("user",), ("user", "assistant")}
        # What the prompts say of turns reached the model as text.
        assert all("<|salmon:" not in json.dumps(each) for each in bodies)
        answered = Counter(server.answered)
        assert set(answered.values()) == {1}
        # Finished is finished, whatever became of the cache since, and whatever changes no result.
        again = salmon(tmp_path, "--set", "sample.engine.concurrency=2", "--set", "sample.engine.price_in=3")
        assert again.count("already done") >= 4
        # Anew, from what is kept.
        salmon(tmp_path, "--set", "run.name=again")
        assert server.answered == answered
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert all(KEY.encode() not in path.read_bytes() for path in files)
        assert KEY not in told + again


def test_what_a_run_may_spend(tmp_path: Path) -> None:
    """A request costs 0.02; the limit is of all engines that count, and what was paid for is kept."""
    with OpenAIServer(key=KEY) as server:
        folder = configuration(tmp_path, server.url, price_in=1000, price_out=2000)
        told = salmon(folder, "--max-cost", "0.07", code=1)
        assert "is over max_cost: 0.07" in told
        asked = len(server.asked)
        assert 4 <= asked < 18
        salmon(folder, "--max-cost", "100")
        assert set(server.answered.values()) == {1}
        assert len(server.asked) > asked
