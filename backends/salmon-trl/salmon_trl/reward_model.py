"""The reward model: the policy's body with a scalar head, on texts that arrive final (arXiv 2310.05910, 3.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer, suppress_seqcls_warning

from salmon_core.api import Job
from salmon_core.errors import StageError
from salmon_trl.checkpoints import Resumable
from salmon_trl.common import (
    adapters_in_float32,
    epoch_steps,
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
from salmon_trl.data import OrderedRows, SimilarLengths, check_lengths, encode, position_limit, read_table
from salmon_trl.options import RewardOptions
from salmon_trl.order import FollowEpochs

#: names tried for a pad token, the first that the tokenizer does not have yet
_PAD_NAMES = ("<|pad|>", "<pad>", "[PAD]", "<|salmon_pad|>")


class RewardModelTrainer(OrderedRows, Resumable, RewardTrainer):
    """TRL's RewardTrainer over our rows, in our order; the loss is TRL's Bradley-Terry loss."""


def preference_rows(tokenizer: PreTrainedTokenizerBase, path: str, *, margin: bool) -> dict[str, list[Any]]:
    """Columns that RewardTrainer takes as they are: it adds no EOS, cuts nothing, drops nothing."""
    table = read_table(path, ("chosen", "rejected", *(("margin",) if margin else ())))
    rows: dict[str, list[Any]] = {
        f"{side}_ids": encode(tokenizer, table[side].to_pylist()) for side in ("chosen", "rejected")
    }
    if margin:
        rows["margin"] = table["margin"].to_pylist()
    return rows


def pair_lengths(rows: dict[str, list[Any]]) -> list[int]:
    """The longer text of each pair: both are padded to it."""
    return [max(len(a), len(b)) for a, b in zip(rows["chosen_ids"], rows["rejected_ids"], strict=True)]


def add_pad_token(tokenizer: PreTrainedTokenizerBase) -> None:
    """Gives a pad token of its own: with pad = eos, transformers scores the position before the end."""
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        vocabulary = tokenizer.get_vocab()
        tokenizer.add_special_tokens({"pad_token": next(name for name in _PAD_NAMES if name not in vocabulary)})
    tokenizer.padding_side = "right"


def load_scorer(
    path: str, tokenizer: PreTrainedTokenizerBase, options: RewardOptions, **kwargs: Any
) -> PreTrainedModel:
    """The model with a score head, embeddings large enough for the pad token.

    Raises:
        StageError: the architecture has no sequence-classification form with a `score` head.
    """
    with suppress_seqcls_warning():
        model: PreTrainedModel = load(AutoModelForSequenceClassification, path, num_labels=1, **kwargs)
    head = getattr(model, "score", None)
    if not isinstance(head, torch.nn.Linear):
        raise StageError(f"{type(model).__name__} has no linear score head", where=path, hint="use a causal LM")
    embeddings: Any = model.get_input_embeddings()
    if len(tokenizer) > embeddings.weight.shape[0]:
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    if options.head_init == "zero":
        # From zero, the first steps move towards the data and away from nothing.
        torch.nn.init.zeros_(head.weight)
        if head.bias is not None:
            torch.nn.init.zeros_(head.bias)
    return model


def settings(options: RewardOptions, *, evaluated: bool) -> dict[str, Any]:
    """What our options set in TRL's configuration.

    Args:
        evaluated: whether there are rows to evaluate on.
    """
    return {
        "max_length": None,  # TRL would drop longer pairs; checked below
        "disable_dropout": True,
        "num_train_epochs": options.num_train_epochs,
        "eval_strategy": "steps" if options.eval_steps and evaluated else "no",
        "eval_steps": options.eval_steps,
    }


def train_reward_model(job: Job, options: RewardOptions, folder: Path) -> None:
    """Trains and leaves `folder/model`."""
    run = start_run(job, options, folder)
    tokenizer = load_tokenizer(job.model)
    add_pad_token(tokenizer)
    data = {role: preference_rows(tokenizer, path, margin=options.use_margin) for role, path in job.data.items()}
    lengths = pair_lengths(data["train"])
    args = run.configure(
        RewardConfig,
        settings(options, evaluated="test" in data),
        epoch_steps(run, len(lengths), options.num_train_epochs),
    )
    torch.manual_seed(job.seed)  # of a random head
    start = start_folder(run)
    model = load_scorer(start, tokenizer, options, **loading(job.model, options), **quantized(options))
    limit = min(options.max_length, position_limit(model.config) or options.max_length)
    for role, rows in data.items():
        check_lengths(pair_lengths(rows), limit, job.data[role], "raise max_length, or lower the RM's text limits")
    trainer = RewardModelTrainer(
        model,
        args,
        train_dataset=Dataset.from_dict(data["train"]),
        eval_dataset=Dataset.from_dict(data["test"]) if "test" in data else None,
        processing_class=tokenizer,
        peft_config=lora_config(options.lora, "SEQ_CLS", modules_to_save=["score"]),
    )
    adapters_in_float32(trainer.model, options)
    batch = options.per_device_train_batch_size * args.world_size
    trainer.order = SimilarLengths(lengths, batch, job.seed, group=options.group_by_length)
    trainer.add_callback(FollowEpochs(trainer.order))
    metrics = train(run, trainer, evaluate="test" in data and options.eval_steps is None)

    def base() -> PreTrainedModel:
        return load_scorer(start, tokenizer, options, **loading(job.model, options))

    save_plain(run, trainer, tokenizer, {**metrics, "rows": len(lengths)}, base)
