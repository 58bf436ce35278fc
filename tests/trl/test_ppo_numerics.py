"""PPO's arithmetic against plain Python over lists without padding, and both losses through the real trainer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
import ppo_world as ppo
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from trl.trainer.utils import split_tensor_dict

from salmon_trl.advantages import (
    advantages_and_returns,
    explained_variance,
    kl_penalty,
    last_tokens,
    moments,
    token_rewards,
    value_errors,
    whiten,
)

Row = list[dict[str, float]]
NUMBER = st.floats(-3, 3, width=32)


def same(total: torch.Tensor) -> torch.Tensor:
    """One process."""
    return total


@st.composite
def ragged(draw: Any) -> tuple[list[list[dict[str, float] | None]], int]:
    """Completions as lists: a number each for every token the policy chose, None for a tool's; and a padded width."""
    width = draw(st.integers(1, 9))
    rows = []
    for _ in range(draw(st.integers(1, 5))):
        length = draw(st.sampled_from([0, width, draw(st.integers(0, width))]))
        rows.append([draw(token()) for _ in range(length)])
    return rows, width


def token() -> Any:
    names = ("logp", "ref", "value", "new", "reward")
    return st.one_of(st.none(), *[st.fixed_dictionaries(dict.fromkeys(names, NUMBER))] * 3)


def padded(rows: list[list[dict[str, float] | None]], width: int, name: str) -> torch.Tensor:
    """(B, T), with rubbish where no chosen token is."""
    rubbish = 77.0
    return torch.tensor(
        [
            [cell[name] if cell else rubbish for cell in row] + [rubbish] * (width - len(row))
            for row in rows
        ],
        dtype=torch.float64,
    )  # fmt: skip


def mask_of(rows: list[list[dict[str, float] | None]], width: int) -> torch.Tensor:
    cells = [[1.0 if cell else 0.0 for cell in row] + [0.0] * (width - len(row)) for row in rows]
    return torch.tensor(cells, dtype=torch.float64)


def chosen(rows: list[list[dict[str, float] | None]]) -> list[Row]:
    return [[cell for cell in row if cell] for row in rows]


def compare(got: torch.Tensor, wanted: list[list[float]], mask: torch.Tensor, *, within: float = 1e-9) -> None:
    """Equal where the policy chose, 0 elsewhere."""
    for values, kept, expected in zip(got, mask, wanted, strict=True):
        assert values[kept > 0].tolist() == pytest.approx(expected, abs=within, rel=within)
        assert not values[kept == 0].any()


def plain_kl(cell: dict[str, float], estimator: str) -> float:
    ratio = cell["ref"] - cell["logp"]
    return -ratio if estimator == "k1" else math.exp(ratio) - 1 - ratio


def plain_gae(rewards: list[float], values: list[float], gamma: float, lam: float) -> list[float]:
    """By its definition: the discounted sum of the temporal differences ahead."""
    following = [*values, 0.0][1:]
    deltas = [r + gamma * n - v for r, n, v in zip(rewards, following, values, strict=True)]
    return [sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, len(deltas))) for t in range(len(deltas))]


@given(ragged(), st.sampled_from(["k1", "k3"]), st.floats(0, 2), st.lists(NUMBER, min_size=5, max_size=5))
def test_token_rewards(batch: Any, estimator: Any, coefficient: float, scores: list[float]) -> None:
    rows, width = batch
    mask = mask_of(rows, width)
    kl = kl_penalty(padded(rows, width, "logp"), padded(rows, width, "ref"), estimator)
    got = token_rewards(torch.tensor(scores[: len(rows)], dtype=torch.float64), kl, mask, coefficient)
    wanted = []
    for row, score in zip(chosen(rows), scores, strict=False):
        expected = [-coefficient * plain_kl(cell, estimator) for cell in row]
        if expected:
            expected[-1] += score
        wanted.append(expected)
    compare(got, wanted, mask)
    assert last_tokens(mask).sum(1).tolist() == [float(bool(row)) for row in chosen(rows)]


