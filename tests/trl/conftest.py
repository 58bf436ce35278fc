"""Makes `trl_world` importable for the tests of this folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model that ends some of its completions early."""
    import ppo_world as ppo

    return ppo.make_policy(tmp_path_factory.mktemp("models") / "policy")


@pytest.fixture(scope="module")
def reward_model(policy: Path) -> Path:
    """An adapter of the policy's base."""
    import ppo_world as ppo

    return ppo.make_reward_adapter(policy.parent, policy)
