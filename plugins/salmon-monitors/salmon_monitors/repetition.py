"""The monitor `repetition`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from pydantic import Field

from salmon_core.api.monitors import Alarm, RolloutBatch, SeenRollout, WatchedRun
from salmon_monitors.windows import KEPT, Compared, Comparing, difference, examples, names

_GRAM = 3
#: prompts whose answer is the same
_PROMPTS = 3


@lru_cache(KEPT)
def repeated(text: str) -> float:
    """The share of a text's runs of three words that stood in it before; 0 of one too short to tell."""
    words = text.casefold().split()
    grams = [tuple(words[i : i + _GRAM]) for i in range(len(words) - _GRAM + 1)]
    return 0.0 if len(grams) < 2 * _GRAM else 1 - len(set(grams)) / len(grams)


class Repetition(Comparing):
    """Answers repeat themselves more, or more of a batch's answers are one and the same text to different prompts."""

    class Options(Compared):
        """What a configuration may set."""

        rise: float = Field(0.2, gt=0, le=1, description="of either share, at least")

    def __init__(self, options: Options):
        super().__init__(options)
        self.options = options
        #: texts that several prompts got at some time
        self._same: set[str] = set()

    def see(self, batch: RolloutBatch, run: WatchedRun) -> Iterable[Alarm]:
        """See the class."""
        if not self._windows.add(batch):
            return
        before, now = self._windows.before(), self._windows.now()
        old, new, p = difference(before, now, lambda each: repeated(each.completion))
        looping = [each for each in now if repeated(each.completion) > 0.5]
        same_before, same_now = _shared(before), _shared(now)
        self._same |= same_now
        was, is_now, q = difference(
            before, now, lambda each: _key(each) in same_before, lambda each: _key(each) in same_now
        )
        found = (
            ("itself", p, new - old,
             f"answers repeat themselves: {old:.2f} of their runs of words at first, {new:.2f} now",
             looping, "The response does not repeat what it has said."),
            ("one text", q, is_now - was,
             f"different prompts get the same answer: {was:.2f} of the answers at first, {is_now:.2f} now",
             [each for each in now if _key(each) in same_now], "The response answers the question that was asked."),
        )  # fmt: skip
        for about, chance, rise, text, flagged, forbid in found:
            chance = self._windows.corrected(chance, len(found))
            if rise >= self.options.rise and chance <= self.options.level:
                yield Alarm(about, text, batch.rollout_index, chance, examples(flagged), names(flagged), forbid)

    def shows(self, about: str, rollout: SeenRollout) -> float | None:
        """How much it repeats itself, or whether it is a text that several prompts got."""
        return repeated(rollout.completion) if about == "itself" else float(_key(rollout) in self._same)


def _key(rollout: SeenRollout) -> str:
    return _words(rollout.completion)


@lru_cache(KEPT)
def _words(text: str) -> str:
    return " ".join(text.casefold().split())


def _shared(rollouts: Sequence[SeenRollout]) -> set[str]:
    """Texts that several prompts got."""
    asked = {(_key(each), each.prompt_id) for each in rollouts}
    return {text for text, count in Counter(text for text, _ in asked).items() if count >= _PROMPTS}
