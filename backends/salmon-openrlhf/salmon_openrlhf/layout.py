"""How many GPUs, engines and sequences: the arithmetic that makes a plan possible or not."""

from __future__ import annotations

from dataclasses import dataclass

from salmon_openrlhf.options import PolicyOptions, TrainOptions


@dataclass(frozen=True, slots=True)
class Layout:
    """Attributes:
    gpus: of each machine, that hold the trained model.
    engines: of vLLM; 0 outside RL.
    rollout_micro_batch: completions in one forward without gradients; 0 outside RL.
    """

    gpus: int
    engines: int = 0
    rollout_micro_batch: int = 0


def layout(options: TrainOptions, processes: int) -> tuple[Layout, list[str]]:
    """The layout, and all that makes it impossible."""
    gpus = options.gpus_per_node or processes
    world = gpus * options.nodes
    problems = []
    # Sequence and tensor parallelism make several GPUs work on one sequence.
    for name in ("ds.ring_attn_size", "ds.tensor_parallel_size"):
        share = options.extra.get(name, 1)
        if isinstance(share, int) and share > 1:
            if world % share:
                problems.append(f"extra.{name} ({share}) does not divide {world} GPUs")
            world = max(1, world // share)
    micro = options.per_device_train_batch_size
    if options.total_batch_size % (micro * world):
        problems.append(
            f"total_batch_size ({options.total_batch_size}) must be a multiple of "
            f"per_device_train_batch_size ({micro}) x {world} GPUs"
        )
    if not isinstance(options, PolicyOptions):
        return Layout(gpus), problems
    rollout_micro = options.per_device_rollout_batch_size or micro
    if options.generation_batch_size % (rollout_micro * world):
        problems.append(
            f"generation_batch_size ({options.generation_batch_size}) must be a multiple of "
            f"per_device_rollout_batch_size ({rollout_micro}) x {world} GPUs"
        )
    tensor = options.vllm_tensor_parallel_size
    every = gpus * options.nodes
    engines = options.vllm_engines
    if options.colocate == "all":
        if every % tensor or (engines is not None and engines * tensor != every):
            problems.append(
                f"colocate: all needs vllm_engines x vllm_tensor_parallel_size = {every} GPUs, not "
                f"{engines or every // tensor} x {tensor}"
            )
        engines = engines or max(1, every // tensor)
    engines = engines or 1
    if options.prompts % engines:
        problems.append(
            f"generation_batch_size / num_generations ({options.prompts} prompts) must be a multiple of vllm_engines "
            f"({engines})"
        )
    return Layout(gpus, engines, rollout_micro), problems
