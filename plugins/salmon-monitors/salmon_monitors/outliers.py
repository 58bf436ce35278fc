"""The monitor `outliers`."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median

from pydantic import BaseModel, ConfigDict, Field

from salmon_core.api.monitors import Alarm, Monitor, RolloutBatch, WatchedRun
from salmon_monitors.windows import examples, names

#: of a normal distribution, the standard deviation by the median absolute deviation
_NORMAL = 1.4826
#: of a batch: what is more than that is no outlier, but one of two kinds of answers
_MOST = 0.1


class Outliers(Monitor):
    """Rewards so far above the median that they are no part of the rest: texts that a reward model was never shown.

    In units of the median absolute deviation (Hampel 1974). Where more than a tenth of a batch is, the rewards have two
    modes, as when a principle begins to count that some answers follow, and nothing is told.
    """

    class Options(BaseModel):
        """What a configuration may set."""

        model_config = ConfigDict(extra="forbid")

        deviations: float = Field(10.0, gt=3, description="above the median, in robust standard deviations")
        count: int = Field(3, ge=1, description="of such rollouts in one batch")

    def __init__(self, options: Options):
        self.options = options

    def see(self, batch: RolloutBatch, run: WatchedRun) -> Iterable[Alarm]:
        """See the class."""
        rewards = [each.reward for each in batch.rollouts]
        if len(rewards) < 20:
            return
        middle = median(rewards)
        spread = _NORMAL * median(abs(each - middle) for each in rewards)
        if spread == 0:
            return
        limit = middle + self.options.deviations * spread
        flagged = [each for each in batch.rollouts if each.reward > limit]
        if self.options.count <= len(flagged) <= max(self.options.count, _MOST * len(rewards)):
            # Chebyshev's bound (1867): it holds for any distribution, and asks nothing of the tails.
            p = min(1.0, len(rewards) / self.options.deviations**2 / len(flagged))
            yield Alarm(
                about="rewards",
                text=f"{len(flagged)} of {len(rewards)} rewards are above {limit:.2f}, the median is {middle:.2f}",
                since=batch.rollout_index,
                p=p,
                examples=examples(flagged),
                flagged=names(flagged),
            )
