"""The value models of PPO: a transformer's body with a scalar head on every position."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, PreTrainedModel
from trl.trainer.utils import disable_dropout_in_model

from salmon_core.errors import StageError

WEIGHTS = "critic.safetensors"


class Critic(nn.Module):
    """What `PPOTrainer` needs of a value model.

    Attributes:
        joint: whether value and policy loss can share one backward pass.
    """

    joint = True

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, keep: int) -> torch.Tensor:
        """(B, keep) float32: the value of the state before each of the last `keep` tokens."""
        raise NotImplementedError

    @contextmanager
    def active(self) -> Iterator[None]:
        """Forward and backward passes of the critic belong in here."""
        yield

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that are trained, by name."""
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    def zero_grad(self, set_to_none: bool = True) -> None:
        for value in self.trained().values():
            value.grad = None if set_to_none or value.grad is None else value.grad.detach().zero_()

    def save(self, folder: Path, weights: dict[str, torch.Tensor] | None = None) -> None:
        """What is trained, in one file; `weights`: what `weights()` gave."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self.weights() if weights is None else weights, folder / WEIGHTS)

    def weights(self) -> dict[str, torch.Tensor]:
        """What is trained, whole; of a sharded critic every process has to ask."""
        return {name: whole(value.detach()).contiguous() for name, value in self.trained().items()}

    def restore(self, folder: Path) -> None:
        """Takes back what `save` wrote.

        Raises:
            StageError: no such file, or of another critic.
        """
        path = folder / WEIGHTS
        if not path.is_file():
            raise StageError("holds no critic: the checkpoint is incomplete, or not of PPO", where=str(folder))
        saved, own = load_file(path), self.trained()
        wrong = sorted(set(saved) ^ set(own)) or [n for n in own if saved[n].shape != own[n].shape]
        if wrong:
            raise StageError(f"is of another critic: {', '.join(wrong[:3])} do not match", where=str(path))
        for name, value in own.items():
            take(value, saved[name])


def whole(value: torch.Tensor) -> torch.Tensor:
    """All of a tensor, where a process has a part of it; then every process has to ask."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def take(value: torch.Tensor, given: torch.Tensor) -> None:
    """Overwrites a tensor, or this process's part of it, with what all of it should be."""
    with torch.no_grad():
        if isinstance(value, DTensor):
            given = distribute_tensor(given.to(value.device, value.dtype), value.device_mesh, value.placements)
        value.copy_(given)


class ValueModel(Critic):
    """A model of its own.

    Args:
        body: gives hidden states; may be a PEFT model.
        head: hidden size -> 1; kept in float32.
    """

    def __init__(self, body: nn.Module, head: nn.Linear):
        super().__init__()
        self.body, self.head = body, head.float()
        self.head.requires_grad_(True)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, keep: int) -> torch.Tensor:
        return head_values(self.head, run_body(self.body, input_ids, attention_mask), keep)


def run_body(body: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """Last hidden states. Positions count from the first real token, so padding on the left changes nothing."""
    plain = body.get_base_model() if hasattr(body, "get_base_model") else body
    takes_positions = "position_ids" in inspect.signature(plain.forward).parameters
    more = {"position_ids": (attention_mask.cumsum(1) - 1).clamp(min=0)} if takes_positions else {}
    hidden: torch.Tensor = body(
        input_ids=input_ids, attention_mask=attention_mask, use_cache=False, **more
    ).last_hidden_state
    return hidden


def head_values(head: nn.Linear, hidden: torch.Tensor, keep: int) -> torch.Tensor:
    """(B, keep): the head on the states before the last `keep` tokens, in float32 also under autocast."""
    with torch.autocast(hidden.device.type, enabled=False):
        values: torch.Tensor = head(hidden[:, -keep - 1 : -1].float()).squeeze(-1)
    return values


def new_head(hidden_size: int, source: nn.Linear | None = None) -> nn.Linear:
    """A value head: a copy of a score head, or zeros (a critic that knows nothing says 0)."""
    head = nn.Linear(hidden_size, 1, bias=source is not None and source.bias is not None)
    with torch.no_grad():
        if source is None:
            head.weight.zero_()
        else:
            head.weight.copy_(source.weight)
            if source.bias is not None:
                head.bias.copy_(source.bias)
    return head


def build_critic(
    source: str | PreTrainedModel, *, peft_config: Any = None, dtype: Any = None, **loading: Any
) -> ValueModel:
    """A critic from a reward model (one label) or a language model.

    Args:
        source: hub id or folder of either; or a model in memory, which is copied.
        peft_config: trains an adapter (and the head) instead of the whole body.
        loading: further arguments of `from_pretrained`.

    Raises:
        StageError: no model, or a classifier whose head is not a linear `score` of one label.
    """
    if dtype is not None:
        loading["dtype"] = dtype
    model: Any = _load(source, loading) if isinstance(source, str) else source
    name = getattr(model.config, "_name_or_path", None) or type(model).__name__
    score = getattr(model, "score", None)
    if _classifies(model.config, type(model).__name__) and not (
        isinstance(score, nn.Linear) and score.out_features == 1
    ):
        raise StageError("no reward model: its head is not a linear `score` of one label", where=name)
    body = model.base_model if isinstance(source, str) else copy.deepcopy(model.base_model)
    head = new_head(model.config.get_text_config().hidden_size, score)
    if peft_config is not None:
        from peft import get_peft_model

        body = get_peft_model(body, peft_config)
    else:
        body.requires_grad_(True)
    critic = ValueModel(body, head)
    disable_dropout_in_model(critic)
    return critic


def _classifies(config: Any, *names: str) -> bool:
    return any("ForSequenceClassification" in name for name in (*(config.architectures or ()), *names))


def _load(path: str, loading: dict[str, Any]) -> PreTrainedModel:
    """A classifier with its head, or the body of a language model; an adapter is merged."""
    try:
        if (Path(path) / "adapter_config.json").is_file():
            return _merged(path, loading)
        config = AutoConfig.from_pretrained(path, trust_remote_code=loading.get("trust_remote_code", False))
        kind = AutoModelForSequenceClassification if _classifies(config) else AutoModel
        model: PreTrainedModel = kind.from_pretrained(path, **loading)
        return model
    except (OSError, ValueError, ImportError) as error:
        raise StageError(f"cannot load the critic: {error}", where=path) from error


def _merged(path: str, loading: dict[str, Any]) -> PreTrainedModel:
    """A reward model saved as an adapter. PEFT's own class gives the base a row for an added pad token first."""
    from peft import AutoPeftModelForSequenceClassification

    model: Any = AutoPeftModelForSequenceClassification.from_pretrained(path, num_labels=1, **loading)
    merged: PreTrainedModel = model.merge_and_unload()
    return merged
