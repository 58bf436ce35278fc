"""The section `monitors`: who watches a run's rollouts, and what becomes of an alarm."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from salmon_core.config.choices import Choice, Section, listed


class Bounds(Section):
    """How far monitors may go by themselves; see `on_alarm: apply`."""

    at_most: int = Field(ge=1, description="prohibitions that monitors may put on the record of one run")
    kl: float = Field(
        gt=0,
        allow_inf_nan=False,
        description="none is applied where the trainer's `kl`, in nats for an answer, is above this",
    )


class Again(Section):
    """When an alarm whose finding goes on is told again, and when it counts as over."""

    after: int = Field(
        8,
        ge=1,
        description="batches that an intervention is given; an alarm that is still found then, and does not fall, is "
        "told again, and one that was not found for as many is over",
    )
    unanswered: int = Field(
        32, ge=1, description="batches after which it is told again where there was no intervention"
    )
    at_most: int = Field(3, ge=0, description="times that one alarm is told again in a run")


class MonitorsSection(Section):
    """What watches the rollouts while RL goes on. See docs/monitors.md."""

    use: Annotated[list[Choice], BeforeValidator(listed)] | None = Field(
        None, description="monitors, with their options; null: those that installed plugins have as their defaults"
    )
    on_alarm: Literal["note", "propose", "apply", "stop"] = Field(
        "note",
        description="what becomes of an alarm, beside being on record. `propose`: what would forbid it is tried on the "
        "reward model; `apply`: the best that works counts from the next batch on, within `apply`; `stop`: the run "
        "ends, and can go on",
    )
    from_sets: list[str] = Field(
        ["interventions"],
        description="principle sets whose principles are tried as prohibitions, beside the monitors' drafts",
    )
    device: str = Field(
        "cpu", description="where the reward model is opened to try them, beside the trainer's: `cpu`, `cuda:1`, `auto`"
    )
    apply: Bounds | None = Field(None, description="how far `on_alarm: apply` may go; it needs this")

    again: Again | None = Field(Again(), description="when an alarm is told again; null: each is told once")

    @field_validator("from_sets", mode="before")
    @classmethod
    def _one_set(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value
