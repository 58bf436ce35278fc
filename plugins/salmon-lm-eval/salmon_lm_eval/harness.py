"""One policy through the harness."""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from salmon_core.api import ModelSpec
from salmon_core.data.files import write_text
from salmon_core.data.json import read_json, write_json
from salmon_core.errors import SalmonError
from salmon_lm_eval.answers import Answers
from salmon_lm_eval.options import Options

#: what is kept of the harness's results, beside what each document scored
_KEPT = ("results", "group_subtasks", "higher_is_better", "n-samples", "n-shot", "versions")


def results_of(
    name: str,
    model: ModelSpec,
    load: Callable[[], Sequence[Any]],
    options: Options,
    *,
    seed: int,
    folder: Path,
    progress: Callable[[str, int], Callable[[int], None]],
) -> Mapping[str, Any]:
    """What the harness says of a model; read from the folder where it was there before.

    Args:
        name: of the model, in the folder.
        load: the tasks.
        seed: of all the harness's chance.
        folder: for the results, the answers and, with `log_samples`, what the harness logs of each document.

    Returns:
        parts of the harness's results; and `scores`, by task and metric (`acc,none`) those of each document.
    """
    file = folder / f"{name}.json"
    found: Mapping[str, Any] | None = read_json(file)
    if found is None:
        whole = _evaluated(name, model, load(), options, seed=seed, folder=folder, progress=progress)
        samples = whole.get("samples") or {}
        if options.log_samples:
            rows = (json.dumps({"task": task, **row}, default=str) for task, own in samples.items() for row in own)
            write_text(folder / f"samples-{name}.jsonl", "".join(f"{row}\n" for row in rows))
        kept = {key: whole[key] for key in _KEPT if key in whole}
        found = json.loads(json.dumps({**kept, "scores": _scores(samples)}, default=str))
        write_json(file, found)
    return found


def _evaluated(
    name: str,
    model: ModelSpec,
    tasks: Sequence[Any],
    options: Options,
    *,
    seed: int,
    folder: Path,
    progress: Callable[[str, int], Callable[[int], None]],
) -> Mapping[str, Any]:
    from lm_eval import simple_evaluate

    opened = _opened(model, options)
    try:
        with Answers(opened, folder / f"answers-{name}.jsonl", progress):
            found: Mapping[str, Any] | None = simple_evaluate(
                opened,
                tasks=list(tasks),
                num_fewshot=options.num_fewshot,
                batch_size=options.batch_size,
                limit=options.limit,
                bootstrap_iters=options.bootstrap_iters,
                log_samples=options.log_samples,
                system_instruction=options.system_instruction,
                apply_chat_template=options.apply_chat_template,
                fewshot_as_multiturn=options.fewshot_as_multiturn,
                gen_kwargs=dict(options.gen_kwargs) or None,
                random_seed=seed,
                numpy_random_seed=seed,
                torch_random_seed=seed,
                fewshot_random_seed=seed,
                confirm_run_unsafe_code=options.confirm_run_unsafe_code,
            )
    finally:
        del opened
        _freed()
    if found is None:
        raise SalmonError("the harness gave no results in this process", where="lm-eval")
    return found


def _opened(model: ModelSpec, options: Options) -> Any:
    """The harness's own model of Hugging Face."""
    import torch
    from lm_eval.models.huggingface import HFLM

    device = model.device if model.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    opened = HFLM(
        pretrained=model.path,
        peft=model.adapter,
        dtype=model.dtype,
        device=device,
        batch_size=options.batch_size,
        trust_remote_code=model.trust_remote_code,
        **options.model_args,
    )
    if options.apply_chat_template and not opened.tokenizer.chat_template:
        if model.fallback_chat_template is None:
            hint = "set apply_chat_template: false"
            raise SalmonError("its tokenizer has no chat template", where=model.path, hint=hint)
        opened.tokenizer.chat_template = model.fallback_chat_template
    return opened


def _freed() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _scores(samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, dict[str, float]]]:
    """By task, metric and document; only what is a number."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for task, rows in samples.items():
        own = found.setdefault(task, {})
        for row in rows:
            for metric in row["metrics"]:
                value = row[metric]
                if isinstance(value, int | float) or (hasattr(value, "item") and getattr(value, "ndim", 1) == 0):
                    number = float(value)
                    if math.isfinite(number):
                        own.setdefault(f"{metric},{row['filter']}", {})[str(row["doc_id"])] = number
    return found
