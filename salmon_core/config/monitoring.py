"""The section `monitors`: who watches a run's rollouts, and what becomes of an alarm."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from salmon_core.config.choices import Choice, Section, listed


class MonitorsSection(Section):
    """What watches the rollouts while RL goes on. See docs/monitors.md."""

    use: Annotated[list[Choice], BeforeValidator(listed)] | None = Field(
        None, description="monitors, with their options; null: those that installed plugins have as their defaults"
    )
    on_alarm: Literal["note", "stop"] = Field(
        "note", description="what becomes of an alarm, beside being on record; `stop`: the run ends, and can go on"
    )
