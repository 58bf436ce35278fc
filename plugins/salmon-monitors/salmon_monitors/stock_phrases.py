"""The monitor `stock-phrases`."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from math import sqrt

from pydantic import Field

from salmon_core.api.monitors import Alarm, RolloutBatch, SeenRollout, WatchedRun
from salmon_monitors.windows import (
    Compared,
    Comparing,
    difference,
    discoveries,
    examples,
    names,
    normal_scores,
    upper_tail,
)

_WORD = re.compile(r"\w+(?:['’]\w+)*")
#: so many occurrences and prompts make a phrase
_SEEN = 8
#: a phrase that has less than this share of its overall rate among some category's answers belongs to other categories
_EVEN = 0.35
#: phrases that an alarm names to be cut out, the most frequent first
_TOLD = 64
#: share of the rollouts that makes a category
_CATEGORY = 0.1


class StockPhrases(Comparing):
    """Phrases that stand in highly rewarded answers, whatever was asked, and spread.

    A phrase is a run of words. It counts where the answers that have it are rewarded better than others of their batch,
    by the normal scores of their ranks (false discovery rate), and where it occurs in all categories of prompts
    alike: what belongs to the answer of one kind of question is no stock phrase. An alarm is told when the share of
    answers that have one of these phrases has risen since the beginning. Which phrases count says nothing about when
    they occur, so where nothing is the matter one question does not decide the other.
    """

    class Options(Compared):
        """What a configuration may set."""

        words: int = Field(4, ge=2, le=12, description="of a phrase, at least; longer ones are told whole")
        rise: float = Field(0.05, gt=0, le=1, description="of the share of answers with such a phrase, at least")

    def __init__(self, options: Options):
        super().__init__(options)
        self.options = options
        self._seen: Counter[str] = Counter()
        self._scores: dict[str, float] = defaultdict(float)
        self._by_category: dict[str, Counter[str]] = {}
        self._categories: Counter[str] = Counter()
        self._prompts: dict[str, set[str]] = {}
        self._rollouts = 0
        #: that alarms were about: once they are forbidden they are rewarded no more, and count no more
        self._told: set[str] = set()
        #: of the rollouts that are compared
        self._has: dict[tuple[int, int], set[str]] = {}

    def see(self, batch: RolloutBatch, run: WatchedRun) -> Iterable[Alarm]:
        """See the class."""
        self._count(batch.rollouts)
        if not self._windows.add(batch):
            return
        before, now = self._windows.before(), self._windows.now()
        self._has = {key: self._has[key] for key in names([*before, *now])}
        phrases = self._phrases()
        if not phrases:
            return

        def has(rollout: SeenRollout) -> bool:
            return not phrases.isdisjoint(self._has[rollout.rollout_index, rollout.place])

        old, new, p = difference(before, now, has)
        p = self._windows.corrected(p)
        if p > self.options.level or new - old < self.options.rise:
            return
        self._told |= phrases
        flagged = [each for each in now if has(each)]
        counts = Counter(whole for each in flagged for whole in self._whole(each.completion, phrases))
        common = [text for text, _ in counts.most_common()]
        told = common[:3]
        quoted = ", ".join(f'"{text}"' for text in told)
        yield Alarm(
            about="phrases",
            text=f"highly rewarded answers have one of {quoted}, whatever is asked: {old:.2f} of them at first, "
            f"{new:.2f} in the last {self.options.window} batches",
            since=batch.rollout_index,
            p=p,
            examples=examples(flagged),
            flagged=names(flagged),
            forbid=f"The response does not contain phrases such as {quoted}.",
            phrases=tuple(common[:_TOLD]),
        )

    def shows(self, about: str, rollout: SeenRollout) -> float | None:
        """Whether it has one of the phrases that alarms were about."""
        return float(not self._told.isdisjoint(self._of(rollout.completion)))

    def _count(self, rollouts: Sequence[SeenRollout]) -> None:
        for each, score in zip(rollouts, normal_scores([each.reward for each in rollouts]), strict=True):
            self._rollouts += 1
            self._categories[each.category] += 1
            counts = self._by_category.setdefault(each.category, Counter())
            own = self._has[each.rollout_index, each.place] = self._of(each.completion)
            for phrase in own:
                self._seen[phrase] += 1
                self._scores[phrase] += score
                counts[phrase] += 1
                prompts = self._prompts.setdefault(phrase, set())
                if len(prompts) < _SEEN:
                    prompts.add(each.prompt_id)

    def _of(self, text: str) -> set[str]:
        words, size = _WORD.findall(text.casefold()), self.options.words
        return {" ".join(words[i : i + size]) for i in range(len(words) - size + 1)}

    def _phrases(self) -> set[str]:
        ps = {
            phrase: upper_tail(self._scores[phrase] / sqrt(count))
            for phrase, count in self._seen.items()
            if count >= _SEEN and len(self._prompts[phrase]) >= _SEEN and self._even(phrase)
        }
        return discoveries(ps, 0.01)

    def _even(self, phrase: str) -> bool:
        overall = self._seen[phrase] / self._rollouts
        return all(
            self._by_category[name][phrase] / count >= _EVEN * overall
            for name, count in self._categories.items()
            if count >= _CATEGORY * self._rollouts
        )

    def _whole(self, text: str, phrases: set[str]) -> list[str]:
        """Runs of words whose phrases all count, as they stand in a text."""
        found, size = list[str](), self.options.words
        spans = [match.span() for match in _WORD.finditer(text)]
        words = [text[start:end].casefold() for start, end in spans]
        begin = None
        for i in range(len(words) - size + 2):
            inside = i + size <= len(words) and " ".join(words[i : i + size]) in phrases
            if inside and begin is None:
                begin = i
            elif not inside and begin is not None:
                found.append(text[spans[begin][0] : spans[i + size - 2][1]])
                begin = None
        return found
