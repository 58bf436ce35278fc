"""A whole world in one file plugin, without torch: a token is a byte, a hash is the policy, counting is the judge."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from salmon_core import Component, SalmonError, StageError, hookimpl
from salmon_core.api import (
    Backend,
    Chooser,
    Engine,
    EvaluatedRun,
    Evaluator,
    Job,
    Judge,
    JudgeContext,
    Labeller,
    Labels,
    LaunchPlan,
    LoggedStep,
    Metrics,
    ModelSpec,
    PrefixRequest,
    Principle,
    Sampler,
    Sampling,
    Scorer,
    StageResult,
    Step,
    Template,
    judged_by,
)
from salmon_core.records import Completion, Judgment, Pair, PreferenceRow, Prompt

SPECIALS = ("<s>", "</s>", "<|user|>", "<|assistant|>")
_SPLIT = re.compile("(" + "|".join(map(re.escape, SPECIALS)) + ")")
WORDS = ("red", "green", "blue", "small", "quick", "slow", "warm", "house", "tree", "river", "stone", "fish", "cloud")

TOY = Template(
    judge="[[ask]]\n{instruction}\n[[one]]\n{first}\n[[two]]\n{second}\n",
    principle="[[rule]] {principle} [[end]]\n",
    verdict="[[answer]]\n",
    reward="[[ask]]\n{instruction}\n[[one]]\n{completion}\n",
    score="[[answer]]",
    markers=("[[ask", "[[one", "[[two", "[[rule", "[[end", "[[answer", "[[user", "[[assistant", "[[system"),
)


class ByteCodec:
    """Ids 0 to 255 are bytes, those from 256 on the special tokens."""

    eos_token, eos_id, bos_token = "</s>", 257, None
    special_tokens, max_length = SPECIALS, 4096

    def encode(self, text: str) -> list[int]:
        ids: list[int] = []
        for part in _SPLIT.split(text):
            ids += [256 + SPECIALS.index(part)] if part in SPECIALS else part.encode("utf-8", "replace")
        return ids

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        parts = [bytes([i]) if i < 256 else b"" if skip_special else SPECIALS[i - 256].encode() for i in ids]
        return b"".join(parts).decode(errors="replace")

    def chat(self, messages: Sequence[Any]) -> str:
        return "".join(f"<|{m['role']}|>{m['content']}" for m in messages) + "<|assistant|>"


class ByteModel(Sampler, Chooser, Scorer):
    """Says when it is opened and closed, in the file that the environment names."""

    def __init__(self, model: ModelSpec, scale: float):
        if not (Path(model.path) / "config.json").is_file():
            raise SalmonError("is no model: it has no config.json", where=model.path)
        self._model, self._scale, self._open, self.turned = model, scale, True, False
        self._say("open")

    def _say(self, what: str) -> None:
        if log := os.environ.get("BYTES_LOG"):
            with open(log, "a") as file:
                file.write(f"{os.getpid()} {what} {self._model.path}\n")

    def close(self) -> None:
        if self._open:
            self._open = False
            self._say("close")

    @property
    def codec(self) -> ByteCodec:
        return ByteCodec()

    def sample(self, prompts: Sequence[tuple[Prompt, str]], sampling: Sampling) -> list[Completion]:
        assert self._open
        found = []
        for prompt, _ in prompts:
            for index in range(sampling.samples):
                rng = Random(f"{sampling.seed}/{prompt.id}/{index}")
                text = " ".join(rng.choice(WORDS) for _ in range(rng.randint(2, 8)))[: sampling.max_new_tokens]
                ids = (*self.codec.encode(text), self.codec.eos_id)
                found.append(Completion(prompt.id, index, text, ids, len(ids) - 1, True))
        return found

    def choose(self, requests: Sequence[PrefixRequest], choices: tuple[str, str]) -> list[Any]:
        assert self._open
        if how := os.environ.get("BYTES_CHOOSE"):
            self._say("choose")
            if how == "hang":
                time.sleep(600)
            sys.exit("no more")
        found = []
        for request in requests:
            one, _, two = request.prefix.partition("[[two]]")
            value = (one.count("e") - two.count("e") - request.prefix.split("[[one]]")[0].count("e")) * 1.0
            found.append([(value, -value) for _ in request.suffixes])
        return found

    def score(self, requests: Sequence[PrefixRequest]) -> list[list[float]]:
        assert self._open
        return [[self._scale * (text.count("e") - text.count("[[rule]]")) for text in r.texts] for r in requests]


class ByteEngine(Engine):
    deterministic = True

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")

        scale: float = 1.0

    def __init__(self, options: Options):
        self.options = options

    def codec(self, model: ModelSpec) -> ByteCodec:
        return ByteCodec()

    def sampler(self, model: ModelSpec) -> Sampler:
        return ByteModel(model, self.options.scale)

    def chooser(self, model: ModelSpec) -> Chooser:
        return ByteModel(model, self.options.scale)

    def scorer(self, model: ModelSpec) -> Scorer:
        return ByteModel(model, self.options.scale)

    def turned(self, opened: Any, ability: str) -> Any:
        if ability != "chooser" or opened.turned:
            return None
        opened.turned = True
        return opened


class ToyJudge(Judge):
    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")

        bias: float = 0.0

    def __init__(self, options: Options):
        self.options = options

    def judge(self, pairs: Sequence[Pair], principles: Sequence[Principle], context: JudgeContext) -> list[Judgment]:
        found = []
        for pair in pairs:
            requests = context.render(pair, [p.shown() for p in principles])
            orders = context.chooser.choose(requests, ("a", "b"))
            for principle, (a1, b1), (a2, b2) in zip(principles, *orders, strict=True):
                found.append(Judgment(pair.id, principle.name, a1 - b1 + self.options.bias, b2 - a2))
        return found


class LongerJudge(Judge):
    """Asks no model."""

    def judge(self, pairs: Sequence[Pair], principles: Sequence[Principle], context: JudgeContext) -> list[Judgment]:
        margins = [(pair.id, float(len(pair.first.text) - len(pair.second.text))) for pair in pairs]
        return [Judgment(i, principle.name, margin, margin) for i, margin in margins for principle in principles]


class ToyLabeller(Labeller):
    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")

        flip: float = Field(0.0, ge=0, le=1)

    def __init__(self, options: Options):
        self.options = options

    def label(
        self, pairs: Sequence[Pair], judgments: Sequence[Judgment], principles: Sequence[Principle], rng: Random
    ) -> Labels:
        by_id = {pair.id: pair for pair in pairs}
        shown = {(i, p.name): p.shown() for i, pair in by_id.items() for p in judged_by(pair, principles)}
        rows = []
        for judgment in judgments:
            if judgment.score == 0:
                continue
            pair, flipped = by_id[judgment.pair_id], rng.random() < self.options.flip
            texts = (pair.first.text, pair.second.text)
            chosen, rejected = texts if (judgment.score > 0) != flipped else texts[::-1]
            by = (shown[pair.id, judgment.principle],)
            row = PreferenceRow(
                pair.id, pair.prompt.messages, pair.prompt.category, by, chosen, rejected,
                abs(judgment.score), judgment.principle, flipped,
            )  # fmt: skip
            rows.append(row)
        return Labels(rows, {"judgments": len(judgments)})


class Letters:
    """Counts a letter."""

    def __init__(self, letter: str = "e"):
        self.letter = letter

    def score_one(self, rollout: Any) -> float:
        return float(rollout.completion.count(self.letter))


class Faulty:
    """A bonus that fails in the way asked for."""

    def __init__(self, how: Literal["raise", "nan", "short", "text", "none"] = "raise", unless: str = ""):
        self.how, self.unless = how, unless

    def score(self, rollouts: Sequence[Any]) -> list[Any]:
        if self.unless and all(self.unless in rollout.completion for rollout in rollouts):
            return [1.0] * len(rollouts)
        if self.how == "raise":
            raise RuntimeError("the bonus is out of order")
        values: dict[str, list[Any]] = {"nan": [float("nan")], "text": ["much"], "none": [None], "short": []}
        return values[self.how] * len(rollouts)


#: what a training step of this world runs, in its own process
_STEP = """
import json, pathlib, sys, time
job = json.loads(pathlib.Path("job.json").read_text())
options = job["options"]
for step in range(options["steps"]):
    with open("steps.jsonl", "a") as file:
        file.write(json.dumps({"step": step, "loss": 1 / (step + 1)}) + "\\n")
