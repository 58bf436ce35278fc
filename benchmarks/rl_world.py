"""What the benchmarks of whole RL stages share: random models, drawn prompts, a job, and a process to measure it in.

Weights are random: neither speed nor memory depends on them. Principles, template, reward, engine and trainer are the
real ones.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SYLLABLES = ("ba", "do", "fi", "gu", "ke", "lo", "mi", "nu", "pa", "ri", "so", "ta", "ve", "xo", "zu")
BONUSES = ("length", "language-match", "missing-stop")


def words(rng: random.Random, count: int) -> str:
    """Words of two syllables."""
    return " ".join(rng.choice(SYLLABLES) + rng.choice(SYLLABLES) for _ in range(count))


def make_tokenizer(texts: Sequence[str]) -> Any:
    """Byte-level BPE trained on these texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2048,
        special_tokens=["</s>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", pad_token="<pad>")


def make_world(
    folder: Path, *, hidden: int, layers: int, prompts: int, prompt_words: int, rank: int | None = None
) -> float:
    """Leaves `policy/`, `rm/` (an adapter of the policy if a rank is given) and `rl_prompts.parquet`.

    Returns:
        Millions of parameters of the policy.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

    from salmon_core.config.names import find_principle_set
    from salmon_core.plugins.registry import Registry

    rng = random.Random(1)
    loaded = find_principle_set(Registry.discover(), "salmon-rl", folder)
    principles = [{"name": p.name, "text": p.text, "negated": False} for p in loaded.principles]
    tokenizer = make_tokenizer([*(p["text"] for p in principles), *(words(rng, 400) for _ in range(20))])
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=16384 if hidden >= 256 else 2048,
        hidden_size=hidden,
        intermediate_size=hidden * 8 // 3,
        num_hidden_layers=layers,
        num_attention_heads=max(1, hidden // 64),
        max_position_embeddings=2048,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    policy = LlamaForCausalLM(config)
    policy.save_pretrained(folder / "policy")
    config.num_labels = 1
    scorer: Any = LlamaForSequenceClassification(config)
    if rank is not None:
        from peft import LoraConfig, get_peft_model

        scorer = LlamaForSequenceClassification.from_pretrained(folder / "policy", num_labels=1)
        lora = LoraConfig(task_type="SEQ_CLS", r=rank, target_modules="all-linear", modules_to_save=["score"])
        scorer = get_peft_model(scorer, lora)
    scorer.save_pretrained(folder / "rm")
    for name in ("policy", "rm"):
        tokenizer.save_pretrained(folder / name)
    rows = []
    for i in range(prompts):
        text = words(rng, prompt_words)
        messages = [{"role": "user", "content": text}]
        drawn = {"category": "general", "principles": rng.sample(principles, 3)}
        rows.append({"row": i, "prompt_id": f"p{i}", "prompt": f"{text}\n", "messages": messages, **drawn})
    pq.write_table(pa.Table.from_pylist(rows), folder / "rl_prompts.parquet")
    return sum(value.numel() for value in policy.parameters()) / 1e6


def make_job(folder: Path, options: Mapping[str, Any], *, device: str, dtype: str, bonuses: Sequence[str]) -> str:
    """A job of PPO on that world, as JSON."""
    from salmon_core.api import BonusSpec, ComponentSpec, Job, Limits, ModelSpec, RewardSpec

    policy = ModelSpec(str(folder / "policy"), dtype=dtype, device=device)
    reward = RewardSpec(
        template=ComponentSpec("templates", "standard", "salmon-judge"),
        limits=Limits(),
        engine=ComponentSpec("engines", "transformers", "salmon-transformers"),
        model=ModelSpec(str(folder / "rm"), dtype=dtype, device=device),
        policy=policy,
        bonuses=tuple(BonusSpec(name, 1.0, ComponentSpec("bonuses", name, "salmon-bonuses")) for name in bonuses),
    )
    stage = folder / "train-policy"
    stage.mkdir()
    return Job(
        stage="train-policy",
        algorithm="ppo",
        folder=str(stage),
        model=policy,
        data={"train": str(folder / "rl_prompts.parquet")},
        seed=0,
        options=options,
        reward=reward,
    ).to_json()


def child(script: str, *argv: str) -> Any:
    """Runs a script in a process of its own; the JSON on its last line."""
    quiet = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([sys.executable, script, *argv], capture_output=True, text=True, env={**quiet, **os.environ})
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)[:200]} failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def prepare(folder: str, options: Mapping[str, Any], job: Mapping[str, Any], **world: Any) -> tuple[float, str]:
    """World and job, made in another process: the one that measures must hold these models for one reason only.

    Returns:
        Millions of parameters of the policy, and the job.
    """
    asked = {"folder": folder, "options": options, "job": job, "world": world}
    made = child(__file__, json.dumps(asked))
    return made["size"], made["job"]


def import_all() -> None:
    """Everything that a PPO stage imports, so that what follows is its own memory and time."""
    import peft  # noqa: F401
    import trl  # noqa: F401
    from torch.utils import tensorboard  # noqa: F401
    from transformers import (  # noqa: F401
        AutoModelForSequenceClassification,
        AutoTokenizer,
        LlamaForCausalLM,
        Trainer,
    )
    from transformers.utils import logging

    import salmon_bonuses.language_match  # noqa: F401
    import salmon_trl.policy
    import salmon_trl.rollouts  # noqa: F401
    from salmon_transformers import generation, loading, scoring  # noqa: F401

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]


def train(text: str) -> Any:
    """The stage of a job, in this process. -> its options"""
    from salmon_core.api import Job
    from salmon_trl.options import PPOOptions
    from salmon_trl.policy import train_policy

    job = Job.from_json(text)
    options = PPOOptions.model_validate(dict(job.options))
    train_policy(job, options, Path(job.folder))
    return options


def memory(field: str) -> float:
    """MiB of this process, from /proc: `VmRSS` now, `VmHWM` at its peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"no {field} in /proc/self/status")


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    size = make_world(Path(asked["folder"]), **asked["world"])
    print(json.dumps({"size": size, "job": make_job(Path(asked["folder"]), asked["options"], **asked["job"])}))
