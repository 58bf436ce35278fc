"""Plugins' code that blocks: ended after `run.call_timeout` seconds without a sign of life, and named."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import psutil
import pytest
from core_world import make_folder, salmon

RUN = {"name": "toy", "seed": 1, "call_timeout": 8.0}
#: kind -> (in world.py, stage, what is said to be at fault)
PLACES = {
    "evaluator": (
        "        texts = [completion.text for completion in run.samples",
        "evaluate",
        "evaluator 'toy-count'",
    ),
    "engine": (
        "        assert self._open\n        found = []\n        for prompt, _ in prompts:",
        "sample",
        "engine 'bytes', sample",
    ),
    "judge": ("        found = []\n        for pair in pairs:\n            requests", "judge", "judge 'toy-judge'"),
    "labeller": ("        by_id = {pair.id: pair", "label", "labeller 'toy-labels'"),
}


@pytest.mark.parametrize("kind", list(PLACES))
def test_what_blocks_in_a_stage_is_ended_and_named(kind: str, tmp_path: Path) -> None:
    make_folder(tmp_path, run=RUN)
    place, stage, what = PLACES[kind]
    source = (tmp_path / "world.py").read_text()
    assert place in source
    blocks = "        import time\n\n        time.sleep(600)\n"
    (tmp_path / "world.py").write_text(source.replace(place, blocks + place))
    done = salmon("run", "salmon.yaml", cwd=tmp_path)
    assert done.code == 1, done.text
    last = done.err.strip().splitlines()[-1]
    assert f"error: plugin {tmp_path / 'world.py'}, {what}" in last
    assert "gave no sign of life for 8 s" in last
    assert "run.call_timeout" in last
    log = (tmp_path / "runs" / "toy" / stage / "log.txt").read_text()
    assert re.search(r'File ".*world\.py", line \d+ in ', log), "the stack says where"
    (tmp_path / "world.py").write_text(source)
    assert salmon("run", "salmon.yaml", cwd=tmp_path).code == 0, "the same command goes on"


def test_an_observer_that_blocks_ends_the_run_with_all_it_started(tmp_path: Path) -> None:
    make_folder(tmp_path, run=RUN)
    with (tmp_path / "world.py").open("a") as file:
        file.write(
            "\n\n@hookimpl\ndef salmon_event(event: Any) -> None:\n    import time\n\n"
            "    if type(event).__name__ == 'Progress':\n        time.sleep(600)\n"
        )
    source = (tmp_path / "world.py").read_text()
    place = PLACES["judge"][0]
    (tmp_path / "world.py").write_text(source.replace(place, "        import time\n\n        time.sleep(1)\n" + place))
    done = salmon("run", "salmon.yaml", cwd=tmp_path)
    assert done.code == 1, done.text
    assert f"error: plugin {tmp_path / 'world.py'}, salmon_event: gave no sign of life for 8 s" in done.err
    assert "Traceback" not in done.text
    assert "world.py" in (tmp_path / "runs" / "toy" / "blocked.txt").read_text()
    ends = time.monotonic() + 20
    while time.monotonic() < ends and (left := _of(tmp_path)):
        time.sleep(0.2)
    assert not left


def _of(folder: Path) -> list[str]:
    """Processes that work in a folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if str(folder) in " ".join(process.info["cmdline"] or ()):
            found.append(" ".join(process.info["cmdline"]))
    return found


def test_a_bonus_that_blocks_a_scoring(tmp_path: Path) -> None:
    make_folder(tmp_path, run=RUN)
    assert salmon("run", "salmon.yaml", cwd=tmp_path).code == 0
    place = "        return float(rollout.completion.count"
    source = (tmp_path / "world.py").read_text()
    assert place in source
    slow = source.replace(place, "        import time\n\n        time.sleep(600)\n" + place)
    (tmp_path / "world.py").write_text(slow)
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    done = salmon("score", "runs/toy", "rows.jsonl", "-o", "scores.jsonl", cwd=tmp_path)
    assert done.code == 1, done.text
    assert "reward component 'letters': gave no sign of life for 8 s" in done.err
    assert not list(tmp_path.glob("scores.jsonl*"))


@pytest.mark.parametrize("limit", [8.0, None])
def test_slow_work_that_gives_signs_of_life_goes_on(limit: float | None, tmp_path: Path) -> None:
    """Longer than the limit in one call, with a sign every second; and silent, without a limit."""
    make_folder(tmp_path, run={**RUN, "call_timeout": limit})
    source = (tmp_path / "world.py").read_text()
    place = PLACES["evaluator"][0]
    sign = "alive()" if limit else "None"
    slow = (
        "        import time\n        from salmon_core.calls import alive\n\n"
        f"        for _ in range(12):\n            {sign}\n            time.sleep(1)\n"
    )
    (tmp_path / "world.py").write_text(source.replace(place, slow + place))
    done = salmon("run", "salmon.yaml", cwd=tmp_path)
    assert done.code == 0, done.text
    manifest = json.loads((tmp_path / "runs" / "toy" / "evaluate" / "manifest.json").read_text())
    assert manifest["seconds"] > 12