@given(ragged(), st.floats(0, 1), st.floats(0, 1))
def test_advantages_and_returns(batch: Any, gamma: float, lam: float) -> None:
    rows, width = batch
    mask = mask_of(rows, width)
    tensors = (padded(rows, width, name) for name in ("reward", "value"))
    advantages, returns = advantages_and_returns(*tensors, mask, gamma, lam)
    wanted = [plain_gae([c["reward"] for c in row], [c["value"] for c in row], gamma, lam) for row in chosen(rows)]
    compare(advantages, wanted, mask)
    sums = [
        [a + c["value"] for a, c in zip(own, row, strict=True)] for own, row in zip(wanted, chosen(rows), strict=True)
    ]
    compare(returns, sums, mask)


@given(ragged())
def test_whitening(batch: Any) -> None:
    rows, width = batch
    mask = mask_of(rows, width)
    flat = [cell["value"] for row in chosen(rows) for cell in row]
    mean = sum(flat) / max(1, len(flat))
    variance = sum((value - mean) ** 2 for value in flat) / max(1, len(flat))
    wanted = [[(cell["value"] - mean) / math.sqrt(variance + 1e-8) for cell in row] for row in chosen(rows)]
    values = padded(rows, width, "value")
    assert [x.item() for x in moments(values, mask, same)] == pytest.approx([mean, variance], abs=1e-12)
    compare(whiten(values, mask, same), wanted, mask, within=1e-6)


def test_whitening_keeps_small_differences_of_large_values() -> None:
    values = torch.tensor([[10000.0, 10001.0, 10002.0, 10003.0]])
    white = whiten(values, torch.ones_like(values), same)
    torch.testing.assert_close(white, torch.tensor([[-1.3416, -0.4472, 0.4472, 1.3416]]), atol=1e-3, rtol=0)


@given(ragged(), st.sampled_from([0.0, 0.2, 1.5]))
def test_value_errors(batch: Any, clip: float) -> None:
    rows, width = batch
    mask = mask_of(rows, width)
    got = value_errors(*(padded(rows, width, name) for name in ("new", "value", "reward")), clip) * mask
    wanted = []
    for row in chosen(rows):
        errors = []
        for cell in row:
            new, old, target = cell["new"], cell["value"], cell["reward"]
            candidates = [(new - target) ** 2]
            if clip:
                candidates.append((min(max(new, old - clip), old + clip) - target) ** 2)
            errors.append(max(candidates) / 2)
        wanted.append(errors)
    compare(got, wanted, mask)


@given(ragged())
def test_explained_variance(batch: Any) -> None:
    rows, width = batch
    mask = mask_of(rows, width)
    flat = [cell for row in chosen(rows) for cell in row]

    def variance(values: list[float]) -> float:
        mean = sum(values) / max(1, len(values))
        return sum((value - mean) ** 2 for value in values) / max(1, len(values))

    wanted = 1 - variance([c["reward"] - c["value"] for c in flat]) / (variance([c["reward"] for c in flat]) + 1e-8)
    got = explained_variance(padded(rows, width, "value"), padded(rows, width, "reward"), mask, same)
    assert got.item() == pytest.approx(wanted, rel=1e-6, abs=1e-6)


# ---- through the trainer


def plain_logps(model: Any, prompt: list[int], completion: list[int], temperature: float) -> torch.Tensor:
    """Of one completion alone, without padding."""
    logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1] / temperature
    return torch.log_softmax(logits, -1).gather(1, torch.tensor(completion).unsqueeze(1)).squeeze(1)


def plain_values(critic: Any, prompt: list[int], completion: list[int]) -> torch.Tensor:
    hidden = critic.body(torch.tensor([prompt + completion])).last_hidden_state[0]
    return critic.head(hidden).squeeze(-1)[len(prompt) - 1 : -1]


@pytest.fixture(scope="module")
def scorer(policy: Path) -> Path:
    return ppo.make_scorer(policy.parent / "scorer", policy)


