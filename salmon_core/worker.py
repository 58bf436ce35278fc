"""The stages' own work, each in a process of its own: `python -m salmon_core.worker TASK RUN_FOLDER`.

A task reads the run's resolved configuration and the folders before it, and writes its own. Finished shards are kept,
so a killed task continues where it was.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from salmon_core import tables
from salmon_core.backends import make_job, rows_needed
from salmon_core.components import require
from salmon_core.draws import named_rng, unroll
from salmon_core.errors import DataError, PluginError, SalmonError, boundary
from salmon_core.launch import fail
from salmon_core.prompt_files import READERS, Columns, to_prompt
from salmon_core.records import Prompt
from salmon_core.runs import write_json
from salmon_core.view import RunView, pairs_of


class Progress:
    """Tells `salmon run` how far a task is, a few times a second."""

    def __init__(self, folder: Path, what: str, total: int):
        self._file, self._what, self._total, self._last = folder / "progress.json", what, total, 0.0

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self._last > 0.2 or done >= self._total:
            self._last = now
            write_json(self._file, {"done": done, "total": self._total, "what": self._what})


def prompts(run: RunView) -> None:
    """Every prompt once, with its split, as `prompts.parquet`."""
    selected = run.resolved.prompts
    source = require(selected.owned, selected.build(), "load")
    place = str(selected.options.get("path") or f"prompts {selected.name}")
    seed, share = run.config.run.seed, run.config.held_out
    found: dict[str, Prompt] = {}
    repeated = 0
    with boundary(str(selected.owned.owner), f"prompts {selected.name!r}"):
        for prompt in source.load():
            if prompt.id in found:
                if found[prompt.id].messages != prompt.messages:
                    raise DataError(f"two different prompts have the id {prompt.id!r}", where=place)
                repeated += 1
                continue
            split = prompt.split or ("test" if _uniform(f"{seed}/held-out/{prompt.id}") < share else "train")
            found[prompt.id] = Prompt(prompt.id, prompt.messages, prompt.category, split)
    if not any(prompt.split == "train" for prompt in found.values()):
        raise DataError(
            "there are no prompts to train on",
            where=place,
            hint=f"{len(found)} are held out; lower `held_out`" if found else None,
        )
    tables.write_rows(run.stage("prompts").path / "prompts.parquet", found.values(), tables.PROMPTS)
    counts = {split: sum(p.split == split for p in found.values()) for split in ("train", "test")}
    _metrics(run, "prompts", counts | {"repeated": repeated})


def _uniform(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def sft(run: RunView) -> None:
    """The demonstrations as the trainer's texts: rendered prompt, completion with EOS."""
    assert run.config.sft is not None
    path = run.resolved.base / run.config.sft.data
    renderer = run.renderer(run.policy_codec)
    rows = []
    for where, row in READERS.get(path.suffix.lower(), READERS[".jsonl"])(path):
        completion = row.get("completion")
        if not isinstance(completion, str):
            raise DataError("has no text in 'completion'", where=where)
        text = renderer.policy(to_prompt(row, Columns(), where))
        rows.append({"prompt": text, "completion": renderer.safe_text(completion) + run.policy_codec.eos_token})
    if not rows:
        raise DataError("has no rows", where=str(path))
    tables.write_rows(run.stage("sft").path / "data" / "train.parquet", rows, tables.SFT_TEXTS)


def sample(run: RunView) -> None:
    """Completions of every training prompt, a file per shard of prompts."""
    folder, config = run.stage("sample").path, run.config.sample
    todo = run.prompts("train")
    progress = Progress(folder, "completions", len(todo) * config.samples)
    for part, start in _parts(folder, len(todo), config.shard_size):
        batch = todo[start : start + config.shard_size]
        tables.write_rows(part, run.generate(run.policy, batch, run.sampling), tables.COMPLETIONS)
        progress(min(start + config.shard_size, len(todo)) * config.samples)
    completions = run.completions()
    stopped = sum(c.stopped for c in completions) / max(1, len(completions))
    tokens = sum(c.n_tokens for c in completions) / max(1, len(completions))
    _metrics(run, "sample", {"completions": len(completions), "stopped": stopped, "mean_tokens": tokens})


def judge(run: RunView) -> None:
    """Judgments of every pair, a file per shard of pairs."""
    folder, size = run.stage("judge").path, run.config.judge.shard_size
    pairs = pairs_of(run.prompts("train"), run.completions())
    progress = Progress(folder, "pairs judged", len(pairs))
    for part, start in _parts(folder, len(pairs), size):
        tables.write_rows(part, run.judge(pairs[start : start + size]), tables.JUDGMENTS)
        progress(min(start + size, len(pairs)))
    _metrics(run, "judge", {"pairs": len(pairs), "principles": len(run.resolved.judge_principles)})


