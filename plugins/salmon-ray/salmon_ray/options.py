"""What a configuration may say of the pool, and of the engine that works in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, to_jsonable_python

from salmon_core.api import ComponentSpec, uncounted
from salmon_core.data.validation import problems_of
from salmon_core.errors import Problem, SalmonError
from salmon_core.plugins.options import options_model, uncounted_options
from salmon_core.plugins.registry import Owned, Registry

#: this engine's distribution
OWN = "salmon-ray"


class Options(BaseModel):
    """What a configuration may set."""

    model_config = ConfigDict(extra="forbid")

    engine: str = Field(min_length=1, description="the engine that works in the pool, of an installed plugin")
    options: dict[str, Any] = Field(
        default_factory=dict, validate_default=True, description="that engine's own options"
    )
    workers: int = Field(2, ge=1, description="Ray actors, each with the model open", json_schema_extra=uncounted())
    address: str | None = Field(
        None,
        min_length=1,
        description="of a running cluster that this machine belongs to, HOST:PORT or `auto`; null: Ray is started for "
        "as long as the model is open",
        json_schema_extra=uncounted(),
    )
    num_cpus: float = Field(
        1, ge=0, description="CPUs of one worker, as Ray counts them", json_schema_extra=uncounted()
    )
    num_gpus: float = Field(
        0, ge=0, description="GPUs of one worker; a worker sees no others", json_schema_extra=uncounted()
    )
    resources: dict[str, float] = Field(
        default_factory=dict, description="of one worker, by the cluster's own names", json_schema_extra=uncounted()
    )
    chunk: int = Field(32, ge=1, description="prompts, or texts with one beginning, that a worker gets at once")
    attempts: int = Field(
        3,
        ge=1,
        description="workers that may die of one piece of work before it is given up",
        json_schema_extra=uncounted(),
    )
    start_timeout: float = Field(
        900, gt=0, description="seconds until a worker has to have opened the model", json_schema_extra=uncounted()
    )

    @field_validator("engine")
    @classmethod
    def _installed(cls, value: str) -> str:
        owned = _found(value)
        if owned.owner.distribution == OWN:
            raise ValueError("is this engine itself; name the one that is to work in the pool")
        return value

    @field_validator("options")
    @classmethod
    def _its_own(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        # Where the engine was refused there is nothing to check them by.
        return _checked(_found(info.data["engine"]), value) if "engine" in info.data else value

    @field_validator("address")
    @classmethod
    def _of_a_cluster(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            raise ValueError(
                "is the address of Ray's client; run salmon on a machine of the cluster, and give HOST:PORT"
            )
        return None if value == "local" else value

    @property
    def inner(self) -> ComponentSpec:
        """The engine that works in the pool."""
        owned = _found(self.engine)
        return ComponentSpec(owned.kind, owned.name, owned.owner.distribution, to_jsonable_python(self.options))


def _found(name: str) -> Owned:
    try:
        return Registry.discover().find("engines", name)
    except SalmonError as error:
        known = f"; {error.hint}" if error.hint else ""
        raise ValueError(
            f"{error.message}{known}. Files under `plugins` cannot bring it: workers do not have them"
        ) from None


def _checked(owned: Owned, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as the engine reads them, defaults filled in; those that name files are still paths.

    Raises:
        ValidationError: all that is wrong with them, each at its own key.
    """
    try:
        model = options_model(owned.load())
    except SalmonError as error:
        raise ValueError(str(error)) from None
    if model is None:
        if options:
            raise ValueError(f"{owned.name!r} takes no options")
        return {}
    try:
        values = model.model_validate(dict(options)).model_dump()
    except ValidationError as error:
        raise _wrong(problems_of(error, "", model), options) from None
    problems = []
    for name in uncounted_options(model):
        if isinstance(values[name], Path):
            values[name] = os.path.expanduser(values[name])
            if not os.path.isabs(values[name]):
                # What it is relative to is not known here.
                problems.append(Problem(name, "is a relative path; write it from / or ~ on"))
    if problems:
        raise _wrong(problems, options)
    return values


def _wrong(problems: list[Problem], options: Mapping[str, Any]) -> ValidationError:
    """What is wrong, in pydantic's form, which puts the keys around it before each."""
    details = []
    for each in problems:
        said = each.message if each.hint is None else f"{each.message} ({each.hint})"
        error = PydanticCustomError("value_error", "{said}", {"said": said})
        # A problem of the mapping as a whole has no key.
        loc = () if each.where == "configuration" else (each.where,)
        details.append(InitErrorDetails(type=error, loc=loc, input=dict(options)))
    return ValidationError.from_exception_data("options", details)
