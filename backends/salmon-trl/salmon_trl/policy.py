"""Reinforcement learning of the policy (arXiv 2310.05910, 3.3)."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import AutoModelForCausalLM

from salmon_core.api import Job
from salmon_core.data.rollouts import RolloutLog
from salmon_core.errors import DataError, StageError
from salmon_core.records import RL_COLUMNS
from salmon_core.reward.reward import Reward
from salmon_trl.algorithms import ALGORITHMS
from salmon_trl.common import (
    Run,
    adapters_in_float32,
    keep_generation,
    load,
    load_tokenizer,
    loading,
    lora_config,
    quantized,
    save_plain,
    start_folder,
    start_run,
    train,
)
from salmon_trl.data import check_lengths, encode, position_limit, read_table
from salmon_trl.options import RolloutOptions
from salmon_trl.reward_function import RewardFunction
from salmon_trl.steps import STEPS, read_steps


def train_policy(job: Job, options: RolloutOptions, folder: Path) -> None:
    """Trains and leaves `folder/model`."""
    run = start_run(job, options, folder)
    module, name = ALGORITHMS[job.algorithm].trainer.split(":")
    trainer_class: Any = getattr(import_module(module), name)
    rows = read_table(job.data["train"], RL_COLUMNS).to_pylist()
    steps, unused = rollout_steps(run, options, len(rows))
    args = run.configure(trainer_class.config, settings_of(trainer_class, options), steps)
    tokenizer = load_tokenizer(job.model)
    path = start_folder(run)
    model = load(AutoModelForCausalLM, path, **loading(job.model, options), **quantized(options))
    prompts = [row["prompt"] for row in rows]
    if (limit := position_limit(model.config)) is not None:
        room = limit - options.max_completion_length
        lengths = [len(ids) for ids in encode(tokenizer, list(dict.fromkeys(prompts)))]
        hint = f"the model has {limit} positions, max_completion_length takes {options.max_completion_length} of them"
        check_lengths(lengths, max(room, 0), job.data["train"], hint)
    restore = keep_generation(model)
    assert job.reward is not None  # checked by the plan
    components, scorer = trainer_class.components(run, options)
    with Reward.from_spec(job.reward, scorer=scorer) as reward:
        # Not of several processes: whoever watches takes a batch for whole when the next one is there.
        alone = args.world_size == 1
        log = RolloutLog(folder, every=options.log_rollouts_every, writer=args.process_index, aside=alone)
        function = RewardFunction(reward, rows, tokenizer, window=run.layout.window, log=log)
        try:
            trainer = trainer_class(
                model,
                reward_funcs=function,
                args=args,
                # Only what TRL needs: the rest of a row is looked up by its position.
                train_dataset=Dataset.from_dict({"prompt": prompts, "position": list(range(len(rows)))}),
                processing_class=tokenizer,
                peft_config=lora_config(options.lora, "CAUSAL_LM"),
                **components,
            )
        except (ValueError, ImportError) as error:  # vLLM is not installed, say
            raise StageError(f"TRL refuses these options: {error}", where="train-policy options") from error
        adapters_in_float32(trainer.model, options)
        function.eos_ids = frozenset(trainer.eos_token_ids)
        trainer.before_training(run, options, function)
        function.awaits_kl = trainer_class.tells_kl and trainer.args.kl_coef != 0
        metrics = train(run, trainer)
        log.settle()
    restore(trainer.accelerator.unwrap_model(trainer.model))
    metrics |= trainer_class.summary([values for _, values in read_steps(folder / STEPS)])
    metrics |= {"rows": len(rows), "rows_unused": unused, "rollouts": -(-steps // run.layout.window)}
    save_plain(run, trainer, load_tokenizer(job.model), metrics)


def rollout_steps(run: Run, options: RolloutOptions, rows: int) -> tuple[int, int]:
    """-> optimizer steps; rows left over because they fill no batch.

    Raises:
        DataError: fewer rows than `max_steps`, or one batch, needs.
    """
    prompts, window = run.layout.prompts, run.layout.window
    steps = rows // prompts * window
    wanted = options.max_steps or max(steps, window)
    if wanted > steps:
        raise DataError(
            f"has {rows} rows, but {-(-wanted // window) * prompts} are needed: {prompts} prompts for each of "
            f"{-(-wanted // window)} generated batches",
            where=run.job.data["train"],
            hint="draw more epochs, or lower max_steps or generation_batch_size",
        )
    unused = rows - -(-wanted // window) * prompts
    if unused and options.max_steps is None:
        print(f"the last {unused} of {rows} rows fill no batch of {prompts} prompts", file=sys.stderr)
    return wanted, unused


def settings_of(trainer: Any, options: RolloutOptions) -> dict[str, Any]:
    """What our options set in the configuration of a trainer of ours."""
    return {**_settings(options), **trainer.settings(options)}


def _settings(options: RolloutOptions) -> dict[str, Any]:
    """What the configurations of all RL trainers take."""
    values: dict[str, Any] = {
        "num_train_epochs": 1,  # epochs are unrolled in the file, in the order drawn
        "shuffle_dataset": False,
        "generation_batch_size": options.generation_batch_size,
        "num_generations": options.num_generations,
        "num_iterations": options.num_iterations,
        "max_completion_length": options.max_completion_length,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "epsilon": options.epsilon,
        "disable_dropout": True,  # the same model generates and is trained
        "use_vllm": options.use_vllm,
    }
    if options.use_vllm:
        values |= {
            "vllm_mode": options.vllm_mode,
            "vllm_gpu_memory_utilization": options.vllm_gpu_memory_utilization,
        }
    return values