BATCH = {"per_device_train_batch_size": 4, "generation_batch_size": 16, "num_iterations": 2}


def test_generated_batch(policy: Path, scorer: Path, tmp_path: Path) -> None:
    """Everything PPO puts into a batch, from the bare ids, models and rewards, with the trainer's own settings."""
    chosen_settings = {"kl_coef": 0.3, "gamma": 0.97, "lam": 0.9, "temperature": 0.7, "missing_eos_penalty": 0.5}
    for estimator in ("k1", "k3"):
        trainer = ppo.make_trainer(
            tmp_path, policy, critic=str(scorer), **BATCH, **chosen_settings, kl_estimator=estimator
        )
        ppo.disturb(trainer.model)  # else the KL is 0
        batch = ppo.generated(trainer)
        rows = ppo.sequences(batch)
        lengths = {len(completion) for _, completion in rows}
        assert len(lengths) > 2, "the test wants ragged rows"
        scores = ppo.ids_reward([completion for _, completion in rows])
        advantages, returns = [], []
        trainer.critic.eval()
        with torch.no_grad():
            for (prompt, completion), score in zip(rows, scores, strict=True):
                logps = plain_logps(trainer.model, prompt, completion, 0.7).tolist()
                reference = plain_logps(trainer.ref_model, prompt, completion, 0.7).tolist()
                values = plain_values(trainer.critic, prompt, completion).tolist()
                cells = [{"logp": a, "ref": b} for a, b in zip(logps, reference, strict=True)]
                rewards = [-0.3 * plain_kl(cell, estimator) for cell in cells]
                rewards[-1] += score - 0.5 * (completion[-1] not in ppo.EOS)
                own = plain_gae(rewards, values, 0.97, 0.9)
                advantages.append(own)
                returns.append([a + v for a, v in zip(own, values, strict=True)])
        mask = batch["completion_mask"]
        compare(batch["returns"], returns, mask, within=1e-4)
        flat = [value for row in advantages for value in row]
        mean = sum(flat) / len(flat)
        deviation = math.sqrt(sum((value - mean) ** 2 for value in flat) / len(flat) + 1e-8)
        compare(batch["advantages"], [[(v - mean) / deviation for v in row] for row in advantages], mask, within=1e-3)
        logged = trainer._metrics["train"]
        assert logged["value/return"][-1] == pytest.approx(sum(map(sum, returns)) / len(flat), abs=1e-4)
        assert logged["kl"][-1] > 0


def plain_losses(trainer: Any, batch: dict[str, torch.Tensor], *, tokens: float | None) -> tuple[Any, Any]:
    """Policy and value loss of a batch, differentiable, token by token. `tokens`: what the sums are divided by."""
    args = trainer.args
    policy_sum, value_sum, count = torch.zeros(()), torch.zeros(()), 0
    for i, (prompt, completion) in enumerate(ppo.sequences(batch)):
        if not completion:
            continue
        logps = plain_logps(trainer.model, prompt, completion, args.temperature)
        values = plain_values(trainer.critic, prompt, completion)
        for t in range(len(completion)):
            if "tool_mask" in batch and not batch["tool_mask"][i, t]:
                continue
            count += 1
            advantage, old = batch["advantages"][i, t].item(), batch["values"][i, t].item()
            ratio = torch.exp(logps[t] - batch["old_per_token_logps"][i, t].item())
            low, high = 1 - args.epsilon, 1 + args.epsilon
            policy_sum = policy_sum - torch.minimum(ratio * advantage, ratio.clamp(low, high) * advantage)
            target, clip = batch["returns"][i, t].item(), args.cliprange_value
            kept = torch.clamp(values[t], old - clip, old + clip)
            value_sum = value_sum + 0.5 * torch.maximum((values[t] - target) ** 2, (kept - target) ** 2)
    divisor = max(1, count) if tokens is None else tokens
    return policy_sum / divisor, value_sum / divisor


