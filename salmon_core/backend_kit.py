"""What trainer backends do alike: options of a stage, errors in them, and the tables of their documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from salmon_core.errors import ConfigError, Problem
from salmon_core.interfaces import Job

Options = TypeVar("Options", bound=BaseModel)
Launch = TypeVar("Launch", bound=BaseModel)


class LoRAOptions(BaseModel):
    """A low-rank adapter instead of training all weights (arXiv 2106.09685)."""

    model_config = ConfigDict(extra="forbid")

    r: PositiveInt = Field(64, description="rank (paper: 64)")
    alpha: PositiveInt = Field(16, description="scale; the update is multiplied by alpha / r")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout of the adapter's input")
    target_modules: list[str] | str | None = Field(None, description="module names; null: every linear layer")


def options_of(
    backend: str,
    stage: str,
    algorithm: str,
    *,
    stages: Mapping[str, type[Options]],
    algorithms: Mapping[str, type[Options]],
) -> type[Options]:
    """The option model of a stage; in train-policy, of its algorithm.

    Args:
        stages: models of the other stages.

    Raises:
        ConfigError: the backend has no such stage or algorithm.
    """
    if stage == "train-policy":
        if algorithm not in algorithms:
            known = ", ".join(sorted(algorithms))
            raise ConfigError([Problem("algorithm", f"backend {backend} has no {algorithm!r}", f"one of: {known}")])
        return algorithms[algorithm]
    if stage not in stages:
        raise ConfigError([Problem("stage", f"backend {backend} has no stage {stage!r}")])
    return stages[stage]


def read_options(job: Job, options: type[Options], launch: type[Launch]) -> tuple[Options, Launch]:
    """A job's `options` and `launch`, checked.

    Raises:
        ConfigError: all that is wrong with either.
    """
    problems: list[Problem] = []
    found: list[BaseModel] = []
    for name, model, values in (("options", options, job.options), ("launch", launch, job.launch)):
        try:
            found.append(model.model_validate(dict(values)))
        except ValidationError as error:
            problems += [Problem(".".join([name, *map(str, line["loc"])]), line["msg"]) for line in error.errors()]
    if problems:
        raise ConfigError(problems)
    return found[0], found[1]  # type: ignore[return-value]


def option_table(model: type[BaseModel]) -> str:
    """A Markdown table: option, default, meaning. Only what differs from the class above."""
    lines = ["| option | default | meaning |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        inherited = getattr(model.__mro__[1], "model_fields", {}).get(name)
        if inherited is None or inherited.default != field.default:
            default = field.get_default(call_default_factory=True)
            shown = "null" if default is None else str(default).lower() if isinstance(default, bool) else default
            lines.append(f"| `{name}` | `{shown}` | {field.description} |")
    return "\n".join(lines)


def fill_blocks(text: str, blocks: Mapping[str, str]) -> str:
    """The text with the content of each `<!-- NAME -->` ... `<!-- end -->` made anew; one without an end stays."""
    for name, content in blocks.items():
        start, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, _, rest = text.partition(start)
        _, closed, after = rest.partition(end)
        if closed:
            text = f"{before}{start}{content}\n{end}{after}"
    return text
