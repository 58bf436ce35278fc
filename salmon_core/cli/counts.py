"""How much a run will do, as far as it can be told before it begins; see `salmon plan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from types import SimpleNamespace
from typing import Any, cast

from salmon_core.api.labeller import Labeller
from salmon_core.api.models import TokenCodec
from salmon_core.cli.questions import Questions
from salmon_core.data.preferences import read_preferences
from salmon_core.errors import SalmonError, boundary
from salmon_core.pipeline import Pipeline
from salmon_core.plugins.options import require
from salmon_core.plugins.registry import Registry
from salmon_core.records import Completion, Judgment, Pair, Prompt
from salmon_core.reward.forms import Form
from salmon_core.reward.rendering import Renderer
from salmon_core.rng import named_rng
from salmon_core.stages.judge import judge_setup
from salmon_core.stages.policy_rows import PolicyRowsInputs
from salmon_core.stages.prompts import STAGE as PROMPTS
from salmon_core.stages.prompts import prepared
from salmon_core.stages.texts import Texts
from salmon_core.stages.train_policy import STAGE as TRAIN_POLICY
from salmon_core.stages.training import Trainer

#: prompts whose texts are measured, and pairs that a labeller is shown
_SAMPLE = 32
_LONG_ENOUGH = "A made-up answer that is as long as anyone may ask of one. "


@dataclass(frozen=True)
class Line:
    """A number with its name and what it is of; None where it is not known."""

    name: str
    count: int | None
    meaning: str
    about: bool = False


@dataclass
class Counts:
    """What is known.

    Attributes:
        stages: numbers by stage, JSON-ready; None where one is not known.
        notes: what to know of them.
    """

    lines: list[Line] = field(default_factory=list)
    stages: dict[str, dict[str, int | None]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def counts_of(pipeline: Pipeline, *, read: bool = True) -> Counts:
    """Counts what the run will do.

    Args:
        read: whether the prompts may be read, and the policy's tokenizer; otherwise only `prompts.limit` tells of them.
    """
    work = _Counting(pipeline)
    work.prompts(read=read)
    for name, count in (
        ("sample", work.completions),
        ("judge", work.judge_calls),
        ("verdict", work.verdict_calls),
        ("pretrain-rm", work.pretraining),
        ("train-rm", work.preferences),
        ("train-policy", work.visits),
    ):
        if name in pipeline.stages:
            count()
    work.held_out()
    return work.found


class _Unmeasured(Texts):
    """Texts without a tokenizer: every prompt fits, and no template refuses one."""

    def renderer(self, registry: Registry, codec: TokenCodec | None = None, *, form: Form = "text") -> Renderer:
        plain = SimpleNamespace(codec=SimpleNamespace(max_length=None), policy=lambda prompt: "")
        return cast(Renderer, plain)


class _Counting:
    def __init__(self, pipeline: Pipeline):
        self._sources, self._config = pipeline.sources, pipeline.run_of.config
        self._registry = self._config.registry
        self._section = self._config.config
        self._folder = pipeline.run_of.stage("train-policy").path
        self.found = Counts()
        self._codec: TokenCodec | None = None
        self._texts: Sequence[Prompt] = ()
        self._read_of: Sequence[Prompt] | None = None
        self._train: int | None = None
        self._test: int | None = None

    def line(self, name: str, count: int | None, meaning: str, *, about: bool = False) -> None:
        self.found.lines.append(Line(name, count, meaning, about))

    def prompts(self, *, read: bool) -> None:
        """As the stage prepares them."""
        choice = self._section.prompts
        if read:
            self._read()
        if self._train is not None:
            self.line("prompts", self._train, "to train on")
        elif choice.limit is not None:
            self._train = choice.limit
            self.line("prompts", self._train, "to train on at most, by prompts.limit")
        else:
            self.line("prompts", None, f"to train on, from {choice.name}")
        self.found.stages["prompts"] = {"train": self._train, "test": self._test}

    def _read(self) -> None:
        inputs = PROMPTS.inputs(self._sources)
        note = self.found.notes.append
        try:
            self._codec = inputs.texts.codec(self._registry)
        except (SalmonError, OSError) as error:
            note(f"the policy's tokenizer cannot be opened, so no prompt is measured: {error}")
            plain = inputs.texts
            unmeasured = _Unmeasured(plain.template, plain.limits, plain.policy, plain.engine)
            inputs = replace(inputs, texts=unmeasured)
        try:
            found, counts = prepared(inputs, self._registry, note)
        except (SalmonError, OSError) as error:
            note(f"the prompts cannot be read: {error}")
            return
        self._train, self._test = counts["train"], counts["test"]
        self._read_of = [prompt for prompt in found if prompt.split == "train"]
        self._texts = self._read_of[:_SAMPLE]

    @cached_property
    def _questions(self) -> Questions:
        return Questions(self._config, self._read_of, self._train)

    def completions(self) -> None:
        """Of the stage `sample`."""
        section = self._section.sample
        total = _times(self._train, section.samples)
        tokens = _times(total, section.max_new_tokens)
        self.line("completions", total, f"{section.samples} for each prompt")
        self.line("completion tokens", tokens, f"at most, {section.max_new_tokens} each")
        self.found.stages["sample"] = {"completions": total, "tokens": tokens}

    @property
    def _pairs(self) -> int | None:
        return _times(self._train, self._section.sample.samples // 2)

    @cached_property
    def _judge(self) -> tuple[int, bool]:
        """Answers that the judge asks for to each question, and whether it is asked by other texts of a principle."""
        spec = self._config.judge
        try:
            judge = self._registry.build(spec)
            with boundary(spec.owner, f"judge {spec.name!r}"):
                return int(getattr(judge, "calls", 1)), bool(getattr(judge, "reads_principles", True))
        except SalmonError as error:
            self.found.notes.append(
                f"the judge cannot be built, so its calls are counted as one to a question: {error}"
            )
            return 1, True

    def judge_calls(self) -> None:
        """Of the stage `judge`, with the tokens that the policy would read."""
        answers, _ = self._judge
        calls = None if self._train is None else self._questions.asked * answers
        each, shared = self._judge_tokens()
        if answers != 1:  # samplers read each text from its beginning
            shared = None
        tokens = None if calls is None else round(calls * each)
        less = _times(self._pairs, 1) if shared is None else _times(self._pairs, round(2 * shared))
        self.line("pairs", self._pairs, "at most; equal completions make none")
        each_pair = f"for each pair {self._questions}"
        if not answers:
            each_pair = f"the judge {self._config.judge.name} asks no model"
        elif answers > 1:
            each_pair += f", {answers} answers to each"
        self.line("judge calls", calls, each_pair)
        meaning = f"at most about, {round(each)} for each call"
        if shared is not None and less is not None:
            meaning += f"; {_rounded(less):,} where what the principles of a pair share is read once"
        self.line("judge tokens", tokens, meaning, about=True)
        self.found.stages["judge"] = {
            "pairs": self._pairs,
            "calls": calls,
            "tokens": tokens,
            "tokens_if_shared": None if shared is None else less,
        }

    def verdict_calls(self) -> None:
        """Of the stage `verdict`: some pairs again, by negated principles and in other words."""
        probe = self._section.judge.probe
        answers, reads = self._judge
        pairs = None if self._pairs is None else min(probe, self._pairs)
        calls = None if pairs is None else self._questions.again(probe) * answers * reads
        self.line("judge calls again", calls, f"at most, on {probe} pairs, to see whether the judge can be believed")
        self.found.stages["verdict"] = {"pairs": pairs, "calls": calls}

    def _judge_tokens(self) -> tuple[Fraction, Fraction | None]:
        """Tokens of one call, and of all calls on one pair in one order where its beginning is read once.

        Measured with empty answers, to which the longest ones are added; where nothing can be measured, what
        `limits.total` allows.
        """
        limits = self._config.limits
        most = Fraction(limits.total)
        if self._codec is None or not self._texts:
            return most, None
        answers = 2 * min(self._section.sample.max_new_tokens, limits.completion)
        each = shared = Fraction(0)
        asked = 0
        try:
            setup = judge_setup(self._sources)
            renderer = setup.texts.renderer(self._registry, self._codec, form=setup.form)
            for prompt in self._texts:
                principles = [principle.shown() for principle in self._questions.principles(prompt)]
                request, _ = renderer.judge(_pair(prompt, "."), principles)
                prefix = len(self._codec.encode(request.prefix)) + answers
                suffixes = [len(self._codec.encode(suffix)) for suffix in request.suffixes]
                each += sum(min(limits.total, prefix + suffix) for suffix in suffixes)
                asked += len(suffixes)
                shared += min(limits.total, prefix) + sum(suffixes)
            return each / asked, shared / len(self._texts)
        except (SalmonError, OSError, ZeroDivisionError):
            return most, None

    def pretraining(self) -> None:
        """Rows that the reward model is trained on first."""
        first, rows = self._config.pretraining, None
        assert first is not None
        try:
            rows = len(first.read().rows)
        except (SalmonError, OSError) as error:
            self.found.notes.append(f"the preferences for pre-training cannot be read: {error}")
        self.line("RM rows, first", rows, f"in {first.source.name}, of reward_model.pretrain")
        self.found.stages["pretrain-rm"] = {"rows": rows}

    def preferences(self) -> None:
        """Rows for the reward model."""
        self.found.stages["train-rm"] = {"rows": self._rows("RM rows")}

    def _rows(self, name: str) -> int | None:
        """Preference rows, with a line about them."""
        own = self._config.preferences
        if own is not None:
            rows = None
            try:
                rows = len(read_preferences(own).rows)
            except (SalmonError, OSError) as error:
                self.found.notes.append(f"the preferences cannot be read: {error}")
            self.line(name, rows, f"in {own.name}")
            return rows
        rows, labeller = self._labelled(), self._config.labeller.name
        if rows is None:
            self.line(name, None, f"as the labeller {labeller} makes them of the judgments")
        else:
            self.line(name, rows, f"at most about; what {labeller} makes of made-up judgments", about=True)
        return rows

    def _labelled(self) -> int | None:
        """What the labeller makes of decisive made-up judgments on a few pairs, for as many as there will be."""
        if self._pairs is None or not self._texts:
            return None
        spec, principles = self._config.labeller, tuple(self._config.judge_principles)
        pairs, judgments = [], []
        for i, prompt in enumerate(self._texts):
            own = self._questions.principles(prompt)
            # As the stage has it: with all that it was judged by, if it brings any.
            told = replace(prompt, principles=own if prompt.principles and self._config.per_prompt else ())
            pair = _pair(told, _LONG_ENOUGH * (2 + i % 3))
            pairs.append(pair)
            for principle in own:
                score = named_rng(0, "plan", pair.id, principle.name).choice((-9.0, -8.0, 8.0, 9.0))
                judgments.append(Judgment(pair.id, principle.name, score, score))
        try:
            owned = self._registry.owned(spec)
            with boundary(str(owned.owner), f"labeller {spec.name!r}"):
                labeller: Labeller = require(owned, self._registry.build(spec), "label")
                rng = named_rng(0, "plan")
                rows = len(labeller.label(tuple(pairs), tuple(judgments), principles, rng).made().rows)
        except SalmonError:
            return None
        return round(Fraction(rows, len(pairs)) * self._pairs)

    def visits(self) -> None:
        """Rows and steps of RL, or of training on preference rows."""
        inputs = TRAIN_POLICY.inputs(self._sources)
        if isinstance(inputs, PolicyRowsInputs):
            self._pairs_trained(inputs)
            return
        job = TRAIN_POLICY.job(inputs, self._folder)
        needed = Trainer(self._registry, inputs.trainer, job).rows_needed()
        epochs = self._section.train.epochs
        rows = _times(self._train, epochs) if needed is None else needed
        visits = f"{epochs} visit{'' if epochs == 1 else 's'} of each prompt"
        self.line("RL rows", rows, visits if needed is None else "prompts drawn, as the trainer's options ask for")
        options = job.options
        completions = _times(rows, _whole(options, "num_generations"))
        steps = _steps(options, completions)
        if completions is not None:
            each = _whole(options, "num_generations")
            self.line("RL completions", completions, f"{each} for each row")
        if steps is not None or rows is None:
            fixed = _whole(options, "max_steps") is not None
            self.line("RL steps", steps, "of the optimizer" + ("" if fixed else ", about"), about=not fixed)
        self.found.stages["train-policy"] = {"rows": rows, "completions": completions, "steps": steps}

    def _pairs_trained(self, inputs: PolicyRowsInputs) -> None:
        """Rows, at most where some are left out, and steps, by the names of `salmon_core.kit.training_options`."""
        options, name = inputs.trainer.backend.options, inputs.algorithm
        rows = self._rows(f"{name} rows")
        if inputs.only is not None or (inputs.principles == "none" and self._config.preferences is None):
            self.found.notes.append(f"{name} leaves out rows, as train.rows says")
        fixed, batch = _whole(options, "max_steps"), _whole(options, "total_batch_size")
        epochs = _whole(options, "num_train_epochs")
        steps = fixed
        if fixed is None and rows is not None and batch is not None and epochs is not None:
            steps = epochs * -(-rows // batch)
        about = fixed is None
        self.line(f"{name} steps", steps, "of the optimizer" + (", at most about" if about else ""), about=about)
        self.found.stages["train-policy"] = {"rows": rows, "completions": None, "steps": steps}

    def held_out(self) -> None:
        """What is kept for evaluation."""
        by = ", ".join(spec.name for spec in self._config.evaluators)
        self.line("held out", self._test, f"prompts, for {by}" if by else "prompts; no evaluator is named")
        self.found.stages["evaluate"] = {"prompts": self._test}


def _pair(prompt: Prompt, text: str) -> Pair:
    """Two made-up answers; not equal, since equal ones make no pair."""
    texts = (text, text + text[:1])
    first, second = (Completion(prompt.id, i, text, (), 0, True) for i, text in enumerate(texts))
    return Pair(prompt, first, second)


def _steps(options: Mapping[str, Any], completions: int | None) -> int | None:
    """Optimizer steps, by the names of `salmon_core.kit.training_options`; None where a backend has others."""
    fixed = _whole(options, "max_steps")
    if fixed is not None or completions is None:
        return fixed
    at_once, passes = _whole(options, "generation_batch_size"), _whole(options, "num_iterations")
    batch = _whole(options, "total_batch_size")
    if at_once is None or passes is None or batch is None:
        return None
    return max(1, completions // at_once) * max(1, at_once * passes // batch)


def _whole(options: Mapping[str, Any], name: str) -> int | None:
    value = options.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _times(count: int | None, each: int | None) -> int | None:
    return None if count is None or each is None else count * each


def _rounded(count: int) -> int:
    """To three digits, as an estimate is shown."""
    return round(count, 3 - len(str(count))) if count >= 1000 else count


def shown_count(line: Line) -> str:
    """The number as text."""
    if line.count is None:
        return "?"
    return f"{_rounded(line.count) if line.about else line.count:,}"
