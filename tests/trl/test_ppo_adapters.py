"""One base model for policy, value, reward and reference: the same numbers as with separate models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
import ppo_world as ppo
import torch
import trl_world as world

from salmon_core.api import Job
from salmon_core.errors import StageError
from salmon_core.plugins.engines import open_codec
from salmon_core.records import Rollout
from salmon_core.reward.reward import Reward, registry_of
from salmon_trl.adapters import POLICY, REWARD, VALUE, SharedCritic, SharedReward, adapter


def lora(task: str | None = "CAUSAL_LM") -> Any:
    from peft import LoraConfig

    return LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type=task)


def shared_trainer(folder: Path, policy: Path, reward: Path | None, **more: Any) -> Any:
    return ppo.make_trainer(
        folder, policy, critic=SharedCritic(None if reward is None else str(reward)), peft_config=lora(), **more
    )


def move_adapters(trainer: Any) -> None:
    """Both trained adapters and the head leave zero, so that every gradient says something."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, value in [*trainer.model.named_parameters(), *trainer.critic.named_parameters()]:
            if f".{POLICY}." in name or f".{VALUE}." in name or name.startswith("head"):
                value += 0.05 * torch.randn(value.shape, generator=generator)


def gradients(trainer: Any, batch: dict[str, torch.Tensor]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of policy and critic after one step of the trainer, by names that separate models have, too."""
    trainer._buffered_inputs, trainer._step = [batch], 1
    trainer.current_gradient_accumulation_steps = 1
    trainer.training_step(trainer.model, None)
    policy = {
        name: value.grad.clone()
        for name, value in trainer.model.named_parameters()
        if f".{POLICY}." in name and value.grad is not None
    }
    return policy, {_plain(name): value.grad.clone() for name, value in trainer.critic.trained().items()}


def _plain(name: str) -> str:
    short = name.replace(f".{VALUE}.", f".{POLICY}.").removeprefix("body.base_model.model.")
    return short.removeprefix("base_model.model.model.")


@pytest.mark.parametrize(
    "checkpointing",
    [
        {},
        {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}},
        {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}},
    ],
    ids=["plain", "checkpointing", "reentrant"],
)
def test_gradients_are_those_of_separate_models(
    checkpointing: dict[str, Any], policy: Path, reward_model: Path, tmp_path: Path
) -> None:
    shared = shared_trainer(tmp_path / "shared", policy, reward_model, num_iterations=2, **checkpointing)
    move_adapters(shared)
    batch = ppo.generated(shared)
    move_adapters(shared)  # a ratio that is not 1, values that are not the old ones
    separate = ppo.make_trainer(
        tmp_path / "separate",
        policy,
        num_iterations=2,
        peft_config=lora(),
        critic=str(policy),
        critic_peft_config=lora(None),
    )
    mine = dict(shared.model.named_parameters())
    with torch.no_grad():
        for name, value in separate.model.named_parameters():
            value.copy_(mine[name])
        own = {_plain(name): value for name, value in shared.critic.trained().items()}
        names = {_plain(name): value for name, value in separate.critic.trained().items()}
        assert set(own) == set(names)
        for name, value in names.items():
            value.copy_(own[name])
    wanted = gradients(separate, batch)
    got = gradients(shared, batch)
    for side in (0, 1):
        assert set(got[side]) == set(wanted[side])
        assert any(value.abs().max() > 1e-4 for value in wanted[side].values())
        for name, value in wanted[side].items():
            torch.testing.assert_close(got[side][name], value, atol=1e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")
    # Nothing else got a gradient, and outside of the critic's passes the policy's adapter is the trained one.
    others = [n for n, v in shared.model.named_parameters() if f".{POLICY}." not in n and f".{VALUE}." not in n]
    assert all(mine[name].grad is None for name in others)
    assert shared.model.active_adapters == [POLICY]
    assert {n for n, v in mine.items() if v.requires_grad} == {n for n in mine if f".{POLICY}." in n}


def test_the_generated_batch_too(policy: Path, reward_model: Path, tmp_path: Path) -> None:
    """Values from the value adapter, reference with adapters off, old log-probabilities from the policy's."""
    from transformers import AutoModelForCausalLM

    trainer = shared_trainer(tmp_path, policy, reward_model, num_iterations=2, kl_coef=0.1)
    assert trainer.ref_model is None
    move_adapters(trainer)
    batch = ppo.generated(trainer)
    base = AutoModelForCausalLM.from_pretrained(policy)
    for name, model in (("ref_per_token_logps", base), ("old_per_token_logps", trainer.model)):
        for i, (prompt, completion) in enumerate(ppo.sequences(batch)):
            with torch.no_grad():
                logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
            wanted = torch.log_softmax(logits, -1).gather(1, torch.tensor(completion).unsqueeze(1)).squeeze(1)
            torch.testing.assert_close(batch[name][i, : len(completion)], wanted, atol=1e-5, rtol=0)
    assert (batch["ref_per_token_logps"] - batch["old_per_token_logps"]).abs().max() > 1e-2


def test_only_what_is_trained_changes(policy: Path, reward_model: Path, tmp_path: Path) -> None:
    trainer = shared_trainer(tmp_path, policy, reward_model, max_steps=3)
    before = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    head = trainer.critic.head.weight.detach().clone()
    trainer.train()
    moved = {name for name, value in trainer.model.named_parameters() if not torch.equal(value, before[name])}
    trained = {name for name in before if f".{POLICY}." in name or f".{VALUE}." in name}
    assert moved == trained
    assert not torch.equal(trainer.critic.head.weight, head)
    assert any(f".{REWARD}." in name for name in before)


def test_the_value_adapter_starts_as_the_reward_adapter(policy: Path, reward_model: Path, tmp_path: Path) -> None:
    from peft import AutoPeftModelForSequenceClassification

    trainer = shared_trainer(tmp_path, policy, reward_model)
    model = AutoPeftModelForSequenceClassification.from_pretrained(reward_model, num_labels=1).eval()
    ids = torch.tensor([[0, 40, 41, 42, 50, 51, 52]])
    with torch.no_grad(), trainer.critic.active():
        value = trainer.critic(torch.cat([ids, ids[:, :1]], 1), torch.ones(1, 8, dtype=torch.long), 1).item()
    with torch.no_grad():
        score = model(ids, attention_mask=torch.ones_like(ids)).logits.item()
    assert value == pytest.approx(score, abs=1e-5)
    assert abs(score) > 1e-3


def test_from_the_policy_alone(policy: Path, tmp_path: Path) -> None:
    """Without a reward model the value adapter starts anew, at values of 0."""
    trainer = shared_trainer(tmp_path, policy, None, max_steps=2)
    assert not ppo.generated(trainer)["values"].any()
    trainer.train()
    assert VALUE in trainer.model.peft_config
    assert REWARD not in trainer.model.peft_config


@pytest.mark.parametrize("value_config", [False, True])
def test_a_value_adapter_of_its_own_size(value_config: bool, policy: Path, reward_model: Path, tmp_path: Path) -> None:
    from peft import LoraConfig

    config = LoraConfig(r=2, target_modules="all-linear") if value_config else None
    critic = SharedCritic(str(reward_model), value_config=config)
    trainer = ppo.make_trainer(tmp_path, policy, critic=critic, peft_config=lora())
    ranks = {len(value) for name, value in trainer.critic.trained().items() if "lora_A" in name}
    assert ranks == {2 if value_config else 4}


# ---- the reward adapter as a scorer


def test_scores_are_the_engines(policy: Path, reward_model: Path, tmp_path: Path) -> None:
    """The same rollouts through `Reward`, once with the model that the engine opens and once with the adapter."""
    rows = world.rl_rows(6)
    spec = ppo.ppo_job(tmp_path / "stage", policy, reward_model, rows=8).reward
    assert spec is not None
    assert spec.model is not None
    texts = ["red green", "", "blue " * 30, "tree river house", "x", "quick cold"]
    shared = SharedCritic(str(reward_model))
    trainer = ppo.make_trainer(tmp_path / "run", policy, critic=shared, peft_config=lora())
    move_adapters(trainer)  # must not matter
    codec = open_codec(registry_of(spec), spec.engine, spec.model)
    scores = []
    for scorer in (None, SharedReward(codec, shared, batch_size=4)):
        rollouts = [
            Rollout.from_row(row, text, completion_ids=[5], stopped=True, rollout_index=0)
            for row, text in zip(rows, texts, strict=True)
        ]
        with Reward.from_spec(spec, scorer=scorer) as reward:
            scores.append([breakdown.components["rm"] for breakdown in reward(rollouts)])
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    assert len({round(score, 4) for score in scores[0]}) > 3
    assert trainer.model.active_adapters == [POLICY]


# ---- what cannot be


@pytest.fixture
def base_model(policy: Path) -> Any:
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    return get_peft_model(AutoModelForCausalLM.from_pretrained(policy), lora())


def test_a_whole_reward_model_is_refused(policy: Path, base_model: Any) -> None:
    scorer = ppo.make_scorer(policy.parent / "scorer", policy)
    with pytest.raises(StageError, match="the reward model is not an adapter"):
        SharedCritic(str(scorer))(base_model)


def test_a_policy_without_adapter_is_refused(policy: Path, reward_model: Path) -> None:
    from transformers import AutoModelForCausalLM

    with pytest.raises(StageError, match="a policy that is trained as an adapter"):
        SharedCritic(str(reward_model))(AutoModelForCausalLM.from_pretrained(policy))


def altered(reward_model: Path, folder: Path, **config: Any) -> Path:
    """A copy of the adapter with another configuration."""
    import shutil

    shutil.copytree(reward_model, folder)
    values = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**values, **config}))
    return folder


