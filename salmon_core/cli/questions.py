"""What the judge of a run will be asked, by the principles of each prompt; see `salmon plan`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from salmon_core.api.principles import Principle
from salmon_core.config.run_config import RunConfig
from salmon_core.records import Prompt

#: each pair is shown in both
ORDERS = 2


class Questions:
    """Counts for the pairs of some prompts, as far as the principles tell them.

    Args:
        config: the run's.
        prompts: to train on; None where they were not read.
        count: of prompts, where they were not read.
    """

    def __init__(self, config: RunConfig, prompts: Iterable[Prompt] | None, count: int | None = None):
        self._config = config
        self._pairs = config.config.sample.samples // 2
        #: (principles, of which it is asked again how often) -> prompts
        self._kinds: Counter[tuple[int, int]] = Counter()
        self.read = prompts is not None
        for prompt in prompts or ():
            self._kinds[self._kind(self.principles(prompt))] += 1
        if prompts is None:
            self._kinds[self._kind(config.judge_principles)] = count or 0

    def principles(self, prompt: Prompt) -> tuple[Principle, ...]:
        """Those that a prompt's pairs are judged by."""
        own, principles = self._config.per_prompt, tuple(self._config.judge_principles)
        return principles if own is None else own.of(prompt, principles)

    def _kind(self, principles: Iterable[Principle]) -> tuple[int, int]:
        found = tuple(principles)
        again = sum(each.negated is not None for each in found)
        return len(found), again + len(found) * min(1, len(self._config.template.rewordings))

    @property
    def asked(self) -> int:
        """Principles in both orders, over all pairs."""
        return ORDERS * self._pairs * sum(principles * prompts for (principles, _), prompts in self._kinds.items())

    def again(self, probe: int) -> int:
        """At most, on so many pairs: by negated principles and in other words, in both orders."""
        pairs: Counter[int] = Counter()
        for (_, again), prompts in self._kinds.items():
            pairs[again] += self._pairs * prompts
        left, total = probe, 0
        for again in sorted(pairs, reverse=True):
            taken = min(left, pairs[again])
            left, total = left - taken, total + taken * again
        return ORDERS * total

    def __str__(self) -> str:
        """For each pair, in words."""
        numbers = sorted({principles for principles, _ in self._kinds})
        text = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
        more = "" if self.read or self._config.per_prompt is None else " and its prompt's own"
        return f"{text} principles{more} in {ORDERS} orders"
