"""The bonus `missing-stop`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.api import Bonus, paper
from salmon_core.records import Rollout


class MissingStop(Bonus):
    """`-penalty` for a completion that the policy did not end itself, else 0.

    Added to the other rewards, as in the paper, and not put in their place.
    """

    class Options(BaseModel):
        """The default is the paper's."""

        model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

        penalty: float = Field(
            default=6.0,
            ge=0,
            description="subtracted from the reward",
            json_schema_extra=paper(6.0, "penalty for a missing stop"),
        )

    def __init__(self, options: Options | None = None):
        self.options = options or self.Options()

    def score_one(self, rollout: Rollout) -> float:
        return 0.0 if rollout.stopped else -self.options.penalty
