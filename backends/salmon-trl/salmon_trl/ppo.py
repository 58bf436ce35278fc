"""PPO on TRL's GRPO trainer, which generates, scores, logs, saves and resumes; here stands only what PPO adds.

TRL's loss takes advantages of shape (B, T). So PPO is: values from a critic, a KL penalty per token in the reward,
generalised advantage estimation, and the critic's loss beside the policy's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, ClassVar

import torch
from accelerate.utils import broadcast
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments, set_seed
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl.models.utils import disable_gradient_checkpointing
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.utils import RepeatSampler

from salmon_core.errors import StageError
from salmon_trl.advantages import (
    advantages_and_returns,
    explained_variance,
    kl_penalty,
    moments,
    token_rewards,
    value_errors,
    whiten,
)
from salmon_trl.critic import Critic, build_critic
from salmon_trl.order import FollowEpochs
from salmon_trl.ppo_config import PPOConfig
from salmon_trl.sharded import OwnOptimizer, clip_, is_sharded, load_whole, shard

Batch = dict[str, torch.Tensor]

_TOKENS = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")
#: of what the critic reads in place of the prompt, where that is another text
_READ = ("critic_prompt_ids", "critic_prompt_mask")


class PPOTrainer(GRPOTrainer):
    """Proximal policy optimisation (arXiv 1707.06347) with a critic and a KL penalty, as in arXiv 2310.05910, 3.3.

    Everything of `trl.GRPOTrainer` applies: reward functions, data set, PEFT, vLLM, logging, checkpoints.

    Args:
        model: the policy; hub id, folder or model.
        reward_funcs: as for GRPOTrainer; every completion has to get a reward.
        args: settings.
        critic: where the value model starts: hub id or folder of a reward model or language model, a model in memory
            (copied), a `Critic`, or a function that makes one of the policy, such as `SharedCritic`. None: the policy.
        critic_peft_config: trains an adapter on the critic instead of all of it.
        critic_loading: arguments of its `from_pretrained`; None: `args.model_init_kwargs`, and the policy's dtype.
        kwargs: of GRPOTrainer.

    Raises:
        ValueError: settings that cannot work.
        StageError: a critic that is no value model.
    """

    args: PPOConfig
    accelerator: Any  # some of its methods are untyped
    #: from rows of the data set and the optimizer step to the ids that the critic reads in place of their prompts
    critic_prompts: Callable[[Any, int], list[list[int]]] | None = None
    _tag_names: ClassVar[list[str]] = ["trl", "ppo"]
    _name = "PPO"
    _paper: ClassVar[dict[str, str]] = {"title": "Proximal Policy Optimization Algorithms", "id": "1707.06347"}

    def __init__(
        self,
        model: str | PreTrainedModel,
        reward_funcs: Any,
        args: PPOConfig,
        *more: Any,
        critic: str | PreTrainedModel | Critic | Callable[[Any], Critic] | None = None,
        critic_peft_config: Any = None,
        critic_loading: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        if critic is None or isinstance(critic, str | PreTrainedModel):
            set_seed(args.seed)  # of a new adapter
            loading = dict(critic_loading or args.model_init_kwargs or {})
            if not isinstance(model, str):
                loading.setdefault("dtype", model.dtype)
            critic = build_critic(critic or model, peft_config=critic_peft_config, **loading)
        args.beta = args.kl_coef  # what makes TRL keep a reference model
        try:
            super().__init__(model, reward_funcs, args, *more, **kwargs)
        finally:
            args.beta = 0.0
        if self.ref_model is not None:
            # TRL loads it by the policy's name: it has to be the policy as it was given, also if changed in memory.
            reference = self.accelerator.unwrap_model(self.ref_model)
            state = self.accelerator.unwrap_model(self.model).state_dict()
            load_whole(reference, state) if self.is_fsdp_enabled else reference.load_state_dict(state)
        if self._is_vlm:
            raise ValueError("PPOTrainer trains language models: its critic reads no images")
        if self.is_deepspeed_enabled:
            raise ValueError("PPOTrainer shards no critic by DeepSpeed: use FSDP2")
        if not isinstance(critic, Critic):
            critic = critic(self.model)
        self.critic = critic.to(self.accelerator.device)
        for value in critic.trained().values():  # processes are seeded differently
            value.data.copy_(broadcast(value.data))
        if self.is_fsdp_enabled:
            shard(critic, self.accelerator)
        #: where the critic is sharded: accelerate gives the policy's optimizer other parameters
        self._critic_optimizer: OwnOptimizer | None = None
        alone = not critic.joint or is_sharded(critic)
        self._wrapped_critic: Any = critic if alone else self.accelerator.prepare_model(critic)
        self._scores: torch.Tensor | None = None
        self.add_callback(_CriticSteps(self))
        if args.gradient_checkpointing and critic.joint:
            body: Any = getattr(critic, "body", None)
            body.gradient_checkpointing_enable(gradient_checkpointing_kwargs=args.gradient_checkpointing_kwargs)
            if hasattr(body, "enable_input_require_grads"):
                body.enable_input_require_grads()

    # ---- optimizer

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        fresh = self.optimizer is None
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        if fresh:
            rate = self.args.critic_learning_rate or self.args.learning_rate
            if is_sharded(self.critic):
                self._critic_optimizer = OwnOptimizer(self, self.critic, rate)
                return optimizer
            decayed = set(self.get_decay_parameter_names(self.critic))
            for decay in (True, False):
                params = [value for name, value in self.critic.trained().items() if (name in decayed) == decay]
                if params:
                    weight_decay = self.args.weight_decay if decay else 0.0
                    optimizer.add_param_group({"params": params, "lr": rate, "weight_decay": weight_decay})
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        if self._critic_optimizer is not None:
            self._critic_optimizer.begin(num_training_steps)
        return super().create_scheduler(num_training_steps, optimizer)

    def step_critic(self) -> None:
        """The critic's part of an optimizer step, after the policy's."""
        if self._critic_optimizer is not None:
            self._critic_optimizer.step()
        self.critic.zero_grad(set_to_none=True)  # transformers zeroes the gradients of the policy only

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        self.critic.train()
        loss: torch.Tensor = super().training_step(model, inputs, num_items_in_batch)
        alone = self._wrapped_critic is self.critic
        if alone and self.accelerator.num_processes > 1 and self.accelerator.sync_gradients:
            # No distributed wrapper knows a value adapter, nor the head of a sharded critic.
            for value in self.critic.trained().values():
                if value.grad is not None and not isinstance(value.grad, DTensor):
                    value.grad = self.accelerator.reduce(value.grad, reduction="mean")
        return loss

    def _clip_grad_norm(self, model: Any) -> Any:
        # Apart: an adapter of the critic is among the policy model's parameters.
        own = list(self.critic.trained().values())
        ids = {id(value) for value in own}
        policy = [value for value in model.parameters() if id(value) not in ids]
        norm = self.accelerator.clip_grad_norm_(policy, self.args.max_grad_norm)
        self._metrics["train"]["value/grad_norm"].append(clip_(own, self.args.max_grad_norm))
        return norm

    # ---- checkpoints

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # First: a checkpoint with a trainer state, which is written last, then has its critic.
        folder = Path(self._get_output_dir(trial=trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if self._critic_optimizer is not None:
            self._critic_optimizer.save(folder / "critic")
            weights = self.critic.weights()  # every process gives its part
            if self.args.should_save:
                self.critic.save(folder / "critic", weights)
            self.accelerator.wait_for_everyone()
        elif self.args.should_save:
            self.critic.save(folder / "critic")
        super()._save_checkpoint(model, trial)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        folder = Path(resume_from_checkpoint)
        step = json.loads((folder / "trainer_state.json").read_text())["global_step"]
        if step % self.args.window and not 0 < self.args.max_steps <= step:
            raise StageError(
                f"was saved at step {step}, inside the optimizer steps of a generated batch",
                where=str(folder),
                hint=f"a run resumes at multiples of {self.args.window}",
            )
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        self.critic.restore(folder / "critic")
        if self._critic_optimizer is not None:
            self._critic_optimizer.restore(folder / "critic")

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        sampler = _EpochSampler(
            data_source=dataset if dataset is not None else self.train_dataset,
            mini_repeat_count=self.num_generations,
            batch_size=self.args.generation_batch_size // self.num_generations,
            repeat_count=self.num_iterations * self.args.steps_per_generation,
            shuffle=self.shuffle_dataset,
            seed=self.args.seed,
        )
        self.add_callback(FollowEpochs(sampler))
        return sampler

    # ---- rollouts

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        rewards: torch.Tensor = super()._calculate_rewards(*args, **kwargs)  # of all processes
        if torch.isnan(rewards).all(dim=1).any():
            raise ValueError("a completion got no reward from any reward function; PPO needs one for each")
        self._scores = (rewards * self.reward_weights.to(rewards.device)).nansum(dim=1)
        return rewards

    @torch.no_grad()
    def _generate_and_score_completions(self, inputs: Any) -> Batch:
        batch: Batch = super()._generate_and_score_completions(inputs)
        if self.critic_prompts is not None:
            batch |= zip(_READ, self._left_padded(self.critic_prompts(inputs, self.state.global_step)), strict=True)
        args, mode = self.args, "train" if self.model.training else "eval"
        mask = _chosen(batch).float()
        size = args.per_device_train_batch_size if mode == "train" else args.per_device_eval_batch_size
        logged = self._metrics[mode]
        if args.kl_coef:
            if "old_per_token_logps" not in batch:  # TRL leaves them out where the loss could do without
                batch["old_per_token_logps"] = self._logps(batch, size)
            kl = kl_penalty(batch["old_per_token_logps"], batch["ref_per_token_logps"], args.kl_estimator) * mask
            mean_kl, _ = moments(kl, mask, self._sum)
            logged["kl"].append(mean_kl.item())
            self._tell_kl(kl)
        else:
            kl = torch.zeros_like(mask)
        with self._critic_evaluates():
            values = self._in_parts(lambda part: self._values(self.critic, part), batch, size) * mask
        rewards = token_rewards(self._own_scores(batch), kl, mask, args.kl_coef)
        advantages, returns = advantages_and_returns(rewards, values, mask, args.gamma, args.lam)
        for name, tensor in (("value/mean", values), ("value/return", returns)):
            logged[name].append(moments(tensor, mask, self._sum)[0].item())
        logged["value/explained_variance"].append(explained_variance(values, returns, mask, self._sum).item())
        if args.whiten_advantages:
            advantages = whiten(advantages, mask, self._sum)
        if self.num_generations == 1:
            logged.pop("frac_reward_zero_std", None)  # of groups of one: always 1
        self._show_advantages((advantages.sum(1) / mask.sum(1).clamp(min=1)).contiguous())
        return {**batch, "advantages": advantages, "values": values, "returns": returns}

    def _tell_kl(self, kl: torch.Tensor) -> None:
        """Reward functions that write rollouts down want to know it; see `RewardFunction.tell_kl`."""
        for function in self.reward_funcs:
            if getattr(function, "awaits_kl", False):
                function.tell_kl(kl.sum(1).tolist())

    def _own_scores(self, batch: Batch) -> torch.Tensor:
        """(B,) the rewards of this process's completions."""
        assert self._scores is not None
        count = len(batch["completion_ids"])
        scores = self._scores[self.accelerator.process_index * count :][:count]
        if self.args.missing_eos_penalty is not None:
            last = batch["completion_mask"].sum(1).long() - 1
            ends = batch["completion_ids"].gather(1, last.clamp(min=0).unsqueeze(1)).squeeze(1)
            stopped = torch.isin(ends, torch.tensor(self.eos_token_ids, device=ends.device)) & (last >= 0)
            scores = scores - self.args.missing_eos_penalty * ~stopped
        return scores

    def _logps(self, batch: Batch, size: int) -> torch.Tensor:
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
        with disable_gradient_checkpointing(self.model, self.args.gradient_checkpointing_kwargs):
            logps: torch.Tensor = self._get_per_token_logps_and_entropies(
                self.model, ids, mask, batch["completion_ids"].size(1), batch_size=size
            )[0]
        return logps

    @staticmethod
    def _in_parts(read: Callable[[Batch], torch.Tensor], batch: Batch, size: int) -> torch.Tensor:
        count = len(batch["completion_ids"])
        names = [name for name in (*_TOKENS, *_READ) if name in batch]
        parts = ({name: batch[name][i : i + size] for name in names} for i in range(0, count, size))
        return torch.cat([read(part) for part in parts])

    def _left_padded(self, rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, P) ids and mask; P is the longest row of this process."""
        width, fill = max(map(len, rows)), self._tokenizer.pad_token_id
        ids = [[fill] * (width - len(row)) + row for row in rows]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
        device = self.accelerator.device
        return torch.tensor(ids, device=device), torch.tensor(mask, device=device)

    def _show_advantages(self, means: torch.Tensor) -> None:
        """TRL's table of completions shows mean advantages of PPO, not the group's."""
        shown, table = self.accelerator.gather(means).tolist(), self._logs["advantages"]
        for _ in range(min(len(shown), len(table))):
            table.pop()
        table.extend(shown)

    @contextmanager
    def _critic_evaluates(self) -> Iterator[None]:
        self.critic.eval()
        with self.critic.active():
            yield

    def _values(self, critic: Any, batch: Batch) -> torch.Tensor:
        """(B, T) the value of the state before each token of the completion."""
        prompt, its_mask = _READ if _READ[0] in batch else _TOKENS[:2]
        ids = torch.cat([batch[prompt], batch["completion_ids"]], 1)
        mask = torch.cat([batch[its_mask], batch["completion_mask"]], 1)
        with self.accelerator.autocast():
            values: torch.Tensor = critic(ids, mask, batch["completion_ids"].size(1))
        return values

    def _sum(self, values: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = self.accelerator.reduce(values.float(), reduction="sum")
        return total

    # ---- loss

    def _compute_loss(self, model: Any, inputs: Batch) -> torch.Tensor:
        if self.critic.joint or not torch.is_grad_enabled():
            with self.critic.active():
                value_loss = self.args.vf_coef * self._value_loss(inputs)
            return self._policy_loss(model, inputs) + value_loss
        with self.critic.active():
            # Forward and backward under the same adapter: checkpointing computes activations anew in backward.
            value_loss = self.args.vf_coef * self._value_loss(inputs)
            self.accelerator.backward(value_loss)
        return self._policy_loss(model, inputs) + value_loss.detach()

    def _policy_loss(self, model: Any, inputs: Batch) -> torch.Tensor:
        self.beta, beta = 0.0, self.beta  # no KL in the loss: it is in the reward
        try:
            loss: torch.Tensor = super()._compute_loss(model, inputs)
        finally:
            self.beta = beta
        return loss

    def _value_loss(self, inputs: Batch) -> torch.Tensor:
        mode = "train" if self.model.training else "eval"
        mask = _chosen(inputs).float()
        ready = self.accelerator.gradient_state.sync_gradients or not hasattr(self._wrapped_critic, "no_sync")
        with nullcontext() if ready else self._wrapped_critic.no_sync():
            values = self._values(self._wrapped_critic if mode == "train" else self.critic, inputs)
        errors = value_errors(values, inputs["values"], inputs["returns"], self.args.cliprange_value) * mask
        # Normalised exactly as the policy's loss is, so that vf_coef means the same whatever the batches are.
        steps = self.current_gradient_accumulation_steps if mode == "train" else 1
        if self.loss_type == "dapo":
            tokens = inputs["num_items_in_batch"].clamp(min=1.0) / self.accelerator.num_processes
            loss = errors.sum() / (tokens * steps / self.args.steps_per_generation if mode == "train" else tokens)
        else:
            loss = errors.sum() / mask.sum().clamp(min=1) / steps
        mean, _ = moments(errors.detach(), mask, self._sum)
        self._metrics[mode]["value/loss"].append(mean.item())
        moved = ((values - inputs["values"]).abs() > self.args.cliprange_value).float()
        if self.args.cliprange_value:
            self._metrics[mode]["value/clip_fraction"].append(moments(moved.detach(), mask, self._sum)[0].item())
        return loss


def _chosen(batch: Batch) -> torch.Tensor:
    """(B, T) 1 on tokens that the policy chose: not padding, nor written by a tool."""
    mask = batch["completion_mask"]
    return mask * batch["tool_mask"] if "tool_mask" in batch else mask


class _CriticSteps(TrainerCallback):
    def __init__(self, trainer: PPOTrainer):
        self.trainer = trainer

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self.trainer.step_critic()


class _EpochSampler(RepeatSampler):  # type: ignore[misc]
    """TRL's order of prompts, as a function of seed and epoch: a resumed run sees what an undisturbed one sees."""

    epoch = 0

    def __iter__(self) -> Iterator[int]:
        if self.shuffle:
            self.generator.manual_seed(self.seed + self.epoch)
        return iter(super().__iter__())
