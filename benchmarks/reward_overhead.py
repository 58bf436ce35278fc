"""What the whole reward adds to an RL step, beside the reward model's score alone.

    python benchmarks/reward_overhead.py               # policy, critic and reward model of about 10 M parameters
    python benchmarks/reward_overhead.py --quick       # does it run

A step is one generated batch of PPO: sampling, reference, critic, reward, and two passes of training. Whole: decoding,
records, rendering of three principles, the reward model, three bonuses (length, language-match, missing-stop), checks
and logging. Alone: the reward model on texts put together without any of that.

Measured twice in one real training run. Within a step: the time in the reward function that is not in the reward model,
against the rest of the step. Between steps: every second batch is scored the second way. Seconds are CPU seconds of the
one process, one thread.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import Any

from rl_world import BONUSES, child, import_all, prepare, train

LIMIT = 0.03
#: parts of the whole reward: what is printed -> the methods that do it
PARTS = {
    "reward model": ("salmon_transformers.engine:TransformersScorer.score",),
    "rendering": ("salmon_core.reward.rendering:Renderer.reward",),
    "bonuses": (
        "salmon_bonuses.length:Length.score",
        "salmon_bonuses.language_match:LanguageMatch.score",
        "salmon_bonuses.missing_stop:MissingStop.score",
    ),
    "rollouts written, beside the step": ("salmon_core.data.rollouts:RolloutLog._put",),
}


class Clock:
    """Adds up the CPU time of methods, and notes it at each generated batch."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys((*PARTS, "whole"), 0.0)
        self.batches: list[dict[str, float]] = []

    def watch(self, target: str, part: str) -> None:
        """Replaces a method by one that is timed."""
        from importlib import import_module

        module, path = target.split(":")
        owner, name = path.split(".")
        kind = getattr(import_module(module), owner)
        method = getattr(kind, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.thread_time()  # rollouts are written in a thread of their own
            result = method(*args, **kwargs)
            self.spent[part] += time.thread_time() - start
            return result

        setattr(kind, name, timed)


def bare(function: Any, completion_ids: Sequence[Sequence[int]], position: Sequence[int]) -> list[float]:
    """The reward model's score and nothing else: texts with the same parts, not made safe, counted or cut."""
    from salmon_core.api import PrefixRequest

    renderer, scorer = function.reward._renderer, function.reward._scorer
    template, tail = renderer.template, renderer.template.score + renderer.codec.eos_token
    texts = function.tokenizer.batch_decode([list(ids) for ids in completion_ids], skip_special_tokens=True)
    requests = []
    for row, text in zip((function.rows[i] for i in position), texts, strict=True):
        prompt = row["messages"][0]["content"]
        prefix = template.reward.replace("{instruction}", prompt).replace("{completion}", text)
        shown = "".join(template.principle.replace("{principle}", p["text"]) for p in row["principles"])
        requests.append(PrefixRequest(prefix, (shown + tail,)))
    return [scores[0] for scores in scorer.score(requests)]


def alternate(clock: Clock) -> Callable[..., list[float]]:
    """The reward function that scores every second batch the bare way."""
    from salmon_trl.reward_function import RewardFunction

    whole = RewardFunction.__call__

    def score(self: Any, *, completion_ids: Any, position: Any, **more: Any) -> list[float]:
        clock.batches.append({"now": time.process_time(), **clock.spent})
        if len(clock.batches) % 2 == 0:
            return bare(self, completion_ids, position)
        start = time.process_time()
        result = whole(self, completion_ids=completion_ids, position=position, **more)
        clock.spent["whole"] += time.process_time() - start
        return result

    return score


def measure(job: str) -> None:
    """In the child."""
    import_all()
    from salmon_trl.reward_function import RewardFunction

    clock = Clock()
    for part, targets in PARTS.items():
        for target in targets:
            clock.watch(target, part)
    RewardFunction.__call__ = alternate(clock)  # type: ignore[method-assign, assignment]
    train(job)
    clock.batches.append({"now": time.process_time(), **clock.spent})
    print(json.dumps(clock.batches))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=48, help="longest completion")
    parser.add_argument("--prompt-words", type=int, default=20)
    parser.add_argument("--steps", type=int, default=10, help="generated batches of each kind; the first is left out")
    parser.add_argument("--quick", action="store_true", help="tiny models, few steps")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        return measure(args.measure)
    if args.quick:
        args.hidden, args.layers, args.steps, args.tokens, args.batch = 64, 1, 2, 8, 4
    batches = 2 * args.steps + 2
    options = {
        "per_device_train_batch_size": args.batch,
        "total_batch_size": args.batch,
        "generation_batch_size": args.batch,
        "max_completion_length": args.tokens,
        "max_steps": 2 * batches,
        "save_steps": 2 * batches,
        "bf16": False,
        "log_rollouts_every": 1,
    }
    with tempfile.TemporaryDirectory() as folder:
        world = {
            "job": {"device": "cpu", "dtype": "float32", "bonuses": BONUSES},
            "hidden": args.hidden,
            "layers": args.layers,
            "prompts": args.batch * batches,
            "prompt_words": args.prompt_words,
        }
        size, job = prepare(folder, options, **world)
        points = child(__file__, "--measure", job)
    print(f"{size:.1f} M parameters, float32, one CPU thread; {args.batch} completions of {args.tokens} tokens,")
    print(f"prompts of {args.prompt_words} words, 3 principles, bonuses {', '.join(BONUSES)}; 2 passes\n")
    report(points)


def report(points: list[dict[str, float]]) -> None:
    """The table; `points` are taken as each batch comes to be scored, and at the end (which also saves a model)."""
    steps = [{name: after[name] - before[name] for name in after} for before, after in pairwise(points[:-1])]
    whole, alone = steps[2::2], steps[1::2]
    typical = {name: median(step[name] for step in whole) for name in whole[0]}
    added = [step["whole"] - step["reward model"] for step in whole]
    share = median(a / (step["now"] - a) for a, step in zip(added, whole, strict=True))
    rows = {"step": typical["now"], "reward function": typical["whole"], **{name: typical[name] for name in PARTS}}
    rows["records, decoding, checks, logging"] = median(
        a - step["rendering"] - step["bonuses"] for a, step in zip(added, whole, strict=True)
    )
    print(f"{'median of ' + str(len(whole)) + ' steps, CPU ms':38}")
    for name, seconds in rows.items():
        print(f"{name:38}{1000 * seconds:10.2f}{seconds / typical['now']:9.2%}")
    verdict = "holds" if share <= LIMIT else "FAILS"
    print(f"\nadded to a step, measured within:  <= {LIMIT:.0%}   {share:.2%}   {verdict}")
    pairs = [one["now"] / other["now"] - 1 for one, other in zip(whole, alone, strict=False)]
    print(
        f"whole against alone, step by step: median {median(pairs):+.2%}, mean {fmean(pairs):+.2%}, "
        f"from {min(pairs):+.2%} to {max(pairs):+.2%} in {len(pairs)} pairs"
    )


if __name__ == "__main__":
    main()
