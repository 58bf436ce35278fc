"""The bonus `length`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.api import Bonus, paper
from salmon_core.records import Rollout

_MULTIPLIERS = {"general": 1.0, "reasoning": -0.4, "red-teaming": 0.0}


class Length(Bonus):
    """`scale * min(n_tokens / max_tokens * multiplier, cap)`, the multiplier by the prompt's category.

    With the defaults the paper's: from 0 to 4 on general prompts, down to -2 on reasoning prompts, 0 on red-teaming
    ones (arXiv 2310.05910, 3.3). `max_tokens` belongs to the policy's longest completion: set it with that.
    """

    class Options(BaseModel):
        """The defaults are the paper's."""

        model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

        scale: float = Field(
            default=5.0,
            description="applied before the configured weight",
            json_schema_extra=paper(5.0, "bonus for length: scale"),
        )
        cap: float = Field(
            default=0.8,
            description="the most that length can count, before `scale`",
            json_schema_extra=paper(0.8, "bonus for length: the most that it counts"),
        )
        max_tokens: int = Field(
            default=1024,
            ge=1,
            description="the longest completion, in tokens without the EOS",
            json_schema_extra=paper(1024, "bonus for length: the longest completion"),
        )
        multipliers: dict[str, float] = Field(
            default=_MULTIPLIERS,
            description="by category",
            json_schema_extra=paper(_MULTIPLIERS, "bonus for length: multipliers by category"),
        )
        otherwise: float = Field(default=1.0, description="the multiplier of categories not named")

    def __init__(self, options: Options | None = None):
        self.options = options or self.Options()

    def score_one(self, rollout: Rollout) -> float:
        o = self.options
        share = rollout.n_tokens / o.max_tokens * o.multipliers.get(rollout.category, o.otherwise)
        return o.scale * min(share, o.cap)
