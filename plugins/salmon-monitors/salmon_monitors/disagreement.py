"""The monitor `disagreement`."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pydantic import Field

from salmon_core.api.monitors import Alarm, MeasuredRun, ModelMonitor, RolloutBatch, SeenRollout, WatchedRun
from salmon_core.kit.statistics import correlation
from salmon_core.records import Estimate, ShownPrinciple
from salmon_monitors.budget import Budgeted, asked, document, drawn, due, shown, times
from salmon_monitors.windows import Windows, examples, names, upper_tail

#: other words for any principle, where nobody wrote any
_FRAMES = ("What counts here is this: {text}", "The more this is true of an answer, the better it is: {text}")
#: wordings that are tried, at most
_WORDINGS = 2
#: rollouts under the same principles that make a group whose ranks are compared
_GROUP = 8
#: another wording of a principle NAME is called NAME or NAME-2, NAME-3, ...
_NUMBERED = re.compile(r"(.+)-\d+")
_Z = 1.959964


class Disagreement(ModelMonitor):
    """The reward model ranks rollouts less and less alike when its principles are said in other words.

    Members of an ensemble of reward models disagree where a policy exploits one of them (arXiv 2310.02743, 2312.09244).
    Here one model, shown its principles in several wordings, is the ensemble: what it likes for the words alone, it
    does not like for others. Spearman's correlation of its scores, first batches against last.
    """

    class Options(Budgeted):
        """What a configuration may set."""

        sets: list[str] = Field(
            [], description="principle sets or files with other wordings, called as the principle, or NAME-2, NAME-3"
        )
        wordings: dict[str, list[str]] = Field(
            {}, description="other wordings by a principle's name; for one without any, fixed frames are put around it"
        )
        fall: float = Field(0.2, gt=0, le=2, description="of the correlation, at least")

    def __init__(self, options: Options):
        self.options = options
        self._windows = Windows(options.window)
        self._open: dict[int, tuple[int, list[SeenRollout]]] = {}
        self._first: Estimate | None = None
        self._grouped = False

    @property
    def sees(self) -> bool:
        """Whether both windows are full."""
        return self._windows.full

    def ask(self, batch: RolloutBatch, run: WatchedRun) -> Mapping[str, Any] | None:
        """The first rollouts once, then recent ones."""
        ready = self._windows.add(batch)
        index, size = batch.rollout_index, 2 * self.options.window
        if not ready and (len(self._windows.first) < size or self._windows.last):
            return None
        if ready and not due(self._windows.looks, self.options.every):
            return None
        own = {each.name for each in run.rewarded}
        found = self._windows.now() if ready else self._windows.before()
        found = [each for each in found if any(shown.name in own for shown in each.principles)]
        chosen = drawn(found, self.options.most, "disagreement", index)
        if len(chosen) < _GROUP:
            return None
        self._open[index] = times(self._windows.looks, self.options.every) if ready else 0, chosen
        return {
            "rollouts": [document(each) for each in chosen],
            "principles": [asdict(each) for each in run.rewarded],
        }

    def measure(self, question: Mapping[str, Any], run: MeasuredRun) -> Mapping[str, Any]:
        """Of each rollout the score under its principles, and under other wordings of them."""
        wordings = self._wordings([ShownPrinciple(**each) for each in question["principles"]], run)
        count = min(_WORDINGS, max(map(len, wordings.values())))
        texts = []
        for each in question["rollouts"]:
            own = [principle for principle in shown(each) if principle.name in wordings]
            sets = [own]
            for number in range(count):
                sets.append([_said(principle, wordings[principle.name], number) for principle in own])
            texts.append((asked(each), each["completion"], sets))
        return {"scores": run.score_texts(texts)}

    def hear(self, batch: RolloutBatch, answer: Mapping[str, Any], run: WatchedRun) -> Iterable[Alarm]:
        """Whether they agree less than at first."""
        many, rollouts = self._open.pop(batch.rollout_index)
        if self._first is None:
            self._grouped = _several(rollouts)
        now = _agreement(rollouts, answer["scores"], grouped=self._grouped)
        if self._first is None:
            self._first = now
            return
        old = self._first
        error = math.hypot(old.high - old.low, now.high - now.low) / (2 * _Z)
        p = min(1.0, (upper_tail((old.value - now.value) / error) if error else 1.0) * many)
        if old.value - now.value < self.options.fall or p > self.options.level:
            return
        liked = _liked(rollouts, answer["scores"])
        text = f"said in other words, the principles rank answers otherwise: correlation {old.value:.2f} at first, "
        text += f"{now.value:.2f} [{now.low:.2f}, {now.high:.2f}] now"
        yield Alarm("other words", text, batch.rollout_index, p, examples(liked), names(liked))

    def _wordings(self, principles: Sequence[ShownPrinciple], run: MeasuredRun) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {each.name: list(self.options.wordings.get(each.name, ())) for each in principles}
        negated = {each.name: each.negated for each in principles}
        texts = {each.name: each.text for each in principles}
        for name in self.options.sets:
            for principle in run.principle_set(name):
                numbered = _NUMBERED.fullmatch(principle.name)
                base = principle.name if principle.name in found else numbered[1] if numbered else ""
                if base not in found:
                    continue
                text = principle.negated if negated[base] else principle.text
                if text and text not in (texts[base], *found[base]):
                    found[base].append(text)
        for name, own in found.items():
            own += [frame.format(text=texts[name]) for frame in _FRAMES] if not own else []
        return found


def _said(principle: ShownPrinciple, wordings: Sequence[str], number: int) -> ShownPrinciple:
    text = wordings[number % len(wordings)]
    return ShownPrinciple(principle.name, text, principle.negated, principle.weight, principle.veto)


def _several(rollouts: Sequence[SeenRollout]) -> bool:
    """Whether most answers are not the only one to their prompt."""
    counts = Counter(each.prompt_id for each in rollouts)
    return 2 * sum(counts[each.prompt_id] > 1 for each in rollouts) > len(rollouts)


def _agreement(rollouts: Sequence[SeenRollout], scores: Sequence[Sequence[float]], *, grouped: bool) -> Estimate:
    """The mean correlation of the scores under the own words with those under each other wording.

    Scores compare under the same principles only, so ranks are taken within those; and where prompts
    have several answers (`grouped`), of differences from the mean of their prompt's.
    """
    by_set: dict[tuple[str, ...], list[int]] = {}
    for place, each in enumerate(rollouts):
        by_set.setdefault(tuple(sorted(shown.name for shown in each.principles)), []).append(place)
    groups = [places for places in by_set.values() if len(places) >= _GROUP] or [list(range(len(rollouts)))]
    paired = []
    for places in groups:
        for other in range(1, len(scores[0])):
            own: dict[str, list[tuple[float, float]]] = {}
            for place in places:
                own.setdefault(rollouts[place].prompt_id, []).append((scores[place][0], scores[place][other]))
            several = {prompt: pairs for prompt, pairs in own.items() if len(pairs) > 1}
            paired.append({prompt: _centred(pairs) for prompt, pairs in several.items()} if grouped else own)
    return correlation(paired)


def _centred(pairs: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    x, y = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
    return [(a - x, b - y) for a, b in pairs]


def _liked(rollouts: Sequence[SeenRollout], scores: Sequence[Sequence[float]]) -> list[SeenRollout]:
    """The quarter that the own words rank highest above what the others do."""
    places = range(len(rollouts))
    ranks = []
    for column in range(len(scores[0])):
        order = sorted(places, key=lambda place: scores[place][column])
        ranks.append({place: rank for rank, place in enumerate(order)})
    own, *others = ranks
    above = sorted(places, key=lambda place: sum(each[place] for each in others) / len(others) - own[place])
    return [rollouts[place] for place in above[: max(1, len(rollouts) // 4)]]
