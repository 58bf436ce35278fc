"""A critic whose body is spread over the processes by FSDP2, and what else then has to be done by hand.

Accelerate shards one model with its optimizer. The critic is a second one: it is sharded by the same settings, and has
an optimizer and a schedule of its own, of the policy's kinds. Its head, one number for each hidden unit, is on every
process, so its gradients are averaged there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor
from transformers import get_scheduler

from salmon_core.errors import StageError
from salmon_trl.critic import Critic, ValueModel, whole

#: a folder of torch's distributed checkpoint, to which each process writes its part
_OPTIMIZER = "optimizer"


def shard(critic: Critic, accelerator: Any) -> None:
    """Spreads the critic's body as accelerate would the policy.

    Raises:
        ValueError: FSDP of version 1, or a critic that is not a model of its own, trained whole.
    """
    from accelerate.utils.fsdp_utils import fsdp2_prepare_model

    if not accelerator.is_fsdp2:
        raise ValueError("PPOTrainer shards its critic by FSDP2: set fsdp_version: 2 in accelerate's file")
    if not isinstance(critic, ValueModel) or hasattr(critic.body, "peft_config"):
        raise ValueError("PPOTrainer shards a critic that is a model of its own, trained whole: no adapter")
    if accelerator.mixed_precision == "fp16":
        raise ValueError("PPOTrainer shards no critic in fp16: use bf16")
    critic.body = fsdp2_prepare_model(accelerator, critic.body)


def is_sharded(critic: Critic) -> bool:
    """Whether `shard` was called with it."""
    return any(isinstance(value, DTensor) for value in critic.parameters())


def load_whole(model: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """A state that every process has in full, into a model that may be sharded."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    set_model_state_dict(model, dict(state), options=StateDictOptions(full_state_dict=True))


def clip_(values: Iterable[torch.nn.Parameter], limit: float) -> float:
    """Scales the gradients of sharded and of whole parameters down to a norm together. -> the norm they had."""
    grads = [value.grad for value in values if value.grad is not None]
    parts = [[grad for grad in grads if isinstance(grad, DTensor) is sharded] for sharded in (True, False)]
    norms = [float(whole(torch.nn.utils.get_total_norm(part))) for part in parts if part]
    norm = sum(each**2 for each in norms) ** 0.5
    if limit > 0 and norm > limit:
        for grad in grads:
            grad.mul_(limit / (norm + 1e-6))
    return norm


class OwnOptimizer:
    """Optimizer and schedule of a sharded critic.

    Args:
        trainer: whose kinds of both they are.
        rate: the learning rate at its highest.
    """

    def __init__(self, trainer: Any, critic: Critic, rate: float):
        kind, values = trainer.get_optimizer_cls_and_kwargs(trainer.args, critic)
        decayed = set(trainer.get_decay_parameter_names(critic))
        groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
        for name, value in critic.trained().items():  # one step for many takes no mixture of whole and sharded ones
            groups.setdefault((isinstance(value, DTensor), name in decayed), []).append(value)
        self.optimizer: torch.optim.Optimizer = kind(
            [
                {"params": values, "weight_decay": trainer.args.weight_decay if decays else 0.0}
                for (_, decays), values in groups.items()
            ],
            **{**values, "lr": rate},
        )
        self._args, self._critic = trainer.args, critic
        self.schedule: Any = None

    def begin(self, steps: int) -> None:
        """A schedule over so many optimizer steps."""
        args = self._args
        self.schedule = get_scheduler(
            args.lr_scheduler_type,
            optimizer=self.optimizer,
            num_warmup_steps=args.get_warmup_steps(steps),
            num_training_steps=steps,
            scheduler_specific_kwargs=args.lr_scheduler_kwargs,
        )

    def step(self) -> None:
        """One optimizer step, and one of the schedule."""
        self.optimizer.step()
        self.schedule.step()

    def save(self, folder: Path) -> None:
        """What any number of processes can go on from; every one has to ask."""
        import torch.distributed.checkpoint as dcp

        dcp.save(self._state(), checkpoint_id=folder / _OPTIMIZER)

    def restore(self, folder: Path) -> None:
        """Takes back what `save` wrote.

        Raises:
            StageError: nothing was written there, or not all of it.
        """
        import torch.distributed.checkpoint as dcp
        from torch.distributed.checkpoint.state_dict import set_optimizer_state_dict

        if not (folder / _OPTIMIZER / ".metadata").is_file():  # written last
            raise StageError("holds no optimizer of the critic: the checkpoint is incomplete", where=str(folder))
        state = self._state()
        dcp.load(state, checkpoint_id=folder / _OPTIMIZER)
        set_optimizer_state_dict(self._critic, self.optimizer, state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])

    def _state(self) -> dict[str, Any]:
        from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

        return {
            "optimizer": get_optimizer_state_dict(self._critic, self.optimizer),
            "schedule": self.schedule.state_dict(),
        }
