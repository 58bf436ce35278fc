"""One prompt tried: the policy's answers before and after training with their rewards, and one answer's reward under
each principle, its negation and none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from salmon_core.api.models import ModelSpec, Sampling
from salmon_core.errors import StageError
from salmon_core.plugins.engines import open_model
from salmon_core.records import Completion, Prompt, RewardBreakdown, Rollout, ShownPrinciple
from salmon_core.reward.elsewhere import count_tokens, draw_for
from salmon_core.reward.rendering import Renderer
from salmon_core.reward.reward import RM, Reward, policy_codec
from salmon_core.run.run import Run
from salmon_core.stages.sample import sampled

#: who answered
BEFORE, AFTER, GIVEN = "before", "after", "given"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and its reward.

    Attributes:
        by: the policy `before` or `after` training, or `given`.
        stopped: whether it ended by itself.
    """

    by: str
    text: str
    stopped: bool
    reward: RewardBreakdown


@dataclass(frozen=True, slots=True)
class UnderPrinciple:
    """The reward model's score of one answer under one principle alone; None where there is no such text."""

    name: str
    shown: float | None
    negated: float | None


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of a prompt.

    Attributes:
        principles: that the answers' rewards are for.
        scored: the answer of `under`.
        without: its score when no principle is shown; None where the reward has no model.
        note: what could not be tried.
    """

    prompt: Prompt
    answers: tuple[Answer, ...]
    principles: tuple[str, ...]
    scored: str
    under: tuple[UnderPrinciple, ...]
    without: float | None
    note: str = ""


def try_prompt(run: Run, prompt: Prompt, completion: str | None, *, temperature: float, samples: int) -> Tried:
    """Answers by the policies that are there, and rewards.

    Args:
        completion: to look at under each principle; None: the trained policy's first answer.

    Raises:
        StageError: nothing is trained yet.
    """
    config, spec, notes = run.config, run.reward_spec(), []
    answered: list[tuple[str, Completion]] = []
    found, note = policies(run)
    notes += [note] if note else []
    for by, model in found:
        answered += [(by, each) for each in answers_by(run, model, prompt, temperature, samples)]
    codec = policy_codec(spec)
    if completion is not None:
        tokens = count_tokens(codec, completion, ())
        answered.append((GIVEN, Completion(prompt.id, 0, completion, (), tokens, True)))
    looked = (
        completion if completion is not None else next(each.text for by, each in reversed(answered) if not each.index)
    )
    with Reward(scorer=None, renderer=None, interventions=spec.interventions, reweighted=spec.reweighted) as scheduled:
        first = _rollout(prompt, answered[0][1], draw_for(config, prompt))
        drawn = scheduled.shown(first).principles
    # Those in force are among `drawn`; under one principle alone there is no other.
    with Reward.from_spec(replace(spec, interventions=())) as reward:
        rewards = reward([_rollout(prompt, each, drawn) for _, each in answered])
        under, without = _under(run, reward, prompt, looked) if RM in reward.names else ((), None)
    if RM not in reward.names:
        notes.append("the reward has no reward model: reward.rm_weight is 0")
    elif not config.reward_template.reads_principles:
        notes.append("the reward model reads no principles")
    answers = tuple(Answer(by, each.text, each.stopped, own) for (by, each), own in zip(answered, rewards, strict=True))
    return Tried(prompt, answers, rewards[0].principles, looked, under, without, "; ".join(notes))


def policies(run: Run) -> tuple[list[tuple[str, ModelSpec]], str]:
    """Those that are there, by who answers, and what is said of one that is not.

    Raises:
        StageError: none is there yet.
    """
    found = []
    if run.config.config.sft is None or run.stage("sft").manifest.get("status") == "finished":
        found.append((BEFORE, run.initial))
    if run.config.config.train.algorithm == "none":
        note = "train.algorithm is none: there is no policy after training"
    elif run.stage("train-policy").manifest.get("status") == "finished":
        found.append((AFTER, run.aligned))
        note = ""
    else:
        note = "train-policy is not finished: the policy is as it was before"
    if not found:
        raise StageError("no policy is there yet", where=str(run.path), hint="salmon run CONFIG --until sft")
    return found, note


def answers_by(run: Run, model: ModelSpec, prompt: Prompt, temperature: float, samples: int) -> list[Completion]:
    """Of a policy, as held-out prompts are sampled: without stop strings, so that one that does not stop shows it."""
    config, section = run.config, run.config.config.sample
    sampling = Sampling(
        temperature=temperature,
        top_p=section.top_p,
        max_new_tokens=section.max_new_tokens,
        samples=samples,
        seed=config.config.run.seed + 1,
        batch_size=section.batch_size,
    )
    with open_model(config.registry, config.engines["sample"], model, "sampler") as sampler:
        renderer = Renderer(config.template, sampler.codec, limits=config.limits)
        return sampled(sampler, renderer, [prompt], sampling)


def _under(run: Run, reward: Reward, prompt: Prompt, text: str) -> tuple[tuple[UnderPrinciple, ...], float | None]:
    """The reward model's scores of one answer, each principle alone."""
    completion = Completion(prompt.id, 0, text, (), 0, True)
    asked: list[tuple[str, bool, ShownPrinciple]] = []
    for principle in run.config.reward_principles:
        asked.append((principle.name, False, principle.shown()))
        if principle.negated is not None:
            asked.append((principle.name, True, principle.shown(negated=True)))
    rollouts = [_rollout(prompt, completion, ()), *(_rollout(prompt, completion, (shown,)) for *_, shown in asked)]
    without, *scores = (breakdown.raw[RM] for breakdown in reward(rollouts))
    by = {(name, negated): score for (name, negated, _), score in zip(asked, scores, strict=True)}
    names = run.config.reward_principles.names
    return tuple(UnderPrinciple(name, by.get((name, False)), by.get((name, True))) for name in names), without


def _rollout(prompt: Prompt, completion: Completion, principles: Sequence[ShownPrinciple]) -> Rollout:
    return Rollout.from_text(
        prompt,
        completion.text,
        n_tokens=completion.n_tokens,
        principles=principles,
        completion_ids=completion.token_ids,
        stopped=completion.stopped,
    )
