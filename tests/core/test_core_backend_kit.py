"""What backends share: their options' errors all at once, and tables from their schemas."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field

from salmon_core.backend_kit import fill_blocks, option_table, options_of, read_options
from salmon_core.errors import ConfigError
from salmon_core.interfaces import Job, ModelSpec


class Base(BaseModel, extra="forbid"):
    rate: float = Field(0.1, gt=0, description="how fast")
    quick: bool = Field(False, description="or slow")


class Special(Base):
    rate: float = Field(0.2, gt=0, description="faster")
    names: list[str] = Field(default_factory=list, description="which")
    most: int | None = Field(None, description="null: all")


class Launch(BaseModel, extra="forbid"):
    processes: int = Field(1, ge=1)


def job(**more: object) -> Job:
    return Job("sft", "", "folder", ModelSpec("model"), {}, 0, **more)  # type: ignore[arg-type]


def test_the_model_of_a_stage_or_algorithm() -> None:
    models = {"stages": {"sft": Base}, "algorithms": {"ppo": Special}}
    assert options_of("mine", "sft", "", **models) is Base
    assert options_of("mine", "train-policy", "ppo", **models) is Special
    with pytest.raises(ConfigError, match=r"algorithm.*backend mine has no 'grpo'.*one of: ppo"):
        options_of("mine", "train-policy", "grpo", **models)
    with pytest.raises(ConfigError, match="backend mine has no stage 'train-rm'"):
        options_of("mine", "train-rm", "", **models)


def test_everything_wrong_is_said_with_its_place() -> None:
    options, launch = read_options(job(options={"rate": 3}), Special, Launch)
    assert (options.rate, launch.processes) == (3, 1)
    with pytest.raises(ConfigError) as error:
        read_options(job(options={"rate": -1, "most": "x"}, launch={"processes": 0}), Special, Launch)
    assert [problem.where for problem in error.value.problems] == ["options.rate", "options.most", "launch.processes"]


def test_a_table_of_what_a_class_adds() -> None:
    assert option_table(Special).splitlines() == [
        "| option | default | meaning |",
        "|---|---|---|",
        "| `rate` | `0.2` | faster |",
        "| `names` | `[]` | which |",
        "| `most` | `null` | null: all |",
    ]


def test_blocks_are_made_anew_and_nothing_else() -> None:
    text = "a\n<!-- one -->\nold\n<!-- end -->\nb\n<!-- two -->\nkept\n<!-- end -->\n"
    once = fill_blocks(text, {"one": "new | \\1", "absent": "never"})
    assert once == text.replace("old", "new | \\1")
    assert fill_blocks(once, {"one": "new | \\1"}) == once
    assert fill_blocks("<!-- one -->\nopen\n", {"one": "new"}) == "<!-- one -->\nopen\n"
