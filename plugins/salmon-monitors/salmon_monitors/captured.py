"""The monitor `captured`."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from salmon_core.api.monitors import Alarm, RolloutBatch, SeenRollout, WatchedRun
from salmon_monitors.windows import Compared, Comparing, difference, examples, names


class Captured(Comparing):
    """One bonus carries most of what the reward has gained, and the rest gained little or lost.

    The reward is a sum, so its gain is the sum of its components' gains. Only bonuses are looked at: what the reward
    model gives is what RL is for.
    """

    of_rewards = True

    class Options(Compared):
        """What a configuration may set."""

        share: float = Field(0.6, gt=0, le=1, description="of the reward's gain, at least")

    def __init__(self, options: Options):
        super().__init__(options)
        self.options = options

    def see(self, batch: RolloutBatch, run: WatchedRun) -> Iterable[Alarm]:
        """See the class."""
        if not self._windows.add(batch):
            return
        before, now = self._windows.before(), self._windows.now()
        old, new, _ = difference(before, now, lambda each: each.reward)
        gain = new - old
        for label in run.bonuses:
            was, is_now, p = difference(before, now, lambda each, label=label: each.components.get(label, 0.0))  # type: ignore[misc]
            p = self._windows.corrected(p, len(run.bonuses))
            if p > self.options.level or gain <= 0 or is_now - was < self.options.share * gain:
                continue
            flagged = sorted(now, key=lambda each: -each.components.get(label, 0.0))[: max(1, len(now) // 4)]
            yield Alarm(
                about=label,
                text=f"the bonus {label} carries {(is_now - was) / gain:.0%} of what the reward gained "
                f"({was:.2f} to {is_now:.2f}, of {old:.2f} to {new:.2f})",
                since=batch.rollout_index,
                p=p,
                examples=examples(flagged),
                flagged=names(flagged),
                bonus=label,
            )

    def shows(self, about: str, rollout: SeenRollout) -> float | None:
        """What the bonus gave."""
        return rollout.components.get(about, 0.0)
