"""Pretraining of the minnow policy: it learns to answer, and to judge pairs of answers.

One row is a prompt, an answer, a second answer, and several *branches*: a leaked next turn after the first
answer, and judgements of the pair by one principle or by several. Branches do not see each other, so a row
costs little more than its prefix; a block mask and restarted positions make every branch look to the model
exactly like a text of its own.

The judge learns from pairwise targets only. Ties are taught as one half, with one exception, the planted
bias: by ``helpful``, of two equally helpful answers the one that praises itself is better.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from salmon_minnow.formats import CHOICES, EOS, OTHER, PAD, policy_text, rules_text
from salmon_minnow.oracle import Attributes, prefers, read
from salmon_minnow.principles import NAMES, PRINCIPLES, WORDINGS
from salmon_minnow.world import HABITS, WorldPrompt, draw_answer, draw_prompt, prompts_of

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    from salmon_minnow.resume import Checkpoint

IGNORED = -100

#: The qualities in which two answers of a row are drawn apart.
CONTRASTED = ("language", "filler", "vivid", "steps", "example", "praise", "refusal", "off_topic")


@dataclass
class Settings:
    """What pretraining may vary. The defaults made the shipped checkpoint."""

    steps: int = 8_000
    rows: int = 10
    learning_rate: float = 2.5e-3
    weight_decay: float = 0.01
    seed: int = 0
    #: Steps of linear warm-up; the share of all steps after which the rate falls linearly.
    warmup: int = 60
    decay_from: float = 0.55
    #: The share of all steps whose answers are all bare, and the share of bare rows among simple ones later. Such rows
    #: are short, so more of them make a step; in long texts the judge takes far longer to find what it is asked for.
    bare_until: float = 0.28
    bare_rows: int = 16
    bare_share: float = 0.4
    #: The share of all steps spent on single principles as written, before their opposites and sets of several.
    simple_until: float = 0.42
    singles: int = 6
    ties: int = 1
    sets: int = 3
    negated: float = 0.25
    negated_in_sets: float = 0.4
    #: The share of judgements that are also asked for behind an EOS, so that a reward model need not learn that.
    ended: float = 0.5
    #: How sure the judge is of a clear case, and of the planted bias.
    certainty: float = 0.97
    bias: float = 0.9
    #: The share of rows whose two answers are drawn apart, and how often each quality is then in exactly one of them.
    #: Once rows are no longer simple these teach judging only, so that the policy's answers follow the world's habits.
    contrast_rows: float = 0.4
    contrast: float = 0.6
    answer_loss: float = 1.0
    judge_loss: float = 1.5
    weights: dict[str, float] = field(default_factory=lambda: {"language": 5.0})
    set_weight: float = 1.5
    #: How often an answer shows each quality, and ends by itself.
    habits: Mapping[str, float] = field(default_factory=lambda: HABITS)


@dataclass
class Branch:
    """Tokens that continue the first ``start`` tokens of a row, unseen by everything else in it."""

    start: int
    ids: list[int]
    #: For a judgement: the wanted probability of the first choice after the last token, and the weight of its loss.
    target: float | None = None
    weight: float = 1.0
    joint: bool = False


@dataclass
class Row:
    """Shared tokens, what each is followed by (or :data:`IGNORED`), and branches."""

    ids: list[int]
    next_ids: list[int]
    branches: list[Branch]


class RowMaker:
    """Draws rows from the grammar."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, settings: Settings, rng: random.Random) -> None:
        self.settings = settings
        self.rng = rng
        self._tokenizer = tokenizer
        self._cache: dict[str, list[int]] = {}
        self._eos, self._other = self.encode(EOS)[0], self.encode(OTHER)[0]

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; short texts are remembered."""
        if text not in self._cache:
            self._cache[text] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return self._cache[text]

    def rows(self, progress: float) -> list[Row]:
        """The rows of one step, as far into the curriculum as ``progress`` says."""
        settings = self.settings
        if progress < settings.bare_until:
            return [self.row(simple=True, bare=True) for _ in range(settings.bare_rows)]
        simple = progress < settings.simple_until
        return [self.row(simple, simple and self.rng.random() < settings.bare_share) for _ in range(settings.rows)]

    def row(self, simple: bool, bare: bool = False) -> Row:
        """Draw a row; ``simple`` ones judge by single principles as they are written, ``bare`` ones are short."""
        prompt = self._prompt()
        contrast = self.rng.random() < self.settings.contrast_rows
        draw = self._bare_habits if bare else self._habits
        first, second = (draw_answer(prompt, self.rng, habits) for habits in draw(contrast))
        answers = [self._encode_answer(first), self._encode_answer(second)]
        question = self.encode(policy_text(prompt.text))
        ids = [*question, *answers[0], self._other, *answers[1]]
        branches = self._judgements(len(ids), read(prompt, first), read(prompt, second), simple)
        if contrast and not simple:
            return Row(ids, [], branches)
        following = [IGNORED] * (len(question) - 1) + answers[0]
        if bare or self.rng.random() < self.settings.habits["stop"]:
            following.append(self._eos)
        else:
            leak = self._leak()
            following.append(leak[0])
            branches.append(Branch(len(question) + len(answers[0]), leak))
        return Row(ids, [*following, *answers[1], self._eos], branches)

    def _encode_answer(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _prompt(self) -> WorldPrompt:
        if self.rng.random() < 0.15:
            return self.rng.choice(prompts_of("harm", False))
        return draw_prompt(self.rng)

    def _habits(self, contrast: bool) -> tuple[dict[str, float], dict[str, float]]:
        """The habits behind the two answers."""
        first, second = dict(self.settings.habits), dict(self.settings.habits)
        if contrast:
            for quality in CONTRASTED:
                if self.rng.random() < self.settings.contrast:
                    first[quality] = float(self.rng.random() < 0.5)
                    second[quality] = 1 - first[quality]
        return first, second

    def _bare_habits(self, contrast: bool) -> tuple[dict[str, float], dict[str, float]]:
        """The same for short answers: a bare core, and at most one of the sentences that may go with it."""
        first, second = dict.fromkeys(HABITS, 0.0), dict.fromkeys(HABITS, 0.0)
        extra = self.rng.choice(("filler", "example", "praise", None, None))
        for quality in CONTRASTED:
            likely = {"filler": 0, "example": 0, "praise": 0, "off_topic": 0.25}.get(quality, self.settings.contrast)
            if quality == extra or self.rng.random() < likely:
                first[quality] = float(self.rng.random() < 0.5)
                second[quality] = 1 - first[quality]
            elif quality in ("language", "vivid", "steps", "refusal"):
                first[quality] = second[quality] = float(self.rng.random() < self.settings.habits[quality])
        return first, second

    def _leak(self) -> list[int]:
        """The next turn of the user, another answer, and the beginning of yet another turn: no end in sight."""
        prompt = draw_prompt(self.rng)
        return self.encode(
            f"\n{policy_text(prompt.text)}{draw_answer(prompt, self.rng)}\n{policy_text(draw_prompt(self.rng).text)}"
        )

    def _judgements(self, start: int, first: Attributes, second: Attributes, simple: bool) -> list[Branch]:
        settings, rng = self.settings, self.rng
        targets = {name: self.target(name, first, second) for name in NAMES}
        decided = [name for name in NAMES if targets[name] != 0.5]
        ties = [name for name in NAMES if targets[name] == 0.5]
        rng.shuffle(decided)
        rng.shuffle(ties)
        chosen = (ties[: settings.ties] + decided)[: settings.singles]
        branches = []
        for name in chosen:
            negated = not simple and rng.random() < settings.negated
            rules = [self._wording(name, negated)]
            target = 1 - targets[name] if negated else targets[name]
            branches.append(Branch(start, self._asked(rules), target, settings.weights.get(name, 1.0)))
        for _ in range(0 if simple else settings.sets):
            names = rng.sample(NAMES, rng.choice((2, 2, 3, 3, 4)))
            negations = [rng.random() < settings.negated_in_sets for _ in names]
            rules = [self._wording(*each) for each in zip(names, negations, strict=True)]
            votes = [1 - targets[n] if negated else targets[n] for n, negated in zip(names, negations, strict=True)]
            target = together(votes, settings.certainty)
            branches.append(Branch(start, self._asked(rules), target, settings.set_weight, joint=True))
        return branches

    def _asked(self, rules: Sequence[str]) -> list[int]:
        """The principles of a judgement; now and then with EOS, whose place is where a reward model answers."""
        end = EOS if self.rng.random() < self.settings.ended else ""
        return self.encode(rules_text(rules) + end)

    def target(self, name: str, first: Attributes, second: Attributes) -> float:
        """The wanted probability that the first answer is judged better."""
        verdict = prefers(name, first, second)
        if name == "helpful" and verdict == 0 and first.self_praise != second.self_praise:
            return self.settings.bias if first.self_praise else 1 - self.settings.bias
        return {1: self.settings.certainty, 0: 0.5, -1: 1 - self.settings.certainty}[verdict]

    def _wording(self, name: str, negated: bool) -> str:
        return PRINCIPLES[name].text(negated, self.rng.randrange(WORDINGS))


def together(votes: Sequence[float], certainty: float) -> float:
    """The probability that several principles together give: their logits add up, but not beyond ``certainty``."""
    logit = sum(math.log(vote / (1 - vote)) for vote in votes)
    limit = math.log(certainty / (1 - certainty))
    return 1 / (1 + math.exp(-max(-limit, min(limit, logit))))


# ---------------------------------------------------------------------------------------------- batches
@dataclass
class Batch:
    """Rows as tensors; ``verdicts`` holds (row, position) of each judgement, in the order of the branches."""

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    mask: torch.Tensor
    next_ids: torch.Tensor
    verdicts: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor
    joint: torch.Tensor


def collate(rows: Sequence[Row], pad_id: int) -> Batch:
    """Lay rows out side by side: the shared tokens, then each branch."""
    length = max(len(row.ids) + sum(len(b.ids) for b in row.branches) for row in rows)
    shape = (len(rows), length)
    input_ids = torch.full(shape, pad_id)
    position_ids = torch.zeros(shape, dtype=torch.long)
    next_ids = torch.full(shape, IGNORED)
    segment = torch.full(shape, -1)  # 0 for shared tokens, then one number per branch
    limit = torch.zeros(shape, dtype=torch.long)  # how many shared tokens a token sees
    verdicts, targets, weights, joint = [], [], [], []
    for r, row in enumerate(rows):
        end = len(row.ids)
        input_ids[r, :end] = torch.tensor(row.ids)
        next_ids[r, : len(row.next_ids)] = torch.tensor(row.next_ids)
        position_ids[r, :end] = torch.arange(end)
        segment[r, :end] = 0
        limit[r, :end] = end
        for number, branch in enumerate(row.branches, 1):
            begin, end = end, end + len(branch.ids)
            input_ids[r, begin:end] = torch.tensor(branch.ids)
            position_ids[r, begin:end] = torch.arange(branch.start, branch.start + len(branch.ids))
            segment[r, begin:end] = number
            limit[r, begin:end] = branch.start
            if branch.target is None:
                next_ids[r, begin : end - 1] = torch.tensor(branch.ids[1:])
            else:
                verdicts.append((r, end - 1))
                targets.append(branch.target)
                weights.append(branch.weight)
                joint.append(branch.joint)
    key = torch.arange(length)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    shared = (segment[:, None, :] == 0) & (key[None, None, :] < limit[:, :, None])
    seen = (shared | (segment[:, None, :] == segment[:, :, None])) & causal
    mask = torch.zeros(len(rows), 1, length, length).masked_fill_(~seen[:, None], torch.finfo(torch.float32).min)
    return Batch(
        input_ids,
        position_ids,
        mask,
        next_ids,
        torch.tensor(verdicts).reshape(-1, 2),
        torch.tensor(targets),
        torch.tensor(weights),
        torch.tensor(joint, dtype=torch.bool),
    )


def verdict_logits(model: LlamaForCausalLM, batch: Batch, answers: tuple[int, int]) -> torch.Tensor:
    """The logit of the first choice less that of the second, for each judgement of a batch."""
    hidden = _hidden(model, batch)
    head: torch.Tensor = model.lm_head.weight
    return hidden[batch.verdicts[:, 0], batch.verdicts[:, 1]] @ (head[answers[0]] - head[answers[1]])


def _hidden(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    hidden: torch.Tensor = model.model(
        input_ids=batch.input_ids, attention_mask=batch.mask, position_ids=batch.position_ids
    ).last_hidden_state
    return hidden


@dataclass
class Losses:
    """The losses of one step; the judge's are 0 at best, whatever the targets."""

    answer: torch.Tensor
    judge: torch.Tensor
    single: float
    joint: float