def test_another_base_is_refused(reward_model: Path, base_model: Any, tmp_path: Path) -> None:
    other = altered(reward_model, tmp_path / "rm", base_model_name_or_path="/models/another")
    with pytest.raises(StageError, match="its adapter is of /models/another, the policy starts from"):
        SharedCritic(str(other))(base_model)


def test_trained_embeddings_are_refused(reward_model: Path, base_model: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = altered(reward_model, tmp_path / "rm")
    weights = load_file(folder / "adapter_model.safetensors")
    name = next(name for name in weights if "embed_tokens" in name)
    weights[name][5] += 1
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(StageError, match="the reward model trained"):
        SharedCritic(str(folder))(base_model)


def test_a_missing_head_is_refused(reward_model: Path, base_model: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = altered(reward_model, tmp_path / "rm")
    weights = {n: v for n, v in load_file(folder / "adapter_model.safetensors").items() if ".score." not in n}
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(StageError, match="without its score head"):
        SharedCritic(str(folder))(base_model)


def test_the_policy_is_the_policys_again_after_an_error(reward_model: Path, base_model: Any) -> None:
    SharedCritic(str(reward_model))(base_model)

    def fail() -> None:
        with adapter(base_model, VALUE):
            assert base_model.active_adapters == [VALUE]
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert base_model.active_adapters == [POLICY]


# ---- the whole stage


def stage(folder: Path, policy: Path, reward_model: Path | None, **options: Any) -> Job:
    return ppo.ppo_job(
        folder, policy, reward_model, rows=24, options={"lora": ppo.LORA, "sharing": "adapters", **options}
    )


@pytest.mark.parametrize("merge", [True, False])
def test_the_stage(merge: bool, policy: Path, reward_model: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    from salmon_trl.backend import TRLBackend

    job = stage(tmp_path / "stage", policy, reward_model, merge=merge, gradient_checkpointing=True)
    folder = ppo.work(job)
    result = TRLBackend().finish(job, folder)
    assert result.metrics["steps"] == 6
    logged = world.steps(folder)
    assert {"value/loss", "value/explained_variance", "reward/rm/mean", "kl"} <= set(logged[0][1])
    assert any(values["value/grad_norm"] > 0 for _, values in logged)
    model = folder / "model"
    assert not [path for path in model.rglob("*") if path.is_dir()]
    loaded = AutoModelForCausalLM.from_pretrained(model)  # merged, or PEFT's adapter on the base it names
    if merge:
        assert not (model / "adapter_config.json").exists()
        before, after = world.weights(policy), world.weights(model)
        assert set(before) == set(after)
        assert any(not torch.equal(before[name], after[name]) for name in before)
    else:
        assert set(loaded.peft_config) == {"default"}
        assert not any(f".{VALUE}." in name or f".{REWARD}." in name for name, _ in loaded.named_parameters())


def test_a_stage_started_again_at_its_last_checkpoint(policy: Path, reward_model: Path, tmp_path: Path) -> None:
    """Half of the run, then all of it: as if it had never stopped."""
    import shutil

    whole = stage(tmp_path / "whole", policy, reward_model, save_steps=2)
    ppo.work(whole)
    broken = stage(tmp_path / "broken", policy, reward_model, save_steps=2)
    a, b = Path(whole.folder), Path(broken.folder)
    ppo.work(broken)
    shutil.rmtree(b / "model")
    shutil.rmtree(b / "checkpoints" / "checkpoint-6")
    ppo.work(broken)
    assert world.metrics(b)["resumed_from"] == 4
    times = ("step_time",)
    one, two = (
        [(s, {k: v for k, v in values.items() if k not in times}) for s, values in world.steps(f)] for f in (a, b)
    )
    assert one == two
    weights = world.weights(a / "model"), world.weights(b / "model")
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_base_in_four_bits(policy: Path, reward_model: Path, tmp_path: Path) -> None:
    """The base is rounded while training; what is left is the adapter on the base as it was."""
    pytest.importorskip("bitsandbytes")
    from safetensors.torch import load_file

    job = stage(tmp_path / "stage", policy, reward_model, quantization="nf4", gradient_checkpointing=True, save_steps=2)
    folder = ppo.work(job)
    logged = world.steps(folder)
    assert logged[0][1]["kl"] == pytest.approx(0, abs=1e-6)  # the reference is the same rounded base
    assert all(values["grad_norm"] > 0 for step, values in logged if step > 1)
    assert not (folder / "adapter.tmp").exists()
    before, after = world.weights(policy), world.weights(folder / "model")
    assert set(before) == set(after)
    checkpoint = folder / "checkpoints" / "checkpoint-6"
    adapter_weights = load_file(checkpoint / "adapter_model.safetensors")
    name = "model.layers.0.mlp.up_proj"
    a, b = (adapter_weights[f"base_model.model.{name}.lora_{side}.weight"] for side in "AB")
    change = after[f"{name}.weight"] - before[f"{name}.weight"]
    torch.testing.assert_close(change, ppo.LORA["alpha"] / ppo.LORA["r"] * b @ a, atol=1e-6, rtol=1e-4)
    assert change.abs().max() > 1e-4
    # Killed before the end and run again: from the checkpoint, on a base rounded anew.
    import shutil

    shutil.rmtree(folder / "model")
    shutil.rmtree(checkpoint)
    ppo.work(job)
    assert world.metrics(folder)["resumed_from"] == 4
    again = world.weights(folder / "model")
    assert all(torch.equal(after[key], again[key]) for key in after)


def test_four_bits_without_bitsandbytes(policy: Path, reward_model: Path, tmp_path: Path) -> None:
    from importlib.util import find_spec

    if find_spec("bitsandbytes"):
        pytest.skip("bitsandbytes is installed")
    message = ppo.failure(stage(tmp_path / "stage", policy, reward_model, quantization="nf4"))
    assert "quantization: nf4 needs bitsandbytes" in message
    assert "pip install bitsandbytes" in message


def test_an_adapter_saved_in_another_precision(reward_model: Path, base_model: Any, tmp_path: Path) -> None:
    """Embeddings rounded to bfloat16 are still the base's."""
    from safetensors.torch import load_file, save_file

    folder = altered(reward_model, tmp_path / "rm")
    weights = {n: v.bfloat16() for n, v in load_file(folder / "adapter_model.safetensors").items()}
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    critic = SharedCritic(str(folder))(base_model)
    assert critic.head.weight.dtype == torch.float32


def test_refusals_reach_the_user(policy: Path, tmp_path: Path) -> None:
    scorer = ppo.make_scorer(tmp_path / "scorer", policy)
    assert "train it from the policy with lora and merge: false" in ppo.failure(stage(tmp_path / "s", policy, scorer))
