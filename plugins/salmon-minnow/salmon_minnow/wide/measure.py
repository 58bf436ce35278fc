"""What a wide policy can do before any alignment, principle by principle; for its model card."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from salmon_minnow.formats import CHOICES, cut_leak, pair_text, rules_text
from salmon_minnow.measure import Gauge, Pair
from salmon_minnow.oracle import rates
from salmon_minnow.pretrain import Branch, Row, collate, verdict_logits
from salmon_minnow.wide.oracle import MEASURES, prefers, prefers_jointly, read
from salmon_minnow.wide.principles import NAMES, PRINCIPLES
from salmon_minnow.wide.world import draw_answer
from salmon_minnow.world import WorldPrompt, draw_prompt

#: Ways to ask for a principle: as written, its opposite, and both in other words.
WAYS = {"as written": (False, 0), "negated": (True, 0), "reworded": (False, 1), "negated, reworded": (True, 1)}


@dataclass
class Tally:
    """Judgements by one principle in one way: how many were right, and how many of those agreed in both orders."""

    pairs: int = 0
    right: int = 0
    agree: int = 0

    def add(self, one: float, other: float, truth: int) -> None:
        """The margins of both orders, positive for the first answer, and the oracle's verdict."""
        self.pairs += 1
        self.right += (one + other > 0) == (truth > 0)
        self.agree += (one > 0) == (other > 0) == (truth > 0)

    def numbers(self) -> dict[str, float]:
        """Shares: right on the mean of both orders, and right in both."""
        count = max(1, self.pairs)
        return {"pairs": self.pairs, "right": self.right / count, "both orders right": self.agree / count}


class WideGauge(Gauge):
    """Measures one wide policy; every draw follows from ``seed``."""

    def card(self, answers: int = 400) -> dict[str, Any]:
        """All numbers of the model card."""
        found: dict[str, Any] = {}
        for side, held_out in (("pretraining", False), ("held-out", True)):
            rng = random.Random(self._seed)
            prompts = [draw_prompt(rng, held_out) for _ in range(answers)]
            first, second = self.say(prompts, 72), self.say(prompts, 72, seed=self._seed + 1)
            told = [read(prompt, *each) for prompt, each in zip(prompts, first, strict=True)]
            own = [(p, a, b) for p, (a, _), (b, _) in zip(prompts, first, second, strict=True)]
            spoken = [(p, draw_answer(p, rng), draw_answer(p, rng)) for p in prompts]
            found[side] = {
                "rates": rates(prompts, [each.minnow for each in told]),
                "shows": {name: sum(MEASURES[name](each) > 0 for each in told) / len(told) for name in NAMES},
                "judging its own answers": self.by_principle(own),
                "judging the grammar's answers": self.by_principle(spoken),
                "judging by sets of principles": {str(k): self.sets(spoken, k, rng) for k in (1, 2, 3, 4)},
                "bias": self.bias(spoken),
            }
        return found

    def by_principle(self, pairs: Sequence[Pair], ways: Iterable[str] = tuple(WAYS)) -> dict[str, Any]:
        """By principle and way to ask: how often the judge is right where the oracle sees a difference."""
        tallies = {name: {way: Tally() for way in ways} for name in NAMES}
        asked, truth = [], []
        for prompt, first, second in pairs:
            one, two = read(prompt, first), read(prompt, second)
            verdicts = {name: verdict for name in NAMES if (verdict := prefers(name, one, two))}
            asked.append([PRINCIPLES[name].text(*WAYS[way]) for name in verdicts for way in ways])
            truth.append(verdicts)
        orders = self.many(pairs, [[[rule] for rule in own] for own in asked])
        for verdicts, margins in zip(truth, orders, strict=True):
            questions = ((name, way) for name in verdicts for way in ways)
            for (name, way), both in zip(questions, margins, strict=True):
                tallies[name][way].add(*both, -verdicts[name] if WAYS[way][0] else verdicts[name])
        return {name: {way: tally.numbers() for way, tally in own.items()} for name, own in tallies.items()}

    def sets(self, pairs: Sequence[Pair], size: int, rng: random.Random) -> float:
        """How often the judge is right by sets of principles, half of them negated, that do not contradict."""
        tally = Tally()
        rules, truth = [], []
        for prompt, first, second in pairs:
            one, two = read(prompt, first), read(prompt, second)
            own, verdicts = [], []
            for _ in range(4):
                polarities = [(name, rng.random() < 0.5) for name in rng.sample(NAMES, size)]
                verdict = prefers_jointly(polarities, one, two)
                if verdict:
                    own.append([PRINCIPLES[name].text(negated) for name, negated in polarities])
                    verdicts.append(verdict)
            rules.append(own)
            truth.append(verdicts)
        for verdicts, margins in zip(truth, self.many(pairs, rules), strict=True):
            for verdict, (one_first, other_first) in zip(verdicts, margins, strict=True):
                tally.add(one_first, other_first, verdict)
        return tally.numbers()["right"]

    @torch.no_grad()
    def many(
        self, pairs: Sequence[Pair], rules: Sequence[Sequence[Sequence[str]]], batch_size: int = 8
    ) -> list[list[tuple[float, float]]]:
        """Margins of each pair by each of its own sets of rules, in both orders, positive for the first answer.

        A pair is read once in each order; its rules are branches.
        """
        choices = (self._encode(CHOICES[0])[0], self._encode(CHOICES[1])[0])
        found: list[list[list[float]]] = []
        for turned in (False, True):
            rows = [self._row(pair, own, turned) for pair, own in zip(pairs, rules, strict=True)]
            margins: list[list[float]] = []
            for start in range(0, len(rows), batch_size):
                own_rows = rows[start : start + batch_size]
                batch = collate(own_rows, self._tokenizer.pad_token_id)
                told = iter(verdict_logits(self._model, batch, choices).tolist() if len(batch.verdicts) else [])
                margins += [[next(told) for _ in row.branches] for row in own_rows]
            found.append(margins)
        return [
            [(one, -other) for one, other in zip(*both, strict=True)] for both in zip(found[0], found[1], strict=True)
        ]

    def _row(self, pair: Pair, rules: Sequence[Sequence[str]], turned: bool) -> Row:
        prompt, first, second = pair
        if turned:
            first, second = second, first
        ids = self._encode(pair_text(prompt.text, cut_leak(first), cut_leak(second)))
        return Row(ids, [], [Branch(len(ids), self._encode(rules_text(own)), 0.5) for own in rules])


def told(gauge: WideGauge, count: int = 300, held_out: bool = True) -> dict[str, float]:
    """By principle, how often both orders are right on the grammar's answers; a quick look at a policy."""
    rng = random.Random(0)
    prompts: list[WorldPrompt] = [draw_prompt(rng, held_out) for _ in range(count)]
    pairs = [(p, draw_answer(p, rng), draw_answer(p, rng)) for p in prompts]
    measured = gauge.by_principle(pairs, ("as written",))
    return {name: own["as written"]["both orders right"] for name, own in measured.items()}
