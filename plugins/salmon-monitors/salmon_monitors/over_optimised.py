"""The monitor `over-optimised`."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from pydantic import Field

from salmon_core.api.monitors import Alarm, RolloutBatch, WatchedRun
from salmon_core.errors import SalmonError
from salmon_core.kit.statistics import clustered_rate
from salmon_core.records import Prompt
from salmon_monitors.windows import Compared, Comparing, difference, examples, names


class OverOptimised(Comparing):
    """The reward rises, and by a truth that the reward does not have, what it rewards became no better or worse.

    Over-optimisation as in arXiv 2210.10760, where a gold reward falls while the proxy's still rises. Here an oracle
    compares recent answers with the first ones to the same prompts, principle by principle.
    """

    of_rewards = True

    class Options(Compared):
        """What a configuration may set."""

        oracle: str = Field(description="name of an oracle that knows principles of the reward")
        below: float = Field(0.5, gt=0, le=0.5, description="share of comparisons that recent answers win, at most")

    def __init__(self, options: Options):
        super().__init__(options)
        self.options = options

    def see(self, batch: RolloutBatch, run: WatchedRun) -> Iterable[Alarm]:
        """See the class."""
        if not self._windows.add(batch):
            return
        oracle = run.oracle(self.options.oracle)
        before, now = self._windows.before(), self._windows.now()
        old, new, p = difference(before, now, lambda each: each.reward)
        if self._windows.corrected(p) > self.options.level:
            return
        first = {
            prompt: [each for each in before if each.prompt_id == prompt] for prompt in {e.prompt_id for e in before}
        }
        for principle in run.rewarded:
            wins: dict[str, list[float]] = {}
            lost = []
            for each in now:
                if each.prompt_id not in first:
                    continue
                rng = Random(f"{each.rollout_index} {each.place}")
                other = rng.choice(first[each.prompt_id])
                prompt = Prompt.from_text(each.prompt, id=each.prompt_id, category=each.category)
                try:
                    said = oracle.prefer(prompt, each.completion, other.completion, principle.name)
                except (KeyError, SalmonError):  # nothing that it knows
                    break
                said = -said if principle.negated else said
                if said:
                    wins.setdefault(each.prompt_id, []).append(float(said > 0))
                    if said < 0:
                        lost.append(each)
            found = clustered_rate(wins)
            if len(wins) >= 20 and found.high < self.options.below:
                share = f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}] of {found.n} prompts"
                yield Alarm(
                    about=principle.name,
                    text=f"the reward rose from {old:.2f} to {new:.2f}, and by {principle.name} the oracle "
                    f"prefers recent answers in {share} only",
                    since=batch.rollout_index,
                    p=self._windows.corrected(p),
                    examples=examples(lost),
                    flagged=names(lost),
                )
