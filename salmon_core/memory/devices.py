"""GPUs that a stage fits, and what to change where it does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from salmon_core.api.memory import ProcessMemory
from salmon_core.memory.estimate import Estimate

#: sizes of common GPUs, in GB; a GB is taken for 10^9 bytes, a little less than their drivers report
GPUS = (16, 24, 40, 48, 80, 141)
GB = 10**9


@dataclass(frozen=True, slots=True)
class Estimated:
    """A process and its peak."""

    process: ProcessMemory
    peak: Estimate


def on_gpu(members: Sequence[Estimated], size: int) -> bool:
    """Whether processes that lie on one GPU of so many GB fit it.

    A process with a share takes that share, and needs what it needs of it. Those with turns count one at a time, beside
    what the others leave behind.
    """
    room = size * GB
    always = turns = 0.0
    for each in members:
        share, total = each.process.share, each.peak.total
        if share is not None and total > share * room:
            return False
        taken = total if share is None else share * room
        if each.process.turn:
            left = sum(other.peak.asleep for other in members if other.process.turn not in ("", each.process.turn))
            turns = max(turns, taken + left)
        else:
            always += taken
    return always + turns <= room


def groups(found: Sequence[Estimated]) -> list[list[Estimated]]:
    """Processes of one stage by the GPUs that they lie on, those on a host's CPU left out."""
    by: dict[str, list[Estimated]] = {}
    for each in found:
        if not each.process.host:
            by.setdefault(each.process.gpu, []).append(each)
    return list(by.values())


def fits(found: Sequence[Estimated]) -> list[int]:
    """Sizes in GB that are enough for every GPU of a stage; a model that spreads over all GPUs is not divided here."""
    return [size for size in GPUS if all(on_gpu(group, size) for group in groups(found))]


def spread_over(each: Estimated, size: int) -> int:
    """GPUs of so many GB that a process needs which spreads over as many as there are."""
    context = each.peak.context
    rest = each.peak.total - context
    return max(1, -(-int(rest) // max(1, int(size * GB - context))))


def changes(found: Sequence[Estimated]) -> Iterator[str]:
    """What would make the largest process smaller, the largest part first."""
    largest = max(found, key=lambda each: each.peak.total)
    peak = largest.peak
    trains = any(kept.trained != "nothing" for kept in largest.process.models)
    states = peak.gradients + peak.optimizer
    whole = any(kept.trained == "all" for kept in largest.process.models)
    many = largest.process.processes > 1
    advice = {
        "weights": (peak.parameters, "a quantised base, fewer models of their own, or weights divided over more GPUs"),
        "gradients and optimizer states": (
            states,
            "lora" if whole and not many else "lora, or states divided over more GPUs or kept on the host",
        ),
        "activations": (
            peak.activations,
            "a smaller per_device_train_batch_size, gradient_checkpointing, or shorter texts"
            if trains
            else "fewer tokens at once, or shorter texts",
        ),
        "keys and values": (peak.cache, "fewer completions at once, or shorter ones"),
    }
    for part, (size, change) in sorted(advice.items(), key=lambda item: -item[1][0])[:2]:
        if size > 0.2 * peak.total:
            yield f"{part} ({size / 2**30:.1f} GiB): {change}"