def aggregate(run: RunView) -> None:
    """Preference rows and what can be said of the judging."""
    folder, selected = run.stage("aggregate").path, run.resolved.generator
    pairs = pairs_of(run.prompts("train"), run.completions())
    rng = named_rng(run.config.run.seed, "aggregate")
    with boundary(str(selected.owned.owner), f"generator {selected.name!r}, aggregate"):
        result = run.generator.aggregate(pairs, run.judgments(), list(run.resolved.judge_principles), rng)
    if not result.rows:
        write_json(folder / "statistics.json", result.statistics)
        raise DataError(
            "no preference is left to train on",
            where="aggregate",
            hint=f"see {folder / 'statistics.json'} for the reasons",
        )
    tables.write_rows(folder / "preferences.parquet", result.rows, tables.PREFERENCES)
    write_json(folder / "statistics.json", result.statistics)
    _metrics(run, "aggregate", {"rows": len(result.rows), **result.statistics})


def train_rm(run: RunView) -> None:
    """Preference rows as the trainer's texts."""
    codec = run.open_codec(run.resolved.models.get("reward-init", run.policy))
    renderer = run.renderer(codec)
    rows, cut = [], 0
    for row in run.preferences():
        texts = [renderer.reward(row.messages, text, [row.principles]) for text in (row.chosen, row.rejected)]
        cut += any(text.truncated for text in texts)
        rows.append({"chosen": texts[0].texts[0], "rejected": texts[1].texts[0], "margin": row.margin})
    folder = run.stage("train-rm").path
    tables.write_rows(folder / "data" / "train.parquet", rows, tables.RM_TEXTS)
    write_json(folder / "data" / "statistics.json", {"rows": len(rows), "truncated": cut})


def train_policy(run: RunView) -> None:
    """The draws of the whole RL run, written down."""
    config, resolved = run.config, run.resolved
    renderer = run.renderer(run.policy_codec)
    prompts = run.prompts("train")
    needed = rows_needed(resolved, make_job(resolved, "train-policy", run.path, run.policy, None))
    epochs = config.train.epochs if needed is None else math.ceil(needed / len(prompts))
    visits = unroll(
        prompts,
        list(resolved.reward_principles),
        epochs=epochs,
        show=config.reward.show,
        seed=config.run.seed,
    )
    texts: dict[str, str] = {}
    rows = []
    for number, prompt, drawn in islice(visits, needed):
        text = texts.setdefault(prompt.id, "") or renderer.policy(prompt)
        texts[prompt.id] = text
        shown = [resolved.shown(resolved.reward_principles[principle.name]) for principle in drawn]
        rows.append(tables.rl_row(number, prompt, text, shown))
    tables.write_rows(run.stage("train-policy").path / "rl_prompts.parquet", rows, tables.RL_PROMPTS)


def evaluate(run: RunView) -> None:
    """Each evaluator's metrics in a file of its own."""
    folder = run.stage("evaluate").path
    evaluators = run.resolved.evaluators
    progress = Progress(folder, "evaluators", len(evaluators))
    for index, selected in enumerate(evaluators):
        progress(index)
        target = folder / f"{index:02d}-{selected.name}.json"
        if target.exists():
            continue
        with boundary(str(selected.owned.owner), f"evaluator {selected.name!r}"):
            evaluator = require(selected.owned, selected.build(), "evaluate")
            metrics = evaluator.evaluate(run, run.engines)
            values = json.loads(json.dumps(metrics.values, allow_nan=False))
        write_json(target, {"name": metrics.name, "values": values})
    progress(len(evaluators))


TASKS: dict[str, Callable[[RunView], None]] = {
    "prompts": prompts,
    "sft": sft,
    "sample": sample,
    "judge": judge,
    "aggregate": aggregate,
    "train-rm": train_rm,
    "train-policy": train_policy,
    "evaluate": evaluate,
}


def _parts(folder: Path, total: int, size: int) -> list[tuple[Path, int]]:
    """Shards still to be made: (file, index of its first item)."""
    parts = [(folder / f"part-{number:05d}.parquet", number * size) for number in range(math.ceil(total / size))]
    return [(part, start) for part, start in parts if not part.exists()]


def _metrics(run: RunView, stage: str, values: dict[str, Any]) -> None:
    write_json(run.stage(stage).path / "metrics.json", values)


def main(argv: Sequence[str]) -> None:
    """Runs one task; a `SalmonError` is left in `error.json` and on stderr, without a stack trace."""
    task, folder = argv
    try:
        TASKS[task](RunView.open(Path(folder)))
    except PluginError as error:
        if error.__cause__ is not None:
            import traceback

            traceback.print_exception(error.__cause__)  # into the log, for the plugin's author
        fail(error)
    except SalmonError as error:
        fail(error)


if __name__ == "__main__":
    main(sys.argv[1:])
