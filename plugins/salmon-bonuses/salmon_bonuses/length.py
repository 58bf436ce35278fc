"""The bonus `length`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.interfaces import Bonus
from salmon_core.records import Rollout


class Length(Bonus):
    """`scale * min(n_tokens / max_tokens * multiplier, cap)`, the multiplier by the prompt's category.

    With the defaults the paper's: from 0 to 4 on general prompts, down to -2 on reasoning prompts, 0 on red-teaming
    ones (arXiv 2310.05910, 3.3). `max_tokens` belongs to the policy's longest completion: set it with that.
    """

    class Options(BaseModel):
        """The defaults are the paper's."""

        model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

        scale: float = Field(default=5.0, description="applied before the configured weight")
        cap: float = Field(default=0.8, description="the most that length can count, before `scale`")
        max_tokens: int = Field(default=1024, ge=1, description="the longest completion, in tokens without the EOS")
        multipliers: dict[str, float] = Field(
            default={"general": 1.0, "reasoning": -0.4, "red-teaming": 0.0}, description="by category"
        )
        otherwise: float = Field(default=1.0, description="the multiplier of categories not named")

    def __init__(self, options: Options | None = None):
        self.options = options or self.Options()

    def score_one(self, rollout: Rollout) -> float:
        o = self.options
        share = rollout.n_tokens / o.max_tokens * o.multipliers.get(rollout.category, o.otherwise)
        return o.scale * min(share, o.cap)
