"""What a monitor keeps to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, ClassVar

from salmon_core.api.evaluation import Oracle
from salmon_core.api.monitors import Alarm, RolloutBatch, SeenRollout
from salmon_core.errors import SalmonError, boundary
from salmon_core.plugins.options import require
from salmon_core.records import ShownPrinciple
from salmon_core.testing import rows
from salmon_core.testing.contracts.base import ComponentContract
from salmon_core.testing.elsewhere import Made

_WORDS = ("red", "green", "blue", "house", "tree", "river", "small", "quick", "warm", "old", "sings", "runs", "opens")


@dataclass(frozen=True)
class MadeUpWatched:
    """A run that is watched.

    Attributes:
        oracles: by name.
    """

    rewarded: tuple[ShownPrinciple, ...] = (ShownPrinciple("kind", "The answer is kind."),)
    bonuses: tuple[str, ...] = ("missing-stop",)
    oracles: Mapping[str, Oracle] = field(default_factory=dict)

    def oracle(self, name: str) -> Oracle:
        if name not in self.oracles:
            raise SalmonError(f"there is no oracle {name!r}")
        return self.oracles[name]


def made_up_batches(count: int = 12, size: int = 40, seed: int = 0) -> list[RolloutBatch]:
    """Batches of a policy that does not change: answers of drawn words, rewards by chance."""
    rng, batches = Random(f"batches {seed}"), []
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
        batches.append(RolloutBatch(index, tuple(rollouts), {"kl": 0.01 * index}))
    return batches


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
        monitor = require(owned, made.build(), "see")
        found: list[Alarm] = []
        with boundary(str(owned.owner), f"monitor {owned.name!r}"):
            for batch in batches:
                found += monitor.see(batch, watched)
        return found

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
