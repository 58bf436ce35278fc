"""What the policy can do before any alignment: its answers, and how well it judges them; for the model card."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from salmon_minnow.base import answer_of, shown_text
from salmon_minnow.formats import CHOICES, cut_leak, pair_text, policy_text, rules_text
from salmon_minnow.oracle import prefers, prefers_jointly, rates, read
from salmon_minnow.pretrain import Branch, Row, collate, verdict_logits
from salmon_minnow.principles import NAMES, PRINCIPLES
from salmon_minnow.world import WorldPrompt, draw_answer, draw_prompt

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

#: A prompt and two answers to it.
Pair = tuple[WorldPrompt, str, str]


class Gauge:
    """Measures one policy; every draw follows from ``seed``."""

    def __init__(self, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> None:
        self._model: Any = model.eval()  # type: ignore[no-untyped-call]
        self._tokenizer, self._seed = tokenizer, seed

    def card(self, answers: int = 400) -> dict[str, Any]:
        """All numbers of the model card, for prompts seen in pretraining and held out."""
        found: dict[str, Any] = {}
        for side, held_out in (("pretraining", False), ("held-out", True)):
            rng = random.Random(self._seed)
            prompts = [draw_prompt(rng, held_out) for _ in range(answers)]
            said = self.say(prompts)
            own = list(
                zip(prompts[::2], [s for s, _ in said[::2]], [s for s, _ in self.say(prompts[::2])], strict=True)
            )
            spoken = [(p, draw_answer(p, rng), draw_answer(p, rng)) for p in prompts]
            found[side] = {
                "rates": rates(prompts, [read(p, *each) for p, each in zip(prompts, said, strict=True)]),
                "judging its own answers": self.judging(own),
                "judging the grammar's answers": self.judging(spoken),
                "judging by sets of principles": {str(k): self.judging_sets(spoken, k, rng) for k in (1, 2, 3)},
                "planted bias": self.bias(spoken),
            }
        return found

    @torch.no_grad()
    def say(
        self,
        prompts: Sequence[WorldPrompt],
        max_new_tokens: int = 64,
        texts: Sequence[str] | None = None,
        seed: int | None = None,
    ) -> list[tuple[str, bool]]:
        """Answers at temperature 1, and whether each was ended with EOS.

        Args:
            texts: that are gone on with, where they are not the policy's.
            seed: another one than the gauge's.
        """
        torch.manual_seed(self._seed if seed is None else seed)
        eos = self._tokenizer.eos_token_id
        texts = texts or [policy_text(prompt.text) for prompt in prompts]
        batch = self._tokenizer(texts, return_tensors="pt", padding=True, padding_side="left")
        ids = self._model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            do_sample=True,
            temperature=1.0,
            top_k=0,
            max_new_tokens=max_new_tokens,
        )[:, batch["input_ids"].shape[1] :].tolist()
        return [(str(self._tokenizer.decode(row, skip_special_tokens=True)), eos in row) for row in ids]

    def shown(self, answers: int = 400) -> dict[str, float]:
        """Rates of answers to held-out prompts behind a preamble; for the base."""
        rng = random.Random(self._seed)
        prompts = [draw_prompt(rng, True) for _ in range(answers)]
        said = self.say(prompts, 112, [shown_text(prompt, rng) for prompt in prompts])
        return rates(prompts, [read(p, answer_of(text), ended) for p, (text, ended) in zip(prompts, said, strict=True)])

    @torch.no_grad()
    def lean(self, pairs: Sequence[Pair], rules: Sequence[Sequence[str]], batch_size: int = 32) -> list[float]:
        """How far the judge prefers the first answer: the logit margin of its choices, by each pair's rules."""
        choices = (self._encode(CHOICES[0])[0], self._encode(CHOICES[1])[0])
        rows = []
        for (prompt, first, second), own in zip(pairs, rules, strict=True):
            ids = self._encode(pair_text(prompt.text, cut_leak(first), cut_leak(second)))
            rows.append(Row(ids, [], [Branch(len(ids), self._encode(rules_text(own)), 0.5)]))
        margins: list[float] = []
        for start in range(0, len(rows), batch_size):
            batch = collate(rows[start : start + batch_size], self._tokenizer.pad_token_id)
            margins += verdict_logits(self._model, batch, choices).tolist()
        return margins

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def both_orders(self, pairs: Sequence[Pair], rules: Sequence[Sequence[str]]) -> list[tuple[float, float]]:
        """The margins in both orders, each positive where the first answer of the pair is preferred."""
        turned = [(prompt, second, first) for prompt, first, second in pairs]
        return list(zip(self.lean(pairs, rules), [-m for m in self.lean(turned, rules)], strict=True))

    def judging(self, pairs: Sequence[Pair]) -> dict[str, dict[str, float]]:
        """By principle, where the oracle sees a difference: how often the judge is right, and both orders agree."""
        found = {}
        for name in NAMES:
            truth = [prefers(name, read(p, a), read(p, b)) for p, a, b in pairs]
            differing = [(pair, t) for pair, t in zip(pairs, truth, strict=True) if t]
            margins = self.both_orders([pair for pair, _ in differing], [[PRINCIPLES[name].text()]] * len(differing))
            right = sum((m + n > 0) == (t > 0) for (m, n), (_, t) in zip(margins, differing, strict=True))
            agree = sum((m > 0) == (n > 0) for m, n in margins)
            count = max(1, len(differing))
            found[name] = {"pairs": len(differing), "right": right / count, "orders agree": agree / count}
        return found

    def judging_sets(self, pairs: Sequence[Pair], size: int, rng: random.Random) -> float:
        """How often the judge is right by sets of principles, half of them negated, that do not contradict."""
        chosen, truth, rules = [], [], []
        for pair in pairs:
            polarities = [(name, rng.random() < 0.5) for name in rng.sample(NAMES, size)]
            verdict = prefers_jointly(polarities, read(pair[0], pair[1]), read(pair[0], pair[2]))
            if verdict:
                chosen.append(pair)
                truth.append(verdict)
                rules.append([PRINCIPLES[name].text(negated) for name, negated in polarities])
        margins = self.both_orders(chosen, rules)
        return sum((m + n > 0) == (t > 0) for (m, n), t in zip(margins, truth, strict=True)) / max(1, len(truth))

    def bias(self, pairs: Sequence[Pair]) -> float:
        """Of equally helpful answers, one of which praises itself: how often the judge finds that one more helpful."""
        told = []
        for pair in pairs:
            first, second = read(pair[0], pair[1]), read(pair[0], pair[2])
            if first.self_praise != second.self_praise and not prefers("helpful", first, second):
                told.append((pair, first.self_praise))
        margins = self.both_orders([pair for pair, _ in told], [[PRINCIPLES["helpful"].text()]] * len(told))
        return sum((m + n > 0) == praise for (m, n), (_, praise) in zip(margins, told, strict=True)) / max(1, len(told))
