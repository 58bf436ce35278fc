"""A run's folder: stages, manifests, fingerprints.

`runs/NAME/STAGE/manifest.json` says what a stage was made from. Finished with the same fingerprint: skipped.
Unfinished with the same fingerprint: continued. Another fingerprint: the old folder moves to `archive/`, never deleted.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salmon_core.data.json import read_json, write_json
from salmon_core.errors import StageError

_NO_RESULT = ("manifest.json", "log.txt", "error.json", "progress.json")


@dataclass(frozen=True, slots=True)
class StageFolder:
    """One stage's folder and manifest."""

    run: Path
    name: str

    @property
    def path(self) -> Path:
        return self.run / self.name

    @property
    def manifest(self) -> dict[str, Any]:
        found = read_json(self.path / "manifest.json")
        return found if isinstance(found, dict) else {}

    def finished(self, mark: str) -> bool:
        manifest = self.manifest
        return manifest.get("status") == "finished" and manifest.get("fingerprint") == mark

    def begin(self, mark: str, parts: Mapping[str, Any], seeds: Mapping[str, int]) -> Path | None:
        """Makes the folder ready for work; returns where an outdated one went, if there was one."""
        archived = None
        manifest = self.manifest
        if self.path.exists() and manifest.get("fingerprint") != mark:
            if any(item.name not in _NO_RESULT for item in self.path.iterdir()):
                archived = self._archive(manifest.get("fingerprint", "unknown"))
            else:
                shutil.rmtree(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        if self.manifest.get("fingerprint") != mark:
            values = {
                "stage": self.name,
                "status": "started",
                "fingerprint": mark,
                "made_from": dict(parts),
                "seeds": dict(seeds),
                "started": _now(),
                "seconds": 0.0,
            }
            write_json(self.path / "manifest.json", values)
        return archived

    def outdate(self) -> None:
        """Makes the next `begin` start anew, with the present result moved to the archive."""
        write_json(self.path / "manifest.json", self.manifest | {"fingerprint": "outdated"})

    def finish(self, seconds: float, metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Marks the stage finished; `seconds` add up over resumed runs."""
        manifest = self.manifest
        manifest |= {
            "status": "finished",
            "finished": _now(),
            "seconds": round(manifest.get("seconds", 0.0) + seconds, 3),
            "metrics": dict(metrics),
        }
        write_json(self.path / "manifest.json", manifest)
        return manifest

    def interrupted(self, seconds: float) -> None:
        manifest = self.manifest
        if manifest:
            write_json(
                self.path / "manifest.json", manifest | {"seconds": round(manifest.get("seconds", 0.0) + seconds, 3)}
            )

    def _archive(self, mark: str) -> Path:
        archive = self.run / "archive"
        archive.mkdir(exist_ok=True)
        target = archive / f"{self.name}-{mark[:8]}"
        number = 1
        while target.exists():
            number += 1
            target = archive / f"{self.name}-{mark[:8]}-{number}"
        os.rename(self.path, target)
        return target

    def need(self, relative: str) -> Path:
        """A file or folder the stage must have made."""
        path = self.path / relative
        if not path.exists():
            raise StageError(f"{relative} is missing", where=str(self.path), hint="run the stage again")
        return path

    def shards(self, pattern: str = "part-*.parquet") -> list[Path]:
        return sorted(self.path.glob(pattern))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
