"""Damages files of a finished run, and starts the same command again, for `prove_kills.py`."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from prove_kills_compare import different
from prove_kills_kill import Result
from prove_kills_world import World


def delete(file: Path, _: Random) -> None:
    file.unlink()


def truncate(file: Path, _: Random) -> None:
    """To half."""
    os.truncate(file, file.stat().st_size // 2)


def flip(file: Path, rng: Random) -> None:
    """A bit of a byte that is not zero, so that it is one of the content."""
    content = bytearray(file.read_bytes())
    places = [place for place, byte in enumerate(content) if byte] or range(len(content))
    content[rng.choice(places)] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


HOW: dict[str, Callable[[Path, Random], None]] = {"delete": delete, "truncate": truncate, "flip": flip}
_CHECKPOINT = "checkpoint: "


@dataclass(frozen=True)
class Damage:
    """One of those to be done.

    Attributes:
        kind: of file.
    """

    kind: str
    how: str

    @property
    def name(self) -> str:
        """For `--only` and the progress."""
        return f"damage {self.kind} {self.how}"


def kind_of(name: str) -> str:
    """What sort of file it is, by its path in the run: the same of all stages, shards and steps."""
    path = Path(name)
    if "checkpoints" in path.parts:
        return _CHECKPOINT + path.name
    if "model" in path.parts:
        return f"model: {path.name}"
    if "tb" in path.parts:
        return "tensorboard's"
    if path.suffix == ".parquet" or (path.parts[0] == "evaluate" and path.name[0].isdigit()):
        return re.sub(r"\d+", "N", "/".join(path.parts[-2:]))
    return path.name


def kinds(reference: Path) -> dict[str, list[str]]:
    """Every file that the run left and that is not empty, by kind; of checkpoints those of the last one."""
    found: dict[str, list[str]] = {}
    for path in sorted(reference.rglob("*")):
        name = path.relative_to(reference).as_posix()
        if path.is_file() and path.stat().st_size and not _older(reference, path):
            found.setdefault(kind_of(name), []).append(name)
    return found


def _older(reference: Path, path: Path) -> bool:
    """Whether it is of a checkpoint that is not the last one."""
    parts = path.relative_to(reference).parts
    if len(parts) < 4 or parts[1] != "checkpoints":
        return False
    return parts[2] != max((reference / parts[0] / "checkpoints").glob("checkpoint-*"), key=_number).name


def _number(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def damages(found: dict[str, list[str]]) -> list[Damage]:
    """Every kind in every way."""
    return [Damage(kind, how) for kind in sorted(found) for how in HOW]


def damaged(world: World, damage: Damage, files: list[str], rng: Random) -> Result:
    """Does it, compares, and says what came of it."""
    begun = time.monotonic()
    world.restore()
    name = rng.choice(files)
    _needed(world.run, name)
    HOW[damage.how](world.run / name, rng)
    again = world.salmon()
    verdict, detail = _judged(world, name, again.code, again.said)
    return Result(verdict, detail, name, time.monotonic() - begun)


def _needed(run: Path, name: str) -> None:
    """Loses what is made from the file too, so that somebody reads it."""
    if "/checkpoints/" in name:
        shutil.rmtree(run / name.split("/")[0] / "model")
    elif name.startswith("cache/"):
        (run / "judge" / "part-00001.parquet").unlink()


def _judged(world: World, name: str, code: int, said: str) -> tuple[str, str]:
    if "Traceback" in said:
        return "FAILED", f"a trace on the terminal: {said[-3000:]}"
    if code != 0:
        if str(world.run / name) not in said:
            return "FAILED", f"exit code {code}, and {name} is not named: {said[-3000:]}"
        (world.run / name).unlink(missing_ok=True)  # what the message asks for
        again = world.salmon()
        found = different(world.reference, world.run, until=world.until)
        if again.code != 0 or found:
            return "FAILED", f"after its advice, exit code {again.code}, {'; '.join(found)}: {again.said[-3000:]}"
        return "said", said.strip().splitlines()[-1]
    found = different(world.reference, world.run, until=world.until)
    lines = [line for line in said.splitlines() if name in line]
    if not found:
        return "equal", lines[0] if lines else ""
    silent = [text for text in found if str(world.run / text.split(" is ")[0]) not in said]
    return ("FAILED", "; ".join(silent)) if silent else ("said", lines[0])
