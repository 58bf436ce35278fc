"""What all stages do alike: load, configure, train with resume, and leave a plain model folder."""

from __future__ import annotations

import difflib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerState

from salmon_core.api import Job, ModelSpec
from salmon_core.data.files import write_text
from salmon_core.errors import ConfigError, Problem, StageError
from salmon_core.kit import heap
from salmon_core.kit.quantization import missing, quantization_config
from salmon_core.kit.training_options import LoRAOptions
from salmon_trl.checkpoints import last_complete, prepare_folder, step_of
from salmon_trl.layout import Layout, layout
from salmon_trl.options import TrainOptions
from salmon_trl.recorder import Recorder
from salmon_trl.steps import STEPS, keep_lines, read_steps

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(slots=True)
class Run:
    """One stage on its way.

    Attributes:
        folder: the stage's folder.
        layout: its batches.
        args: the TRL configuration, once made.
        checkpoint: to continue from.
    """

    job: Job
    options: TrainOptions
    folder: Path
    layout: Layout
    args: Any = None
    checkpoint: Path | None = None

    def configure(self, config: type, settings: Mapping[str, Any], steps: int) -> Any:
        """Makes the TRL configuration and readies the folder; see `arguments`."""
        self.args = self.arguments(config, settings, steps)
        with self.args.main_process_first(local=False):
            if self.args.process_index == 0:
                prepare_folder(self.job, self.folder, self.layout.window)
            self.checkpoint = last_complete(self.folder / "checkpoints")
        return self.args

    def arguments(self, config: type, settings: Mapping[str, Any], steps: int) -> Any:
        """The TRL configuration. `steps` is the run's number of optimizer steps.

        Raises:
            ConfigError: an unknown or doubly set argument under `extra`.
            StageError: TRL refuses the combination.
        """
        managed = {**_arguments(self, steps), **settings}
        known = {field.name for field in fields(config) if field.init}
        problems = []
        for name in self.options.extra:
            where = f"options.extra.{name}"
            if name in managed:
                problems.append(Problem(where, "is set by salmon from its own options", "leave it out"))
            elif name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]}?" if near else "see TRL's documentation"
                problems.append(Problem(where, f"{config.__name__} has no such argument", hint))
        if problems:
            raise ConfigError(problems)
        try:
            return config(**managed, **self.options.extra)
        except (ValueError, TypeError, ImportError) as error:
            raise StageError(f"TRL refuses these options: {error}", where=f"{self.job.stage} options") from error

    @property
    def main(self) -> bool:
        return bool(self.args.process_index == 0)


def start_run(job: Job, options: TrainOptions, folder: Path) -> Run:
    """Checks the batches against the processes that really run.

    Raises:
        ConfigError: they do not fit.
    """
    if _on_cpu(job):
        heap.keep()
    found, problems = layout(options, int(os.environ.get("WORLD_SIZE", "1")))
    if found is None or problems:
        raise ConfigError([Problem(f"{job.stage} options", text) for text in problems])
    return Run(job, options, folder, found)


def _arguments(run: Run, steps: int) -> dict[str, Any]:
    """Arguments that every TRL configuration takes."""
    options, cpu = run.options, _on_cpu(run.job)
    return {
        "output_dir": str(run.folder / "checkpoints"),
        "run_name": run.job.run_name or None,
        "seed": run.job.seed,
        "use_cpu": cpu,
        "bf16": mixed_precision(options),
        "learning_rate": options.learning_rate,
        "lr_scheduler_type": options.lr_scheduler_type,
        "warmup_steps": options.warmup_steps,
        "weight_decay": options.weight_decay,
        "max_grad_norm": options.max_grad_norm,
        "max_steps": steps,
        "per_device_train_batch_size": options.per_device_train_batch_size,
        "per_device_eval_batch_size": options.per_device_train_batch_size,
        "gradient_accumulation_steps": run.layout.accumulation,
        "gradient_checkpointing": options.gradient_checkpointing,
        "save_strategy": "steps",
        "save_steps": options.save_steps or _save_steps(steps, run.layout.window, options.logging_steps),
        "save_total_limit": options.save_total_limit,
        "logging_strategy": "steps",
        "logging_steps": options.logging_steps,
        "logging_nan_inf_filter": False,  # a loss that is not finite must be seen
        "report_to": options.report_to or "none",
        "disable_tqdm": True,
        "push_to_hub": False,
        "load_best_model_at_end": False,
        "dataloader_pin_memory": not cpu,
    }


