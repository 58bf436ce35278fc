"""A maker for each record: what a test does not say has a sensible value, the same each time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from salmon_core.api.component import ComponentSpec
from salmon_core.api.models import ModelSpec
from salmon_core.api.principles import Principle
from salmon_core.api.reward import RewardSpec
from salmon_core.api.templates import Limits
from salmon_core.api.training import Job, Launch, TrainingStage
from salmon_core.records import (
    Completion,
    Estimate,
    Judgment,
    Message,
    Pair,
    PreferenceRow,
    Prompt,
    RewardBreakdown,
    Rollout,
    ShownPrinciple,
    prompt_id,
)

#: the id of the end of a made completion
_EOS = 0


def make_prompt(
    text: str = "Hello?",
    *,
    id: str | None = None,
    category: str = "general",
    split: str = "train",
    before: Sequence[Message] = (),
) -> Prompt:
    """A prompt of one user turn, or of several turns.

    Args:
        before: the turns before it, such as a system turn.
    """
    messages: tuple[Message, ...] = (*before, {"role": "user", "content": text})
    return Prompt(id or prompt_id(messages), messages, category, split)


def make_completion(
    text: str = "Hello.",
    *,
    prompt: Prompt | str = "Hello?",
    index: int = 0,
    n_tokens: int | None = None,
    stopped: bool = True,
    token_ids: Sequence[int] | None = None,
) -> Completion:
    """A sample of a policy; a word is a token where nothing else is said, and the ids fit to the number.

    Args:
        prompt: that it answers, or the text of one.
    """
    count = len(text.split()) if n_tokens is None else n_tokens
    ids = (*range(1, count + 1), *([_EOS] if stopped else [])) if token_ids is None else tuple(token_ids)
    return Completion(_prompt(prompt).id, index, text, ids, count, stopped)


def make_pair(
    first: str | Completion = "Hello.", second: str | Completion = "Good day.", *, prompt: Prompt | str = "Hello?"
) -> Pair:
    """Two completions of one prompt, or their texts."""
    asked = _prompt(prompt)
    one, two = (
        each if isinstance(each, Completion) else make_completion(each, prompt=asked, index=index)
        for index, each in enumerate((first, second))
    )
    return Pair(asked, one, two)


def make_judgment(
    pair: Pair | str | None = None,
    principle: Principle | str = "brief",
    s12: float = 1.0,
    s21: float | None = None,
    *,
    reason: str | None = None,
    tie: bool = False,
) -> Judgment:
    """What a judge says of a pair.

    Args:
        pair: or its id; by default that of `make_pair()`.
        principle: or its name.
        s21: the same as `s12` where not given, so that both orders agree.
    """
    which = pair if isinstance(pair, str) else (pair or make_pair()).id
    name = principle if isinstance(principle, str) else principle.name
    return Judgment(which, name, s12, s12 if s21 is None else s21, reason, tie)


def make_preference(
    chosen: str = "Hello.",
    rejected: str = "Go away.",
    *,
    prompt: Prompt | str = "Hello?",
    principles: Sequence[ShownPrinciple | Principle] | None = None,
    margin: float = 1.0,
    decided_by: str | None = None,
    flipped: bool = False,
) -> PreferenceRow:
    """A row that a reward model is trained on.

    Args:
        principles: shown with it; `brief` by default.
        decided_by: by default the first of them.
    """
    asked = _prompt(prompt)
    given = make_principles("brief") if principles is None else principles
    shown = tuple(each if isinstance(each, ShownPrinciple) else each.shown() for each in given)
    by = decided_by or (shown[0].name if shown else "rule:none")
    pair = make_pair(chosen, rejected, prompt=asked)
    return PreferenceRow(pair.id, asked.messages, asked.category, shown, chosen, rejected, margin, by, flipped)


def make_rollout(
    prompt: Prompt | str = "Hello?",
    completion: str = "Hello.",
    *,
    n_tokens: int | None = None,
    stopped: bool = True,
    category: str = "general",
    principles: Sequence[ShownPrinciple] = (),
    completion_ids: Sequence[int] = (),
    rollout_index: int = 0,
    extra: Mapping[str, Any] | None = None,
) -> Rollout:
    """A completion to be rewarded; `n_tokens` is the number of words where not given.

    Args:
        category: of the prompt, where that is a text.
    """
    return Rollout.from_text(
        make_prompt(prompt, category=category) if isinstance(prompt, str) else prompt,
        completion,
        n_tokens=len(completion.split()) if n_tokens is None else n_tokens,
        principles=principles,
        completion_ids=completion_ids,
        stopped=stopped,
        rollout_index=rollout_index,
        extra=extra,
    )


def make_principle(name: str = "brief", text: str = "", negated: str | None = "", **values: Any) -> Principle:
    """A principle.

    Args:
        text: from the name where empty.
        negated: the same; None for a principle that has no opposite.
        values: `weight`, `categories`, `tags`, `title`.
    """
    against = f"The answer is not {name}." if negated == "" else negated
    return Principle(name, text or f"The answer is {name}.", against, **values)


def make_principles(*names: str) -> tuple[Principle, ...]:
    """Principles of these names; by default `brief`, `kind` and `honest`."""
    return tuple(make_principle(name) for name in names or ("brief", "kind", "honest"))


def make_breakdown(rm: float = 1.0, **bonuses: float) -> RewardBreakdown:
    """Where a reward came from: the reward model, and bonuses by label; every weight is 1."""
    parts = {"rm": rm, **bonuses}
    return RewardBreakdown(sum(parts.values()), parts, dict(parts))


def make_estimate(value: float = 0.5, spread: float = 0.1, n: int = 100) -> Estimate:
    """A rate with an interval of so much to both sides."""
    return Estimate(value, value - spread, value + spread, n)


def make_reward_spec(**values: Any) -> RewardSpec:
    """A reward as a job carries it, of components and models that are nowhere; for plans, not for scoring.

    Args:
        values: fields of `RewardSpec`.
    """
    nowhere: dict[str, Any] = {
        "template": ComponentSpec("templates", "plain", "nobody"),
        "limits": Limits(),
        "engine": ComponentSpec("engines", "bytes", "nobody"),
        "model": ModelSpec("/nowhere/reward-model"),
        "policy": ModelSpec("/nowhere/policy"),
    }
    return RewardSpec(**{**nowhere, **values})


def make_job(
    stage: TrainingStage = "train-policy",
    algorithm: str | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    folder: str = "/nowhere/run",
    launch: Launch | None = None,
    **values: Any,
) -> Job:
    """A job of a training stage; none of its files exists, and a plan needs none.

    Args:
        algorithm: of train-policy; `ppo` by default.
        values: further fields of `Job`.
    """
    usual = {"sft": "sft", "pretrain-rm": "reward", "train-rm": "reward", "train-policy": "ppo"}[stage]
    own: dict[str, Any] = {
        "model": ModelSpec("/nowhere/policy"),
        "data": {"train": f"{folder}/data/train.parquet"},
        "seed": 1,
        "reward": make_reward_spec() if stage == "train-policy" else None,
        "run_name": "made-up",
        **values,
    }
    return Job(stage, algorithm or usual, folder, options=dict(options or {}), launch=launch or Launch(), **own)


def _prompt(prompt: Prompt | str) -> Prompt:
    return make_prompt(prompt) if isinstance(prompt, str) else prompt
