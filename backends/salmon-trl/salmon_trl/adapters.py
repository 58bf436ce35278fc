"""One base model for four roles (arXiv 2310.05910, 3.3): policy, value and reward are adapters, the reference is none.

The value adapter lives on the policy's own model. It starts as a copy of the reward adapter where there is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from trl.trainer.utils import disable_dropout_in_model

from salmon_core.api import PrefixRequest, Scorer, TokenCodec
from salmon_core.errors import StageError
from salmon_trl.critic import Critic, head_values, new_head, run_body

if TYPE_CHECKING:
    from peft import PeftModel

#: adapter names; no model has a module called `critic`, as some have one called `value`
POLICY, VALUE, REWARD = "default", "critic", "reward"


@contextmanager
def adapter(model: PeftModel, name: str) -> Iterator[None]:
    """That adapter alone is active, and the policy's again afterwards.

    PEFT makes an adapter trainable as it activates it and freezes the others: outside, only the policy's is trainable.
    """
    model.set_adapter(name)
    try:
        yield
    finally:
        model.set_adapter(POLICY)


def base_of(model: PeftModel) -> Any:
    """The model below the adapters, as transformers made it."""
    return model.get_base_model()


def body_of(model: PeftModel) -> Any:
    """The transformer below the language model's head, adapters inside."""
    return base_of(model).base_model


class AdapterCritic(Critic):
    """A value adapter on the policy's model, and a head."""

    joint = False

    def __init__(self, model: PeftModel, head: nn.Linear):
        super().__init__()
        self.head = head.float()
        self._model = [model]  # the policy's: not a part of this module

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, keep: int) -> torch.Tensor:
        return head_values(self.head, run_body(body_of(self._model[0]), input_ids, attention_mask), keep)

    @contextmanager
    def active(self) -> Iterator[None]:
        with adapter(self._model[0], VALUE):
            yield

    def trained(self) -> dict[str, nn.Parameter]:
        own = {name: value for name, value in self._model[0].named_parameters() if f".{VALUE}." in f"{name}."}
        return {**{f"head.{name}": value for name, value in self.head.named_parameters()}, **own}


class SharedCritic:
    """Makes the adapters that a policy shares its base with: pass it to `PPOTrainer` as `critic`.

    Args:
        reward: folder of a reward model saved as an adapter of the policy's base; None: the value adapter starts anew.
        value_config: PEFT configuration of a new value adapter; None: as the policy's, or the reward's.
        start: `reward` or `policy`: what the value adapter is a copy of.

    Attributes:
        model: the policy's, once made.
        score: the reward model's head, once made.
    """

    def __init__(self, reward: str | None, *, value_config: Any = None, start: str = "reward"):
        self.reward, self.value_config, self.start = reward, value_config, start
        self.model: PeftModel | None = None
        self.score: nn.Linear | None = None

    def __call__(self, model: Any) -> AdapterCritic:
        """Puts the adapters onto the policy.

        Raises:
            StageError: the policy has no adapter, or the reward model is not one of this base.
        """
        from peft import PeftModel

        if not isinstance(model, PeftModel):
            raise StageError("sharing: adapters needs a policy that is trained as an adapter", hint="set lora")
        config = self.value_config or deepcopy(model.peft_config[POLICY])
        score, copied = None, None
        if self.reward is not None:
            reward_config, weights, score = read_reward_adapter(Path(self.reward), model)
            model.add_adapter(REWARD, reward_config)
            _set_weights(model, weights, REWARD, self.reward)
            if self.start == "reward" and self.value_config is None:
                config, copied = deepcopy(reward_config), weights
        config.inference_mode = False
        model.add_adapter(VALUE, config)
        if copied is not None:
            _set_weights(model, copied, VALUE, str(self.reward))
        disable_dropout_in_model(model)
        model.set_adapter(POLICY)
        device = next(model.parameters()).device
        self.model, self.score = model, None if score is None else score.to(device).requires_grad_(False)
        size = base_of(model).config.get_text_config().hidden_size
        return AdapterCritic(model, new_head(size, score if copied is not None else None))


