"""Whether TRL takes a job's options: `python -m salmon_trl.checking < job.json` prints the problems as JSON."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from salmon_core.api import Job
from salmon_core.errors import ConfigError, Problem, SalmonError
from salmon_core.kit.quantization import missing
from salmon_trl.algorithms import ALGORITHMS, ON_PREFERENCES
from salmon_trl.backend import TRLBackend
from salmon_trl.layout import layout


def check_arguments(job: Job) -> None:
    """Makes TRL's configuration and its trackers, trains nothing.

    Raises:
        ConfigError: what they refuse.
    """
    options = TRLBackend().options_of(job)
    found, _ = layout(options, job.launch.processes)
    if found is None:
        return  # the launch file says how many processes there are
    try:
        from salmon_trl.common import Run
    except ImportError as error:
        hint = 'pip install "salmon-trl[train]"'
        raise ConfigError([Problem("options", f"cannot import the trainer: {error}", hint)]) from None
    problems: list[Problem] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        run = Run(job, options, Path(folder), found)
        try:
            run.arguments(*_configuration(job, options), steps=found.window)
        except ConfigError as error:
            problems += error.problems
        except SalmonError as error:
            problems.append(Problem("options", error.message, error.hint))
        problems += _tracker_problems(options.report_to or ())
        if (lacking := missing(options.quantization)) is not None:
            problems.append(Problem("options.quantization", lacking, "pip install bitsandbytes there"))
    if problems:
        raise ConfigError(problems)


def _configuration(job: Job, options: Any) -> tuple[type, dict[str, Any]]:
    """TRL's configuration class of a stage, and what our options set in it beside what all stages do."""
    if job.stage == "sft":
        from salmon_trl.sft import SFTConfig, settings

        return SFTConfig, settings(options, evaluated=False)
    if job.algorithm == "reward":
        from salmon_trl.reward_model import RewardConfig, settings

        return RewardConfig, settings(options, evaluated=False)
    if job.algorithm in ON_PREFERENCES:
        from salmon_trl.dpo import DPOConfig
        from salmon_trl.dpo import settings as dpo_settings

        return DPOConfig, dpo_settings(job, options)
    from salmon_trl.policy import settings_of

    module, name = ALGORITHMS[job.algorithm].trainer.split(":")
    trainer: Any = getattr(import_module(module), name)
    return trainer.config, settings_of(trainer, options)


def _tracker_problems(names: Any) -> Iterator[Problem]:
    """Trackers that transformers does not know, or whose package is missing."""
    from transformers.integrations import get_reporting_integration_callbacks

    for name in [names] if isinstance(names, str) else names:
        try:
            for kind in get_reporting_integration_callbacks([name]):
                kind()
        except (ValueError, RuntimeError, ImportError) as error:
            reason = str(error).strip().splitlines()[0]
            yield Problem(
                "options.report_to", f"{name!r} cannot be used: {reason}", f"pip install {name}, or leave it out"
            )


def main() -> None:
    job = Job.from_json(sys.stdin.read())
    problems: list[Problem] = []
    try:
        check_arguments(job)
    except ConfigError as error:
        problems += error.problems
    print(json.dumps([asdict(problem) for problem in problems]))


if __name__ == "__main__":
    main()
