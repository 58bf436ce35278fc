"""Each benchmark runs end to end in its quick mode; what it measures there means nothing."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OLD = ROOT / ".venv-trl112" / ".installed"


def run(name: str, *argv: str) -> str:
    """Its output."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(ROOT / "benchmarks" / name), *argv]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def numbers(line: str) -> list[float]:
    return [float(text) for text in re.findall(r"-?\d+\.?\d*", line)]


def row(output: str, start: str) -> list[float]:
    """The numbers of the one line that starts so."""
    (line,) = [line for line in output.splitlines() if line.startswith(start)]
    return numbers(line.removeprefix(start))


@pytest.mark.slow
def test_ppo_beside_grpo() -> None:
    output = run("ppo.py", "--quick", "--algorithms", "ppo", "grpo")
    for name in ("our PPO", "TRL's GRPO"):
        rate, final, by_samples, by_time, cpu, clock = row(output, name)
        assert rate > 0
        assert all(0 <= value <= 1.5 for value in (final, by_samples, by_time))
        assert cpu > 0
        assert clock > 0


@pytest.mark.slow
@pytest.mark.skipif(
    not OLD.exists(), reason="benchmarks/ppo.py makes the interpreter of TRL 1.12 on its first full run"
)
def test_ppo_beside_that_of_trl_1_12() -> None:
    output = run("ppo.py", "--quick", "--algorithms", "ppo", "ppo-1.12")
    assert "trl 1.12.0" in output
    assert output.count("<= 1") == 2
    assert len(re.findall(r"holds|FAILS", output)) == 3


@pytest.mark.slow
def test_bench_table(tmp_path: Path) -> None:
    """With a model of random weights in place of SmolLM2."""
    from tiny_models import byte_bpe, llama_config, save_model, tokenizer_of
    from transformers import LlamaForCausalLM

    backend = byte_bpe(["a b c"], vocab_size=300, specials=["<pad>", "<|end|>", "<|user|>", "<|assistant|>"])
    chat = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}<|assistant|>"
    tokenizer = tokenizer_of(backend, chat=chat, eos_token="<|end|>", pad_token="<pad>")
    config = llama_config(tokenizer, max_position_embeddings=4096)
    model = save_model(tmp_path / "model", config, LlamaForCausalLM, tokenizer)
    argv = ("--quick", "--limit", "12", "--model", str(model), "--folder", str(tmp_path / "results"))
    output = run("bench_table.py", *argv)
    for name in ("minnow", "SmolLM2-untrained-head", "SmolLM2-judge", "length", "random"):
        assert f"\n| {name} " in output
    assert "rows were left out" in output


@pytest.mark.slow
def test_card(tmp_path: Path) -> None:
    """Four reward models, a row for each check; the same command again trains nothing."""
    output = run("card.py", "--quick", "--folder", str(tmp_path))
    rows = [line for line in output.splitlines() if line.startswith("| ")]
    assert all(name in rows[0] for name in ("ours", "no negatives", "untrained", "loves length"))
    assert len(rows) == 2 + 16
    assert run("card.py", "--quick", "--folder", str(tmp_path)) == output


@pytest.mark.slow
def test_memory() -> None:
    output = run("memory.py", "--quick")
    for name in ("four models", "one base, adapters"):
        imports, peak, own, _ = row(output, name)
        assert own == pytest.approx(peak - imports, abs=1)
        assert own > 0
    assert "the ratio means nothing" in output


@pytest.mark.slow
def test_reward_overhead() -> None:
    output = run("reward_overhead.py", "--quick")
    step, share = row(output, "step")
    whole, model, rendering, bonuses = (
        row(output, name)[0] for name in ("reward function", "reward model", "rendering", "bonuses")
    )
    assert share == 100
    assert 0 < model < whole < step
    assert 0 < rendering + bonuses < whole


@pytest.mark.slow
def test_gpu_ppo_on_a_cpu() -> None:
    output = run("gpu_ppo.py", "--device", "cpu", "--quick")
    for name in ("four models", "one base, adapters"):
        rate, update, gpu, host = row(output, name)
        assert rate > 0
        assert update > 0
        assert gpu == 0
        assert host > 0


@pytest.mark.slow
def test_parity(tmp_path: Path) -> None:
    """On a job with a reward model of two layers."""
    sys.path[:0] = [str(ROOT / "tests" / name) for name in ("serve", "core", "trl")]
    from serve_world import by_row, make_tiny_job
    from transformers import AutoTokenizer
    from trl_world import rl_rows

    from salmon_core.data.rollouts import RolloutLog
    from salmon_core.records import RewardBreakdown, Rollout

    stage = make_tiny_job(tmp_path).parent
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "policy")
    rng = random.Random(1)
    log, rows = RolloutLog(stage, every=1), rl_rows(40)
    items = [by_row(number, rng=rng, top=len(tokenizer), eos=tokenizer.eos_token_id) for number in range(40)]
    for index in range(6):
        own = [item for item in items if item["rollout_index"] == index]
        made = [
            Rollout.from_row(
                rows[item["row"]],
                "",
                completion_ids=item["completion_ids"],
                stopped=item["stopped"],
                rollout_index=index,
            )
            for item in own
        ]
        log.add([item["row"] for item in own], made, [RewardBreakdown(0.0, {}, {})] * len(own))
    output_text = run("parity.py", str(tmp_path), "--rollouts", "30")
    assert output_text.count("holds") == 2
    assert "float32: 30 rollouts" in output_text
    assert row(output_text, "bfloat16 and float32")[0] > 0


@pytest.mark.slow
def test_what_a_gpu_is_measured_by_runs_on_a_cpu() -> None:
    output = run("gpu.py", "--device", "cpu", "--quick")
    assert [line for line in output.splitlines() if "exit code" in line and "exit code 0" not in line] == []
    assert "ours (what texts share once, suffixes packed)" in output
    assert row(output, "ours (ended rows make room for others)  ")[0] > 0


@pytest.mark.slow
def test_growth() -> None:
    output = run("growth.py", "--prompts", "40", "400")
    assert "holds" in output.splitlines()[-1]
    assert len([line for line in output.splitlines() if line.startswith("verdict  ")]) == 2
