"""What you implement: one file for each kind of plugin, and nothing else."""

from __future__ import annotations

from salmon_core.api.component import Component, ComponentSpec, HubPath, paper, uncounted
from salmon_core.api.evaluation import (
    EvaluatedRun,
    Evaluator,
    KnownRun,
    Metrics,
    Oracle,
    Question,
    RewardModelAccuracy,
    Role,
    Section,
    Target,
)
from salmon_core.api.judge import Judge, JudgeContext, TryAgain
from salmon_core.api.labeller import Labeller, Labels, MadeLabels, judged_by
from salmon_core.api.memory import KeptModel, Logits, LowRank, ModelPass, Phase, ProcessMemory, Use
from salmon_core.api.models import (
    Ability,
    Chooser,
    Engine,
    ModelSpec,
    OpenModel,
    PrefixRequest,
    Sampler,
    Sampling,
    Scorer,
    TokenCodec,
    able,
)
from salmon_core.api.principles import Principle, PrincipleSet
from salmon_core.api.prompts import PromptSource
from salmon_core.api.reward import Bonus, BonusSpec, RewardSpec, ScheduledPrinciple
from salmon_core.api.starter import Starter
from salmon_core.api.templates import Limits, RewardConversation, Template
from salmon_core.api.training import (
    Backend,
    Job,
    Launch,
    LaunchPlan,
    Leaves,
    LoggedStep,
    Service,
    StageResult,
    Step,
    TrainingStage,
)

__all__ = [
    "Ability",
    "Backend",
    "Bonus",
    "BonusSpec",
    "Chooser",
    "Component",
    "ComponentSpec",
    "Engine",
    "EvaluatedRun",
    "Evaluator",
    "HubPath",
    "Job",
    "Judge",
    "JudgeContext",
    "KeptModel",
    "KnownRun",
    "Labeller",
    "Labels",
    "Launch",
    "LaunchPlan",
    "Leaves",
    "Limits",
    "LoggedStep",
    "Logits",
    "LowRank",
    "MadeLabels",
    "Metrics",
    "ModelPass",
    "ModelSpec",
    "OpenModel",
    "Oracle",
    "Phase",
    "PrefixRequest",
    "Principle",
    "PrincipleSet",
    "ProcessMemory",
    "PromptSource",
    "Question",
    "RewardConversation",
    "RewardModelAccuracy",
    "RewardSpec",
    "Role",
    "Sampler",
    "Sampling",
    "ScheduledPrinciple",
    "Scorer",
    "Section",
    "Service",
    "StageResult",
    "Starter",
    "Step",
    "Target",
    "Template",
    "TokenCodec",
    "TrainingStage",
    "TryAgain",
    "Use",
    "able",
    "judged_by",
    "paper",
    "uncounted",
]
