"""The language model's own loss on chosen answers, beside the reward model's: see `AnswerLoss`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from salmon_core.errors import DataError, StageError
from salmon_trl.common import load
from salmon_trl.data import FINAL

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: what is no answer's token
IGNORED = -100
#: settings by which a language model's logits are more than hidden states times its head's weights
_SCALED = ("final_logit_softcapping", "logit_scale", "logits_scaling")


class AnswerLoss:
    """Mean cross-entropy of the tokens of a batch's chosen answers, as the language model predicts them.

    With it a preference model is trained on

        L = L_BT + c * L_LM,   L_LM = -1/N * sum over the N tokens y_t of the chosen answers of log p(y_t | text before)

    so that it stays a language model as well (arXiv 2112.00861, section 4, and 2204.05862, which mix in the loss of the
    better sample alike). `p` is computed from the very forward pass that is scored: the body's last hidden states times
    the language model's head. Where that is tied to the embeddings, it is trained with them; else it is that of the
    start, kept as it was.

    Args:
        scorer: the model with the score head, below any adapter; `start`: the folder or hub id that it was made from.
        coefficient: c.

    Raises:
        StageError: the start has no language model's head, or one whose logits are more than a product.
    """

    def __init__(self, scorer: Any, start: str, coefficient: float):
        self.coefficient = coefficient
        config = load(AutoConfig, start).get_text_config()
        for name in _SCALED:
            if getattr(config, name, None) not in (None, 1, 1.0):
                raise StageError(f"lm_loss_coef: the model's logits are changed by {name}", hint="leave it out")
        self._words = int(config.vocab_size)  # without a pad token that was added
        self._head: nn.Linear | None = None
        if not config.tie_word_embeddings:
            self._head = _head_of(start)
        self._embeddings = scorer.get_input_embeddings()
        self._hidden: torch.Tensor | None = None
        body = getattr(scorer, scorer.base_model_prefix)
        body.register_forward_hook(self._seen)

    def _seen(self, module: nn.Module, given: Any, found: Any) -> None:
        self._hidden = found[0]

    def __call__(self, labels: torch.Tensor) -> torch.Tensor:
        """The loss of the forward pass just made, without its coefficient; a scalar in float32.

        Args:
            labels: (B, T): ids of the chosen texts' answers, elsewhere `IGNORED`; the batch's first B rows were theirs.
        """
        assert self._hidden is not None
        hidden, self._hidden = self._hidden[: len(labels), :-1], None
        wanted = labels[:, 1:] != IGNORED
        states, targets = hidden[wanted].float(), labels[:, 1:][wanted]
        if self._head is None:
            weight, bias = self._embeddings.weight[: self._words], None
        else:
            self._head.to(states.device)
            weight, bias = self._head.weight, self._head.bias
        with torch.autocast(states.device.type, enabled=False):
            logits = nn.functional.linear(states, weight.float(), None if bias is None else bias.float())
            # Without any answer the sum is 0, and stays a part of the graph.
            total = nn.functional.cross_entropy(logits, targets, reduction="sum")
        return total / max(1, int(wanted.sum()))


def _head_of(start: str) -> nn.Linear:
    """The language model's head, not trained.

    Raises:
        StageError: a reward model, which has none.
    """
    model, found = load(AutoModelForCausalLM, start, output_loading_info=True, dtype=torch.float32)
    head = model.get_output_embeddings()
    if found["missing_keys"] or not isinstance(head, nn.Linear):
        raise StageError(
            "has no language model's head, so lm_loss_coef has nothing to compute with",
            where=start,
            hint="set lm_loss_coef only where a language model is the start, such as in reward_model.pretrain.options",
        )
    return head.requires_grad_(False)


def encode_with_answers(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], starts: Sequence[int], ends: Sequence[int]
) -> tuple[list[list[int]], list[list[int]]]:
    """Ids of final texts, and of each [first, last + 1] of the tokens that have a character of its answer, or [0, 0].

    Args:
        starts: and `ends`: where the answers stand, in characters.

    Raises:
        DataError: the tokenizer cannot tell where its tokens stand.
    """
    if not tokenizer.is_fast:
        raise DataError("lm_loss_coef needs a fast tokenizer, which says where its tokens stand")
    encoded = tokenizer(list(texts), return_offsets_mapping=True, **FINAL)
    found = []
    for places, start, end in zip(encoded["offset_mapping"], starts, ends, strict=True):
        own = [index for index, (first, last) in enumerate(places) if first < end and last > start]
        found.append([own[0], own[-1] + 1] if own else [0, 0])
    return encoded["input_ids"], found


class AnswerCollator:
    """What another collator makes of rows, and `answer_labels` (B, T) from their column `answer`."""

    def __init__(self, inner: Any):
        self._inner = inner

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = self._inner(examples)
        ids = batch["input_ids"][: len(examples)]
        labels = torch.full_like(ids, IGNORED)
        for row, example in enumerate(examples):
            first, end = example["answer"]
            labels[row, first:end] = ids[row, first:end]
        batch["answer_labels"] = labels
        return batch
