"""The record of interventions: what is read back, what is refused, and that all processes agree on every batch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salmon_core.api.reward import ScheduledPrinciple, ScheduledWeight
from salmon_core.data.interventions import (
    BEGUN,
    RECORD,
    STAGE,
    Intervention,
    last_begun,
    locked,
    read_record,
    scheduled,
    write_record,
)
from salmon_core.errors import DataError
from salmon_core.records import ShownPrinciple
from salmon_core.reward.steering import Steering, with_record
from salmon_core.testing.makers import make_reward_spec


def entry(number: int, what: str = "principle", start: int = 0, **values: Any) -> Intervention:
    plain: dict[str, Any] = {"principle": {"name": f"p{number}", "text": "Be short."}, "undo": {}}.get(
        what, {"name": "p1", "value": 2.0}
    )
    made = {"id": number, "time": "2026-01-01T00:00:00Z", "who": "me", "what": what, "from_rollout": start}
    return Intervention(**{**made, **plain, **values})


def run_folder(folder: Path) -> Path:
    (folder / STAGE).mkdir(parents=True)
    return folder


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
_ENTRY = st.one_of(
    st.builds(dict, what=st.just("principle"), name=_TEXT, text=_TEXT, negated=st.booleans(), reason=_TEXT),
    st.builds(dict, what=st.just("weight"), name=_TEXT, value=st.floats(0, 1e6)),
    st.builds(dict, what=st.just("bonus"), name=_TEXT, value=st.floats(-1e6, 1e6)),
)


@settings(max_examples=40, deadline=None)
@given(made=st.lists(_ENTRY, max_size=5), torn=st.text(st.characters(exclude_categories=["Cs"]), max_size=9))
def test_what_is_written_is_read_whatever_is_torn_after_it(
    made: list[dict[str, Any]], torn: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = run_folder(tmp_path_factory.mktemp("run"))
    entries = [entry(number, **each) for number, each in enumerate(made, 1)]
    for each in entries:
        with locked(run) as opened:
            opened.append(each)
        with (run / RECORD).open("ab") as file:  # its next writer was killed
            file.write(torn.replace("\n", " ").encode())
    assert read_record(run / RECORD) == entries
    write_record(run / "again.jsonl", entries)
    assert read_record(run / "again.jsonl") == entries


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2: is not JSON"),
        ('{"id": 2}', "line 2: is no intervention: "),
        ('{"id": 3, "time": "", "who": "", "what": "undo", "from_rollout": 1, "undoes": 1}', "line 2: has the id 3"),
        ('{"id": 2, "time": "", "who": "", "what": "undo", "from_rollout": 1, "undoes": 2}', "undoes 2, which does"),
        (
            '{"id": 2, "time": "", "who": "", "what": "bonus", "name": "x", "from_rollout": 1}',
            "needs a name and a value",
        ),
        ('{"id": 2, "time": "", "who": "", "what": "weight", "name": "x", "value": -1, "from_rollout": 1}', ">= 0"),
        ('{"id": 2, "time": "", "who": "", "what": "bonus", "name": "x", "value": NaN, "from_rollout": 1}', "line 2"),
        ('{"id": 2, "time": "", "who": "", "what": "explode", "from_rollout": 1}', "what"),
    ],
)
def test_a_line_that_is_none_is_named(line: str, says: str, tmp_path: Path) -> None:
    write_record(tmp_path / RECORD, [entry(1)])
    with (tmp_path / RECORD).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError) as error:
        read_record(tmp_path / RECORD)
    assert says in str(error.value)


def test_ends_and_undos() -> None:
    entries = [
        entry(1, start=2),
        entry(2, start=3, until_rollout=9),
        entry(3, "undo", 5, undoes=1),
        entry(4, "bonus", 6, name="letters", value=0.5),
        entry(5, "undo", 2, undoes=4),  # before it began
    ]
    assert [(each.id, each.change.start, each.change.end) for each in scheduled(entries)] == [(1, 2, 5), (2, 3, 9)]


def test_the_latest_of_a_name_counts_and_folding_changes_nothing(tmp_path: Path) -> None:
    """A reward that reads a growing record, and one into which it was folded later, show the same in the same order."""
    run = run_folder(tmp_path / "run")
    configured = (
        ScheduledPrinciple(ShownPrinciple("p1", "Configured."), 0),
        ScheduledPrinciple(ShownPrinciple("x", "X.")),
    )
    drawn = (ShownPrinciple("p2", "Drawn."), ShownPrinciple("z", "Z."))
    live = Steering(configured, (), str(run / RECORD))
    seen = {0: live.at(0)}
    steps = [
        entry(1, start=1, name="p1", text="Added."),
        entry(2, start=2, name="p1", text="Not.", negated=True),
        entry(3, "weight", 3, name="z", value=0.0),
        entry(4, "weight", 4, name="x", value=3.0),
        entry(5, "undo", 5, undoes=2),
    ]
    for each in steps:
        with locked(run) as opened:
            assert opened.last == each.from_rollout - 1
            opened.append(each)
        seen[each.from_rollout] = live.at(each.from_rollout)
    texts = {index: [each.text for each in found.shown(drawn)] for index, found in seen.items()}
    assert texts[0] == ["Configured.", "X.", "Drawn.", "Z."]
    assert texts[1] == ["Added.", "X.", "Drawn.", "Z."]
    assert texts[2] == ["Not.", "X.", "Drawn.", "Z."]
    assert texts[3] == ["Not.", "X.", "Drawn."]
    assert texts[5] == ["Added.", "X.", "Drawn."]
    assert [each.weight for each in seen[4].shown(drawn)] == [None, 3.0, None]
    assert [found.ids for found in seen.values()] == [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), (1, 3, 4)]
    spec = with_record(make_reward_spec(interventions=configured, record="gone"), run / RECORD)
    assert spec.record is None
    folded = Steering(spec.interventions, spec.reweighted)
    for index, found in seen.items():
        assert folded.at(index).shown(drawn) == found.shown(drawn)
        assert folded.at(index).bonuses == found.bonuses
    assert isinstance(spec.reweighted[0], ScheduledWeight)


def test_what_is_none_of_the_training_begins_no_batch(tmp_path: Path) -> None:
    """Whoever asks a training's server about a text of their own may claim any index."""
    run = run_folder(tmp_path / "run")
    live = Steering((), (), str(run / RECORD))
    live.at(0)
    assert live.at(900, foreign=True).ids == ()
    with locked(run) as opened:
        assert opened.last == 0
        opened.append(entry(1, start=1))
    assert live.at(900, foreign=True).ids == (1,), "what counts there as the record stands"
    assert last_begun(run) == 0
    assert live.at(0, foreign=True).ids == ()
    assert live.at(1).ids == (1,)


