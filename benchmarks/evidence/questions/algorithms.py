"""Algorithms at equal samples, and by how far they take the policy from where it began."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean

from evidence.figure import Line, panels
from evidence.intervals import Interval
from evidence.question import BASE, ORACLE, SHIFT, Arm, Question, measured
from evidence.questions.ablations import REWARDED
from evidence.results import Read, Results, at, rate
from evidence.table import differences, markdown

_MEASURED = measured(ORACLE, SHIFT)
#: completions in a batch that is generated; each is trained on twice
_BATCH = 80
_STEPS = (12, 24, 48)
#: steps of DPO, 16 pairs each
_DPO_STEPS = (24, 48, 96, 192)
#: answers to each held-out prompt, and how many of them are compared
_ANSWERS, _SIZES = 64, (1, 2, 4, 8, 16, 32, 64)


def _ppo(steps: int) -> Arm:
    return Arm(f"PPO, {steps} steps", (f"train.options.max_steps={steps}", *_MEASURED))


def _grouped(algorithm: str, steps: int) -> Arm:
    """Like the base's PPO as far as they have the same options; groups of 8."""
    options = (
        f"learning_rate: 5.0e-4, generation_batch_size: {_BATCH}, total_batch_size: {_BATCH}, num_generations: 8, "
        f"per_device_train_batch_size: {_BATCH}, num_iterations: 2, max_completion_length: 56, temperature: 0.8, "
        f"beta: 0.05, max_steps: {steps}"
    )
    train = f"train={{backend: trl, algorithm: {algorithm}, options: {{{options}}}}}"
    return Arm(f"{algorithm.upper()}, {steps} steps", (train, *_MEASURED))


def _dpo(steps: int) -> Arm:
    """On the rows that the rewarded principles decided; as many pairs in a step as the reward model has."""
    options = (
        "learning_rate: 3.0e-4, total_batch_size: 16, per_device_train_batch_size: 16, max_length: 256, "
        f"num_train_epochs: 4, max_steps: {steps}, threads: 1"
    )
    rows = f"rows: {{only: [{', '.join(REWARDED)}]}}"
    return Arm(
        f"DPO, {steps} steps", (f"train={{backend: trl, algorithm: dpo, {rows}, options: {{{options}}}}}", *_MEASURED)
    )


PPO = {steps: Arm("PPO, 24 steps", BASE.settings) if steps == 24 else _ppo(steps) for steps in _STEPS}
GRPO = {steps: _grouped("grpo", steps) for steps in _STEPS}
RLOO = {steps: _grouped("rloo", steps) for steps in _STEPS}
DPO = {steps: _dpo(steps) for steps in _DPO_STEPS}
BEST = Arm(
    "best of N",
    (
        "train.algorithm=none",
        *measured(f"{{name: evidence-best-of-n, samples: {_ANSWERS}, sizes: [{', '.join(map(str, _SIZES))}]}}"),
    ),
)
TRAINED: Mapping[str, Mapping[int, Arm]] = {"PPO": PPO, "GRPO": GRPO, "RLOO": RLOO, "DPO": DPO}

QUALITIES = ("vivid", "example", "helpful", "self_praise")
_RM: Read = at("evaluators", "reward-shift", "components", "rm", "after")
COLUMNS: dict[str, Read] = {"rm": _RM, **{name: rate(name) for name in QUALITIES}, "parsable": rate("parsable")}


def best_of_n_kl(n: int) -> float:
    """The bound on KL(best of n || policy), in nats: log n - (n - 1) / n (arXiv 2401.01879)."""
    return math.log(n) - (n - 1) / n


def _best(size: int, *path: str) -> Read:
    return at("evaluators", "evidence-best-of-n", "by_n", str(size), *path)


def _samples(results: Results, name: str, arm: Arm, steps: int) -> str:
    if name != "DPO":
        return str(_BATCH * steps // 2)
    made = results.values(arm, at("stages", "sample", "metrics", "completions"))
    return f"{fmean(made.values()):.0f}, judged" if made else ""


def _write(results: Results) -> list[str]:
    rows = []
    for name, arms in TRAINED.items():
        for steps, arm in arms.items():
            found = [results.interval(arm, read) for read in COLUMNS.values()]
            kl = results.kl(arm)
            if any(found):
                n = str(max(len(each.values) for each in found if each is not None))
                distance = Interval.of(kl).text() if kl else ""
                cells = ["" if each is None else each.text() for each in found]
                rows.append([arm.name, n, _samples(results, name, arm, steps), distance, *cells])
    for size in _SIZES:
        reads = [_best(size, "rm"), *(_best(size, "rates", name) for name in (*QUALITIES, "parsable"))]
        own = [results.interval(BEST, read) for read in reads]
        if any(own):
            n = str(max(len(each.values) for each in own if each is not None))
            cells = ["" if each is None else each.text() for each in own]
            rows.append([f"best of {size}", n, f"{size} an answer", f"<= {best_of_n_kl(size):.2f}", *cells])
    head = ["arm", "seeds", "samples", "KL, nats", *COLUMNS]
    lines = markdown(head, rows) if rows else ["No runs yet.", ""]
    equal = _BATCH * 24 // 2
    lines += [f"Differences to PPO of 24 steps, at {equal} samples:", ""]
    lines += differences(results, [GRPO[24], RLOO[24]], PPO[24], COLUMNS)
    if panels(results.figures / "algorithms.svg", _by_distance(results), x="sqrt(KL), nats"):
        lines += [f"![By distance from the initial policy]({results.link}/algorithms.svg)", ""]
    return lines


def _by_distance(results: Results) -> dict[str, list[Line]]:
    """By panel: a line for each algorithm, the initial policy at 0."""
    panels_of: dict[str, list[Line]] = {}
    start = {"reward model's score": at("evaluators", "reward-shift", "components", "rm", "before")}
    end: dict[str, tuple[Read, tuple[str, ...]]] = {"reward model's score": (_RM, ("rm",))}
    for quality in ("vivid", "example", "self_praise"):
        start[quality] = rate(quality, "before")
        end[quality] = (rate(quality), ("rates", quality))
    for panel, (read, path) in end.items():
        series = []
        for name, arms in TRAINED.items():
            points: list[tuple[float, Interval]] = []
            for arm in arms.values():
                kl, found = results.kl(arm), results.interval(arm, read)
                if kl and found is not None:
                    points.append((math.sqrt(fmean(kl.values())), found))
                    first = results.interval(arm, start[panel])
            if points and first is not None:
                series.append(Line(name, [(0.0, first), *points]))
        best = [
            (math.sqrt(best_of_n_kl(size)), found)
            for size in _SIZES
            if (found := results.interval(BEST, _best(size, *path))) is not None
        ]
        panels_of[panel] = [*series, Line("best of N (bound)", best)]
    return panels_of


QUESTION = Question(
    "algorithms",
    "PPO, GRPO, RLOO, DPO or best of N?",
    """
One reward model for all. PPO, GRPO (groups of 8) and RLOO generate the same number of answers, for three lengths of
training; DPO trains on the rows that the rewarded principles decided, of answers that were sampled and judged once.
Best of N trains nothing: of N answers the one with the highest reward is taken. KL is of whole answers to held-out
prompts, KL(policy || initial); of best of N its bound, log N - (N - 1) / N. `rm` is the reward model's score of
answers to held-out prompts. Each algorithm has one setting, not the best that a search would find. REINFORCE++
needs the backend `openrlhf` in an interpreter of its own, and has no row yet.
""",
    (*PPO.values(), *GRPO.values(), *RLOO.values(), *DPO.values(), BEST),
    _write,
    kl=True,
)
