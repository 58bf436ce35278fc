"""A whole world in one file plugin, without torch: a token is a byte, a hash is the policy, counting is the judge."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from salmon_core import Component, SalmonError, StageError, hookimpl
from salmon_core.interfaces import (
    AggregateResult,
    Backend,
    Engine,
    Evaluator,
    Event,
    Generator,
    Job,
    LaunchPlan,
    ModelSpec,
    PrefixRequest,
    Sampling,
    StageResult,
    Step,
)
from salmon_core.principles import Principle
from salmon_core.records import Completion, Judgment, Metrics, Pair, PreferenceRow, Prompt
from salmon_core.rendering import Renderer, Template

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


class ByteEngine(Engine):
    capabilities = frozenset({"generate", "choice_logits", "reward"})

    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")

        scale: float = 1.0

    def __init__(self, options: Options):
        self.options = options
        self.codec_ = ByteCodec()

    def load(self, model: ModelSpec, purpose: Any) -> None:
        if not (Path(model.path) / "config.json").is_file():
            raise SalmonError("is no model: it has no config.json", where=model.path)

    def open_codec(self, model: ModelSpec) -> ByteCodec:
        return ByteCodec()

    @property
    def codec(self) -> ByteCodec:
        return self.codec_

    def generate(self, prompts: Sequence[tuple[Prompt, str]], sampling: Sampling) -> list[Completion]:
        found = []
        for prompt, _ in prompts:
            for index in range(sampling.samples):
                rng = Random(f"{sampling.seed}/{prompt.id}/{index}")
                text = " ".join(rng.choice(WORDS) for _ in range(rng.randint(2, 8)))[: sampling.max_new_tokens]
                ids = (*self.codec.encode(text), self.codec.eos_id)
                found.append(Completion(prompt.id, index, text, ids, len(ids) - 1, True))
        return found

    def choice_logits(self, requests: Sequence[PrefixRequest], choices: tuple[str, str]) -> list[Any]:
        found = []
        for request in requests:
            one, _, two = request.prefix.partition("[[two]]")
            value = (one.count("e") - two.count("e") - request.prefix.split("[[one]]")[0].count("e")) * 1.0
            found.append([(value, -value) for _ in request.suffixes])
        return found

    def reward(self, requests: Sequence[PrefixRequest]) -> list[list[float]]:
        return [[self.options.scale * (text.count("e") - text.count("[[rule]]")) for text in r.texts] for r in requests]


class ToyJudge(Generator):
    class Options(BaseModel):
        model_config = ConfigDict(extra="forbid")

        flip: float = Field(0.0, ge=0, le=1)

    def __init__(self, options: Options):
        self.options = options

    def judge(
        self, pairs: Sequence[Pair], principles: Sequence[Principle], engine: Engine, renderer: Renderer
    ) -> list[Judgment]:
        found = []
        for pair in pairs:
            orders = engine.choice_logits(renderer.judge(pair, [p.shown() for p in principles]), ("a", "b"))
            for principle, (a1, b1), (a2, b2) in zip(principles, *orders, strict=True):
                found.append(Judgment(pair.id, principle.name, a1 - b1, b2 - a2))
        return found

    def aggregate(
        self, pairs: Sequence[Pair], judgments: Sequence[Judgment], principles: Sequence[Principle], rng: Random
    ) -> AggregateResult:
        shown, by_id = {p.name: p.shown() for p in principles}, {pair.id: pair for pair in pairs}
        rows = []
        for judgment in judgments:
            if judgment.score == 0:
                continue
            pair, flipped = by_id[judgment.pair_id], rng.random() < self.options.flip
            texts = (pair.first.text, pair.second.text)
            chosen, rejected = texts if (judgment.score > 0) != flipped else texts[::-1]
            row = PreferenceRow(
                pair.id, pair.prompt.messages, pair.prompt.category, (shown[judgment.principle],), chosen, rejected,
                abs(judgment.score), judgment.principle, flipped,
            )  # fmt: skip
            rows.append(row)
        return AggregateResult(rows, {"judgments": len(judgments)})


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


#: what a training step of this world runs; in its own process, knowing nothing of salmon
_STEP = """
import json, pathlib, sys, time
job = json.loads(pathlib.Path("job.json").read_text())
options = job["options"]
for step in range(options["steps"]):
    with open("events.jsonl", "a") as file:
        file.write(json.dumps({"step": step, "loss": 1 / (step + 1)}) + "\\n")
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
    stages = frozenset({"sft", "train-rm", "train-policy"})
    algorithms = frozenset({"toy"})

    class StageOptions(BaseModel):
        model_config = ConfigDict(extra="forbid")

        steps: int = Field(3, ge=1)
        fail: Literal["", "exit", "hang", "nothing", "nan"] = ""

    def options_for(self, stage: str, algorithm: str | None = None) -> type[BaseModel]:
        return self.StageOptions

    def plan(self, job: Job) -> LaunchPlan:
        step = Step("toy", (sys.executable, "step.py"), {"TOY": job.stage})
        return LaunchPlan((step,), files={"job.json": job.to_json(), "step.py": _STEP})

    def events(self, folder: Path) -> Iterator[Event]:
        file = folder / "events.jsonl"
        for line in file.read_text().splitlines() if file.exists() else ():
            values = json.loads(line)
            yield Event(values["step"], {"loss": values["loss"]})

    def finish(self, job: Job, folder: Path) -> StageResult:
        if job.options["fail"] == "nan":
            return StageResult({"loss": float("nan")})
        if not (folder / "model" / "config.json").is_file():
            raise StageError("the model has no config.json", where=str(folder))
        return StageResult({"loss": 1 / job.options["steps"]})


class ToyCount(Evaluator):
    def evaluate(self, run: Any, engines: Mapping[str, Engine]) -> Metrics:
        texts = [completion.text for completion in run.samples("policy", 2)]
        digest = hashlib.sha256("".join(texts).encode()).hexdigest()[:8]
        return Metrics("toy-count", {"n": len(texts), "digest": digest})


@hookimpl
def salmon_templates() -> Iterable[Component]:
    yield Component("toy", TOY, "for tests")


@hookimpl
def salmon_engines() -> Iterable[Component]:
    yield Component("bytes", ByteEngine, "a token is a byte")


@hookimpl
def salmon_generators() -> Iterable[Component]:
    yield Component("toy-judge", ToyJudge, "counts letters")


@hookimpl
def salmon_bonuses() -> Iterable[Component]:
    yield Component("letters", Letters, "counts a letter")
    yield Component("faulty", Faulty, "fails")


@hookimpl
def salmon_backends() -> Iterable[Component]:
    yield Component("toy", ToyBackend, "trains nothing")


@hookimpl
def salmon_evaluators() -> Iterable[Component]:
    yield Component("toy-count", ToyCount, "counts completions")
