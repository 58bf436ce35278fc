"""The peak of a process: the largest of its phases, beside what it always keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from salmon_core.api.memory import Part, Phase, ProcessMemory
from salmon_core.api.models import ModelSpec
from salmon_core.memory.activations import made
from salmon_core.memory.shapes import Shape
from salmon_core.memory.weights import Weights, weights

GIB = 2**30
#: bytes of a process on a GPU that no tensor has: the CUDA context with its kernels, cuBLAS's work space, and what the
#: allocator cannot use for its fragments; NCCL's buffers where there are several. A convention, not a measurement.
CONTEXT = 1.0 * GIB

#: the shape of a model
Shapes = Callable[[ModelSpec], Shape]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes of one process at its peak.

    Attributes:
        activations: beyond the gradients: while backward runs, activations go as gradients come.
        logits: of the activations, those of the vocabulary.
        phase: in which the peak is.
        asleep: bytes that stay while another process of its GPU has its turn.
    """

    parameters: float
    gradients: float
    optimizer: float
    activations: float
    cache: float
    context: float
    logits: float = 0.0
    phase: str = ""
    asleep: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.parameters + self.gradients + self.optimizer + self.activations + self.cache + self.context


def estimate(process: ProcessMemory, shapes: Shapes) -> Estimate:
    """The peak of a process.

    What it always keeps are parameters and optimizer states. A phase that trains has gradients G as well, and its
    passes make A: where gradients of earlier passes are there, G + A; else the larger of both, for a step begins with
    all activations and no gradient, and ends the other way round.

    Raises:
        SalmonError: the sizes of a model are not known.
    """
    models = {kept.role: (kept, shapes(kept.model)) for kept in process.models}
    held = [weights(*each) for each in models.values()]
    peak = max((_phase(phase, models, held, process) for phase in process.phases), key=lambda each: each.total)
    return peak


def _phase(phase: Phase, models: dict, held: list[Weights], process: ProcessMemory) -> Estimate:  # type: ignore[type-arg]
    parameters, optimizer = sum(each.parameters for each in held), sum(each.optimizer for each in held)
    gradients = sum(each.gradients for each in held) if phase.trains else 0.0
    passes = [made(each, *models[each.role]) for each in phase.passes]
    activations = sum(each.activations for each in passes)
    if phase.trains and not phase.accumulates:
        activations = max(0.0, activations - gradients)
    stays: dict[Part, float] = {"parameters": parameters, "gradients": gradients, "optimizer": optimizer}
    spread = max(1, process.spread)
    return Estimate(
        parameters / spread,
        gradients / spread,
        optimizer / spread,
        activations,
        sum(each.cache for each in passes) / spread,
        0.0 if process.host else CONTEXT,
        min(activations, sum(each.logits for each in passes)),
        phase.name,
        sum(stays[part] for part in process.asleep) / spread,
    )
