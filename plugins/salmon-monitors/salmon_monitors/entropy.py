"""The monitor `entropy`."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence

from pydantic import Field

from salmon_core.api.monitors import Alarm, RolloutBatch, SeenRollout, WatchedRun
from salmon_monitors.windows import Compared, Comparing, change, examples, names

#: what trainers log it by, in nats for a token
NUMBER = "entropy"
_GRAM = 3
#: runs of words of a batch below which their variety says nothing
_GRAMS = 100
#: prompts with several answers, at each side, below which their answers say nothing
_PROMPTS = 10


class Entropy(Comparing):
    """The policy's entropy collapses: it says one thing only, and RL has nothing left to choose from.

    Known of policy gradients that nothing keeps wide (DAPO, arXiv 2503.14476). Three ways to see it: the entropy that
    the trainer logs; among samples of one prompt, how many are one text; and over all answers of a batch the share of
    different runs of three words (distinct-n, arXiv 1510.03055), which needs neither.
    """

    class Options(Compared):
        """What a configuration may set."""

        left: float = Field(0.2, gt=0, lt=1, description="of the trainer's entropy at first, at most")
        distinct: float = Field(0.4, gt=0, lt=1, description="of the variety of words at first, at most")
        same: float = Field(
            0.5, gt=0, le=1, description="rise of the share of answers that another sample of their prompt equals"
        )

    def __init__(self, options: Options):
        super().__init__(options)
        self.options = options
        self._first: list[float] = []
        self._last: deque[float] = deque(maxlen=options.window)

    def see(self, batch: RolloutBatch, run: WatchedRun) -> Iterable[Alarm]:
        """See the class."""
        self._log(batch)
        if not self._windows.add(batch):
            return
        yield from filter(None, (self._logged(batch), self._same(batch), self._distinct(batch)))

    def _log(self, batch: RolloutBatch) -> None:
        value = batch.numbers.get(NUMBER)
        if value is None or not math.isfinite(value):
            return
        if len(self._first) < 2 * self.options.window:
            self._first.append(value)
        else:
            self._last.append(value)

    def _logged(self, batch: RolloutBatch) -> Alarm | None:
        if len(self._last) < self.options.window:
            return None
        old, new, p = _fall(self._first, self._last)
        p = self._windows.corrected(p, 3)
        if old <= 0 or max(self._last) > self.options.left * old or p > self.options.level:
            return None
        text = f"the trainer's entropy fell from {old:.3g} nats to {new:.3g}"
        return Alarm("entropy", text, batch.rollout_index, p, examples(self._windows.now()))

    def _same(self, batch: RolloutBatch) -> Alarm | None:
        before, _ = _repeated(self._windows.before())
        now, flagged = _repeated(self._windows.now())
        if min(len(before), len(now)) < _PROMPTS:
            return None
        old, new, p = change(before, now)
        # Where all are alike on both sides no error is seen: the chance of a coin for each prompt bounds it.
        p = self._windows.corrected(max(p, 0.5 ** min(len(before), len(now))), 3)
        if new - old < self.options.same or p > self.options.level:
            return None
        return Alarm(
            about="same answers",
            text=f"samples of one prompt are one text: {old:.2f} of them at first, {new:.2f} now",
            since=batch.rollout_index,
            p=p,
            examples=examples(flagged),
            flagged=names(flagged),
        )

    def _distinct(self, batch: RolloutBatch) -> Alarm | None:
        grams = [_grams(each.rollouts) for each in (*self._windows.first, *self._windows.last)]
        size = min(map(len, grams))  # of equally many, since the share falls with their number
        if size < _GRAMS:
            return None
        shares = [len(set(each[:size])) / size for each in grams]
        old, new, p = _fall(shares[: len(self._windows.first)], shares[len(self._windows.first) :])
        p = self._windows.corrected(p, 3)
        if new > self.options.distinct * old or p > self.options.level:
            return None
        text = f"answers have fewer words: {old:.2f} of their runs of {_GRAM} were different at first, {new:.2f} now"
        return Alarm("few words", text, batch.rollout_index, p, examples(self._windows.now()))


def _fall(first: Iterable[float], last: Iterable[float]) -> tuple[float, float, float]:
    """Mean at first, mean now, one-sided p of a fall, of one number for each batch."""
    before, now = ({str(place): [-value] for place, value in enumerate(each)} for each in (first, last))
    old, new, p = change(before, now)
    return -old, -new, p


def _repeated(rollouts: Sequence[SeenRollout]) -> tuple[dict[str, list[float]], list[SeenRollout]]:
    """Of answers that are not the only one of their prompt in a batch, by prompt: whether another one equals it; and
    those that are so."""
    keys = [(each.rollout_index, each.prompt_id) for each in rollouts]
    samples = Counter(keys)
    texts = Counter((*key, each.completion) for key, each in zip(keys, rollouts, strict=True))
    values: dict[str, list[float]] = {}
    flagged = []
    for key, each in zip(keys, rollouts, strict=True):
        if samples[key] > 1:
            same = texts[*key, each.completion] > 1
            values.setdefault(each.prompt_id, []).append(float(same))
            flagged += [each] if same else []
    return values, flagged


def _grams(rollouts: Sequence[SeenRollout]) -> list[tuple[str, ...]]:
    found = []
    for each in rollouts:
        words = each.completion.casefold().split()
        found += [tuple(words[i : i + _GRAM]) for i in range(len(words) - _GRAM + 1)]
    return found