def read_reward_adapter(folder: Path, model: PeftModel) -> tuple[Any, dict[str, torch.Tensor], nn.Linear]:
    """Configuration, adapter weights and score head of a reward model saved as an adapter.

    Raises:
        StageError: not an adapter, of another base, or with weights of other kinds.
    """
    from peft import PeftConfig
    from peft.utils import load_peft_weights

    hint = "train it from the policy with lora and merge: false"
    if not (folder / "adapter_config.json").is_file():
        raise StageError("the reward model is not an adapter", where=str(folder), hint=hint)
    config = PeftConfig.from_pretrained(str(folder))
    base, own = str(config.base_model_name_or_path), str(base_of(model).config._name_or_path)
    if base != own and Path(base).resolve() != Path(own).resolve():
        raise StageError(f"its adapter is of {base}, the policy starts from {own}", where=str(folder), hint=hint)
    config.modules_to_save, config.task_type, config.inference_mode = None, None, True
    weights = load_peft_weights(str(folder), device="cpu")
    heads = [name for name in weights if ".score." in name]
    if not any(name.endswith("score.weight") for name in heads):
        raise StageError("the reward model was saved without its score head", where=str(folder), hint=hint)
    parts = {name.rsplit(".", 1)[1]: weights.pop(name) for name in heads}
    score = nn.Linear(parts["weight"].shape[1], 1, bias="bias" in parts)
    score.load_state_dict({name: value.float() for name, value in parts.items()})
    for name in [name for name in weights if "lora_" not in name]:
        _check_embedding(folder, name, weights.pop(name), model)
    return config, weights, score


def _check_embedding(folder: Path, name: str, weight: torch.Tensor, model: PeftModel) -> None:
    """PEFT saves embeddings with an adapter that has one more token, for padding: the others must be the base's."""
    own = base_of(model).get_input_embeddings().weight.detach().cpu()
    if weight.ndim == 2 and len(weight) >= len(own) and weight.shape[1] == own.shape[1]:
        kept = weight[: len(own)]
        # Either may have been rounded to the other's precision.
        if torch.equal(kept, own.to(kept.dtype)) or torch.equal(kept.to(own.dtype), own):
            return
    raise StageError(f"the reward model trained {name} beside its adapter", where=str(folder))


def _set_weights(model: PeftModel, weights: dict[str, torch.Tensor], name: str, where: str) -> None:
    from peft import set_peft_model_state_dict

    result: Any = set_peft_model_state_dict(model, dict(weights), adapter_name=name)
    if result.unexpected_keys:
        raise StageError(f"the adapter does not fit the policy: {result.unexpected_keys[0]}", where=where)


class SharedReward(Scorer):
    """The reward model as an adapter on the policy's base.

    Args:
        codec: the reward model's tokenizer.
        shared: where the policy's model will be.
        batch_size: texts in one forward.
    """

    def __init__(self, codec: TokenCodec, shared: SharedCritic, batch_size: int):
        self._codec, self._shared, self._batch_size = codec, shared, batch_size

    @property
    def codec(self) -> TokenCodec:
        return self._codec

    @torch.no_grad()
    def score(self, requests: Sequence[PrefixRequest]) -> list[list[float]]:
        model, head = self._shared.model, self._shared.score
        assert model is not None and head is not None  # noqa: PT018  (made before the first rollout)
        texts = [text for request in requests for text in request.texts]
        ids = [self._codec.encode(text) for text in texts]
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        scores = [0.0] * len(ids)
        device = head.weight.device
        with adapter(model, REWARD):
            for start in range(0, len(order), self._batch_size):
                rows = order[start : start + self._batch_size]
                width = len(ids[rows[-1]])
                batch = torch.tensor([ids[row] + [0] * (width - len(ids[row])) for row in rows], device=device)
                lengths = torch.tensor([len(ids[row]) for row in rows], device=device)
                mask = (torch.arange(width, device=device) < lengths.unsqueeze(1)).long()
                hidden = run_body(body_of(model), batch, mask)
                last = hidden[torch.arange(len(rows), device=device), lengths - 1].float()
                for row, value in zip(rows, head(last).squeeze(-1).tolist(), strict=True):
                    scores[row] = value
        values = iter(scores)
        return [[next(values) for _ in request.suffixes] for request in requests]
