"""Supervised fine-tuning: the loss is on the completion only."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from salmon_core.api import Job
from salmon_trl.checkpoints import Resumable
from salmon_trl.common import (
    adapters_in_float32,
    epoch_steps,
    keep_generation,
    load,
    load_tokenizer,
    loading,
    lora_config,
    quantized,
    save_plain,
    start_folder,
    start_run,
    train,
)
from salmon_trl.data import OrderedRows, SimilarLengths, check_lengths, encode_after, position_limit, read_table
from salmon_trl.options import SFTOptions
from salmon_trl.order import FollowEpochs


class FineTuner(OrderedRows, Resumable, SFTTrainer):
    """TRL's SFTTrainer over our rows, in our order."""


def completion_rows(tokenizer: PreTrainedTokenizerBase, path: str) -> dict[str, list[list[int]]]:
    """`input_ids`, and `labels` that are -100 over the prompt; see `encode_after`."""
    table = read_table(path, ("prompt", "completion"))
    asked, said = table["prompt"].to_pylist(), table["completion"].to_pylist()
    prompts, (completions,), apart = encode_after(tokenizer, asked, said)
    if apart:
        print(f"{apart} of {len(prompts)} completions are encoded apart from their prompts", file=sys.stderr)
    both = list(zip(prompts, completions, strict=True))
    return {
        "input_ids": [prompt + completion for prompt, completion in both],
        "labels": [[-100] * len(prompt) + completion for prompt, completion in both],
    }


def settings(options: SFTOptions, *, evaluated: bool) -> dict[str, Any]:
    """What our options set in TRL's configuration.

    Args:
        evaluated: whether there are rows to evaluate on.
    """
    return {
        "max_length": None,  # checked below
        "completion_only_loss": None,
        "num_train_epochs": options.num_train_epochs,
        "eval_strategy": "steps" if options.eval_steps and evaluated else "no",
        "eval_steps": options.eval_steps,
    }


def train_sft(job: Job, options: SFTOptions, folder: Path) -> None:
    """Trains and leaves `folder/model`."""
    run = start_run(job, options, folder)
    tokenizer = load_tokenizer(job.model)
    data = {role: completion_rows(tokenizer, path) for role, path in job.data.items()}
    lengths = [len(ids) for ids in data["train"]["input_ids"]]
    args = run.configure(
        SFTConfig,
        settings(options, evaluated="test" in data),
        epoch_steps(run, len(lengths), options.num_train_epochs),
    )
    model = load(AutoModelForCausalLM, start_folder(run), **loading(job.model, options), **quantized(options))
    limit = min(options.max_length, position_limit(model.config) or options.max_length)
    for role, rows in data.items():
        check_lengths([len(ids) for ids in rows["input_ids"]], limit, job.data[role], "raise max_length or drop them")
    restore = keep_generation(model)
    trainer = FineTuner(
        model,
        args,
        train_dataset=Dataset.from_dict(data["train"]),
        eval_dataset=Dataset.from_dict(data["test"]) if "test" in data else None,
        processing_class=tokenizer,
        peft_config=lora_config(options.lora, "CAUSAL_LM"),
    )
    adapters_in_float32(trainer.model, options)
    batch = options.per_device_train_batch_size * args.world_size
    trainer.order = SimilarLengths(lengths, batch, job.seed, group=options.group_by_length)
    trainer.add_callback(FollowEpochs(trainer.order))
    metrics = train(run, trainer, evaluate="test" in data and options.eval_steps is None)
    restore(trainer.accelerator.unwrap_model(trainer.model))
    save_plain(run, trainer, load_tokenizer(job.model), {**metrics, "rows": len(lengths)})
