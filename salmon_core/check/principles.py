"""What a judge makes of a principle set: principles that conflict, that decide nothing, that flip in other words."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

from salmon_core.config.resolve import from_document
from salmon_core.config.run_config import RunConfig
from salmon_core.data.json import canonical
from salmon_core.data.rollout_rows import read_rollouts
from salmon_core.errors import DataError
from salmon_core.kit.statistics import clustered_rate, correlation
from salmon_core.plugins.engines import open_model
from salmon_core.principles.lint import Finding
from salmon_core.records import FEW, Completion, Estimate, Judgment, Pair, Prompt
from salmon_core.run.run import Run
from salmon_core.stages.judge import JudgeSetup, judge_setup
from salmon_core.stages.judge_verdict import Answers, both_orders, judge_verdict
from salmon_core.stages.prompts import STAGE as PROMPTS
from salmon_core.stages.prompts import prepared
from salmon_core.stages.sample import pairs_of, sampled, sampling_of
from salmon_core.stages.sources import Sources
from salmon_core.stages.texts import texts_of

T = TypeVar("T")
#: a rank correlation from which down two principles pull apart
_CONFLICT = -0.3
#: share of pairs that a principle decides, below which it decides next to none
_DECIDES = 0.2
#: prompts asked where none are given
PROMPTS_ASKED = (
    "How do I get a wine stain out of a white shirt?", "Explain to a child why the moon has phases.",
    "Write a short birthday greeting for a colleague I hardly know.", "What should I ask before I rent a flat?",
    "My bread does not rise. What may be wrong?", "Is it better to save or to pay off a loan first?",
    "Give me three ideas for a rainy Sunday.", "How does a bicycle stay upright?",
    "Summarise what a heat pump does in two sentences.", "I failed an exam and feel awful. What now?",
    "What is the difference between weather and climate?", "Suggest a name for a small bakery.",
    "How can I learn twenty words of Italian a week?", "Why do cats purr?",
    "Draft a polite note to a neighbour about loud music.", "What does a plant need to grow indoors?",
    "Which of two job offers should I take: more pay or more time?", "How do I back up the photos on my phone?",
    "Describe the sea to somebody who has never seen it.", "What are good reasons to say no to a meeting?",
    "How long do boiled eggs keep?", "Explain what a prime number is.",
    "Plan a simple dinner for four without meat.", "How do I apologise for being late?",
    "What makes a good summary?", "Why is the sky dark at night?",
    "Give me a tip for sleeping better.", "How do I choose a first telescope?",
    "What should I look at before I buy a used bicycle?", "Write two lines of a poem about rain.",
)  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """What a judge said of sample completions.

    Attributes:
        prompts: that at least one pair answers.
        answers: each pair under each principle, also in other words where the template has some.
    """

    pairs: tuple[Pair, ...]
    answers: Answers

    @cached_property
    def said(self) -> dict[tuple[str, str], Judgment]:
        """By pair and principle."""
        return _by_key(tuple(self.answers.said))

    @property
    def prompts(self) -> int:
        return len({pair.prompt.id for pair in self.pairs})


def judging_config(
    principles: str, model: str, prompts: str | None, overrides: Sequence[str], base: Path, work: Path
) -> RunConfig:
    """The configuration by which a judge is asked about a set: what is installed, and `overrides`.

    Args:
        prompts: a file of them, or plugin:NAME; None: a few that are built in.
        base: folder that paths are relative to.
        work: folder to write the built-in prompts to.

    Raises:
        ConfigError: everything wrong with it.
    """
    if prompts is None:
        file = work / "prompts.jsonl"
        file.write_text("".join(canonical({"prompt": text}) + "\n" for text in PROMPTS_ASKED), encoding="utf-8")
        prompts = str(file)
    document: dict[str, Any] = {
        "run": {"name": "principles"},
        "policy": {"model": model},
        "prompts": {"name": prompts, "limit": 200},
        "held_out": 0.0,
        "sample": {"max_new_tokens": 128, "temperature": 1.0},
        "judge": {"principles": principles},
        "reward": {"rm_weight": 0.0},
        "train": {"algorithm": "none"},
    }
    return from_document(document, base, source="--set", overrides=overrides)


def ask_judge(
    config: RunConfig, completions: Path | None, note: Callable[[str], None], tell: Callable[[str], None]
) -> Judged:
    """Judges sample completions by every principle of a set.

    Args:
        completions: a file of rows with `prompt` and `completion`; None: they are sampled from the same model.
        note: told of what is to be known.
        tell: told of what is done now.

    Raises:
        DataError: no two completions answer the same prompt.
        SalmonError: whatever else went wrong.
    """
    with tempfile.TemporaryDirectory(prefix="salmon-principles-") as folder:
        sources = Sources(Run(Path(folder), config))
        tell("completions")
        pairs = _sampled(sources, note) if completions is None else _given(completions)
        if not pairs:
            where = str(completions) if completions is not None else "completions"
            raise DataError("no prompt has two different completions", where=where, hint="judges compare two of each")
        tell(f"{len(pairs)} pairs judged by {len(config.judge_principles)} principles")
        return Judged(tuple(pairs), _asked(judge_setup(sources), sources, pairs, Path(folder)))


def _sampled(sources: Sources, note: Callable[[str], None]) -> list[Pair]:
    registry = sources.config.registry
    prompts, _ = prepared(PROMPTS.inputs(sources), registry, note)
    prompts = [prompt for prompt in prompts if prompt.split == "train"]
    with open_model(registry, sources.config.engines["sample"], sources.initial().spec, "sampler") as model:
        renderer = texts_of(sources, "sample").renderer(registry, model.codec)
        return pairs_of(prompts, sampled(model, renderer, prompts, sampling_of(sources.config)))


def _given(file: Path) -> list[Pair]:
    prompts: dict[str, Prompt] = {}
    completions: list[Completion] = []
    counts: dict[str, int] = {}
    for row in read_rollouts(file):
        prompts.setdefault(row.prompt.id, row.prompt)
        index = counts[row.prompt.id] = counts.get(row.prompt.id, -1) + 1
        completions.append(Completion(row.prompt.id, index, row.completion, (), 0, row.stopped))
    return pairs_of(list(prompts.values()), completions)


def _asked(setup: JudgeSetup, sources: Sources, pairs: Sequence[Pair], cache: Path) -> Answers:
    with setup.open(sources.config.registry, cache) as judging:
        said = _by_key(judging.judge(pairs))
        again = judging.reads_principles and judging.rewordings
        return Answers(said.values(), reworded=_by_key(judging.judge(pairs, wording=1)) if again else {})


def _by_key(judgments: Sequence[Judgment]) -> dict[tuple[str, str], Judgment]:
    return {(judgment.pair_id, judgment.principle): judgment for judgment in judgments}


def judged_findings(judged: Judged, names: Sequence[str]) -> list[Finding]:
    """Findings from what a judge said; by fewer than `FEW` prompts nothing is told."""
    if judged.prompts < FEW:
        hint = f"give {FEW} prompts or more with two different completions each"
        message = f"{judged.prompts} prompts are too few to tell anything of the judge's answers"
        return [Finding("note", "too-few", (), message, hint)]
    answers = judged.answers
    verdict = judge_verdict(answers, names)
    found = []
    if verdict.whole.verdict != "good":
        message = f"the judge itself cannot be told from chance (its orders correlate {_shown(verdict.whole.orders)})"
        found.append(Finding("warning", "weak-judge", (), message, "what follows says little; try another --model"))
    for name in names:
        decided = clustered_rate(_by_prompt(judged, [name], lambda own: float(own[0].consistent)))
        if decided.high < _DECIDES:
            message = f"decides next to nothing: both orders prefer the same answer on {_shown(decided)} of the pairs"
            hint = "say more plainly what one answer has and another has not, or leave it out"
            found.append(Finding("warning", "never-decides", (name,), message, hint))
        stays = verdict.principles[name].stays
        if stays is not None and stays.n >= FEW and stays.low <= 0:
            message = f"flips when the question is put in other words (correlation {_shown(stays)})"
            found.append(Finding("warning", "flips", (name,), message, "word it more plainly"))
    for a, b in combinations(names, 2):
        both = _by_prompt(judged, [a, b], lambda own: (both_orders(own[0]), both_orders(own[1])))
        together = correlation([both])
        if together.value <= _CONFLICT and together.high < 0:
            message = f"conflict: what one prefers, the other does not (correlation {_shown(together)})"
            hint = "leave one out, or say which comes first; drawn together they cancel"
            found.append(Finding("warning", "conflict", (a, b), message, hint))
    return found


def _by_prompt(judged: Judged, names: Sequence[str], value: Callable[[list[Judgment]], T]) -> dict[str, list[T]]:
    """A value of each pair's judgments by these principles."""
    values: dict[str, list[T]] = {}
    for pair in judged.pairs:
        own = [judged.said[pair.id, name] for name in names]
        values.setdefault(pair.prompt.id, []).append(value(own))
    return values


def _shown(own: Estimate) -> str:
    return f"{own.value:.2f} [{own.low:.2f}, {own.high:.2f}]"
