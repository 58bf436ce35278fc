"""The folder of results: a configuration, and a run for each arm and seed.

    results/world/minnow.yaml          examples/minnow.yaml, with the file plugin and the principle sets beside it
    results/SETTINGS-HASH/seed-1/      one run of `salmon run`, its folder named by its settings

Whether a run is finished is asked of `salmon run`'s own fingerprints. So is what runs share: a stage that another run
has finished from the same inputs is linked into the new run's folder, where `salmon run` finds it finished.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from evidence import rubric
from evidence.question import RUN_OF, Arm
from salmon_core.config.resolve import load
from salmon_core.data.json import read_json
from salmon_core.errors import SalmonError
from salmon_core.run.folder import StageFolder
from salmon_core.run.run import Run
from salmon_core.stages import STAGES, stage
from salmon_core.stages.sources import Sources

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "minnow.yaml"
WORLD = Path(__file__).resolve().parent / "world"
PLUGIN = "evidence_world.py"
#: folders beside the example that settings name
_BESIDE = ("minnow-self-align", "minnow-full")
#: what a training stage keeps to go on from, and nobody reads once it is finished
_CHECKPOINTS = "checkpoints"


class Folder:
    """Results of all questions.

    Args:
        path: made if it is not there.
        example: a configuration of the embedded world; the page is of `examples/minnow.yaml`.
    """

    def __init__(self, path: Path, *, example: Path = EXAMPLE):
        self.path = path.resolve()
        self._example = example
        self._lock = threading.Lock()
        #: (stage, fingerprint) -> runs that have finished it
        self._finished: dict[tuple[str, str], list[Path]] = {}

    @property
    def config(self) -> Path:
        """The configuration of all runs."""
        return self.path / "world" / "minnow.yaml"

    def prepare(self) -> None:
        """Writes the configuration and what belongs to it; looks through what is there already."""
        self.config.parent.mkdir(parents=True, exist_ok=True)
        for file in (*WORLD.glob("*.yaml"), WORLD / PLUGIN):
            _write(self.config.parent / file.name, file.read_bytes())
        _write(self.config.parent / rubric.FILE, rubric.rubric().encode())
        _write(self.config, self._example.read_bytes())
        for file in (file for name in _BESIDE for file in (EXAMPLE.parent / name).iterdir()):
            _write(self.config.parent / file.parent.name / file.name, file.read_bytes())
        for manifest in self.path.glob("*/seed-*/*/manifest.json"):
            self._note(manifest.parent)

    def run(self, arm: Arm, seed: int) -> Path:
        """Where a run is, or will be."""
        return self.path / arm.folder / f"seed-{seed}"

    def overrides(self, arm: Arm, seed: int) -> list[str]:
        """What `salmon run` is told with `--set`."""

        def of_another(found: re.Match[str]) -> str:
            return os.path.relpath(self.path / found[1] / f"seed-{seed}", self.config.parent)

        own = (RUN_OF.sub(of_another, each) for each in arm.settings)
        named = (f"run.folder={self.path / arm.folder}", f"run.name=seed-{seed}", f"run.seed={seed}")
        return [*named, f"plugins=[{PLUGIN}]", *own]

    def report(self, arm: Arm, seed: int) -> dict[str, Any] | None:
        """Of a run that has one; whether it still is what its settings say is not looked at."""
        found = read_json(self.run(arm, seed) / "report.json")
        return found if isinstance(found, dict) else None

    def finished(self, arm: Arm, seed: int) -> bool:
        """Whether `salmon run` would find every stage finished."""
        if self.report(arm, seed) is None:
            return False
        try:
            own, sources = self._resolved(arm, seed)
        except (OSError, SalmonError):  # a file that the settings name is gone
            return False
        kept = [name for name in sources.stages if stage(name).keeps]
        return all(own.stage(name).finished(sources.made_from(name)) for name in kept)

    def share(self, arm: Arm, seed: int) -> list[str]:
        """Links stages into a run's folder that another run has finished from the same inputs; their names."""
        own, sources = self._resolved(arm, seed)
        shared = []
        for name in sources.stages:
            if not stage(name).keeps:
                continue
            target, made_from = own.stage(name).path, sources.made_from(name)
            if own.stage(name).finished(made_from):
                continue
            with self._lock:
                candidates = list(self._finished.get((name, made_from.fingerprint), ()))
            source = next((run for run in candidates if StageFolder(run, name).finished(made_from)), None)
            if source is not None:
                shutil.rmtree(target, ignore_errors=True)  # of other settings or other code, or not finished
                _link(source / name, target)
                shared.append(name)
        return shared

    def done(self, arm: Arm, seed: int) -> None:
        """A run is finished: others may share its stages, and what only an unfinished one needs goes."""
        run = self.run(arm, seed)
        for name in STAGES:
            self._note(run / name)
            shutil.rmtree(run / name / _CHECKPOINTS, ignore_errors=True)

    def _resolved(self, arm: Arm, seed: int) -> tuple[Run, Sources]:
        own = Run(self.run(arm, seed), load(self.config, self.overrides(arm, seed)))
        return own, Sources(own)

    def _note(self, folder: Path) -> None:
        manifest = StageFolder(folder.parent, folder.name).manifest
        if manifest.get("status") == "finished":
            with self._lock:
                runs = self._finished.setdefault((folder.name, manifest["fingerprint"]), [])
                if folder.parent not in runs:
                    runs.append(folder.parent)


def files(folder: Path) -> Iterator[Path]:
    """Those of a stage that count once it is finished."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and _CHECKPOINTS not in file.relative_to(folder).parts:
            yield file


def _link(source: Path, target: Path) -> None:
    """The same files in another folder, which is there whole or not at all. Finished stages' files never change."""
    aside = target.with_name(f".{target.name}.linking")
    shutil.rmtree(aside, ignore_errors=True)
    for file in files(source):
        new = aside / file.relative_to(source)
        new.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, new)
        except OSError:  # a file system without links
            shutil.copy2(file, new)
    aside.rename(target)


def _write(target: Path, content: bytes) -> None:
    """Written aside and renamed; left alone where it is the same."""
    if not target.exists() or target.read_bytes() != content:
        target.parent.mkdir(exist_ok=True)
        aside = target.with_name(f".{target.name}.new")
        aside.write_bytes(content)
        aside.replace(target)


def seeds_of(folder: Folder, arms: Sequence[Arm]) -> list[int]:
    """Seeds of which some of these arms have a report."""
    found = {
        int(report.parent.name.removeprefix("seed-"))
        for arm in arms
        for report in (folder.path / arm.folder).glob("seed-*/report.json")
    }
    return sorted(found)
