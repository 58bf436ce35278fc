"""How many sequences, processes and steps make a batch: the arithmetic that options, plan and worker share."""

from __future__ import annotations

from dataclasses import dataclass

from salmon_trl.options import RolloutOptions, TrainOptions


@dataclass(frozen=True, slots=True)
class Layout:
    """Batches of a run.

    Attributes:
        accumulation: forward passes per optimizer step and process.
        window: optimizer steps per generated batch, all iterations counted; 1 outside RL.
        prompts: prompts per generated batch; 0 outside RL.
    """

    accumulation: int
    window: int = 1
    prompts: int = 0


def layout(options: TrainOptions, processes: int) -> tuple[Layout | None, list[str]]:
    """The layout, or what makes it impossible with that many processes."""
    problems: list[str] = []
    local = options.per_device_train_batch_size * processes
    accumulation = options.gradient_accumulation_steps
    if accumulation is None:
        if options.total_batch_size % local:
            problems.append(
                f"total_batch_size ({options.total_batch_size}) must be a multiple of per_device_train_batch_size "
                f"({options.per_device_train_batch_size}) x {processes} processes"
            )
            return None, problems
        accumulation = options.total_batch_size // local
    if not isinstance(options, RolloutOptions):
        return Layout(accumulation), problems
    step, batch = local * accumulation, options.generation_batch_size
    if batch % step:
        problems.append(
            f"generation_batch_size ({batch}) must be a multiple of the completions in one optimizer step ({step})"
        )
        return None, problems
    window = batch // step * options.num_iterations
    if options.save_steps is not None and options.save_steps % window:
        problems.append(
            f"save_steps ({options.save_steps}) must be a multiple of {window}, the optimizer steps of one generated "
            f"batch (generation_batch_size / total_batch_size x num_iterations): a run resumes between batches"
        )
        return None, problems
    return Layout(accumulation, window, batch // options.num_generations), problems
