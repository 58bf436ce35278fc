"""A run's folder: stages, manifests, fingerprints.

`runs/NAME/STAGE/manifest.json` says what a stage was made from, and what it left. Finished from the same and whole:
skipped. Unfinished: continued. Made from something else: the old folder moves to `archive/`, never deleted.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salmon_core.data.json import read_json, write_json
from salmon_core.errors import StageError
from salmon_core.run import outputs
from salmon_core.run.identity import fingerprint
from salmon_core.run.outputs import Output, Outputs

_MANIFEST = "manifest.json"
_NO_RESULT = (_MANIFEST, outputs.FILE, "log.txt", "error.json", "progress.json", "notes.jsonl")
#: of a manifest: the fingerprint of all else in it
_CHECK = "check"


@dataclass(frozen=True, slots=True)
class MadeFrom:
    """What a stage's result follows from.

    Attributes:
        fingerprint: of `parts`.
        parts: the identity of its inputs, as far as they are known before anything runs.
        read: by earlier stage, the content of what it left.
    """

    fingerprint: str
    parts: Mapping[str, Any]
    read: Mapping[str, str]


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
        """Empty where there is none, or where it is damaged."""
        found = read_json(self.path / _MANIFEST)
        if not isinstance(found, dict) or found.pop(_CHECK, None) != fingerprint(found):
            return {}
        return found

    @property
    def content(self) -> str:
        """One value for all that the finished stage left."""
        return outputs.digest(outputs.from_json(self.manifest.get("outputs", {})))

    def finished(self, made_from: MadeFrom) -> bool:
        """Whether it was made to its end from this."""
        return self.continues(made_from) and self.manifest.get("status") == "finished"

    def continues(self, made_from: MadeFrom) -> bool:
        """Whether what is there, finished or not, was made from this."""
        return self.otherwise(made_from) is None

    def otherwise(self, made_from: MadeFrom) -> str | None:
        """Why what is there does not count, in words; None where it does."""
        manifest = self.manifest
        if not manifest:
            return f"its {_MANIFEST} is damaged" if (self.path / _MANIFEST).exists() else "it was never begun"
        if manifest.get("fingerprint") != made_from.fingerprint:
            changed = list(_changed(manifest.get("made_from", {}), made_from.parts, ""))
            return f"{', '.join(changed[:3])} changed" if changed else "it is made anew"
        read = manifest.get("read", {})
        if others := [name for name, content in made_from.read.items() if read.get(name) != content]:
            return f"what {' and '.join(others)} left is not what it was made from"
        return None

    def begin(self, made_from: MadeFrom, seeds: Mapping[str, int]) -> Path | None:
        """Makes the folder ready for work from the start; returns where an older result went, if there was one."""
        archived = None
        if self.path.exists():
            if any(item.name not in _NO_RESULT for item in self.path.iterdir()):
                archived = self._archive(f"{self.manifest.get('fingerprint', 'unknown'):.8}")
                self.path.rename(archived)
            else:
                shutil.rmtree(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        self._save(
            {
                "stage": self.name,
                "status": "started",
                "fingerprint": made_from.fingerprint,
                "made_from": dict(made_from.parts),
                "read": dict(made_from.read),
                "seeds": dict(seeds),
                "started": _now(),
                "seconds": 0.0,
            }
        )
        return archived

    def faults(self, *, whole: bool) -> dict[str, str]:
        """Files that are not as the stage wrote them, and what became of them.

        Args:
            whole: compare the content of large files too.
        """
        return outputs.faults(self.path, self._written("outputs"), whole=whole)

    def lost_records(self) -> dict[str, str]:
        """The same of what no later stage reads, and only the whole stage could make again."""
        return outputs.faults(self.path, outputs.from_json(self.manifest.get("records", {})), whole=False)

    def set_aside(self, names: Iterable[str]) -> Path | None:
        """Reopens the stage without these files or folders; returns where those that exist went."""
        gone = set(names)
        existing = [name for name in sorted(gone) if (self.path / name).exists()]
        archive = self._archive("damaged") if existing else None
        for name in existing:
            assert archive is not None
            (archive / name).parent.mkdir(parents=True, exist_ok=True)
            os.rename(self.path / name, archive / name)
        left = {
            name: output
            for name, output in self._written("outputs", "records").items()
            if not any(name == lost or name.startswith(f"{lost}/") for lost in gone)
        }
        Outputs(self.path).begin(left)
        self._save(self.manifest | {"status": "started"})
        return archive

    def _written(self, *kinds: str) -> dict[str, Output]:
        manifest = self.manifest
        if manifest.get("status") != "finished":
            return Outputs(self.path).files
        return {name: output for kind in kinds for name, output in outputs.from_json(manifest.get(kind, {})).items()}

    def finish(
        self, seconds: float, metrics: Mapping[str, Any], patterns: Iterable[str] = (), records: Iterable[str] = ()
    ) -> dict[str, Any]:
        """Marks the stage finished; `seconds` add up over resumed runs.

        Args:
            patterns: of what it left, `records` of what it left for people only.

        Raises:
            StageError: some of it is not there.
        """
        made = Outputs(self.path)
        made.finish(patterns)
        manifest = self.manifest
        manifest |= {
            "status": "finished",
            "finished": _now(),
            "seconds": round(manifest.get("seconds", 0.0) + seconds, 3),
            "metrics": dict(metrics),
            "outputs": outputs.to_json(made.files),
            "records": outputs.to_json(outputs.described(self.path, tuple(records))),
        }
        self._save(manifest)
        return manifest

    def interrupted(self, seconds: float) -> None:
        manifest = self.manifest
        if manifest:
            self._save(manifest | {"seconds": round(manifest.get("seconds", 0.0) + seconds, 3)})

    def _save(self, manifest: Mapping[str, Any]) -> None:
        write_json(self.path / _MANIFEST, {**manifest, _CHECK: fingerprint(manifest)})

    def _archive(self, mark: str) -> Path:
        """A name there that is not taken."""
        archive = self.run / "archive"
        archive.mkdir(exist_ok=True)
        target = archive / f"{self.name}-{mark}"
        number = 1
        while target.exists():
            number += 1
            target = archive / f"{self.name}-{mark}-{number}"
        return target

    def need(self, relative: str) -> Path:
        """A file or folder the stage must have made."""
        path = self.path / relative
        if not path.exists():
            raise StageError(f"{relative} is missing", where=str(self.path), hint="run the stage again")
        return path

    def shards(self, pattern: str = "part-*.parquet") -> list[Path]:
        return sorted(self.path.glob(pattern))


def _changed(old: Any, new: Any, where: str) -> Iterable[str]:
    """Places at which two JSON values differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _changed(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _changed(before, after, f"{where}[{index}]")
    elif old != new:
        yield where


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
