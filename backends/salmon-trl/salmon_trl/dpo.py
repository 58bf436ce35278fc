"""Direct preference optimisation (arXiv 2305.18290): the policy learns from preference rows, with no reward model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from salmon_core.api import Job
from salmon_core.errors import StageError
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
from salmon_trl.options import DPOOptions
from salmon_trl.order import FollowEpochs

_ROWS = ("prompt_ids", "chosen_ids", "rejected_ids")


class PreferenceTuner(OrderedRows, Resumable, DPOTrainer):
    """TRL's DPOTrainer over our rows, in our order; the loss and the reference are TRL's."""

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        """Rows of ids stay as they are: nothing is rendered, no EOS added, nothing cut."""
        return (
            dataset if set(_ROWS) <= set(dataset.column_names) else super()._prepare_dataset(dataset, *args, **kwargs)
        )


def pair_rows(tokenizer: PreTrainedTokenizerBase, path: str) -> dict[str, list[list[int]]]:
    """Ids of the prompt and of both answers; see `encode_after`."""
    table = read_table(path, ("prompt", "chosen", "rejected"))
    asked, answers = table["prompt"].to_pylist(), [table[name].to_pylist() for name in ("chosen", "rejected")]
    prompts, (chosen, rejected), apart = encode_after(tokenizer, asked, *answers)
    if apart:
        print(f"{apart} of {2 * len(asked)} answers are encoded apart from their prompts", file=sys.stderr)
    return dict(zip(_ROWS, (prompts, chosen, rejected), strict=True))


def row_lengths(rows: dict[str, list[list[int]]]) -> list[int]:
    """The longer text of each pair: both are padded to it."""
    columns = (rows[name] for name in _ROWS)
    return [len(p) + max(len(a), len(b)) for p, a, b in zip(*columns, strict=True)]


def settings(job: Job, options: DPOOptions) -> dict[str, Any]:
    """What our options set in TRL's configuration."""
    return {
        "max_length": None,  # TRL would cut longer rows; checked below
        "disable_dropout": True,
        "num_train_epochs": options.num_train_epochs,
        "beta": options.beta,
        "loss_type": [options.loss_type],
        "label_smoothing": options.label_smoothing,
        "trust_remote_code": job.model.trust_remote_code,  # of the reference, which TRL loads
        "eval_strategy": "no",
    }


def train_dpo(job: Job, options: DPOOptions, folder: Path) -> None:
    """Trains and leaves `folder/model`."""
    run = start_run(job, options, folder)
    tokenizer = load_tokenizer(job.model)
    rows = pair_rows(tokenizer, job.data["train"])
    lengths = row_lengths(rows)
    steps = epoch_steps(run, len(lengths), options.num_train_epochs)
    args = run.configure(DPOConfig, settings(job, options), steps)
    model = load(AutoModelForCausalLM, start_folder(run), **loading(job.model, options), **quantized(options))
    limit = min(options.max_length, position_limit(model.config) or options.max_length)
    check_lengths(lengths, limit, job.data["train"], "raise max_length, or leave longer rows out")
    restore = keep_generation(model)
    try:
        trainer = PreferenceTuner(
            model,
            args=args,
            train_dataset=Dataset.from_dict(rows),
            processing_class=tokenizer,
            peft_config=lora_config(options.lora, "CAUSAL_LM"),
        )
    except (ValueError, NotImplementedError) as error:
        raise StageError(f"TRL refuses these options: {error}", where="train-policy options") from error
    adapters_in_float32(trainer.model, options)
    batch = options.per_device_train_batch_size * args.world_size
    trainer.order = SimilarLengths(lengths, batch, job.seed, group=options.group_by_length)
    trainer.add_callback(FollowEpochs(trainer.order))
    metrics = train(run, trainer)
    restore(trainer.accelerator.unwrap_model(trainer.model))
    save_plain(run, trainer, load_tokenizer(job.model), {**metrics, "rows": len(lengths)})