def _save_steps(steps: int, window: int, logging: int) -> int:
    """About ten checkpoints a run, between generated batches and, where that fits, between log lines."""
    unit = window * logging if steps >= 10 * window * logging else window
    return -(-steps // (10 * unit)) * unit


def _on_cpu(job: Job) -> bool:
    return job.model.device == "cpu" or not _accelerated()


def _accelerated() -> bool:
    return torch.cuda.is_available() or (torch.backends.mps.is_available() and torch.backends.mps.is_built())


def mixed_precision(options: TrainOptions) -> bool:
    """Whether to train in bfloat16."""
    if options.bf16 is None:
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return options.bf16


def loading(spec: ModelSpec, options: TrainOptions) -> dict[str, Any]:
    """Arguments of `from_pretrained`. Weights that are trained stay in float32 unless the user says otherwise."""
    dtype = spec.dtype
    if dtype == "auto":
        dtype = "bfloat16" if options.lora and mixed_precision(options) else "float32"
    kwargs: dict[str, Any] = {"dtype": getattr(torch, dtype), "trust_remote_code": spec.trust_remote_code}
    if options.attn_implementation:
        kwargs["attn_implementation"] = options.attn_implementation
    return kwargs


def quantized(options: TrainOptions) -> dict[str, Any]:
    """Further arguments of `from_pretrained` for a base in 4 bits (arXiv 2305.14314), where the options ask for it.

    Raises:
        StageError: bitsandbytes is not installed.
    """
    if options.quantization is None:
        return {}
    if (problem := missing(options.quantization)) is not None:
        raise StageError(problem, where=sys.executable, hint="pip install bitsandbytes there")
    compute = torch.bfloat16 if mixed_precision(options) else torch.float32
    return {"quantization_config": quantization_config(options.quantization, compute)}


def adapters_in_float32(model: torch.nn.Module, options: TrainOptions) -> None:
    """TRL keeps adapters of a base in 4 bits in bfloat16, whose steps are coarser than our learning rates."""
    if options.quantization is not None:
        for value in model.parameters():
            if value.requires_grad:
                value.data = value.data.float()


def load(kind: Any, path: str, **kwargs: Any) -> Any:
    """`from_pretrained` with an error the user can act on.

    Raises:
        StageError: no such model, or one of another kind.
    """
    try:
        return kind.from_pretrained(path, **kwargs)
    except (OSError, ValueError, ImportError) as error:
        raise StageError(f"cannot load the model: {error}", where=path) from error


def load_tokenizer(spec: ModelSpec) -> PreTrainedTokenizerBase:
    """The model's tokenizer, with a chat template if there is any."""
    tokenizer: PreTrainedTokenizerBase = load(AutoTokenizer, spec.path, trust_remote_code=spec.trust_remote_code)
    if tokenizer.chat_template is None and spec.fallback_chat_template:
        tokenizer.chat_template = spec.fallback_chat_template
    return tokenizer


def start_folder(run: Run) -> str:
    """The folder to start from: the model's own, or, with an adapter, a merged copy in `start/`.

    A copy on disk, because TRL loads the reference model by path: it has to be the merged one too.
    """
    spec = run.job.model
    if spec.adapter is None:
        return spec.path
    from peft import PeftModel

    folder = run.folder / "start"
    with run.args.main_process_first(local=False):
        if run.main and not folder.is_dir():
            model = load(AutoModelForCausalLM, spec.path, **loading(spec, run.options))
            aside = run.folder / "start.tmp"
            shutil.rmtree(aside, ignore_errors=True)
            try:
                merged = PeftModel.from_pretrained(model, spec.adapter).merge_and_unload()
            except (OSError, ValueError) as error:
                raise StageError(f"cannot load the adapter: {error}", where=spec.adapter) from error
            merged.save_pretrained(aside)
            load_tokenizer(spec).save_pretrained(aside)
            os.replace(aside, folder)
    return str(folder)


def lora_config(lora: LoRAOptions | None, task: str | None, **more: Any) -> Any:
    """A PEFT configuration, or None."""
    if lora is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        task_type=task,
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.target_modules or "all-linear",
        **more,
    )


