"""Bytes of a model's weights, of its gradients and of what the optimizer keeps."""

from __future__ import annotations

from dataclasses import dataclass

from salmon_core.api.memory import BYTES, KeptModel, LowRank
from salmon_core.memory.shapes import Shape

#: bytes of a weight in nf4 (arXiv 2305.14314): half a byte; for each 64 weights a scale of one byte, as the scales are
#: quantised again; for each 256 of these one number in float32
NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
#: in int8 (arXiv 2208.07339): a byte, and for each output a scale in float32
INT8 = 1.0


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes that one process keeps of a model on its device, whatever it does.

    Attributes:
        trained: numbers that are trained, in all processes together.
    """

    parameters: float
    gradients: float
    optimizer: float
    trained: int


def parameters(kept: KeptModel, shape: Shape) -> int:
    """Numbers of the model itself, without adapters."""
    count = shape.blocks + shape.embedding + shape.other
    if kept.head == "language":
        return count + (0 if shape.tied else shape.embedding)
    return count + (shape.hidden if kept.head == "score" else 0)


def adapter_numbers(adapter: LowRank, shape: Shape) -> int:
    """`rank` x (inputs + outputs) for every layer that the adapter is on; names that are not known mean all of them."""
    named = [name for name in shape.linear if adapter.targets is None or name in adapter.targets]
    layers = [shape.linear[name] for name in named or shape.linear]
    names = named or list(shape.linear)
    return shape.layers * sum(
        adapter.rank * (a + b) * shape.copies(name) for name, (a, b) in zip(names, layers, strict=True)
    )


def dtype_bytes(kept: KeptModel, shape: Shape) -> int:
    """Bytes of a weight that is not quantised."""
    return BYTES.get(shape.dtype if kept.model.dtype == "auto" else kept.model.dtype, 4)


def weights(kept: KeptModel, shape: Shape) -> Weights:
    """Parameters, gradients and optimizer states of one process, in bytes.

    Parameters: numbers x their width; of linear layers in blocks by `NF4` or `INT8` where they are quantised, while
    embeddings, norms and heads are not (`salmon_core.kit.quantization`). Gradients and optimizer: numbers that are
    trained x what the trainer keeps for each. Each is divided over the processes that share it (ZeRO, arXiv
    1910.02054), and counts nothing where it lies in the host's memory; buffers of the exchange between them count as
    parameters.
    """
    each, count = dtype_bytes(kept, shape), parameters(kept, shape)
    if kept.quantization is None:
        size = float(count * each)
    else:
        rest = count - shape.blocks
        size = shape.blocks * (NF4 if kept.quantization == "nf4" else INT8) + rest * each
    trained = count if kept.trained == "all" else 0
    for adapter in kept.adapters:
        numbers = adapter_numbers(adapter, shape)
        size += numbers * adapter.bytes_each
        if kept.trained == "adapters" and adapter.trained:
            trained += numbers
    if kept.value_heads:
        size += 4 * kept.value_heads * shape.hidden
        trained += kept.value_heads * shape.hidden
    if kept.head == "score" and kept.trained == "adapters":
        trained += shape.hidden
        size += 4 * shape.hidden
    over = [1 if part not in kept.on_host else 0 for part in ("parameters", "gradients", "optimizer")]
    held = (size, trained * kept.gradient, trained * kept.optimizer)
    values = [value / share * here for value, share, here in zip(held, kept.over, over, strict=True)]
    buffers = min(kept.buffers, count) * each
    return Weights(values[0] + buffers, values[1], values[2], trained)
