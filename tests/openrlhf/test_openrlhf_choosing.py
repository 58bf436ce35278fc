"""`docs/choosing-a-backend.md` says what the backends do; `docs/backends/openrlhf.md` is what the code says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from openrlhf_world import ROOT

from salmon_core.api import Backend, ComponentSpec, Job, Limits, ModelSpec, RewardSpec
from salmon_core.errors import ConfigError
from salmon_openrlhf.backend import OpenRLHFBackend
from salmon_trl.backend import TRLBackend

REWARD = RewardSpec(
    ComponentSpec("templates", "t", "dist"), Limits(), ComponentSpec("engines", "e", "dist"), None, ModelSpec("/m")
)
BACKENDS: tuple[type[Backend], ...] = (TRLBackend, OpenRLHFBackend)


def rows() -> dict[str, list[str]]:
    """First column -> the others."""
    text = (ROOT / "docs" / "choosing-a-backend.md").read_text()
    cells = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {name: values for name, *values in cells[2:]}


def plans(backend: Backend, stage: str, **more: Any) -> bool:
    """Whether the backend plans that."""
    values: dict[str, Any] = {
        "algorithm": {"sft": "sft", "train-rm": "reward"}.get(stage, "ppo"),
        "folder": "/runs/x",
        "model": ModelSpec("/m"),
        "data": {"train": "/runs/x/train.parquet"},
        "seed": 1,
        "reward": REWARD,
        **more,
    }
    try:
        backend.plan(Job(stage=stage, **values))  # type: ignore[arg-type]
    except ConfigError:
        return False
    return True


LORA = {"lora": {"r": 8}}
CLAIMS: dict[str, Callable[[Backend], bool]] = {
    **{name: (lambda backend, name=name: name in backend.stages) for name in ("sft", "train-rm")},  # type: ignore[misc]
    **{
        name: (lambda backend, name=name: name in backend.algorithms)  # type: ignore[misc]
        for name in ("ppo", "grpo", "rloo", "dpo", "reinforce++", "reinforce++-baseline")
    },
    "LoRA in SFT": lambda backend: plans(backend, "sft", options=LORA),
    "LoRA for the reward model": lambda backend: plans(backend, "train-rm", options=LORA),
    "LoRA in RL": lambda backend: plans(backend, "train-policy", options=LORA),
    "LoRA in DPO": lambda backend: plans(backend, "train-policy", algorithm="dpo", reward=None, options=LORA),
    "policy, critic and reward model on one base model": lambda backend: plans(
        backend, "train-policy", options={**LORA, "sharing": "adapters"}
    ),
    "a model with code of its own": lambda backend: plans(
        backend, "train-rm", model=ModelSpec("/m", trust_remote_code=True)
    ),
    "several machines in RL, by Ray": lambda backend: plans(
        backend, "train-policy", options={"nodes": 2, "ray_address": "auto"}
    ),
    "starts vLLM on GPUs of its own": lambda backend: plans(
        backend, "train-policy", options={"colocate": "none", "vllm_engines": 2}
    ),
    "trains on a CPU": lambda backend: plans(backend, "train-rm", model=ModelSpec("/m", device="cpu")),
}
#: true by runs: tests/trl/test_trl_resume.py, tests/openrlhf/test_openrlhf_rl.py, and by OpenRLHF's own flags
BY_RUNS = {
    "float32": ["yes", "no"],
    "the rows of the file in their order": ["yes", "no"],
    "a killed run ends with the same weights": ["yes", "no"],
    "interpreter": ["salmon's own", "one of its own"],
}


def test_every_row_is_checked() -> None:
    assert list(rows()) == [*CLAIMS, *BY_RUNS]


@pytest.mark.parametrize("claim", list(CLAIMS))
def test_the_table_says_what_the_backends_do(claim: str) -> None:
    assert rows()[claim] == ["yes" if CLAIMS[claim](backend()) else "no" for backend in BACKENDS]


def test_every_algorithm_has_a_row() -> None:
    assert {name for backend in BACKENDS for name in backend.algorithms} <= set(rows())


def test_documented_options_are_the_schemas() -> None:
    from salmon_openrlhf.document import fill

    text = (ROOT / "docs" / "backends" / "openrlhf.md").read_text()
    assert text == fill(text), "run python -m salmon_openrlhf.document docs/backends/openrlhf.md"
