"""Where the critic starts, what is trained of it, and that nothing of it is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
import ppo_world as ppo
import torch
import trl_world as world

from salmon_core.api import Job
from salmon_core.errors import StageError
from salmon_trl.critic import build_critic

IDS = [[0, 40, 41, 42, 50, 51, 52]]


@pytest.fixture(scope="module")
def scorer(policy: Path) -> Path:
    return ppo.make_scorer(policy.parent / "scorer", policy)


@torch.no_grad()
def last_value(critic: Any) -> float:
    """The value after the last of `IDS`."""
    ids = torch.tensor([[*IDS[0], 60]])
    return critic.eval()(ids, torch.ones_like(ids), 1).item()  # type: ignore[no-any-return]


@torch.no_grad()
def score(model: Any) -> float:
    ids = torch.tensor(IDS)
    return model.eval()(ids, attention_mask=torch.ones_like(ids)).logits.item()  # type: ignore[no-any-return]


def test_from_a_model_in_memory(scorer: Path) -> None:
    """It is copied: training the critic does not change what the caller holds."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(scorer, num_labels=1)
    critic, before = build_critic(model), score(model)
    assert last_value(critic) == pytest.approx(before, abs=1e-6)
    ppo.disturb(critic)
    assert score(model) == before
    assert last_value(critic) != pytest.approx(before, abs=1e-3)


def test_from_a_reward_adapter(policy: Path, tmp_path: Path) -> None:
    """As train-rm leaves it with lora and merge: false, a pad token added."""
    from peft import AutoPeftModelForSequenceClassification

    folder = ppo.make_reward_adapter(tmp_path, policy)
    model = AutoPeftModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    critic = build_critic(str(folder))
    assert last_value(critic) == pytest.approx(score(model), abs=1e-5)
    assert not any("lora" in name for name in critic.trained())
    assert len(critic.trained()) == len(list(critic.parameters()))


def test_from_the_policy_it_knows_nothing(policy: Path, tmp_path: Path) -> None:
    trainer = ppo.make_trainer(tmp_path, policy)
    assert not ppo.generated(trainer)["values"].any()
    own = dict(trainer.critic.body.named_parameters())
    for name, value in trainer.model.model.named_parameters():
        assert torch.equal(own[name], value)
        assert own[name] is not value


def test_several_labels_are_refused(policy: Path, scorer: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    ppo.make_scorer(tmp_path / "three", policy, labels=3)
    with pytest.raises(StageError, match="not a linear `score` of one label"):
        build_critic(str(tmp_path / "three"))
    with pytest.raises(StageError, match="not a linear `score` of one label"):
        build_critic(AutoModelForSequenceClassification.from_pretrained(tmp_path / "three"))
    with pytest.raises(StageError, match="cannot load the critic"):
        build_critic(str(tmp_path / "nowhere"))


def test_a_head_of_another_kind_is_refused(tmp_path: Path) -> None:
    """Its head is called `classifier`: zeros in its place would pass for a reward model."""
    from transformers import BertConfig, BertForSequenceClassification

    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertForSequenceClassification(BertConfig(vocab_size=99, num_labels=1, **size)).save_pretrained(tmp_path)
    with pytest.raises(StageError, match="not a linear `score`"):
        build_critic(str(tmp_path))


def test_no_dropout(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(vocab_size=99, n_embd=16, n_layer=1, n_head=2, n_positions=32))
    critic = build_critic(model).train()
    rates = {module.p for module in critic.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.0}
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.1}
    ids = torch.arange(8).unsqueeze(0)
    ppo.disturb(critic.head)
    a, b = (critic(ids, torch.ones_like(ids), 4) for _ in range(2))
    assert torch.equal(a, b)


