"""How much memory each stage of a run takes; see `salmon plan`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.markup import escape

from salmon_core.api.memory import ProcessMemory
from salmon_core.cli.output import OUT
from salmon_core.errors import ConfigError, Problem, SalmonError
from salmon_core.memory.devices import GPUS, Estimated, changes, fits, groups, spread_over
from salmon_core.memory.estimate import GIB, estimate
from salmon_core.memory.found import FoundShapes
from salmon_core.pipeline import Pipeline
from salmon_core.plugins.engines import engine_memory
from salmon_core.stages import stage
from salmon_core.stages.training import Trainer, TrainingStage

#: columns, by the names of an estimate's parts
_PARTS = ("parameters", "gradients", "optimizer", "activations", "cache", "context", "total")


@dataclass
class StageMemory:
    """What is known of a stage.

    Attributes:
        notes: why something is not.
    """

    name: str
    processes: list[Estimated] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Bytes by part, and GB of the GPUs that are large enough."""
        return {
            "processes": [
                {
                    "name": each.process.name,
                    "count": each.process.processes,
                    "gpu": None if each.process.host else each.process.gpu,
                    "spread": each.process.spread,
                    "share": each.process.share,
                    "phase": each.peak.phase,
                    "logits": round(each.peak.logits),
                    **{part: round(getattr(each.peak, part)) for part in _PARTS},
                }
                for each in self.processes
            ],
            "fits": fits(self.processes) if groups(self.processes) else [],
            "notes": self.notes,
        }


def model_files(pairs: Sequence[str]) -> dict[str, Path]:
    """`MODEL=FILE` as the command line gives them.

    Raises:
        ConfigError: one is none, or its file is not there.
    """
    found, problems = {}, []
    for pair in pairs:
        name, _, file = pair.partition("=")
        if not name or not Path(file).is_file():
            hint = "write MODEL=FILE, the model as the configuration names it, and a file like its config.json"
            problems.append(Problem("--model-config", f"{pair!r} names no file", hint))
        found[name] = Path(file)
    if problems:
        raise ConfigError(problems)
    return found


def memory_of(pipeline: Pipeline, given: Mapping[str, Path]) -> list[StageMemory]:
    """Estimates of every stage that loads a model."""
    registry = pipeline.run_of.config.registry
    shapes, found = FoundShapes(given), []
    for name in pipeline.stages:
        own = stage(name)
        inputs = own.inputs(pipeline.sources)
        memory = StageMemory(name)
        processes, opened = list[ProcessMemory](), list[ProcessMemory]()
        try:
            if isinstance(own, TrainingStage):
                job = own.job(inputs, pipeline.run_of.stage(name).path)
                trainer = Trainer(registry, own.setup(inputs), job)
                processes += trainer.memory()
                if not processes:
                    memory.notes.append("the backend does not say what it keeps")
                trained = next((one.model.dtype for each in processes for one in each.models), "auto")
                shapes.made[str(Path(job.folder) / "model")] = (job.model.path, trained)
            for each in own.opens(inputs, registry):
                kept = engine_memory(registry, each.engine, each.model, each.use)
                if kept is None:
                    memory.notes.append(f"the engine {each.engine.name} does not say what it keeps")
                opened += kept or ()
        except SalmonError as error:
            memory.notes.append(str(error))
        memory.processes += _estimates(processes, shapes, memory.notes)
        # Opened one after the other, before anything is trained: the largest counts.
        one = max(_estimates(opened, shapes, memory.notes), key=lambda each: each.peak.total, default=None)
        if one is not None:
            memory.processes.append(one)
        memory.notes = list(dict.fromkeys(memory.notes))
        if memory.processes or memory.notes:
            found.append(memory)
    return found


def _estimates(processes: Sequence[ProcessMemory], shapes: FoundShapes, notes: list[str]) -> list[Estimated]:
    """Of those whose models' sizes are known; of the others a note."""
    found = []
    for process in processes:
        try:
            found.append(Estimated(process, estimate(process, shapes)))
        except SalmonError as error:
            notes.append(str(error))
    return found


def print_memory(found: Sequence[StageMemory]) -> None:
    """A table, GiB of one process at its peak, and which GPUs that fits."""
    rows = [(memory.name, each) for memory in found for each in memory.processes]
    notes = {note: [each.name for each in found if note in each.notes] for each in found for note in each.notes}
    if rows:
        _table(rows)
    for memory in found:
        if memory.processes:
            OUT.print(f"  {_verdict(memory)}")
    for note, stages in notes.items():
        OUT.print(f"  [dim]note[/dim] {escape(', '.join(stages))}: memory is not known: {escape(note)}")


def _table(rows: Sequence[tuple[str, Estimated]]) -> None:
    names = [f"{name}, {each.process.name}" if each.process.name else name for name, each in rows]
    width = max(map(len, [*names, "GiB per process"]))
    head = "".join(f"{part:>{max(7, len(part)) + 2}}" for part in _PARTS)
    OUT.print(f"  {'GiB per process':{width}}  {'number':>6}{head}", markup=False)
    for name, (_, each) in zip(names, rows, strict=True):
        cells = "".join(f"{getattr(each.peak, part) / GIB:>{max(7, len(part)) + 2}.2f}" for part in _PARTS)
        OUT.print(f"  {name:{width}}  {each.process.processes:>6}{cells}", markup=False)


def _verdict(memory: StageMemory) -> str:
    """In words, which GPUs are large enough."""
    name = f"[bold]{memory.name}[/bold]"
    if not groups(memory.processes):
        return f"{name} on the CPU"
    said = []
    spread = [each for each in memory.processes if each.process.spread == 0]
    own = [each for each in memory.processes if each.process.spread != 0]
    for each in spread:
        said.append(" or ".join(f"{spread_over(each, size)} x {size}" for size in GPUS[-3:]) + " GB")
    if own:
        sizes = fits(own)
        if sizes:
            said.append(f"GPUs of {', '.join(map(str, sizes))} GB")
        else:
            said.append(f"none of {', '.join(map(str, GPUS))} GB; change " + "; or ".join(changes(own)))
        for each in own:
            if each.process.share is not None:
                said.append(f"{each.process.name or 'vLLM'} takes {each.process.share:.0%} of each")
    return f"{name} fits " + ", and ".join(escape(each) for each in said)
