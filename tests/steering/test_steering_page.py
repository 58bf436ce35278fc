"""What the page about steering says, done on a run that goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from doc_pages import ROOT, environment, follow

from salmon_core.data.interventions import RECORD, read_record


def test_the_page_is_followed(living: Callable[..., Path]) -> None:
    run = living("own-model", bonuses=[{"name": "letters", "label": "missing-stop"}])
    config = run.parents[1] / "salmon.yaml"
    config.write_text(config.read_text().replace("fail: hang", "fail: ''"))  # of a run that is to end
    follow(ROOT / "docs" / "steering.md", config.parent, environment() | {"SALMON_QUICK": "1"})
    entries = read_record(run / RECORD)
    assert [each.what for each in entries] == ["principle", "principle", "bonus", "weight", "undo"]
    assert read_record(run.parent / "again" / RECORD) == entries
