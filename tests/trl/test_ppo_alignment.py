"""Which number belongs to which token."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
import ppo_world as ppo
import torch

from salmon_trl.critic import build_critic


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def policy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ppo.make_policy(tmp_path_factory.mktemp("models") / request.param, architecture=request.param)


@pytest.fixture(scope="module")
def critic(policy: Path) -> Any:
    made = build_critic(str(ppo.make_scorer(policy.parent / "scorer", policy)))
    return made.eval()


@torch.no_grad()
def values(critic: Any, ids: list[list[int]], keep: int, *, left: int = 0) -> torch.Tensor:
    """Of rows of one length, with so much padding on the left."""
    rows = torch.tensor([[1] * left + row for row in ids])
    mask = torch.tensor([[0] * left + [1] * len(row) for row in ids])
    return critic(rows, mask, keep)


def test_value_is_of_the_state_before_the_token(critic: Any) -> None:
    prompt, completion = [0, 40, 41, 42], [50, 51, 52, 53, 54]
    before = values(critic, [prompt + completion], 5)[0]
    for position in range(5):
        other = [*completion[:position], 99, *completion[position + 1 :]]
        after = values(critic, [prompt + other], 5)[0]
        torch.testing.assert_close(after[: position + 1], before[: position + 1], atol=1e-6, rtol=0)
        assert (after[position + 1 :] - before[position + 1 :]).abs().min() > 1e-4 if position < 4 else True
    # The first value sees the prompt and nothing else.
    assert values(critic, [[*prompt, 60]], 1)[0, 0] == pytest.approx(before[0].item(), abs=1e-6)


@pytest.mark.parametrize("left", [1, 7])
def test_padding_on_the_left_changes_nothing(left: int, critic: Any) -> None:
    rows = [[0, 40, 41, 50, 51, 52], [0, 43, 44, 53, 54, 55]]
    torch.testing.assert_close(values(critic, rows, 3, left=left), values(critic, rows, 3), atol=1e-5, rtol=0)


def test_a_reward_model_copied_says_its_score(policy: Path, critic: Any) -> None:
    """At the last position the critic's value is the reward model's score of the same ids."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(policy.parent / "scorer", num_labels=1).eval()
    ids = [0, 40, 41, 50, 51, 52]
    with torch.no_grad():
        score = model(torch.tensor([ids]), attention_mask=torch.ones(1, 6, dtype=torch.long)).logits.item()
    # The value before one token more is the value after the last of these.
    assert values(critic, [[*ids, 60]], 1).item() == pytest.approx(score, abs=1e-5)
    assert abs(score) > 1e-3


def constant(completion_ids: list[list[int]], **_: Any) -> list[float]:
    return [5.0] * len(completion_ids)


def returns_of(trainer: Any, batch: dict[str, torch.Tensor]) -> list[list[float]]:
    return [
        row[mask.bool()].tolist() for row, mask in zip(batch["returns"], batch["completion_mask"], strict=True)
    ]  # fmt: skip


PLAIN = {"kl_coef": 0.0, "gamma": 0.5, "lam": 1.0, "whiten_advantages": False}


def test_the_reward_stands_at_the_last_token(policy: Path, tmp_path: Path) -> None:
    """Ended or cut: with lambda 1 and no KL the return is the reward discounted from the last token."""
    trainer = ppo.make_trainer(tmp_path, policy, reward_funcs=constant, **PLAIN, per_device_train_batch_size=16)
    batch = ppo.generated(trainer)
    rows = ppo.sequences(batch)
    cut = [completion[-1] not in ppo.EOS for _, completion in rows]
    assert any(cut)
    assert not all(cut)
    for (_, completion), got in zip(rows, returns_of(trainer, batch), strict=True):
        size = len(completion)
        assert got == pytest.approx([5 * 0.5 ** (size - 1 - t) for t in range(size)], abs=1e-4)
    # Padding bears nothing.
    for name in ("advantages", "returns", "values"):
        assert not batch[name][batch["completion_mask"] == 0].any()


def test_missing_eos_penalty(policy: Path, tmp_path: Path) -> None:
    trainer = ppo.make_trainer(
        tmp_path, policy, reward_funcs=constant, **PLAIN, missing_eos_penalty=6.0, per_device_train_batch_size=16
    )
    batch = ppo.generated(trainer)
    assert len({completion[-1] in ppo.EOS for _, completion in ppo.sequences(batch)}) == 2
    for (_, completion), got in zip(ppo.sequences(batch), returns_of(trainer, batch), strict=True):
        assert got[-1] == pytest.approx(5.0 if completion[-1] in ppo.EOS else -1.0, abs=1e-4)


def test_a_completion_of_only_eos(policy: Path, tmp_path: Path) -> None:
    """Every completion ends at once: one token, one reward, and training goes on finite."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(policy)
    forced = {"suppress_tokens": [i for i in range(model.config.vocab_size) if i != 1]}
    trainer = ppo.make_trainer(tmp_path, policy, reward_funcs=constant, **PLAIN, generation_kwargs=forced, max_steps=2)
    batch = ppo.generated(trainer)
    assert [completion for _, completion in ppo.sequences(batch)] == [[1]] * 8
    assert batch["returns"].tolist() == [[5.0]] * 8
    trainer.train()
    assert all(value.isfinite().all() for value in [*trainer.model.parameters(), *trainer.critic.parameters()])


def test_an_empty_completion(policy: Path, tmp_path: Path) -> None:
    """A row without any token (a rollout function can return one) has no reward, no loss, and no NaN."""
    trainer = ppo.make_trainer(tmp_path, policy, reward_funcs=constant, **PLAIN)
    batch = ppo.generated(trainer)
    batch["completion_mask"][0] = 0
    trainer.current_gradient_accumulation_steps = 1
    for name in ("advantages", "returns", "values"):
        batch[name][0] = 0
    losses = trainer._policy_loss(trainer.model, batch), trainer._value_loss(batch)
    assert all(loss.isfinite() for loss in losses)


def test_a_reward_for_every_completion(policy: Path, tmp_path: Path) -> None:
    def some(completion_ids: list[list[int]], **_: Any) -> list[float | None]:
        return [None if i == 2 else 1.0 for i in range(len(completion_ids))]

    trainer = ppo.make_trainer(tmp_path, policy, reward_funcs=some)
    with pytest.raises(ValueError, match="got no reward"):
        ppo.generated(trainer)


def test_rewards_are_weighted_and_added(policy: Path, tmp_path: Path) -> None:
    def other(completion_ids: list[list[int]], **_: Any) -> list[float | None]:
        return [None if i % 2 else 2.0 for i in range(len(completion_ids))]  # where it has nothing to say

    trainer = ppo.make_trainer(tmp_path, policy, reward_funcs=[constant, other], reward_weights=[1.0, -2.0], **PLAIN)
    batch = ppo.generated(trainer)
    last = [row[-1] for row in returns_of(trainer, batch)]
    assert last == pytest.approx([5.0 - (0 if i % 2 else 4.0) for i in range(8)], abs=1e-4)