_RANK = """
import json, sys
from salmon_core.reward.steering import Steering
record, batches = sys.argv[1], int(sys.argv[2])
seen = []
for batch in range(batches):
    seen.append(Steering((), (), record).at(batch).ids)  # nothing at hand from before
print(json.dumps(seen))
"""
_PERSON = """
import sys
from pathlib import Path
from salmon_core.data.interventions import Intervention, locked
for number in range(15):
    with locked(Path(sys.argv[1])) as opened:
        made, start = len(opened.read()) + 1, opened.last + 1
        opened.append(Intervention(made, "", "me", "principle", start, name=f"p{made}", text="Be short."))
"""


def test_all_processes_agree_on_every_batch(tmp_path: Path) -> None:
    """Ranks that go through the batches at different speed while two persons steer; afterwards nothing is different."""
    run, batches = run_folder(tmp_path / "run"), 60
    ask = [sys.executable, "-c", _RANK, str(run / RECORD), str(batches)]
    ranks = [subprocess.Popen(ask, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    people = [subprocess.Popen([sys.executable, "-c", _PERSON, str(run)]) for _ in range(2)]
    seen = [json.loads(rank.communicate(timeout=120)[0]) for rank in ranks]
    assert all(person.wait(60) == 0 for person in people)
    assert seen[0] == seen[1] == seen[2]
    entries = read_record(run / RECORD)
    assert len(entries) == 30
    assert [each.id for each in entries] == list(range(1, 31))
    again = [list(Steering((), (), str(run / RECORD)).at(batch).ids) for batch in range(batches)]
    assert again == seen[0]
    assert last_begun(run) == batches - 1
    assert (run / STAGE / BEGUN).stat().st_size < 20
