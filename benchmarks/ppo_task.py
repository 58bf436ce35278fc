"""The known-answer task of `ppo.py`, and a process that trains on it. Works with either version of TRL.

A prompt is four symbols of a ring. The completion should go on counting: each next symbol is the last one's successor,
six times, and then it should stop. Reward = share of right successors (of six) + 0.5 for stopping: at most 1.5.
"""

from __future__ import annotations

import gc
import json
import os
import random
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RING, PROMPT, LENGTH, STOP = 8, 4, 6, 0.5
OPTIMUM = 1.0 + STOP
PAD, EOS, FIRST = 0, 1, 2


def score(before: int, completion: Sequence[int]) -> float:
    """The reward of a completion's ids; `before` is the prompt's last id."""
    right = 0
    for own in completion[:LENGTH]:
        right += own >= FIRST and before >= FIRST and own - FIRST == (before - FIRST + 1) % RING
        before = own
    return right / LENGTH + STOP * (bool(completion) and completion[-1] == EOS)


class Curve:
    """Each generated batch: the clock, the process's CPU time, the mean reward."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float, float]] = []

    def __call__(self, befores: Sequence[int], completions: Sequence[Sequence[int]]) -> list[float]:
        scores = [score(before, ids) for before, ids in zip(befores, completions, strict=True)]
        self.points.append((time.perf_counter(), time.process_time(), sum(scores) / len(scores)))
        return scores


def symbols(seed: int, count: int) -> list[list[int]]:
    """Prompts, as ids."""
    rng = random.Random(seed)
    return [[FIRST + rng.randrange(RING) for _ in range(PROMPT)] for _ in range(count)]


def make_start(folder: Path, run: dict[str, Any]) -> None:
    """A Llama with random weights and a tokenizer of one token per word: where all algorithms start."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<pad>", "</s>", *(f"w{i}" for i in range(RING))]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<pad>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="</s>", pad_token="<pad>", padding_side="left"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(run["seed"])
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=run["hidden"],
        intermediate_size=2 * run["hidden"],
        num_hidden_layers=run["layers"],
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
        bos_token_id=None,
        eos_token_id=EOS,
        pad_token_id=PAD,
        initializer_range=0.08,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def common(run: dict[str, Any]) -> dict[str, Any]:
    """Arguments that all four trainers take by these names."""
    return {
        "output_dir": str(Path(run["folder"]) / "out"),
        "seed": run["seed"],
        "learning_rate": run["learning_rate"],
        "lr_scheduler_type": "constant",
        "per_device_train_batch_size": run["batch"],
        "gradient_accumulation_steps": 1,
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": True,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "temperature": 1.0,
    }


def train_now(run: dict[str, Any], start: Path, curve: Curve) -> None:
    """Our PPO, or TRL's GRPO or RLOO of today."""
    from datasets import Dataset

    arguments = common(run) | {
        "generation_batch_size": run["batch"],
        "num_iterations": run["epochs"],
        "max_completion_length": LENGTH + 1,
        "max_steps": run["updates"] * run["epochs"],
        "model_init_kwargs": {"dtype": "float32"},
    }
    trainer_class: Any
    if run["algorithm"] == "ppo":
        from salmon_trl.ppo import PPOTrainer as trainer_class
        from salmon_trl.ppo_config import PPOConfig

        args: Any = PPOConfig(kl_coef=run["kl"], **arguments)
    elif run["algorithm"] == "grpo":
        from trl import GRPOConfig
        from trl import GRPOTrainer as trainer_class

        args = GRPOConfig(beta=run["kl"], num_generations=run["group"], **arguments)
    else:
        from trl import RLOOConfig
        from trl import RLOOTrainer as trainer_class

        args = RLOOConfig(beta=run["kl"], num_generations=run["group"], **arguments)

    def reward(completion_ids: Sequence[Sequence[int]], before: Sequence[int], **_: Any) -> list[float]:
        return curve(before, completion_ids)

    prompts = symbols(run["seed"], run["updates"] * run["batch"])
    rows = {
        "prompt": [" ".join(f"w{i - FIRST}" for i in ids) for ids in prompts],
        "before": [ids[-1] for ids in prompts],
    }
    trainer_class(str(start), reward, args, train_dataset=Dataset.from_dict(rows)).train()


def train_then(run: dict[str, Any], start: Path, curve: Curve) -> None:
    """The PPO that TRL had until 1.12: its reward is a model, so the score is dressed up as one."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
    from trl.experimental.ppo import PPOConfig, PPOTrainer

    class Body(torch.nn.Module):
        """Its last hidden state is the score, at every position."""

        def forward(self, input_ids: Any, attention_mask: Any, **_: Any) -> Any:
            kept = [
                ids[PROMPT:][mask[PROMPT:]].tolist() for ids, mask in zip(input_ids, attention_mask.bool(), strict=True)
            ]
            scores = torch.tensor(curve(input_ids[:, PROMPT - 1].tolist(), kept))
            hidden = scores[:, None, None].expand(*input_ids.shape, 1)
            return type("Output", (), {"hidden_states": (hidden,)})

    class Scorer(torch.nn.Module):
        base_model_prefix = "body"

        def __init__(self) -> None:
            super().__init__()
            self.body, self.score = Body(), torch.nn.Identity()

    tokenizer = AutoTokenizer.from_pretrained(start)
    value = AutoModelForSequenceClassification.from_pretrained(start, num_labels=1, dtype=torch.float32)
    torch.nn.init.zeros_(value.score.weight)  # as our critic starts
    prompts = symbols(run["seed"], run["updates"] * run["batch"])
    args = PPOConfig(
        **common(run),
        total_episodes=run["updates"] * run["batch"],
        num_ppo_epochs=run["epochs"],
        num_mini_batches=1,
        local_rollout_forward_batch_size=run["batch"],
        num_sample_generations=0,
        response_length=LENGTH + 1,
        stop_token="eos",
        kl_coef=run["kl"],
    )
    PPOTrainer(
        args=args,
        processing_class=tokenizer,
        model=AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32),
        ref_model=AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32),
        reward_model=Scorer(),
        value_model=value,
        train_dataset=Dataset.from_dict({"input_ids": prompts}),
    ).train()


def train(run: dict[str, Any]) -> None:
    """One run, in a process of its own; prints a line of JSON: its curve."""
    import transformers
    import trl

    start = Path(run["folder"]) / "start"
    make_start(start, run)
    curve = Curve()
    (train_then if run["algorithm"] == "ppo-1.12" else train_now)(run, start, curve)
    versions = {"trl": trl.__version__, "transformers": transformers.__version__}
    print(f"\n{json.dumps({'points': curve.points, **versions})}", flush=True)


def main() -> None:
    """Imports once; then each line of stdin is a run, for which a copy of this process is made."""
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ.setdefault(name, "1")
    import datasets  # noqa: F401
    import trl
    from transformers import AutoModelForSequenceClassification, LlamaForCausalLM  # noqa: F401
    from transformers.utils import logging

    if trl.__version__.startswith("1.12."):
        from trl.experimental.ppo import PPOTrainer  # noqa: F401
    else:
        from trl import GRPOTrainer, RLOOTrainer  # noqa: F401

        from salmon_trl import ppo  # noqa: F401
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    if sys.argv[1:] == ["freeze"]:  # what the imports made need not be looked at again by each garbage collection
        gc.collect()
        gc.freeze()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                train(json.loads(line))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        if os.waitpid(child, 0)[1]:
            sys.exit(1)


if __name__ == "__main__":
    main()