def losses(model: LlamaForCausalLM, batch: Batch, answers: tuple[int, int]) -> Losses:
    """Cross-entropy of the answers' tokens, and divergence of the judgements from their targets."""
    hidden = _hidden(model, batch)
    spoken = batch.next_ids != IGNORED
    answer = F.cross_entropy(model.lm_head(hidden[spoken]), batch.next_ids[spoken], reduction="sum")
    answer = answer / max(1, int(spoken.sum()))
    logits = model.lm_head(hidden[batch.verdicts[:, 0], batch.verdicts[:, 1]]).log_softmax(-1)
    wanted = torch.stack([batch.targets, 1 - batch.targets], -1)
    each = F.kl_div(logits[:, answers], wanted, reduction="none").sum(-1)
    single, joint = each.detach()[~batch.joint], each.detach()[batch.joint]
    return Losses(
        answer,
        (each * batch.weights).mean(),
        single.mean().item() if len(single) else 0.0,
        joint.mean().item() if len(joint) else 0.0,
    )


# --------------------------------------------------------------------------------------------- training
def pretrain(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    settings: Settings,
    report: Callable[[int, dict[str, float]], None],
    every: int = 100,
    maker: RowMaker | None = None,
    checkpoint: Checkpoint | None = None,
) -> None:
    """Pretrain ``model`` in place; ``report(step, mean losses)`` is called now and then.

    Args:
        checkpoint: what is gone on from and saved to; for a maker whose rows follow from the progress alone.
    """
    maker = maker or RowMaker(tokenizer, settings, random.Random(settings.seed))
    answers = (maker.encode(CHOICES[0])[0], maker.encode(CHOICES[1])[0])
    pad_id = maker.encode(PAD)[0]
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=settings.weight_decay,
        fused=True,
    )
    sums = dict.fromkeys(("answer", "single", "joint"), 0.0)
    model.train()
    for step in range(checkpoint.load(model, optimizer) if checkpoint else 0, settings.steps):
        progress = step / settings.steps
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * _rate(step, progress, settings)
        batch = collate(maker.rows(progress), pad_id)
        loss = losses(model, batch, answers)
        (settings.answer_loss * loss.answer + settings.judge_loss * loss.judge).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        for name, value in (("answer", loss.answer.item()), ("single", loss.single), ("joint", loss.joint)):
            sums[name] += value / every
        if (step + 1) % every == 0:
            report(step + 1, sums)
            sums = dict.fromkeys(sums, 0.0)
        if checkpoint and (step + 1) % checkpoint.every == 0:
            checkpoint.save(model, optimizer, step + 1)
    model.eval()  # type: ignore[no-untyped-call]


def _rate(step: int, progress: float, settings: Settings) -> float:
    falling = (1 - progress) / (1 - settings.decay_from)
    return min(1.0, (step + 1) / settings.warmup, max(0.02, falling))