def test_an_adapter_of_the_critic(policy: Path, scorer: Path, tmp_path: Path) -> None:
    from peft import LoraConfig

    trainer = ppo.make_trainer(
        tmp_path, policy, critic=str(scorer), critic_peft_config=LoraConfig(r=4, target_modules="all-linear")
    )
    names = set(trainer.critic.trained())
    assert {name for name in names if not name.startswith("head.")} == {name for name in names if "lora_" in name}
    before = {name: value.detach().clone() for name, value in trainer.critic.named_parameters()}
    trainer.train()
    moved = {name for name, value in trainer.critic.named_parameters() if not torch.equal(value, before[name])}
    assert moved == names
    trainer.critic.save(tmp_path / "critic")
    assert (tmp_path / "critic" / "critic.safetensors").stat().st_size < 100_000


def test_groups_of_the_optimizer(policy: Path, scorer: Path, tmp_path: Path) -> None:
    """A learning rate of its own, the same schedule, and no decay of norms and biases."""
    trainer = ppo.make_trainer(
        tmp_path, policy, critic=str(scorer), learning_rate=1e-3, critic_learning_rate=5e-3, weight_decay=0.1
    )
    optimizer = trainer.create_optimizer()
    own = {id(value): name for name, value in trainer.critic.trained().items()}
    groups = [[own.get(id(value)) for value in group["params"]] for group in optimizer.param_groups]
    assert [group["lr"] for group in optimizer.param_groups] == [1e-3, 1e-3, 5e-3, 5e-3]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0, 0.1, 0.0]
    assert not any(groups[0] + groups[1])
    assert set(groups[2] + groups[3]) == set(own.values())
    assert groups[3]
    assert all("norm" in str(name) for name in groups[3])
    trainer.train()
    rates = [group["lr"] for group in trainer.optimizer.param_groups]
    assert rates[2] == pytest.approx(5 * rates[0])


def test_gradients_do_not_pile_up(policy: Path, scorer: Path, tmp_path: Path) -> None:
    """Two SGD steps of the critic, computed again by hand from the recorded batches."""
    seen: list[dict[str, torch.Tensor]] = []

    class Recording(kind()):  # type: ignore[misc]
        def _compute_loss(self, model: Any, inputs: Any) -> Any:
            seen.append(dict(inputs))
            return super()._compute_loss(model, inputs)

    settings = {"optim": "sgd", "lr_scheduler_type": "constant", "max_grad_norm": 1e9, "learning_rate": 1e-3}
    more = {"vf_coef": 0.5, "max_steps": 2, "critic_learning_rate": 0.1, "warmup_steps": 0}
    trainer = ppo.make_trainer(tmp_path, policy, kind=Recording, critic=str(scorer), **settings, **more)
    trainer.train()
    assert all(value.grad is None for value in trainer.critic.parameters())
    assert len(seen) == 2
    critic = build_critic(str(scorer))
    for batch in seen:
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
        values = critic(ids, mask, batch["completion_ids"].size(1))
        kept = torch.clamp(values, batch["values"] - 0.2, batch["values"] + 0.2)
        errors = torch.maximum((values - batch["returns"]) ** 2, (kept - batch["returns"]) ** 2)
        loss = 0.5 * 0.5 * (errors * batch["completion_mask"]).sum() / batch["completion_mask"].sum()
        critic.zero_grad()
        loss.backward()
        with torch.no_grad():
            for value in critic.parameters():
                value -= 0.1 * value.grad
    for (name, value), wanted in zip(trainer.critic.named_parameters(), critic.parameters(), strict=True):
        torch.testing.assert_close(value, wanted, atol=1e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def kind() -> Any:
    from salmon_trl import PPOTrainer

    return PPOTrainer


def test_every_checkpoint_has_it(policy: Path, scorer: Path, tmp_path: Path) -> None:
    settings = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4}
    trainer = ppo.make_trainer(tmp_path / "run", policy, critic=str(scorer), **settings)
    trainer.train()
    folders = [tmp_path / "run" / f"checkpoint-{step}" / "critic" for step in (2, 4)]
    assert all((folder / "critic.safetensors").is_file() for folder in folders)
    other = ppo.make_trainer(tmp_path / "other", policy, critic=str(scorer), **settings)
    other._load_from_checkpoint(str(folders[1].parent))
    for a, b in zip(trainer.critic.parameters(), other.critic.parameters(), strict=True):
        assert torch.equal(a, b)
    other._load_from_checkpoint(str(folders[0].parent))
    assert any(
        not torch.equal(a, b) for a, b in zip(trainer.critic.parameters(), other.critic.parameters(), strict=True)
    )
    (folders[1] / "critic.safetensors").unlink()
    with pytest.raises(StageError, match="holds no critic"):
        other.train(resume_from_checkpoint=str(folders[1].parent))
    # Another critic's weights are not taken for this one's.
    small = ppo.make_policy(tmp_path / "small", seed=3)
    wrong = build_critic(str(world.make_policy(tmp_path / "wide", hidden=16)))
    with pytest.raises(StageError, match="of another critic"):
        wrong.restore(folders[0])
    assert small.is_dir()


