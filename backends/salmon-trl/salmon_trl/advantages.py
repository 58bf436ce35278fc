"""The arithmetic of PPO: per-token rewards, advantages, whitening, the value loss. Tensors in, tensors out.

Everywhere B is the batch, T the longest completion; `mask` (B, T) is 1 on tokens that the policy chose and 0 elsewhere:
on padding, and on tokens that tools wrote.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

#: sums a vector over all processes
Reduce = Callable[[torch.Tensor], torch.Tensor]

KLEstimator = Literal["k1", "k3"]


def kl_penalty(logps: torch.Tensor, ref_logps: torch.Tensor, estimator: KLEstimator) -> torch.Tensor:
    """Per-token estimate of KL(policy || reference) from samples of the policy, in nats.

    k1 is unbiased and can be negative; k3 is unbiased, never negative, and of lower variance
    (http://joschu.net/blog/kl-approx.html).
    """
    ratio = ref_logps - logps
    return -ratio if estimator == "k1" else torch.expm1(ratio) - ratio


def last_tokens(mask: torch.Tensor) -> torch.Tensor:
    """(B, T) 1 on the last token that the policy chose; an empty row has none."""
    position = torch.arange(1, mask.size(1) + 1, device=mask.device) * mask
    return ((position == position.amax(1, keepdim=True)) & (mask > 0)).to(mask.dtype)


def token_rewards(scores: torch.Tensor, kl: torch.Tensor, mask: torch.Tensor, kl_coef: float) -> torch.Tensor:
    """(B, T): the sequence's score on its last token, minus the KL penalty on each (arXiv 2009.01325; 2310.05910, 3.3).

    Args:
        scores: (B,) rewards of whole completions.
        kl: (B, T) as `kl_penalty` gives it.
    """
    return scores.unsqueeze(1) * last_tokens(mask) - kl_coef * kl * mask


def advantages_and_returns(
    rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, gamma: float, lam: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Generalised advantage estimation (arXiv 1506.02438) over the tokens the policy chose.

    Masked tokens are stepped over: the state before the next chosen token is the successor of the one before them. The
    value after the last chosen token is 0, whether the completion ended or was cut.

    Returns:
        advantages, returns = advantages + values; (B, T), 0 where the mask is.
    """
    advantages = torch.zeros_like(values)
    carried, successor = torch.zeros_like(values[:, 0]), torch.zeros_like(values[:, 0])
    for t in reversed(range(values.size(1))):
        chosen = mask[:, t] > 0
        estimate = rewards[:, t] + gamma * successor - values[:, t] + gamma * lam * carried
        carried = torch.where(chosen, estimate, carried)
        successor = torch.where(chosen, values[:, t], successor)
        advantages[:, t] = torch.where(chosen, estimate, 0.0)
    return advantages, (advantages + values) * mask


def moments(values: torch.Tensor, mask: torch.Tensor, reduce: Reduce) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and (biased) variance of the masked values over all processes.

    In two passes: the difference of two large sums would lose a small variance in float32.
    """
    total, count = reduce(torch.stack([(values * mask).sum(), mask.sum()])).unbind()
    mean = total / count.clamp(min=1)
    squares = reduce((((values - mean) ** 2) * mask).sum())
    return mean, squares / count.clamp(min=1)


def whiten(values: torch.Tensor, mask: torch.Tensor, reduce: Reduce) -> torch.Tensor:
    """Mean 0 and variance 1 over the masked values of all processes; 0 elsewhere."""
    mean, variance = moments(values, mask, reduce)
    return (values - mean) * torch.rsqrt(variance + 1e-8) * mask


def value_errors(values: torch.Tensor, old: torch.Tensor, returns: torch.Tensor, clip: float) -> torch.Tensor:
    """(B, T) clipped value loss per token: half the larger squared error of the value and of the value kept within
    `clip` of the old one (common in implementations, not in arXiv 1707.06347; 0 turns the clipping off)."""
    errors = (values - returns) ** 2
    if clip:
        kept = old + (values - old).clamp(-clip, clip)
        errors = torch.maximum(errors, (kept - returns) ** 2)
    return 0.5 * errors


def explained_variance(values: torch.Tensor, returns: torch.Tensor, mask: torch.Tensor, reduce: Reduce) -> torch.Tensor:
    """1 - Var(returns - values) / Var(returns) over all processes: 1 is perfect, 0 no better than a constant."""
    _, left = moments(returns - values, mask, reduce)
    _, total = moments(returns, mask, reduce)
    return 1 - left / (total + 1e-8)
