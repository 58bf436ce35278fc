"""A run's answers to its held-out prompts: what its evaluators had sampled, or sampled now by its engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from salmon_core.api.evaluation import EvaluatedRun, Evaluator, Metrics, Role
from salmon_core.data import parquet
from salmon_core.errors import SalmonError
from salmon_core.records import Completion, Prompt
from salmon_core.run.folder import StageFolder
from salmon_core.run.identity import fingerprint, identity
from salmon_core.run.run import Run
from salmon_core.stages.evaluate import Evaluate
from salmon_core.stages.evaluated_run import StageRun
from salmon_core.stages.prompts import FILE, read_prompts
from salmon_core.stages.sources import Sources
from salmon_core.stages.watched import Watch, WatchedWork

#: in a run's folder: what was sampled for studies
FOLDER = "study"


class _Reading(Evaluator):
    """Who asks for samples, as the stage `evaluate` knows its evaluators."""

    def __init__(self, role: Role):
        self.needs = frozenset({role})

    def evaluate(self, run: EvaluatedRun) -> Metrics:
        raise NotImplementedError


def held_out(run: Run) -> list[Prompt]:
    """Prompts of a run that no training saw.

    Raises:
        SalmonError: it has none, or has not got so far.
    """
    run.stage("prompts").need(FILE)
    found = read_prompts(run.stage("prompts").path, "test")
    if not found:
        hint = "set `held_out`, or mark prompts `test`"
        raise SalmonError("no prompts are held out", where=str(run.path), hint=hint)
    return found


def answers_of(run: Run, role: Role, samples: int, watch: Watch) -> dict[str, list[Completion]]:
    """The first answers to each held-out prompt, by its id.

    What is sampled now is kept in a folder that is named by what it was made from: a command that was killed finds it.

    Args:
        role: `initial`, the policy before RL, or `policy`, that after it.
        samples: answers to each.

    Raises:
        SalmonError: that policy is not there.
    """
    found = _sampled(run, role, samples)
    if found is None:
        _trained(run, role)
        inputs = replace(Evaluate().inputs(Sources(run)), evaluators=(), judges={})
        folder = StageFolder(run.path / FOLDER, fingerprint(identity(inputs, run.config.registry)))
        folder.path.mkdir(parents=True, exist_ok=True)
        work = WatchedWork(folder, run.path / "cache", run.config.registry, watch)
        with StageRun(inputs, work) as opened:
            found = opened.seen_by(_Reading(role), "salmon-study", "study", 0).samples(role, samples)
    by_prompt: dict[str, list[Completion]] = {}
    for completion in sorted(found, key=lambda each: each.index):
        by_prompt.setdefault(completion.prompt_id, []).append(completion)
    return {prompt: own[:samples] for prompt, own in by_prompt.items()}


def _sampled(run: Run, role: Role, samples: int) -> Sequence[Completion] | None:
    """What the run's own evaluators drew, if they drew as many."""
    stage = run.stage("evaluate")
    if stage.manifest.get("status") != "finished":
        return None
    drawn = {_samples_in(file): file for file in stage.path.glob(f"samples-{role}-*.parquet")}
    enough = [count for count in drawn if count >= samples]
    if not enough:
        return None
    return parquet.read_rows(drawn[min(enough)], parquet.COMPLETIONS, parquet.to_completion)


def _samples_in(file: Path) -> int:
    count = file.stem.rpartition("-")[2]
    return int(count) if count.isdecimal() else 0


def _trained(run: Run, role: Role) -> None:
    """Says what is missing before a model is looked for."""
    config = run.config.config
    if config.sft is not None:
        run.stage("sft").need("model")
    if role == "policy" and config.train.algorithm != "none":
        run.stage("train-policy").need("model")
