"""The reward model: the policy's body with a scalar head, on texts that arrive final (arXiv 2310.05910, 3.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import DataCollatorForPreference, RewardTrainer, suppress_seqcls_warning

from salmon_core.api import Job
from salmon_core.errors import StageError
from salmon_trl.answer_loss import AnswerCollator, AnswerLoss, encode_with_answers
from salmon_trl.checkpoints import Resumable
from salmon_trl.common import (
    Run,
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
from salmon_trl.lengths import Parted
from salmon_trl.options import RewardOptions
from salmon_trl.order import FollowEpochs

#: names tried for a pad token, the first that the tokenizer does not have yet
_PAD_NAMES = ("<|pad|>", "<pad>", "[PAD]", "<|salmon_pad|>")


class RewardModelTrainer(OrderedRows, Resumable, RewardTrainer):
    """TRL's RewardTrainer over our rows, in our order; the loss is TRL's Bradley-Terry loss.

    Attributes:
        answers: a loss that is added to it; set before training, with an `AnswerCollator`.
    """

    answers: AnswerLoss | None = None

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if self.answers is not None and "answer" not in self._signature_columns:
            self._signature_columns = [*self._signature_columns, "answer"]

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """TRL's loss, and `lm_loss_coef` times that of `AnswerLoss`."""
        if self.answers is None:
            # Wrappers of several processes count on one pass before each backward one.
            reads = model if self.accelerator.num_processes > 1 else Parted(model)
            return super().compute_loss(reads, inputs, return_outputs, num_items_in_batch)
        labels = inputs.pop("answer_labels")
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        own = self.answers(labels)
        mode = "train" if self.model.training else "eval"
        self._metrics[mode]["lm_loss"].append(self.accelerator.gather_for_metrics(own.detach()).mean().item())
        loss = loss + self.answers.coefficient * own
        return (loss, outputs) if return_outputs else loss


def preference_rows(
    tokenizer: PreTrainedTokenizerBase, path: str, *, margin: bool, answers: bool = False
) -> dict[str, list[Any]]:
    """Columns that RewardTrainer takes as they are: it adds no EOS, cuts nothing, drops nothing.

    Args:
        answers: whether `answer` says which tokens of the chosen text are its answer's.
    """
    places = ("answer_start", "answer_end") if answers else ()
    table = read_table(path, ("chosen", "rejected", *(("margin",) if margin else ()), *places))
    column = {name: table[name].to_pylist() for name in table.column_names}
    rows: dict[str, list[Any]] = {}
    if answers:
        rows["chosen_ids"], rows["answer"] = encode_with_answers(
            tokenizer, *(column[name] for name in ("chosen", *places))
        )
    else:
        rows["chosen_ids"] = encode(tokenizer, column["chosen"])
    rows["rejected_ids"] = encode(tokenizer, column["rejected"])
    if margin:
        rows["margin"] = column["margin"]
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
    path: str, tokenizer: PreTrainedTokenizerBase, options: RewardOptions, *, trained: bool = False, **kwargs: Any
) -> PreTrainedModel:
    """The model with a score head, embeddings large enough for the pad token.

    Args:
        trained: whether it is a reward model already, whose head stays as it is.

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
    if options.head_init == "zero" and not trained:
        # From zero, the first steps move towards the data and away from nothing.
        torch.nn.init.zeros_(head.weight)
        if head.bias is not None:
            torch.nn.init.zeros_(head.bias)
    return model


@dataclass(frozen=True, slots=True)
class Start:
    """What training begins with.

    Attributes:
        model: with a score head; with the adapter that training goes on with, where that is one of pretrain-rm.
        path: of the model below any adapter.
        base: makes that model once more, not rounded.
        peft_config: of a new adapter.
    """

    model: Any
    path: str
    base: Callable[[], PreTrainedModel]
    peft_config: Any


def starting(run: Run, tokenizer: PreTrainedTokenizerBase, options: RewardOptions) -> Start:
    """The job's model; what pretrain-rm left is gone on from, head and adapter and all.

    Its adapter is trained further where an adapter is trained, so that what comes out is one of the same base; else it
    is merged into the weights that are trained.

    Raises:
        StageError: it cannot be loaded.
    """
    job, first = run.job, run.job.made.get("start")
    own = first is not None and first.adapter
    path = first.base if first is not None and own else start_folder(run)
    trained = first is not None and not own

    def scorer(**more: Any) -> PreTrainedModel:
        return load_scorer(path, tokenizer, options, trained=trained, **loading(job.model, options), **more)

    if not own:
        new = lora_config(options.lora, "SEQ_CLS", modules_to_save=["score"])
        return Start(scorer(**quantized(options)), path, scorer, new)
    from peft import PeftModel

    below = scorer(**quantized(options))
    try:
        model: Any = PeftModel.from_pretrained(below, job.model.path, is_trainable=options.lora is not None)
    except (OSError, ValueError) as error:
        raise StageError(f"cannot load the adapter: {error}", where=job.model.path) from error
    if options.lora is None:
        model = model.merge_and_unload().requires_grad_(True)  # PEFT froze what is below the adapter
    return Start(model, path, scorer, None)


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
    mixed = options.lm_loss_coef > 0
    data = {
        role: preference_rows(tokenizer, path, margin=options.use_margin, answers=mixed)
        for role, path in job.data.items()
    }
    lengths = pair_lengths(data["train"])
    args = run.configure(
        RewardConfig,
        settings(options, evaluated="test" in data),
        epoch_steps(run, len(lengths), options.num_train_epochs),
    )
    torch.manual_seed(job.seed)  # of a random head
    start = starting(run, tokenizer, options)
    limit = min(options.max_length, position_limit(start.model.config) or options.max_length)
    for role, rows in data.items():
        check_lengths(pair_lengths(rows), limit, job.data[role], "raise max_length, or lower the RM's text limits")
    collator = AnswerCollator(DataCollatorForPreference(tokenizer.pad_token_id)) if mixed else None
    trainer = RewardModelTrainer(
        start.model,
        args,
        data_collator=collator,
        train_dataset=Dataset.from_dict(data["train"]),
        eval_dataset=Dataset.from_dict(data["test"]) if "test" in data else None,
        processing_class=tokenizer,
        peft_config=start.peft_config,
    )
    adapters_in_float32(trainer.model, options)
    if mixed:
        trainer.answers = _answer_loss(trainer, start.path, options)
    batch = options.per_device_train_batch_size * args.world_size
    trainer.order = SimilarLengths(lengths, batch, job.seed, group=options.group_by_length)
    trainer.add_callback(FollowEpochs(trainer.order))
    metrics = train(run, trainer, evaluate="test" in data and options.eval_steps is None)
    save_plain(run, trainer, tokenizer, {**metrics, "rows": len(lengths)}, start.base)


def _answer_loss(trainer: Any, path: str, options: RewardOptions) -> AnswerLoss:
    if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled:
        raise StageError("lm_loss_coef: the head of a sharded model cannot be reached", hint="leave it out")
    model = trainer.model
    return AnswerLoss(model.get_base_model() if hasattr(model, "peft_config") else model, path, options.lm_loss_coef)