def train(run: Run, trainer: Any, evaluate: bool = False) -> dict[str, Any]:
    """Trains from the last complete checkpoint to the end, evaluates, and returns the metrics.

    A run whose last checkpoint is its last step is not trained again: transformers would take one step more.
    """
    from transformers.trainer_callback import PrinterCallback, ProgressCallback

    began = time.perf_counter()
    done = step_of(run.checkpoint) if run.checkpoint else 0
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    trainer.add_callback(Recorder(run.folder, tensorboard=run.options.tensorboard and run.main, start=done))
    steps = run.args.max_steps
    if run.checkpoint is not None and done >= steps:
        trainer._load_from_checkpoint(str(run.checkpoint))
        trainer.state = TrainerState.load_from_json(str(run.checkpoint / "trainer_state.json"))
        if evaluate and run.main:  # evaluated again below
            keep_lines(run.folder / STEPS, lambda line: "eval_loss" not in line["values"] or line["step"] < steps)
    else:
        trainer.train(resume_from_checkpoint=str(run.checkpoint) if run.checkpoint else None)
    if evaluate:
        trainer.evaluate()
    if not run.main:
        return {}
    last: dict[str, float] = {}
    evaluation: dict[str, float] = {}
    for _, values in read_steps(run.folder / STEPS):
        if any(name.startswith("eval_") for name in values):
            evaluation = {name: value for name, value in values.items() if name.startswith("eval_")}
        else:
            last |= values  # rollout statistics stand in the first line of their window only
    return {
        "steps": trainer.state.global_step,
        "resumed_from": done,
        "seconds": round(time.perf_counter() - began, 3),
        "final": last,
        **({"eval": evaluation} if evaluation else {}),
    }


def save_plain(
    run: Run,
    trainer: Any,
    tokenizer: PreTrainedTokenizerBase,
    metrics: dict[str, Any],
    base: Callable[[], Any] | None = None,
) -> None:
    """Leaves `metrics.json` and then, by renaming, `model/`: loadable with nothing of salmon installed.

    Args:
        base: makes the model below an adapter once more, not rounded; None: the language model of the job.

    Raises:
        StageError: the trained weights are not finite, or a sharded adapter cannot be merged.
    """
    sharded = trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped) if sharded else None
    if not run.main:
        return
    model: Any = trainer.accelerator.unwrap_model(trainer.model)
    merge = run.options.lora is not None and run.options.merge
    if merge and sharded:
        raise StageError("an adapter of a sharded model cannot be merged here", hint="set merge: false")
    for name, weight in (state or model.state_dict()).items():
        if weight.is_floating_point() and not torch.isfinite(weight).all():
            raise StageError(f"{name} is not finite after training", hint="lower the learning rate")
    if merge:
        model = _merged(run, model, base)
    aside = run.folder / "model.tmp"
    shutil.rmtree(aside, ignore_errors=True)
    if state is not None and getattr(model.config, "tie_word_embeddings", False):
        # What shards give is all of it under each name; a tied weight is saved once, as it is from one process.
        tied = set(getattr(model, "_tied_weights_keys", None) or ())
        state = {name: weight for name, weight in state.items() if name not in tied}
    only = {"selected_adapters": ["default"]} if hasattr(model, "peft_config") else {}
    model.save_pretrained(aside, state_dict=state, **only)
    tokenizer.save_pretrained(aside)
    (aside / "README.md").unlink(missing_ok=True)  # PEFT's empty card
    metrics |= {
        "stage": run.job.stage,
        "algorithm": run.job.algorithm,
        "adapter": run.options.lora is not None and not merge,
        "chat_template": tokenizer.chat_template is not None,
        "files": sorted(path.name for path in aside.iterdir()),
    }
    write_text(run.folder / "metrics.json", json.dumps(metrics, indent=1))
    shutil.rmtree(run.folder / "model", ignore_errors=True)
    os.replace(aside, run.folder / "model")
    shutil.rmtree(run.folder / "start", ignore_errors=True)


def _merged(run: Run, model: Any, base: Callable[[], Any] | None) -> Any:
    """One model. An adapter of a base in 4 bits is merged into the base as it was, not into its rounded weights."""
    if not getattr(model, "is_loaded_in_4bit", False):
        return model.merge_and_unload()
    from peft import PeftModel

    aside = run.folder / "adapter.tmp"
    model.save_pretrained(aside, selected_adapters=["default"])
    if base is None:
        whole = load(AutoModelForCausalLM, start_folder(run), **loading(run.job.model, run.options))
    else:
        whole = base()
    merged = PeftModel.from_pretrained(whole, aside).merge_and_unload()
    shutil.rmtree(aside)
    return merged


def epoch_steps(run: Run, rows: int, epochs: int) -> int:
    """Optimizer steps of a run over a fixed data set."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    batches = -(-rows // (run.options.per_device_train_batch_size * world))
    return run.options.max_steps or epochs * -(-batches // run.layout.accumulation)


def keep_generation(model: PreTrainedModel) -> Any:
    """A function that undoes what a trainer changes in the model's generation settings."""
    generation, pad = deepcopy(model.generation_config), model.config.get_text_config().pad_token_id

    def restore(trained: PreTrainedModel) -> None:
        trained.generation_config = generation
        trained.config.get_text_config().pad_token_id = pad

    return restore
