"""Which of DeepSpeed's checkpoints a run goes on from, when some are damaged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from salmon_core.kit import foreign
from salmon_openrlhf.backend import OUTSIDE

_TIDY = """
import importlib.util, json, pathlib, sys
spec = importlib.util.spec_from_file_location("prepare", sys.argv[1])
prepare = importlib.util.module_from_spec(spec)
spec.loader.exec_module(prepare)
print(prepare.tidy_checkpoints(pathlib.Path("checkpoints"), resume=True, critic=True))
"""


def make(folder: Path, steps: tuple[int, ...] = (4, 8)) -> None:
    """Policy and critic, saved at these steps."""
    for name, text in foreign.copy().items():
        (folder / name).write_text(text)
    for part in ("_actor", "_critic"):
        for step in steps:
            state = folder / "checkpoints" / part / f"global_step{step}"
            state.mkdir(parents=True)
            for file in ("mp_rank_00_model_states.pt", "zero_pp_rank_0_mp_rank_00_optim_states.pt"):
                torch.save({"step": step, "values": torch.arange(200.0)}, state / file)
        (folder / "checkpoints" / part / "latest").write_text(f"global_step{steps[-1]}")


def tidy(folder: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", _TIDY, str(OUTSIDE / "prepare.py")], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def notes(folder: Path) -> list[str]:
    file = folder / "notes.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def damage(file: Path, how: str) -> None:
    content = bytearray(file.read_bytes())
    if how == "flipped":
        content[content.index(b"\x00\x00\x80?")] ^= 1  # among the numbers
    file.write_bytes(content[: len(content) // 2] if how == "cut" else content if how == "flipped" else b"")


def test_the_newest_is_taken_where_all_is_well(tmp_path: Path) -> None:
    make(tmp_path)
    assert tidy(tmp_path) == 8
    assert notes(tmp_path) == []


@pytest.mark.parametrize("how", ["cut", "flipped", "emptied"])
@pytest.mark.parametrize("part", ["_actor", "_critic"])
def test_of_a_damaged_one_the_one_before(part: str, how: str, tmp_path: Path) -> None:
    make(tmp_path)
    file = tmp_path / "checkpoints" / part / "global_step8" / "zero_pp_rank_0_mp_rank_00_optim_states.pt"
    damage(file, how)
    assert tidy(tmp_path) == 4
    (note,) = notes(tmp_path)
    assert str(file.relative_to(tmp_path)) in note
    assert note.endswith("training goes on from step 4")
    for each in ("_actor", "_critic"):
        assert (tmp_path / "checkpoints" / each / "latest").read_text() == "global_step4"
        assert not (tmp_path / "checkpoints" / each / "global_step8").exists()


def test_from_the_beginning_where_none_is_left(tmp_path: Path) -> None:
    make(tmp_path)
    for step in (4, 8):
        damage(tmp_path / "checkpoints" / "_actor" / f"global_step{step}" / "mp_rank_00_model_states.pt", "cut")
    assert tidy(tmp_path) == 0
    assert notes(tmp_path)[-1].endswith("training goes on from the beginning")
    assert not (tmp_path / "checkpoints").exists()
