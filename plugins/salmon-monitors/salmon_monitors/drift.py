"""The monitor `drift`."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from salmon_core.api.monitors import Alarm, RolloutBatch, SeenRollout, WatchedRun
from salmon_monitors.windows import Compared, Comparing, difference, examples, names


class Drift(Comparing):
    """Answers became much longer or shorter, or fewer of them come to an end."""

    class Options(Compared):
        """What a configuration may set."""

        times: float = Field(2.0, gt=1, description="longer than at first, or shorter")
        stopped: float = Field(0.15, gt=0, le=1, description="fall of the share of answers that come to an end")

    def __init__(self, options: Options):
        super().__init__(options)
        self.options = options

    def see(self, batch: RolloutBatch, run: WatchedRun) -> Iterable[Alarm]:
        """See the class."""
        if not self._windows.add(batch):
            return
        before, now = self._windows.before(), self._windows.now()
        old, new, longer = difference(before, now, lambda each: each.n_tokens)
        _, _, shorter = difference(before, now, lambda each: -each.n_tokens)
        ended, ends, fewer = difference(before, now, lambda each: -float(each.stopped))
        long = sorted(now, key=lambda each: -each.n_tokens)[: max(1, len(now) // 4)]
        short = sorted(now, key=lambda each: each.n_tokens)[: max(1, len(now) // 4)]
        lengths = f"{old:.0f} tokens at first, {new:.0f} in the last {self.options.window} batches"
        found = (
            ("longer", longer, new >= self.options.times * old, f"answers became longer: {lengths}", long,
             "The response is no longer than the question needs."),
            ("shorter", shorter, old >= self.options.times * new, f"answers became shorter: {lengths}", short,
             "The response is not cut short: it says all that the question needs."),
            ("no end", fewer, ends - ended >= self.options.stopped,
             f"fewer answers come to an end: {-ended:.2f} of them at first, {-ends:.2f} now",
             [each for each in now if not each.stopped], ""),
        )  # fmt: skip
        for about, p, enough, text, flagged, forbid in found:
            p = self._windows.corrected(p, len(found))
            if enough and p <= self.options.level:
                yield Alarm(about, text, batch.rollout_index, p, examples(flagged), names(flagged), forbid)

    def shows(self, about: str, rollout: SeenRollout) -> float | None:
        """Its length, what it lacks of it, or whether it has no end."""
        if about == "no end":
            return float(not rollout.stopped)
        return float(rollout.n_tokens if about == "longer" else -rollout.n_tokens)
