"""A critic that reads the principles: its input changes and nothing else does."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")
import ppo_world as ppo
import torch
import trl_world as world

from salmon_core.api import Job
from salmon_core.errors import ConfigError
from salmon_trl.backend import TRLBackend
from salmon_trl.ppo import PPOTrainer

#: what the reward model's template makes of a principle of `rl_rows`
RULE = "Be short."


def job(folder: Path, policy: Path, scorer: Path | None, reads: str, **options: Any) -> Job:
    """The most likely token always, so that runs see the same completions in their first batch."""
    options = {"critic_reads": reads, "save_steps": 2, "extra": {"top_k": 1}, **options}
    return ppo.ppo_job(folder, policy, scorer, rows=16, options=options)


@pytest.fixture(scope="module")
def scorer(policy: Path) -> Path:
    return ppo.make_scorer(policy.parent / "scorer-reads", policy)


@pytest.fixture(scope="module")
def runs(policy: Path, scorer: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """For both settings: the folder, the batches, and all ids that critic and policy were given."""
    found: dict[str, Any] = {}
    whole = PPOTrainer._generate_and_score_completions
    for reads in ("prompt", "principles"):
        batches: list[dict[str, torch.Tensor]] = []

        def record(self: Any, inputs: Any, seen: list[Any] = batches) -> Any:
            critic: list[tuple[torch.Tensor, torch.Tensor, int]] = []
            hook = self.critic.register_forward_pre_hook(lambda _, given: critic.append(given))
            batch = whole(self, inputs)
            hook.remove()
            seen.append({**batch, "critic": critic})
            return batch

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(PPOTrainer, "_generate_and_score_completions", record)
            folder = ppo.work(job(tmp_path_factory.mktemp(reads) / "s", policy, scorer, reads))
        found[reads] = (folder, batches)
    return found


def read_ids(batch: dict[str, Any]) -> list[list[int]]:
    """What the critic read of each row, without padding on the left."""
    return [
        ids[mask.cumsum(0) > 0].tolist()
        for given, masks, _ in batch["critic"]
        for ids, mask in zip(given, masks, strict=True)
    ]


def test_only_the_critics_input_changes(runs: dict[str, Any], policy: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(policy)
    one, two = runs["prompt"][1][0], runs["principles"][1][0]
    for name in ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "old_per_token_logps"):
        assert torch.equal(one[name], two[name]), name
    assert not torch.equal(one["values"], two["values"])
    for plain, shown in zip(read_ids(one), read_ids(two), strict=True):
        width = two["completion_ids"].size(1)
        assert plain[-width:] == shown[-width:], "the completion, token by token"
        text = tokenizer.decode(shown[:-width])
        assert RULE in text
        assert text.index(RULE) < text.index("<|assistant|>"), "in the user's turn, before the completion"
        assert text.count("<|user|>") == text.count("<|assistant|>") == 1
        assert RULE not in tokenizer.decode(plain)
    x, y = (world.steps(folder)[0][1] for folder, _ in runs.values())
    for name in ("reward", "reward/rm/mean", "kl", "completions/mean_length"):
        assert x[name] == pytest.approx(y[name], abs=1e-6), name
    assert x["value/mean"] != y["value/mean"]


def test_values_stay_at_their_tokens(runs: dict[str, Any], scorer: Path) -> None:
    """Computed again one by one with no padding, by the critic as it started."""
    from salmon_trl.critic import build_critic

    critic = build_critic(str(scorer)).eval()
    batch = runs["principles"][1][0]
    for row, ids in enumerate(read_ids(batch)):
        size = int(batch["completion_mask"][row].sum())
        width = batch["completion_ids"].size(1)
        kept = torch.tensor([ids[: len(ids) - width + size]])
        with torch.no_grad():
            values = critic(kept, torch.ones_like(kept), size)[0]
        torch.testing.assert_close(batch["values"][row, :size], values, atol=1e-5, rtol=0)
        assert not batch["values"][row, size:].any()


def test_a_run_that_is_continued_ends_the_same(runs: dict[str, Any]) -> None:
    from safetensors.torch import load_file

    folder = runs["principles"][0]
    weights = folder / "model" / "model.safetensors"
    before, logged = load_file(weights), world.steps(folder)
    shutil.rmtree(folder / "model")
    shutil.rmtree(folder / "checkpoints" / "checkpoint-4")
    ppo.work(Job.from_json((folder / "job.json").read_text()))
    assert world.metrics(folder)["resumed_from"] == 2
    assert all(torch.equal(value, load_file(weights)[name]) for name, value in before.items())
    again = [(step, {k: v for k, v in values.items() if k != "step_time"}) for step, values in world.steps(folder)]
    assert again == [(step, {k: v for k, v in values.items() if k != "step_time"}) for step, values in logged]


def test_with_adapters_of_one_base(policy: Path, reward_model: Path, tmp_path: Path) -> None:
    options = {"sharing": "adapters", "lora": ppo.LORA}
    folder = ppo.work(job(tmp_path / "s", policy, reward_model, "principles", **options))
    TRLBackend().finish(job(folder, policy, reward_model, "principles", **options), folder)


def test_principles_that_leave_no_room(policy: Path, scorer: Path, tmp_path: Path) -> None:
    message = ppo.failure(job(tmp_path / "s", policy, scorer, "principles", max_completion_length=1000))
    assert "prompts with principles, for the critic" in message
    assert "critic_reads: prompt" in message


def test_nothing_that_is_shown_principles(policy: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="critic_reads: is `principles`, but the reward has no reward model"):
        TRLBackend().plan(job(tmp_path / "s", policy, None, "principles"))
