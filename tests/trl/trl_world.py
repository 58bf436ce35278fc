"""A tiny policy, a tiny reward model and data for them, made on the spot."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tiny_models import byte_bpe, llama_config, save_model, tokenizer_of

from salmon_core.api import BonusSpec, ComponentSpec, Job, Launch, Limits, ModelSpec, RewardSpec

WORDS = ["red", "green", "blue", "small", "large", "quick", "slow", "warm", "cold", "house", "tree", "river", "bird"]
CHAT = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
ROOT = Path(__file__).resolve().parents[2]


def make_tokenizer(*, pad: str | None, bos: bool = True) -> Any:
    """Byte-level BPE that puts a BOS before texts by itself, like most chat models' tokenizers."""
    specials = ["<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>", *([pad] if pad else [])]
    corpus = [" ".join(WORDS)] * 4
    backend = byte_bpe(corpus, vocab_size=360, specials=specials, bos="<s>" if bos else None)
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": pad}
    return tokenizer_of(backend, chat=CHAT, additional_special_tokens=specials[2:5], **names)


def make_policy(folder: Path, *, pad: str | None = None, hidden: int = 32, layers: int = 2, seed: int = 0) -> Path:
    """A Llama with random weights."""
    from transformers import LlamaForCausalLM

    tokenizer = make_tokenizer(pad=pad)
    config = llama_config(
        tokenizer,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        initializer_range=0.06,
    )
    return save_model(folder, config, LlamaForCausalLM, tokenizer, seed=seed)


def words(rng: random.Random, low: int, high: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(low, high)))


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), path)
    return str(path)


def preferences(count: int, seed: int = 0, *, high: int = 12) -> list[dict[str, Any]]:
    """Chosen texts have `red` where rejected ones have `blue`: learnable."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        a, b = (f"<s>{words(rng, 3, high)} {end}</s>" for end in ("red", "blue"))
        rows.append({"chosen": a, "rejected": b, "margin": rng.random()})
    return rows


def policy_pairs(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """As `preferences`, behind a prompt."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        said = words(rng, 1, 6)
        prompt = f"<s><|user|>{words(rng, 2, 6)}\n<|assistant|>"
        rows.append({"prompt": prompt, "chosen": f"{said} red</s>", "rejected": f"{said} blue</s>", "margin": 1.0})
    return rows


def rl_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    rows = []
    for i in range(count):
        text = words(rng, 2, 6)
        rows.append(
            {
                "row": i,
                "prompt_id": f"p{i}",
                "prompt": f"<s><|user|>{text}\n<|assistant|>",
                "messages": [{"role": "user", "content": text}],
                "category": "general",
                "principles": [{"name": f"rule {i % 3}", "text": "Be short.", "negated": bool(i % 2)}],
            }
        )
    return rows


def component(kind: str, name: str, owner: str, **options: Any) -> ComponentSpec:
    return ComponentSpec(kind, name, owner, options)


def reward_spec(bonus_file: Path, model: ModelSpec | None, policy: Path, **more: Any) -> RewardSpec:
    """What the core writes into a job: no reward model unless given, and one bonus from a file plugin."""
    words = BonusSpec("words", 2.0, component("bonuses", "words", str(bonus_file)))
    values: dict[str, Any] = {
        "template": component("templates", "standard", "salmon-judge"),
        "limits": Limits(),
        "engine": component("engines", "transformers", "salmon-transformers"),
        "model": model,
        "policy": ModelSpec(str(policy), dtype="float32", device="cpu"),
        "rm_weight": 0.0 if model is None else 1.0,
        "bonuses": (words,),
        "file_plugins": (str(bonus_file),),
    }
    return RewardSpec(**{**values, **more})


BONUS = '''
"""A bonus for tests: the share of completions' characters that are spaces."""
from salmon_core import Component, hookimpl


class Words:
    def score_one(self, rollout):
        if "%(fail)s" == "yes":
            raise RuntimeError("the bonus is out of order")
        return rollout.completion.count(" ") / (1 + len(rollout.completion)) + 0.01 * rollout.rollout_index


@hookimpl
def salmon_bonuses():
    yield Component("words", Words, "spaces")
'''


def write_bonus(path: Path, *, fail: bool = False) -> Path:
    path.write_text(BONUS % {"fail": "yes" if fail else "no"})
    return path


def job(stage: str, folder: Path, model: Path, data: Mapping[str, str], **more: Any) -> Job:
    folder.mkdir(parents=True, exist_ok=True)
    algorithm = {"sft": "sft", "pretrain-rm": "reward", "train-rm": "reward"}.get(stage, "grpo")
    launch = Launch(more.pop("processes", 1), more.pop("accelerate_config", None))
    values = {"algorithm": algorithm, "seed": 3, "launch": launch, **more}
    spec = values.pop("start", ModelSpec(str(model), dtype="float32", device="cpu"))
    return Job(stage=stage, folder=str(folder), model=spec, data=data, **values)  # type: ignore[arg-type]


def environment() -> dict[str, str]:
    paths = [Path(__file__).with_name("standin"), ROOT, *(ROOT / "plugins").iterdir(), ROOT / "backends" / "salmon-trl"]
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, paths))}


def start(job: Job) -> subprocess.Popen[str]:
    """The worker, as the pipeline would start it."""
    from salmon_trl.backend import TRLBackend

    plan = TRLBackend().plan(job)
    for name, text in plan.files.items():
        (Path(job.folder) / name).write_text(text)
    (step,) = plan.steps
    return subprocess.Popen(
        step.argv, cwd=job.folder, env={**environment(), **step.env}, stderr=subprocess.PIPE, text=True
    )


def run(job: Job, *, code: int = 0) -> str:
    """Runs the worker to its end; its stderr."""
    process = start(job)
    _, output = process.communicate(timeout=300)
    assert process.returncode == code, output
    return output


def steps(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """What was logged, in order."""
    from salmon_trl.backend import TRLBackend

    return [(logged.step, dict(logged.values)) for logged in TRLBackend().steps(folder)]


def rollouts(folder: Path) -> list[dict[str, Any]]:
    """What was written of the generated batches, in order."""
    from salmon_core.data.rollouts import read_rollout_rows

    return list(read_rollout_rows(folder))


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


if __name__ == "__main__":
    make_policy(Path(sys.argv[1]))


def work(job: Job, code: int = 0) -> Path:
    """The worker, in this process; the job's folder."""
    from salmon_trl import worker

    folder = Path(job.folder)
    (folder / "job.json").write_text(job.to_json())
    assert worker.main([str(folder / "job.json")]) == code
    return folder
