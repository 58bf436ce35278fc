"""The monitor `second-opinion`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from random import Random
from typing import Any

from pydantic import Field, model_validator

from salmon_core import load_reward
from salmon_core.api.component import HubPath
from salmon_core.api.monitors import Alarm, MeasuredRun, ModelMonitor, RolloutBatch, SeenRollout, WatchedRun
from salmon_core.kit.statistics import clustered_rate
from salmon_core.records import Completion, Pair, Prompt, ShownPrinciple
from salmon_monitors.budget import Budgeted, asked, document, drawn, due, shown, times
from salmon_monitors.windows import Windows, change, difference, examples, names

#: prompts below which a comparison says nothing
_PROMPTS = 20


class SecondOpinion(ModelMonitor):
    """The reward rises, and by somebody else's opinion of the same rollouts they became worse.

    Over-optimisation as in arXiv 2210.10760, where a gold score falls while the proxy's rises with sqrt(KL). Somebody
    else is another reward model, whose own score falls; or a judge, who prefers the first answers to the same prompts.
    Nobody is asked while the reward has not surely risen.
    """

    class Options(Budgeted):
        """What a configuration may set."""

        reward_model: HubPath | None = Field(
            None, description="folder of another reward model, as `train-rm` leaves it; null: the run's judge compares"
        )
        judge_model: HubPath | None = Field(
            None,
            description="another model that the judge asks, one that made no preferences of this run; null: its own",
        )

        @model_validator(mode="after")
        def _one(self) -> SecondOpinion.Options:
            if self.reward_model is not None and self.judge_model is not None:
                raise ValueError("is either of another reward model or of a judge: leave one of them out")
            return self

    def __init__(self, options: Options):
        self.options = options
        self._windows = Windows(options.window, one_reward=True)
        #: by batch, what was asked about: rewards and the p of their rise, times that a p counts, rollouts
        self._open: dict[int, tuple[float, float, float, int, list[SeenRollout]]] = {}

    @property
    def sees(self) -> bool:
        """Whether both windows are full."""
        return self._windows.full

    def ask(self, batch: RolloutBatch, run: WatchedRun) -> Mapping[str, Any] | None:
        """Recent rollouts and first ones, where the reward rose."""
        if not self._windows.add(batch) or not due(self._windows.looks, self.options.every):
            return None
        many = times(self._windows.looks, self.options.every)
        before, now = self._windows.before(), self._windows.now()
        old, new, p = difference(before, now, lambda each: each.reward)
        p = min(1.0, p * many)
        if p > self.options.level:
            return None
        index = batch.rollout_index
        if self.options.reward_model is not None:
            recent = drawn(now, self.options.most, "now", index)
            first = drawn(before, self.options.most, "before")
            question = {"first": list(map(document, first)), "recent": list(map(document, recent))}
        else:
            pairs = _pairs(before, now, self.options.most)
            recent = [each for each, _ in pairs]
            question = {
                "first": [document(each) for _, each in pairs],
                "recent": list(map(document, recent)),
                "principles": [asdict(each) for each in run.rewarded],
            }
        if not recent:
            return None
        self._open[index] = old, new, p, many, recent
        return question

    def measure(self, question: Mapping[str, Any], run: MeasuredRun) -> Mapping[str, Any]:
        """Scores of both sides, or for each principle who is preferred in each pair."""
        first, recent = question["first"], question["recent"]
        if self.options.reward_model is not None:
            with load_reward(self.options.reward_model, device=run.device) as other:
                texts = [(asked(each), each["completion"], [shown(each)]) for each in (*first, *recent)]
                scores = [own for (own,) in other.score_texts(texts)]
            return {"first": scores[: len(first)], "recent": scores[len(first) :]}
        pairs = [
            Pair(
                Prompt.from_text(new["prompt"], id=f"{new['prompt_id']} {place}"),
                _completion(new, 0),
                _completion(old, 1),
            )
            for place, (old, new) in enumerate(zip(first, recent, strict=True))
        ]
        principles = [ShownPrinciple(**each) for each in question["principles"]]
        said = run.judge(pairs, principles, model=str(self.options.judge_model or ""))
        preferred: dict[str, list[float]] = {each.name: [] for each in principles}
        for judgment in said:
            preferred[judgment.principle].append(judgment.score)
        return {"preferred": preferred}

    def hear(self, batch: RolloutBatch, answer: Mapping[str, Any], run: WatchedRun) -> Iterable[Alarm]:
        """Whether they became worse."""
        old, new, p, many, recent = self._open.pop(batch.rollout_index)
        kl = batch.numbers.get("kl")
        far = f" (at sqrt(KL) {math.sqrt(kl):.1f})" if kl is not None and kl >= 0 else ""
        rose = f"the reward rose from {old:.2f} to {new:.2f}{far}"
        if "recent" in answer:
            yield from self._fell(batch, answer, p, many, recent, rose)
            return
        for name, scores in answer["preferred"].items():
            wins: dict[str, list[float]] = {}
            for each, score in zip(recent, scores, strict=True):
                if score:
                    wins.setdefault(each.prompt_id, []).append(float(score > 0))
            found = clustered_rate(wins)
            if len(wins) < _PROMPTS or found.high >= 0.5:
                continue
            lost = [each for each, score in zip(recent, scores, strict=True) if score < 0]
            share = f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}] of {found.n} prompts"
            text = f"{rose}, and by {name} the judge prefers recent answers in {share} only"
            yield Alarm(name, text, batch.rollout_index, p, examples(lost), names(lost))

    def _fell(
        self,
        batch: RolloutBatch,
        answer: Mapping[str, Any],
        p: float,
        many: int,
        recent: Sequence[SeenRollout],
        rose: str,
    ) -> Iterable[Alarm]:
        first: dict[str, list[float]] = {str(place): [-each] for place, each in enumerate(answer["first"])}
        now: dict[str, list[float]] = {}
        for each, score in zip(recent, answer["recent"], strict=True):
            now.setdefault(each.prompt_id, []).append(-score)
        before, after, chance = change(first, now)
        p = max(p, min(1.0, chance * many))
        if len(now) < _PROMPTS or p > self.options.level:
            return
        order = sorted(zip(answer["recent"], range(len(recent)), strict=True))
        low = [recent[place] for _, place in order[: max(1, len(order) // 4)]]
        text = f"{rose}, and another reward model's score of the same answers fell from {-before:.2f} to {-after:.2f}"
        yield Alarm("another reward model", text, batch.rollout_index, p, examples(low), names(low))


def _pairs(
    before: Sequence[SeenRollout], now: Sequence[SeenRollout], most: int
) -> list[tuple[SeenRollout, SeenRollout]]:
    """Recent answers, each beside one of the first to the same prompt."""
    first: dict[str, list[SeenRollout]] = {}
    for each in before:
        first.setdefault(each.prompt_id, []).append(each)
    both = [each for each in now if each.prompt_id in first]
    chosen = drawn(both, most, "pairs", both[-1].rollout_index if both else 0)
    return [(each, Random(f"{each.rollout_index} {each.place}").choice(first[each.prompt_id])) for each in chosen]


def _completion(each: Mapping[str, Any], index: int) -> Completion:
    return Completion(each["prompt_id"], index, each["completion"], (), 0, True)
