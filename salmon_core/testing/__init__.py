"""For the tests of a plugin: makers of records, components as a configuration makes them, a contract for each kind.

Only the contracts need pytest, and they are imported when one is first named; nothing else of salmon imports this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from salmon_core.testing.contracts.backend import BackendContract
    from salmon_core.testing.contracts.base import ComponentContract
    from salmon_core.testing.contracts.bonus import BonusContract
    from salmon_core.testing.contracts.engine import EngineContract
    from salmon_core.testing.contracts.evaluator import EvaluatorContract
    from salmon_core.testing.contracts.judge import JudgeContract
    from salmon_core.testing.contracts.labeller import LabellerContract
    from salmon_core.testing.contracts.monitor import MonitorContract
    from salmon_core.testing.contracts.oracle import OracleContract
    from salmon_core.testing.contracts.principles import PrinciplesContract
    from salmon_core.testing.contracts.prompts import PromptSourceContract
    from salmon_core.testing.contracts.template import TemplateContract
    from salmon_core.testing.contracts.whole import CommandContract, ModelContract, ReportContract, StarterContract
    from salmon_core.testing.made_up import MadeUpRun
    from salmon_core.testing.makers import (
        make_breakdown,
        make_completion,
        make_estimate,
        make_job,
        make_judgment,
        make_pair,
        make_preference,
        make_principle,
        make_principles,
        make_prompt,
        make_reward_spec,
        make_rollout,
    )
    from salmon_core.testing.models import ByteCodec, ByteModel
    from salmon_core.testing.registry import build_component, option_model, registry_of

_HOMES = {
    "BackendContract": "contracts.backend",
    "BonusContract": "contracts.bonus",
    "ByteCodec": "models",
    "ByteModel": "models",
    "CommandContract": "contracts.whole",
    "ComponentContract": "contracts.base",
    "EngineContract": "contracts.engine",
    "EvaluatorContract": "contracts.evaluator",
    "JudgeContract": "contracts.judge",
    "LabellerContract": "contracts.labeller",
    "MadeUpRun": "made_up",
    "ModelContract": "contracts.whole",
    "MonitorContract": "contracts.monitor",
    "OracleContract": "contracts.oracle",
    "PrinciplesContract": "contracts.principles",
    "PromptSourceContract": "contracts.prompts",
    "ReportContract": "contracts.whole",
    "StarterContract": "contracts.whole",
    "TemplateContract": "contracts.template",
    "build_component": "registry",
    "make_breakdown": "makers",
    "make_completion": "makers",
    "make_estimate": "makers",
    "make_job": "makers",
    "make_judgment": "makers",
    "make_pair": "makers",
    "make_preference": "makers",
    "make_principle": "makers",
    "make_principles": "makers",
    "make_prompt": "makers",
    "make_reward_spec": "makers",
    "make_rollout": "makers",
    "option_model": "registry",
    "registry_of": "registry",
}

__all__ = [
    "BackendContract",
    "BonusContract",
    "ByteCodec",
    "ByteModel",
    "CommandContract",
    "ComponentContract",
    "EngineContract",
    "EvaluatorContract",
    "JudgeContract",
    "LabellerContract",
    "MadeUpRun",
    "ModelContract",
    "MonitorContract",
    "OracleContract",
    "PrinciplesContract",
    "PromptSourceContract",
    "ReportContract",
    "StarterContract",
    "TemplateContract",
    "build_component",
    "make_breakdown",
    "make_completion",
    "make_estimate",
    "make_job",
    "make_judgment",
    "make_pair",
    "make_preference",
    "make_principle",
    "make_principles",
    "make_prompt",
    "make_reward_spec",
    "make_rollout",
    "option_model",
    "registry_of",
]


def __getattr__(name: str) -> Any:
    """Public names are imported on first use, so that makers need no pytest."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
