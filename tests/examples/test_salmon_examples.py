"""The examples for large models: what their first lines say is what the command prints, with no weights here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))
from write_plans import NAMES, printed, written  # noqa: E402


@pytest.mark.parametrize("name", NAMES)
def test_the_header_is_what_the_plan_says(name: str) -> None:
    assert written(name) == printed(name), "run python examples/write_plans.py"


@pytest.mark.parametrize("name", NAMES)
def test_every_stage_fits_the_gpus_of_the_header(name: str) -> None:
    """Those of 80 GB, which the first lines speak of, or that a rented machine has."""
    verdicts = [line for line in written(name).splitlines() if " fits GPUs of " in line]
    assert len(verdicts) == 7
    assert all(" 80," in line for line in verdicts)


def test_the_papers_numbers_are_the_papers() -> None:
    """Those of the recipe that differ from it are said by a run's report; here are none but the machine's."""
    values = yaml.safe_load((EXAMPLES / "salmon-70b.yaml").read_text())
    rl, rm = values["train"]["options"], values["reward_model"]["options"]
    assert (rl["learning_rate"], rl["kl_coef"], rl["temperature"]) == (2e-5, 0.01, 0.7)
    assert (rl["generation_batch_size"], rl["total_batch_size"], rl["num_iterations"]) == (576, 288, 2)
    assert (rm["learning_rate"], rm["max_length"], rm["lora"]["r"]) == (3e-5, 1280, 64)
    assert rl["sharing"] == "adapters"
    assert rl["quantization"] == rm["quantization"] == "nf4"


def test_the_readme_has_their_sizes() -> None:
    from write_plans import README, SIZES, sizes

    assert SIZES.findall(README.read_text()) == [sizes()], "run python examples/write_plans.py"