if job["stage"] == "train-policy" and job["reward"] and options["rollouts"]:
    from salmon_core.data.rollouts import RolloutLog
    from salmon_core.records import RewardBreakdown, Rollout

    log = RolloutLog(pathlib.Path("."), every=1)
    for index in range(options["rollouts"]):
        asked = [{"role": "user", "content": "?"}]
        row = {"prompt_id": "p", "messages": asked, "category": "general", "principles": []}
        made = [Rollout.from_row(row, t, completion_ids=[1, 2], stopped=True, rollout_index=index) for t in ("a", "b")]
        log.add([0, 1], made, [RewardBreakdown(r, {"rm": r}, {"rm": r}) for r in (3.0, 5.0)])
print("some output\\nwarming up")
if options["fail"] == "exit":
    print("the trainer has run out of luck", file=sys.stderr)
    sys.exit(3)
if options["fail"] == "hang":
    time.sleep(600)
if options["fail"] != "nothing":
    pathlib.Path("model").mkdir(exist_ok=True)
    pathlib.Path("model/config.json").write_text(json.dumps({"algorithm": job["algorithm"]}))
"""


class ToyBackend(Backend):
    stages = frozenset({"sft", "pretrain-rm", "train-rm", "train-policy"})
    algorithms = frozenset({"toy", "toy-two", "toy-pairs"})
    on_preferences = frozenset({"toy-pairs"})
    uses_python = True

    class StageOptions(BaseModel):
        model_config = ConfigDict(extra="forbid")

        steps: int = Field(3, ge=1)
        rollouts: int = 2
        fail: Literal["", "exit", "hang", "nothing", "nan"] = ""

    def options_for(self, stage: str, algorithm: str | None = None) -> type[BaseModel]:
        return self.StageOptions

    def plan(self, job: Job) -> LaunchPlan:
        step = Step("toy", (sys.executable, "step.py"), {"TOY": job.stage})
        return LaunchPlan((step,), files={"job.json": job.to_json(), "step.py": _STEP})

    def steps(self, folder: Path) -> Iterator[LoggedStep]:
        file = folder / "steps.jsonl"
        for line in file.read_text().splitlines() if file.exists() else ():
            values = json.loads(line)
            yield LoggedStep(values["step"], {"loss": values["loss"]})

    def finish(self, job: Job, folder: Path) -> StageResult:
        if job.options["fail"] == "nan":
            return StageResult({"loss": float("nan")})
        if not (folder / "model" / "config.json").is_file():
            raise StageError("the model has no config.json", where=str(folder))
        return StageResult({"loss": 1 / job.options["steps"]})


class ToyCount(Evaluator):
    needs = frozenset({"policy"})

    def evaluate(self, run: EvaluatedRun) -> Metrics:
        texts = [completion.text for completion in run.samples("policy", 2)]
        digest = hashlib.sha256("".join(texts).encode()).hexdigest()[:8]
        return Metrics("toy-count", {"n": len(texts), "digest": digest})


class ToyAgreement(Evaluator):
    """Asks every model of the run."""

    needs = frozenset({"initial", "policy", "reward", "judge"})

    def evaluate(self, run: EvaluatedRun) -> Metrics:
        pairs = run.pairs(2)
        after = run.samples("policy", 2)
        judgments = run.judge(pairs)
        texts = [(pair.prompt.messages, text, [()]) for pair in pairs for text in (pair.first.text, pair.second.text)]
        scores = [score for (score,) in run.score_texts(texts)]
        agree = sum((j.score > 0) == (a > b) for j, a, b in zip(judgments, scores[::2], scores[1::2], strict=False))
        return Metrics("toy-agreement", {"agree": agree, "judged": len(judgments), "after": len(after)})


@hookimpl
def salmon_templates() -> Iterable[Component]:
    yield Component("toy", TOY, "for tests")
    yield Component("toy-too", replace(TOY, score="[[answer]] "), "the same, with a space")


@hookimpl
def salmon_engines() -> Iterable[Component]:
    yield Component("bytes", ByteEngine, "a token is a byte")


@hookimpl
def salmon_judges() -> Iterable[Component]:
    yield Component("toy-judge", ToyJudge, "counts letters")
    yield Component("longer", LongerJudge, "prefers the longer completion; asks no model")


@hookimpl
def salmon_labellers() -> Iterable[Component]:
    yield Component("toy-labels", ToyLabeller, "a row for each judgment")


@hookimpl
def salmon_bonuses() -> Iterable[Component]:
    yield Component("letters", Letters, "counts a letter")
    yield Component("faulty", Faulty, "fails")


@hookimpl
def salmon_backends() -> Iterable[Component]:
    yield Component("toy", ToyBackend, "trains nothing")
    yield Component("toy-too", ToyBackend, "by another name")


@hookimpl
def salmon_evaluators() -> Iterable[Component]:
    yield Component("toy-count", ToyCount, "counts completions")
    yield Component("toy-agreement", ToyAgreement, "reward model and judge")
