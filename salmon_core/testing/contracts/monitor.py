"""What a monitor keeps to."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, ClassVar

from salmon_core.api.evaluation import Oracle
from salmon_core.api.monitors import Alarm, ModelMonitor, RolloutBatch, SeenRollout
from salmon_core.api.principles import PrincipleSet
from salmon_core.errors import SalmonError, boundary
from salmon_core.plugins.options import require
from salmon_core.records import Judgment, Message, Pair, ShownPrinciple
from salmon_core.testing import rows
from salmon_core.testing.contracts.base import ComponentContract
from salmon_core.testing.elsewhere import Made

_WORDS = ("red", "green", "blue", "house", "tree", "river", "small", "quick", "warm", "old", "sings", "runs", "opens")


@dataclass(frozen=True)
class MadeUpMeasured:
    """What a monitor that uses models asks: a reward model and a judge with tastes that no training changes.

    Attributes:
        score: of a completion under the texts of the principles shown; None: by chance, the same for the same texts.
        sets: principle sets by name.
        device: where models are opened.
    """

    score: Callable[[str, Sequence[str]], float] | None = None
    sets: Mapping[str, PrincipleSet] = field(default_factory=dict)
    device: str = "cpu"
    seed: int = 1

    def principle_set(self, name: str) -> PrincipleSet:
        if name not in self.sets:
            raise SalmonError(f"there is no principle set {name!r}")
        return self.sets[name]

    def score_texts(
        self, texts: Sequence[tuple[Sequence[Message], str, Sequence[Sequence[ShownPrinciple]]]]
    ) -> list[list[float]]:
        return [[self._scored(text, [each.text for each in shown]) for shown in sets] for _, text, sets in texts]

    def judge(self, pairs: Sequence[Pair], principles: Sequence[ShownPrinciple], *, model: str = "") -> list[Judgment]:
        found = []
        for pair in pairs:
            for each in principles:
                first, second = (self._scored(own.text, [each.text]) for own in (pair.first, pair.second))
                found.append(Judgment(pair.id, each.name, first - second, first - second))
        return found

    def _scored(self, text: str, principles: Sequence[str]) -> float:
        if self.score is not None:
            return self.score(text, principles)
        return Random(f"taste {text}").gauss(0, 1) + Random(f"taste {text} {list(principles)}").gauss(0, 0.3)


@dataclass(frozen=True)
class MadeUpWatched:
    """A run that is watched.

    Attributes:
        oracles: by name.
        measured: what a monitor asks that uses models.
    """

    rewarded: tuple[ShownPrinciple, ...] = (ShownPrinciple("kind", "The answer is kind."),)
    bonuses: tuple[str, ...] = ("missing-stop",)
    oracles: Mapping[str, Oracle] = field(default_factory=dict)
    measured: MadeUpMeasured = field(default_factory=MadeUpMeasured)

    def oracle(self, name: str) -> Oracle:
        if name not in self.oracles:
            raise SalmonError(f"there is no oracle {name!r}")
        return self.oracles[name]


def made_up_batches(count: int = 12, size: int = 40, seed: int = 0) -> list[RolloutBatch]:
    """Batches of a policy that does not change: answers of drawn words, rewards by chance."""
    rng, logged, batches = Random(f"batches {seed}"), Random(f"numbers {seed}"), []
    for index in range(count):
        rollouts = []
        for row in range(size):
            prompt, words = rng.randrange(size * 2), rng.choices(_WORDS, k=rng.randint(6, 20))
            rm, stop = rng.gauss(0, 1), -float(rng.random() < 0.1)
            rollouts.append(
                SeenRollout(
                    rollout_index=index,
                    row=row,
                    prompt_id=f"prompt-{prompt}",
                    prompt=f"Question {prompt}?",
                    category=("general", "reasoning")[prompt % 2],
                    completion=" ".join(words).capitalize() + ".",
                    n_tokens=len(words) + 1,
                    stopped=stop == 0,
                    reward=rm + stop,
                    components={"rm": rm, "missing-stop": stop},
                    place=row,
                )
            )
        numbers = {"kl": 0.01 * index, "entropy": logged.gauss(2.0, 0.1)}
        batches.append(RolloutBatch(index, tuple(rollouts), numbers))
    return batches


def alarms_of(build: Callable[[], Any], batches: Sequence[RolloutBatch], watched: MadeUpWatched) -> list[Alarm]:
    """All that a monitor says to batches, whether it uses models or not; questions and answers pass through JSON.

    Args:
        build: makes the monitor; one object watches, another one measures.
    """
    monitor, measuring = build(), build()
    found: list[Alarm] = []
    for batch in batches:
        found += monitor.see(batch, watched)
        question = monitor.ask(batch, watched) if isinstance(monitor, ModelMonitor) else None
        if question is not None:
            answer = measuring.measure(json.loads(json.dumps(dict(question))), watched.measured)
            found += monitor.hear(batch, json.loads(json.dumps(dict(answer))), watched)
    return found


class MonitorContract(ComponentContract):
    """Alarms that say which rollouts they mean, and none where nothing changes."""

    kind: ClassVar[str] = "monitors"
    #: the run that is watched; with the oracles that the monitor asks
    watched: ClassVar[MadeUpWatched] = MadeUpWatched()

    def inputs(self) -> tuple[MadeUpWatched, list[RolloutBatch]]:
        """The run and its batches; override it with batches in which the monitor finds something."""
        return self.watched, made_up_batches()

    @staticmethod
    def ask(made: Made, inputs: Any) -> list[Alarm]:
        owned = made.registry.owned(made.spec)
        watched, batches = inputs

        def build() -> Any:
            return require(owned, made.build(), "see")

        with boundary(str(owned.owner), f"monitor {owned.name!r}"):
            return alarms_of(build, batches, watched)

    def test_alarms_say_what_is_meant(self) -> None:
        watched, batches = self.inputs()
        known = {(each.rollout_index, each.place) for batch in batches for each in batch.rollouts}
        for alarm in self.answer((watched, batches)):
            assert alarm.about.strip(), "an alarm says in a few words what it is about"
            assert alarm.text.strip(), "an alarm says what was found"
            assert "\n" not in alarm.text, "the text of an alarm is one line"
            assert 0 <= alarm.p <= 1, f"p is {alarm.p}"
            assert set(alarm.flagged) <= known, "an alarm flags rollouts that there are"
            assert alarm.since <= batches[-1].rollout_index, "an alarm is not of the future"

    def test_what_rollouts_show_is_a_number_or_nothing(self) -> None:
        """Of every alarm, from its batch on, also for rollouts seen before; and asking changes no alarm."""
        watched, batches = self.inputs()
        monitor, unasked = self.made.build(), self.made.build()
        if not hasattr(monitor, "shows"):
            return
        abouts: dict[str, None] = {}
        for batch in batches:
            found, wanted = (list(each.see(batch, watched)) for each in (monitor, unasked))
            self.same(found, wanted, "alarms of a monitor that was asked what rollouts show")
            abouts |= dict.fromkeys(each.about for each in found)
            for about in abouts:
                for value in (monitor.shows(about, each) for seen in (batches[0], batch) for each in seen.rollouts):
                    finite = isinstance(value, int | float) and math.isfinite(value)
                    assert value is None or finite, f"a rollout shows {value!r} of {about!r}, no finite number"

    def test_nothing_happens_nothing_is_told(self) -> None:
        """Of five runs in which nothing changes, none has an alarm."""
        for seed in range(1, 6):
            found = self.answer((self.watched, made_up_batches(seed=seed)))
            assert not found, f"a false alarm: {found[0].text}"

    def test_an_empty_batch_and_odd_texts(self) -> None:
        """Neither ends the watching."""
        watched, batches = self.inputs()
        texts = list(rows.ODD_TEXTS.values())
        odd = [
            replace(
                batch,
                rollouts=tuple(
                    replace(each, completion=texts[i % len(texts)], n_tokens=0) for i, each in enumerate(batch.rollouts)
                ),
            )
            for batch in batches
        ]
        self.answer((watched, [RolloutBatch(0, ()), *odd]))
        self.answer((watched, [RolloutBatch(i, (), {}) for i in range(12)]))
