"""What the engine keeps in memory, for `salmon plan`. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import replace

from salmon_core.api import KeptModel, Logits, ModelPass, ModelSpec, Phase, ProcessMemory, Use
from salmon_core.api.memory import BYTES
from salmon_transformers.how import How

#: (tokens in a batch, suffix tokens in a packed sequence), as `scoring.Scorer` chooses them by device
GPU, CPU = (16384, 1024), (1024, 256)
#: of a next token, in `sampling.choose`: logits, scaled logits and softmax in float32; probabilities and their sums in
#: float64
_NEXT = 28
#: positions that a layer's cache is longer than what it holds
_ROOM = 64


def memory_of(model: ModelSpec, use: Use, how: How, budget: int | None) -> ProcessMemory:
    """One process with one model.

    On a CPU in float32, linear layers are laid out anew (`packed`), and the file that they were read from stays
    mapped as long as any other weight is used where it lies.
    """
    host = model.device == "cpu"
    score = use.ability == "scorer"
    kept = KeptModel("model", model, how.quantization, "score" if score else "language")
    width = BYTES.get(model.dtype, 4 if host else 2)
    attention = how.attn_implementation or "sdpa"
    if use.ability == "sampler":
        read = ModelPass("model", use.rows, use.prompt, width, attention=attention, logits=Logits(use.rows, _NEXT))
        prompts = replace(read, cached=use.rows * (use.prompt + _ROOM))
        step = replace(read, tokens=1, cached=use.rows * (use.prompt + use.new + _ROOM))
        phases = [Phase("prompts", (prompts,)), Phase("sampling", (step,))]
    else:
        tokens, pack = CPU if host else GPU
        tokens = max(budget or tokens, use.text)
        # In parts (`cascade`), attention needs no mask but for padding.
        mask = 0 if host and attention == "sdpa" else max(1, tokens // max(1, use.text)) * pack * use.text
        again = host and width == 4 and how.quantization is None
        read = ModelPass("model", 1, tokens, width, attention=attention, cached=tokens, mask=mask, again=again)
        phases = [Phase("reading", (read,))]
    spread = 0 if how.device_map is not None else 1
    return ProcessMemory((kept,), tuple(phases), spread=spread, host=host)
