"""What a process keeps in memory, as trainers and engines say it before anything runs.

They say which models it keeps, what of them is trained, and what its passes make; `salmon_core.memory` knows the sizes
of the models and computes the bytes, so no plugin does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from salmon_core.api.models import Ability, ModelSpec

#: bytes of a number
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
Part = Literal["parameters", "gradients", "optimizer"]


@dataclass(frozen=True, slots=True)
class LowRank:
    """An adapter on linear layers (arXiv 2106.09685): `rank` x (inputs + outputs) numbers for each.

    Attributes:
        targets: names of layers, as PEFT's `target_modules`; None: every linear layer of the blocks.
        bytes_each: of a number.
        trained: whether it gets gradients; an adapter that only scores gets none.
    """

    rank: int
    targets: tuple[str, ...] | None = None
    bytes_each: int = 4
    trained: bool = True


@dataclass(frozen=True, slots=True)
class KeptModel:
    """A model that lies in a process's memory from its beginning to its end.

    Attributes:
        role: `policy`, `critic`, `reference`, `reward`, ...; unique within the process, passes name it.
        model: which; its `dtype` is that of the weights as they are kept, `auto`: as they are saved.
        quantization: of the blocks' linear layers; what else there is stays in `dtype`.
        head: `language`: the output embedding; `score`: one number for each position; `none`.
        adapters: on it.
        trained: what gets gradients and optimizer states: all weights, the adapters that are, or nothing.
        value_heads: further heads of one number for each position, in float32, trained.
        gradient: bytes of the gradients of a trained number, buffers of their exchange included.
        optimizer: bytes that the optimizer keeps for a trained number; 8: AdamW's two moments in float32.
        over: how many processes the parameters, gradients and optimizer states are divided over.
        buffers: weights that are gathered or reduced at once beside the own ones, at most all.
        on_host: parts that lie in the CPU's memory.
    """

    role: str
    model: ModelSpec
    quantization: Literal["nf4", "int8"] | None = None
    head: Literal["language", "score", "none"] = "language"
    adapters: tuple[LowRank, ...] = ()
    trained: Literal["all", "adapters", "nothing"] = "nothing"
    value_heads: int = 0
    gradient: int = 4
    optimizer: float = 8
    over: tuple[int, int, int] = (1, 1, 1)
    buffers: int = 0
    on_host: frozenset[Part] = frozenset()


@dataclass(frozen=True, slots=True)
class Logits:
    """Logits of the vocabulary that exist at once.

    Attributes:
        positions: of all rows.
        bytes_each: of one logit, all its copies and its gradient together.
        columns: of the vocabulary at once; None: all.
        weight_gradient: bytes of a number of the output embedding's gradient that is made aside; 0: none is.
    """

    positions: int
    bytes_each: int
    columns: int | None = None
    weight_gradient: int = 0


@dataclass(frozen=True, slots=True)
class ModelPass:
    """What one pass through a model makes.

    Attributes:
        role: of the model.
        rows: sequences in it.
        tokens: of each that go through the model at once.
        bytes_each: of an activation.
        backward: whether activations are kept for it.
        checkpointed: only the blocks' inputs are kept, and one block's activations are computed again at a time.
        attention: transformers' `attn_implementation`; `eager` keeps the probabilities, heads x tokens x tokens.
        autocast: weights in float32 are copied to `bytes_each` for it, and the copies kept for the backward pass.
        casts: whether an adapter copies its input, as its numbers are not of the activations' type.
        logits: that it makes.
        cached: tokens of all rows whose keys and values are kept.
        cache_over: how many processes these are divided over.
        mask: numbers of attention masks that are made.
        again: whether the blocks' weights are there a second time, as while they are laid out anew.
    """

    role: str
    rows: int
    tokens: int
    bytes_each: int
    backward: bool = False
    checkpointed: bool = False
    attention: str = "sdpa"
    autocast: bool = False
    casts: bool = False
    logits: Logits | None = None
    cached: int = 0
    cache_over: int = 1
    mask: int = 0
    again: bool = False


@dataclass(frozen=True, slots=True)
class Phase:
    """What happens at one time: its passes are in memory together. Phases follow each other; the largest is the peak.

    Attributes:
        name: in words, such as `generation`.
        trains: whether gradients are made in it.
        accumulates: whether gradients of earlier passes are there already.
    """

    name: str
    passes: tuple[ModelPass, ...]
    trains: bool = False
    accumulates: bool = False


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """What one process, and each one like it, keeps.

    Attributes:
        name: such as `policy`; empty where a stage has only this one.
        models: in its memory.
        phases: of its work.
        processes: how many there are of it, each with a GPU of its own unless they share `gpu`.
        gpu: processes of one stage with the same name here lie on the same GPU.
        turn: those that lie on one GPU with different turns are never awake at the same time; empty: always.
        asleep: parts of models that stay on the GPU while another has its turn.
        share: of the GPU's memory that it takes, whatever it needs; None: what it needs.
        spread: GPUs that it spreads over, 0: as many as there are.
        host: whether it works on the CPU.
    """

    models: tuple[KeptModel, ...]
    phases: tuple[Phase, ...]
    name: str = ""
    processes: int = 1
    gpu: str = ""
    turn: str = ""
    asleep: frozenset[Part] = frozenset()
    share: float | None = None
    spread: int = 1
    host: bool = False


@dataclass(frozen=True, slots=True)
class Use:
    """What an engine is going to be asked.

    Attributes:
        ability: of the model that it opens.
        rows: completions at once, where it samples.
        prompt: tokens before them, at most.
        new: tokens of each, at most.
        text: tokens of a text that is judged or scored, at most.
    """

    ability: Ability
    rows: int = 1
    prompt: int = 0
    new: int = 0
    text: int = 0
