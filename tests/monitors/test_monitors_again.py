"""An alarm whose finding goes on is told again, one that is cured is over: decided by batches and record alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from salmon_core.api import Alarm, Monitor, RolloutBatch, SeenRollout, WatchedRun
from salmon_core.api.events import AlarmFollowed, AlarmRaised
from salmon_core.config.monitoring import Again
from salmon_core.data.interventions import RECORD, STAGE, Intervention, write_record
from salmon_core.data.parquet import write_rows
from salmon_core.data.rollouts import ROLLOUTS
from salmon_core.run.alarms import Alarms, seen_rollout, tried_words
from salmon_core.testing.contracts.monitor import MadeUpWatched

PROMPTS = 20
#: of a batch, the share of answers that say b
Share = Callable[[int], float]


class Bees(Monitor):
    """Answers say b."""

    def __init__(self, measures: bool = True):
        self.measures = measures

    def see(self, batch: RolloutBatch, run: WatchedRun) -> Iterable[Alarm]:
        said = [each for each in batch.rollouts if each.completion == "b"]
        if len(said) > 0.25 * len(batch.rollouts):
            flagged = tuple((each.rollout_index, each.place) for each in said)
            yield Alarm("b", "answers say b", batch.rollout_index, 0.01, ("b",), flagged)

    def shows(self, about: str, rollout: SeenRollout) -> float | None:
        return float(rollout.completion == "b") if self.measures else None


@dataclass
class World:
    """A run of so many batches on the disk, watched once from the beginning to the end."""

    folder: Path
    share: Share
    count: int = 60
    again: Again | None = field(default_factory=lambda: Again(after=4, unanswered=12, at_most=3))
    measures: bool = True

    def __post_init__(self) -> None:
        for index in range(self.count):
            said = round(self.share(index) * PROMPTS)
            rows = [row(index, place, "b" if place < said else "a") for place in range(PROMPTS)]
            write_rows(self.folder / STAGE / "rollouts" / f"part-{index:06d}-0.parquet", rows, ROLLOUTS)

    def record(self, *starts: int) -> None:
        entries = [
            Intervention(number, "2026-01-01T00:00:00Z", "me", "principle", start, name=f"p{number}", text="Say no b.")
            for number, start in enumerate(starts, 1)
        ]
        write_record(self.folder / RECORD, entries)

    def watch(self, events: list[dict[str, Any]], until: int | None = None, *, ends: bool = True) -> None:
        """Looks at the batches, by a process that finds these events told; adds its own."""
        asked: list[int] = []

        def emit(kind: type, **values: Any) -> None:
            values = {key: list(each) if isinstance(each, tuple) else each for key, each in values.items()}
            events.append({"event": kind.__name__, **values})

        alarms = Alarms(self.again, self.folder, emit, lambda number, *_: asked.append(number))
        alarms.recorded(list(events))
        monitor = Bees(self.measures)
        for index in range(self.count if until is None else until):
            rollouts = tuple(seen_rollout(row(index, place, "ab"[place < round(self.share(index) * PROMPTS)]), place)
                             for place in range(PROMPTS))  # fmt: skip
            alarms.batch(index)
            found = list(monitor.see(RolloutBatch(index, rollouts), MadeUpWatched()))
            alarms.look("bees", "tests", monitor, index, found)
        if ends:
            alarms.end({"bees": ("tests", monitor)})

    def told(self) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        self.watch(events)
        return events


def row(index: int, place: int, text: str) -> dict[str, Any]:
    empty = ("by_principle", "left_out", "vetoed", "text_ids", "interventions", "principles")
    return {
        **{key: [] for key in empty},
        "rollout_index": index,
        "row": place,
        "prompt_id": f"p{place}",
        "prompt": "?",
        "category": "general",
        "completion": text,
        "completion_ids": [1],
        "n_tokens": 1,
        "stopped": True,
        "reward": 1.0,
        "components": [("rm", 1.0)],
        "step": None,
        "kl": None,
    }


def at(events: list[dict[str, Any]], kind: type) -> list[int]:
    return [each["rollout_index"] for each in events if each["event"] == kind.__name__]


def test_without_an_answer_it_is_told_again_seldom_and_not_for_ever(tmp_path: Path) -> None:
    world = World(tmp_path, lambda index: 0.8, count=200)
    assert at(world.told(), AlarmRaised) == [0, 12, 24, 36]
    world.again = Again(at_most=0)
    assert at(world.told(), AlarmRaised) == [0]
    world.again = None
    assert at(world.told(), AlarmRaised) == [0]


def test_an_answer_that_does_nothing_is_told_with_its_effect(tmp_path: Path) -> None:
    world = World(tmp_path, lambda index: 0.8, count=14)
    world.record(5)
    events = world.told()
    assert at(events, AlarmRaised) == [0, 8], "the fourth batch from 5 on"
    first, second, followed = events
    assert (first["again"], first["tried"]) == (0, [])
    assert second["again"] == 1
    (tried,) = second["tried"]
    assert (
        tried | {"before": 0.8, "after": 0.8, "low": pytest.approx(0, abs=0.4), "high": pytest.approx(0, abs=0.4)}
        == tried
    )
    assert tried["low"] < 0 < tried["high"]
    assert (tried["id"], tried["from_rollout"], tried["who"], tried["n"]) == (1, 5, "me", PROMPTS)
    assert tried_words(tried).startswith("intervention 1 from batch 5 (shows p1: Say no b.): 0.80 -> 0.80 [-")
    assert (followed["event"], followed["state"], followed["rollout_index"]) == ("AlarmFollowed", "open", 13)


def test_a_cure_is_said_and_what_comes_back_is_told_again(tmp_path: Path) -> None:
    world = World(tmp_path, lambda index: 0.8 if index < 7 or 20 <= index < 24 else 0.0, count=40)
    world.record(5)
    events = world.told()
    assert [(each["event"], each["rollout_index"]) for each in events] == [
        ("AlarmRaised", 0),
        ("AlarmFollowed", 7),
        ("AlarmRaised", 20),
        ("AlarmFollowed", 24),
    ]
    cured = events[1]
    assert (cured["state"], cured["text"], cured["alarm"]) == ("cured", "cured since batch 7", 1)
    assert cured["tried"][0]["high"] < 0
    assert (events[3]["state"], events[3]["alarm"]) == ("cured", 2)
    world.measures = False
    gone = world.told()[1]
    assert (gone["state"], gone["text"]) == ("gone", "not found any more since batch 7")
    assert tried_words(gone["tried"][0]).endswith("effect not measured")


def test_what_still_falls_is_not_told_again_before_it_stops_falling(tmp_path: Path) -> None:
    world = World(tmp_path, lambda index: max(0.5, 1.0 - 0.05 * max(0, index - 5)), count=40)
    world.again = Again(after=8, unanswered=30, at_most=1)
    world.record(5)
    (first, again) = at(world.told(), AlarmRaised)
    assert first == 0
    assert 15 <= again <= 24, "not at 12: it falls until batch 15, of which so few prompts cannot tell the last"


def test_a_killed_watcher_that_goes_on_tells_what_one_that_lived_does(tmp_path: Path) -> None:
    world = World(tmp_path, lambda index: 0.8 if index < 22 or 40 <= index < 50 else 0.05, count=60)
    world.record(5, 20)
    whole = world.told()
    assert at(whole, AlarmRaised) == [0, 8, 40]
    assert at(whole, AlarmFollowed) == [22, 50]
    for killed in range(1, 60):
        events: list[dict[str, Any]] = []
        world.watch(events, killed, ends=False)
        world.watch(events)
        assert events == whole, killed
    # Killed between two lines of the same batch.
    for kept in range(len(whole)):
        events = whole[:kept]
        world.watch(events)
        assert events == whole, kept


def test_what_an_intervention_may_have_caused_says_so(tmp_path: Path) -> None:
    """Told first a few batches after one began to count; not long after, and not when it is told again."""
    for starts, cause in (((2, 4), 2), ((1,), 1), ((9,), None), ((), None)):
        world = World(tmp_path / str(starts), lambda index: float(index >= 8), count=30)
        world.record(*starts)
        events: list[dict[str, Any]] = []
        world.watch(events)
        first, *later = [each["text"] for each in events if each["event"] == "AlarmRaised"]
        words = f"answers say b; it may follow from intervention {cause}, which counts from batch"
        assert first.startswith(words) if cause else first == "answers say b"
        assert set(later) <= {"answers say b"}
    far = World(tmp_path / "far", lambda index: float(index >= 14), count=20)
    far.record(2)
    events = []
    far.watch(events)
    assert events[0]["text"] == "answers say b"
