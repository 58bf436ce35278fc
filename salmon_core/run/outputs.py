"""What a stage has left, file by file: size, rows and content, written down when each was made.

`outputs.json` in a stage's folder grows while the stage works, and says at its end that the work is complete: a process
that ends without saying so has failed, whatever its exit code. A finished stage's manifest keeps the same table, so
that what was lost or changed since is found before anything is built on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from salmon_core.data.json import canonical, read_json, write_json
from salmon_core.errors import StageError

FILE = "outputs.json"
#: content of larger files is compared only where the user asks for it
CHEAP = 64 << 20


@dataclass(frozen=True, slots=True)
class Output:
    """One file as it was written.

    Attributes:
        size: in bytes.
        rows: of a Parquet file.
    """

    size: int
    sha256: str
    rows: int | None = None

    @classmethod
    def of(cls, path: Path) -> Output:
        """The file as it is now."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path.stat().st_size, digest, _rows(path) if path.suffix == ".parquet" else None)

    def fault(self, path: Path, *, whole: bool) -> str | None:
        """What became of the file, in words; None where nothing did.

        Args:
            whole: compare the content of a large file too.
        """
        if not path.is_file():
            return "is missing"
        size = path.stat().st_size
        if size != self.size:
            if self.rows is not None and (rows := _rows(path)) is not None:
                return f"has {rows} rows, {self.rows} were written"
            return f"has {size} bytes, {self.size} were written"
        if (whole or size <= CHEAP) and Output.of(path).sha256 != self.sha256:
            return "is not what was written"
        return None


def _rows(path: Path) -> int | None:
    """Of a Parquet file; None where it is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: int = pq.read_metadata(path).num_rows
    except (pa.ArrowException, OSError):
        return None
    return rows


def to_json(files: Mapping[str, Output]) -> dict[str, Any]:
    """By path, as `from_json` reads it."""
    return {name: asdict(output) for name, output in sorted(files.items())}


def from_json(values: Any) -> dict[str, Output]:
    """What `to_json` wrote; nothing where it is damaged."""
    try:
        return {name: Output(**output) for name, output in values.items()}
    except (AttributeError, TypeError):
        return {}


def digest(files: Mapping[str, Output]) -> str:
    """One value for the content of all."""
    return hashlib.sha256(canonical({name: output.sha256 for name, output in files.items()}).encode()).hexdigest()[:16]


def faults(folder: Path, files: Mapping[str, Output], *, whole: bool) -> dict[str, str]:
    """Files that are not as they were written, and what became of them."""
    found = {name: output.fault(folder / name, whole=whole) for name, output in files.items()}
    return {name: fault for name, fault in found.items() if fault is not None}


class Outputs:
    """The table of one stage at work.

    Args:
        folder: the stage's.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        saved = read_json(folder / FILE)
        saved = saved if isinstance(saved, dict) else {}
        self.files = from_json(saved.get("files", {}))
        self.complete: bool = saved.get("complete") is True

    def begin(self, files: Mapping[str, Output] | None = None) -> None:
        """Work goes on.

        Args:
            files: what is there already; by default what the table has.
        """
        self._save(self.files if files is None else dict(files), complete=False)

    def add(self, *paths: Path) -> None:
        """Files that are written and will not change."""
        self._save(self.files | {self._name(path): Output.of(path) for path in paths}, complete=False)

    def has(self, path: Path) -> bool:
        """Whether a file was written to its end, and is still as it was."""
        written = self.files.get(self._name(path))
        return written is not None and written.fault(path, whole=True) is None

    def finish(self, patterns: Iterable[str]) -> None:
        """The work is complete.

        Args:
            patterns: of all that it leaves; a folder counts with all its files.

        Raises:
            StageError: of one of them there is nothing.
        """
        found = {}
        for pattern in patterns:
            if not (paths := _files(self._folder, pattern)):
                raise StageError(f"{pattern} is missing", where=str(self._folder), hint="run the stage again")
            for path in paths:
                name = self._name(path)
                found[name] = self.files.get(name) or Output.of(path)
        self._save(found, complete=True)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()

    def _save(self, files: dict[str, Output], *, complete: bool) -> None:
        self.files, self.complete = files, complete
        write_json(self._folder / FILE, {"files": to_json(files), "complete": complete})


def described(folder: Path, patterns: Sequence[str]) -> dict[str, Output]:
    """All files that fit, as they are now."""
    return {
        path.relative_to(folder).as_posix(): Output.of(path) for pattern in patterns for path in _files(folder, pattern)
    }


def _files(folder: Path, pattern: str) -> list[Path]:
    found = [path for path in sorted(folder.glob(pattern)) if not path.name.endswith(".tmp")]
    return [file for path in found for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file()]
