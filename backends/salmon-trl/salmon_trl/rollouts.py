"""RL trainers over rows that are already drawn and rendered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, ClassVar

from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer

from salmon_core.api import ModelSpec, Scorer
from salmon_core.errors import StageError
from salmon_core.kit.training import critic_start
from salmon_core.plugins.engines import open_codec
from salmon_core.reward.reward import registry_of
from salmon_trl.adapters import SharedCritic, SharedReward
from salmon_trl.checkpoints import Resumable
from salmon_trl.common import Run, load_tokenizer, loading, lora_config
from salmon_trl.critic_prompts import CriticPrompts
from salmon_trl.data import encode, position_limit
from salmon_trl.options import GroupOptions, PPOOptions
from salmon_trl.ppo import PPOTrainer
from salmon_trl.ppo_config import PPOConfig
from salmon_trl.reward_function import RewardFunction


class RolloutTrainer(Resumable):
    """What the trainers share. Put before a TRL trainer.

    Attributes:
        config: its TRL configuration class.
        tells_kl: whether the KL penalty is part of its rewards, and so known for each completion.
    """

    config: type
    tells_kl: ClassVar[bool] = False

    @classmethod
    def settings(cls, options: Any) -> dict[str, Any]:
        """Arguments of `config` that follow from the options."""
        return {}

    @classmethod
    def components(cls, run: Run, options: Any) -> tuple[dict[str, Any], Scorer | None]:
        """Further arguments of the trainer, such as a critic; and the reward model, where it is open already."""
        return {}, None

    @classmethod
    def summary(cls, logged: Sequence[Mapping[str, float]]) -> dict[str, float]:
        """Numbers about the whole run, from the values of its steps."""
        return {}

    def before_training(self, run: Run, options: Any, function: RewardFunction) -> None:
        """Called once, before training, with the reward function."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # First: what was generated before a checkpoint is not generated again.
        for function in self.reward_funcs:  # type: ignore[attr-defined]
            if isinstance(function, RewardFunction) and function.log is not None:
                function.log.settle()
        super()._save_checkpoint(model, trial)

    def _tokenize_prompts(self, prompts: list[str]) -> tuple[list[list[int]], None, dict[str, Any]]:
        # TRL would put a second BOS before a prompt that the chat template has already begun with one.
        tokenizer: Any = self.processing_class
        return encode(tokenizer, prompts), None, {}


class GRPO(RolloutTrainer, GRPOTrainer):
    """Group relative policy optimisation."""

    config = GRPOConfig

    @classmethod
    def settings(cls, options: GroupOptions) -> dict[str, Any]:
        chosen = {"loss_type": options.loss_type, "scale_rewards": options.scale_rewards}
        given = {name: value for name, value in chosen.items() if value is not None}
        return {"mask_truncated_completions": False, "beta": options.beta, **given}


class RLOO(RolloutTrainer, RLOOTrainer):
    """REINFORCE with a leave-one-out baseline."""

    config = RLOOConfig

    @classmethod
    def settings(cls, options: GroupOptions) -> dict[str, Any]:
        return {"mask_truncated_completions": False, "beta": options.beta}


#: options of ours that are arguments of PPOConfig by the same name
_PPO_SETTINGS = (
    "kl_coef",
    "kl_estimator",
    "gamma",
    "lam",
    "whiten_advantages",
    "vf_coef",
    "cliprange_value",
    "critic_learning_rate",
    "missing_eos_penalty",
)


class PPO(RolloutTrainer, PPOTrainer):
    """Proximal policy optimisation with a critic."""

    config = PPOConfig
    tells_kl = True

    @classmethod
    def settings(cls, options: PPOOptions) -> dict[str, Any]:
        return {name: getattr(options, name) for name in _PPO_SETTINGS}

    @classmethod
    def components(cls, run: Run, options: PPOOptions) -> tuple[dict[str, Any], Scorer | None]:
        spec = run.job.reward
        assert spec is not None  # checked by the plan
        start, reward = critic_start(run.job, options.critic), spec.model
        if start == "reward" and reward is not None:
            _check_same_ids(run.job.model, reward)
        elif start != "policy":
            _check_same_ids(run.job.model, ModelSpec(start, trust_remote_code=run.job.model.trust_remote_code))
        if options.sharing == "adapters":
            shared = SharedCritic(
                None if reward is None else reward.path,
                value_config=lora_config(options.critic_lora, None),
                start=start,
            )
            if reward is None:
                return {"critic": shared}, None
            codec = open_codec(registry_of(spec), spec.engine, reward)
            return {"critic": shared}, SharedReward(codec, shared, options.per_device_train_batch_size)
        path = reward.path if start == "reward" and reward is not None else start
        return {
            "critic": None if path == "policy" else path,
            "critic_peft_config": lora_config(options.critic_lora or options.lora, None),
            "critic_loading": loading(run.job.model, options),
        }, None

    def before_training(self, run: Run, options: PPOOptions, function: RewardFunction) -> None:
        if options.critic_reads == "prompt":
            return
        assert run.job.reward is not None
        limit = position_limit(self.model.config)
        room = None if limit is None else max(0, limit - options.max_completion_length)
        more: Any = {"window": run.layout.window, "room": room}
        self.critic_prompts = CriticPrompts(run.job.reward, function.reward, function.rows, function.tokenizer, **more)

    @classmethod
    def summary(cls, logged: Sequence[Mapping[str, float]]) -> dict[str, float]:
        name = "value/explained_variance"
        found = [values[name] for values in logged if name in values]
        late = found[-max(1, len(found) // 4) :]  # one batch alone is noisy
        return {"explained_variance": fmean(late)} if late else {}


def _check_same_ids(policy: ModelSpec, source: ModelSpec) -> None:
    """A critic reads the policy's ids: they have to mean the same to the model it starts from.

    Raises:
        StageError: another tokenizer.
    """
    own, other = load_tokenizer(policy).get_vocab(), load_tokenizer(source).get_vocab()
    if any(other.get(token) != index for token, index in own.items()):
        raise StageError(
            "this model has another tokenizer than the policy, so the critic cannot start from it",
            where=source.path,
            hint="set critic: policy",
        )
