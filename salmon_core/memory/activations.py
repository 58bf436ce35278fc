"""Bytes of what passes through a model make: activations, logits, keys and values.

The numbers that a block keeps for its backward pass follow transformers' code of Llama (5.x) line by line; see also
arXiv 2205.05198, which counts the same for Megatron. Other decoders are like it within a few per cent.
"""

from __future__ import annotations

from dataclasses import dataclass

from salmon_core.api.memory import KeptModel, ModelPass
from salmon_core.memory.shapes import Shape
from salmon_core.memory.weights import dtype_bytes


@dataclass(frozen=True, slots=True)
class Made:
    """Bytes of one pass.

    Attributes:
        activations: logits, masks and copies of weights among them.
        cache: keys and values.
        logits: of the activations, those of the vocabulary.
    """

    activations: float
    cache: float
    logits: float


def kept_numbers(each: ModelPass, shape: Shape, *, frozen: bool) -> float:
    """Numbers that one block keeps for the backward pass of one token.

    Of h = hidden, q = queries, k = keys (as many values), f = inner:

    - two inputs of norms, which the residual stream needs anyway: 2h
    - what a norm's weight multiplies, needed for that weight's gradient alone: 2h, nothing where it is frozen
    - outputs of norms, which are inputs of linear layers: 2h
    - queries, keys, values, and the attention's output, laid out anew for the next layer: 3q + 2k
    - feed-forward: gate, its activation, up, and their product: 4f (2f without a gate)
    - an adapter whose numbers are of another type copies every layer's input: in place of 2h for the norms' outputs
      5h, q and f more

    With `eager` attention, probabilities in float32 and once more in the activations' type: heads x tokens each.
    """
    h, q, k, f = shape.hidden, shape.queries, shape.keys, shape.inner * shape.active
    numbers = 2 * h + 2 * h + 3 * q + 2 * k + (4 if shape.gated else 2) * f
    if not frozen:
        numbers += 2 * h
    if each.casts:
        numbers += 3 * h + q + f
    if each.attention == "eager":
        numbers += shape.heads * each.tokens * (1 if each.bytes_each == 4 else 3)
    return numbers


def passing_numbers(each: ModelPass, shape: Shape) -> float:
    """Numbers of one token that a block has in hand at once where nothing is kept: the wider of its two halves.

    Attention: residual, norm, queries, keys, values and the output; feed-forward: residual, norm, gate, up and
    product.
    """
    h, q, k, f = shape.hidden, shape.queries, shape.keys, shape.inner * shape.active
    attention = 2 * h + 2 * q + 2 * k
    if each.attention == "eager":
        attention += 2 * shape.heads * each.tokens
    return max(attention, 2 * h + (3 if shape.gated else 2) * f)


def cache_bytes(tokens: int, width: int, shape: Shape) -> float:
    """Keys and values of all layers: 2 x layers x keys x tokens x width."""
    return float(2 * shape.layers * shape.keys * tokens * width)


def made(each: ModelPass, kept: KeptModel, shape: Shape) -> Made:
    """What one pass makes.

    Kept for the backward pass: `kept_numbers` for every block and token; with checkpointing a block's input for every
    block, and `kept_numbers` for one. Beside them what one block has in hand (`passing_numbers`), which the backward
    pass has gradients of. Where nothing is kept, that alone.

    A layer in 4 bits is multiplied as a whole in the activations' type; autocast copies all weights of linear layers
    that are trained, and keeps the copies.
    """
    tokens, width = each.rows * each.tokens, each.bytes_each
    frozen = kept.trained != "all"
    at_hand = tokens * passing_numbers(each, shape) * width
    if each.backward:
        block = tokens * kept_numbers(each, shape, frozen=frozen) * width
        inputs = tokens * shape.hidden * width
        stay = shape.layers * inputs + block if each.checkpointed else shape.layers * block
        stay += 2 * inputs + at_hand
    else:
        stay = at_hand
    largest = max(a * b for a, b in shape.linear.values())
    if kept.quantization is not None:
        stay += largest * width
    if each.autocast and dtype_bytes(kept, shape) > width:
        stay += (shape.blocks if each.backward and not frozen else largest) * width
    logits = 0.0
    if each.logits is not None:
        logits = float(each.logits.positions * each.logits.bytes_each) * min(
            shape.vocabulary, each.logits.columns or shape.vocabulary
        )
        logits += shape.embedding * each.logits.weight_gradient
    again = shape.blocks * dtype_bytes(kept, shape) if each.again else 0
    cache = cache_bytes(each.cached, width, shape) / each.cache_over
    return Made(stay + logits + each.mask * width + again, cache, logits)