def batch_with_tools(trainer: Any) -> dict[str, torch.Tensor]:
    """A generated batch with holes, as if tools had written there; then both models move away from it."""
    batch = ppo.generated(trainer)
    generator = torch.Generator().manual_seed(5)
    batch["tool_mask"] = (torch.rand(batch["completion_mask"].shape, generator=generator) < 0.8).long()
    batch["num_items_in_batch"] = (batch["tool_mask"] * batch["completion_mask"]).sum()
    ppo.disturb(trainer.model, by=0.02, seed=1)
    ppo.disturb(trainer.critic, by=0.05, seed=2)
    return batch


@pytest.mark.parametrize("loss_type", ["dapo", "bnpo"])
def test_losses_and_gradients(loss_type: str, policy: Path, scorer: Path, tmp_path: Path) -> None:
    """Each micro-batch's losses; and what four backward passes add up to."""
    trainer = ppo.make_trainer(
        tmp_path, policy, critic=str(scorer), **BATCH, loss_type=loss_type, gradient_accumulation_steps=4, vf_coef=0.3
    )
    batch = batch_with_tools(trainer)
    parts = split_tensor_dict(batch, 4)
    trainer.current_gradient_accumulation_steps = 4
    tokens = batch["num_items_in_batch"].item() if loss_type == "dapo" else None
    total = torch.zeros(())
    clipped = 0.0
    for part in parts:
        wanted_policy, wanted_value = plain_losses(trainer, part, tokens=tokens)
        if tokens is None:  # a mean over each micro-batch, then over the four
            wanted_policy, wanted_value = wanted_policy / 4, wanted_value / 4
        got = trainer._policy_loss(trainer.model, part), trainer._value_loss(part)
        assert [x.item() for x in got] == pytest.approx([wanted_policy.item(), wanted_value.item()], abs=1e-5)
        clipped += trainer._metrics["train"]["clip_ratio/region_mean"][-1]
        total = total + wanted_policy + 0.3 * wanted_value
    assert clipped > 0, "the test wants clipped ratios"
    assert trainer._metrics["train"]["value/clip_fraction"][-1] > 0
    if tokens is not None:
        whole = plain_losses(trainer, batch, tokens=tokens)
        assert total.item() == pytest.approx((whole[0] + 0.3 * whole[1]).item(), abs=1e-5)
    models = torch.nn.ModuleList([trainer.model, trainer.critic])
    wanted = torch.autograd.grad(total, list(models.parameters()))
    # The trainer's own way from the buffer of generated batches to gradients.
    trainer._buffered_inputs, trainer._step = parts, 4
    for _ in parts:
        trainer.training_step(trainer.model, None)
    for (name, value), gradient in zip(models.named_parameters(), wanted, strict=True):
        torch.testing.assert_close(value.grad, gradient, atol=2e-5, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}")


def test_part_of_a_generated_batch_in_a_step(policy: Path, scorer: Path, tmp_path: Path) -> None:
    """Two optimizer steps a generated batch: each divides by half of its tokens, for both losses."""
    trainer = ppo.make_trainer(tmp_path, policy, critic=str(scorer), **BATCH, gradient_accumulation_steps=2)
    assert trainer.args.window == 4
    batch = batch_with_tools(trainer)
    trainer.current_gradient_accumulation_steps = 2
    for part in split_tensor_dict(batch, 4):
        wanted = plain_losses(trainer, part, tokens=batch["num_items_in_batch"].item() / 2)
        got = trainer._policy_loss(trainer.model, part), trainer._value_loss(part)
        assert [x.item() for x in got] == pytest.approx([x.item() for x in wanted], abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.floats(-5, 5), st.floats(0, 0.5))
def test_value_loss_never_rewards_leaving_the_range(move: float, clip: float) -> None:
    """Clipping is pessimistic: it never lowers the loss."""
    old, target = torch.tensor([[0.3]]), torch.tensor([[1.0]])
    new = old + move
    assert value_errors(new, old, target, clip) >= value_errors(new, old, target, 0.0)
