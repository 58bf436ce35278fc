"""Principles that code can check: a judge that knows the truth, the same truth for the report, and rates of each.

Each measure reads one thing off an answer; of two answers the one with more of it follows the principle better. The
language model's own judgments can so be held against something that is certain.

And a template of few words for the reward model: a small one learns sooner from short texts, and on a CPU every token
counts. What stands in brackets is a marker, so that no answer can forge another part.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.api import (
    Component,
    EvaluatedRun,
    Evaluator,
    Judge,
    JudgeContext,
    Metrics,
    Oracle,
    Principle,
    Role,
    Section,
    Target,
)
from salmon_core.api.hooks import hookimpl
from salmon_core.api.templates import Template
from salmon_core.kit.statistics import clustered_difference, clustered_mean
from salmon_core.records import Judgment, Pair, Prompt
from salmon_core.rng import named_rng

_FIRST_PERSON = re.compile(r"\b(I|me|my|mine|myself|we|us|our|ours)\b", re.IGNORECASE)
_READER = re.compile(r"\b(you|your|yours|yourself)\b", re.IGNORECASE)
_CONTRACTION = re.compile(r"\w['\u2019](?:s|t|re|ve|ll|d|m)\b", re.IGNORECASE)

#: principle -> whether an answer follows it, as a number from 0 to 1
MEASURES: dict[str, Callable[[str], float]] = {
    "no-first-person": lambda text: float(not _FIRST_PERSON.search(text)),
    "speaks-to-the-reader": lambda text: float(bool(_READER.search(text))),
    "no-contractions": lambda text: float(not _CONTRACTION.search(text)),
}


def preference(principle: str, first: str, second: str) -> float:
    """> 0: the first answer follows the principle better, < 0: the second, 0: neither.

    Raises:
        KeyError: no measure is known for that principle.
    """
    measure = MEASURES[principle]
    return measure(first) - measure(second)


SHORT = Template(
    judge="[[request]]\n{instruction}\n[[answer a]]\n{first}\n[[answer b]]\n{second}\n",
    principle="[[rule]] {principle} [[end of rule]]\n",
    question="Which answer follows the rule better, a or b?\n",
    verdict="[[choice]]\n",
    reward="[[request]]\n{instruction}\n[[answer]]\n{completion}\n",
    score="Does the answer follow the rules?\n[[score]]",
    markers=("[[request", "[[answer", "[[rule", "[[end of rule", "[[choice", "[[score"),
)


class SymbolicJudge(Judge):
    """Says what is so. It looks a principle up by its name, so there is no sense in asking it by the negated text."""

    reads_principles = False

    def judge(self, pairs: Sequence[Pair], principles: Sequence[Principle], context: JudgeContext) -> list[Judgment]:
        """Judges every pair under every principle; pairs in order, principles in order within a pair."""
        found = []
        for pair in pairs:
            for principle in principles:
                score = preference(principle.name, pair.first.text, pair.second.text)
                found.append(Judgment(pair.id, principle.name, score, score, tie=score == 0))
        return found


class SymbolicTruth(Oracle):
    """The same for `rm-accuracy`."""

    def prefer(self, prompt: Prompt, first: str, second: str, principle: str) -> float:
        """See `salmon_core.api.Oracle`."""
        return preference(principle, first, second)


class SymbolicRates(Evaluator):
    """How often answers to held-out prompts follow each principle, before and after RL."""

    needs = frozenset({"initial", "policy"})

    class Options(BaseModel):
        """What a configuration may set."""

        model_config = ConfigDict(extra="forbid")

        samples: int = Field(4, ge=1, description="completions per held-out prompt")

    def __init__(self, options: Options | None = None):
        self._options = options or self.Options()

    def evaluate(self, run: EvaluatedRun) -> Metrics:
        """The principles shown in RL as targets, and a table of all."""
        rewarded = {shown.name: shown for shown in run.rewarded}
        texts = {role: self._texts(run, role) for role in ("initial", "policy")}
        values, targets, rows = {}, [], []
        for name, measure in MEASURES.items():
            before, after = (
                {prompt: [measure(text) for text in own] for prompt, own in by_prompt.items()}
                for by_prompt in texts.values()
            )
            rng = named_rng(run.seed, "symbolic-rates", name)
            estimates = clustered_mean(before, rng), clustered_mean(after, rng)
            change = clustered_difference(before, after, rng)
            values[name] = {
                key: asdict(each) for key, each in zip(("before", "after", "change"), (*estimates, change), strict=True)
            }
            old, new = (each.value for each in estimates)
            interval = f"{change.value:+.2f} [{change.low:+.2f}, {change.high:+.2f}]"
            rows.append((name, "yes" if name in rewarded else "", f"{old:.2f}", f"{new:.2f}", interval))
            if name in rewarded:
                wanted = "less" if rewarded[name].negated else "more"
                ci = change.low, change.high
                targets.append(Target(name, old, new, ci, wanted, rewarded[name].text, n=change.n))
        columns = ("principle", "shown in RL", "before", "after", "change")
        section = Section("Answers that follow each principle, by code", columns, tuple(rows))
        return Metrics("symbolic-rates", {"rates": values}, targets=tuple(targets), sections=(section,))

    def _texts(self, run: EvaluatedRun, role: Role) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for sample in run.samples(role, self._options.samples):
            found.setdefault(sample.prompt_id, []).append(sample.text)
        return found


@hookimpl
def salmon_judges() -> Iterable[Component]:
    """The judge `symbolic`."""
    yield Component("symbolic", SymbolicJudge, "knows what is so, by code")


@hookimpl
def salmon_oracles() -> Iterable[Component]:
    """The oracle `symbolic`."""
    yield Component("symbolic", SymbolicTruth, "knows what is so, by code")


@hookimpl
def salmon_evaluators() -> Iterable[Component]:
    """The evaluator `symbolic-rates`."""
    yield Component("symbolic-rates", SymbolicRates, "how often answers follow each principle, by code")


@hookimpl
def salmon_templates() -> Iterable[Component]:
    """The template `short`."""
    yield Component("short", SHORT, "few words, for a small reward model")