# ---- through the worker


def critic_of(job: Job) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    found = sorted((Path(job.folder) / "checkpoints").glob("checkpoint-*/critic/critic.safetensors"))
    return load_file(found[-1])


@pytest.mark.parametrize("critic", [None, "reward", "policy", "path"])
def test_starts_through_the_worker(critic: str | None, policy: Path, scorer: Path, tmp_path: Path) -> None:
    """The critic's learning rate is next to nothing, so the first checkpoint says where it started."""
    from safetensors.torch import load_file

    options = {"critic": str(scorer) if critic == "path" else critic, "critic_learning_rate": 1e-12}
    source = scorer if critic != "path" else None
    job = ppo.ppo_job(tmp_path / "stage", policy, source, rows=8, options=options)
    folder = ppo.work(job)
    from salmon_trl.backend import TRLBackend

    TRLBackend().finish(job, folder)
    saved = critic_of(job)
    if critic == "policy":
        assert saved["head.weight"].abs().max() < 1e-6
        wanted = load_file(policy / "model.safetensors")["model.layers.0.mlp.up_proj.weight"]
    else:
        whole = load_file(scorer / "model.safetensors")
        torch.testing.assert_close(saved["head.weight"], whole["score.weight"], atol=1e-6, rtol=0)
        wanted = whole["model.layers.0.mlp.up_proj.weight"]
    torch.testing.assert_close(saved["body.layers.0.mlp.up_proj.weight"], wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("critic", [None, "path"])
def test_another_tokenizer_is_refused(critic: str | None, policy: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    other = ppo.make_scorer(tmp_path / "other", policy)
    tokenizer = AutoTokenizer.from_pretrained(other)
    state = (
        tokenizer.backend_tokenizer.to_str()
        .replace('"a":', '"@@":', 1)
        .replace('"b":', '"a":', 1)
        .replace('"@@":', '"b":', 1)
    )
    (other / "tokenizer.json").write_text(state)
    options = {"critic": str(other)} if critic else {}
    job = ppo.ppo_job(tmp_path / "stage", policy, None if critic else other, rows=8, options=options)
    message = ppo.failure(job)
    assert "another tokenizer than the policy" in message
    assert str(other) in message
    assert "critic: policy" in message


def test_no_reward_model_to_start_from(policy: Path, tmp_path: Path) -> None:
    job = ppo.ppo_job(tmp_path / "stage", policy, rows=8, options={"critic": "reward"})
    assert "the reward has no reward model" in ppo.failure(job)


def test_a_classifier_is_refused_in_words(policy: Path, scorer: Path, tmp_path: Path, capsys: Any) -> None:
    three = ppo.make_scorer(tmp_path / "three", policy, labels=3)
    job = ppo.ppo_job(tmp_path / "stage", policy, scorer, rows=8, options={"critic": str(three)})
    assert "not a linear `score` of one label" in ppo.failure(job)
    assert "Traceback" not in capsys.readouterr().err
