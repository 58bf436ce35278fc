"""Files that appear whole or not at all, and what is said where the system refuses one."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from salmon_core.errors import SalmonError

#: what a write can fail by; the system names no file then
_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
#: what is being written aside at this moment
_ASIDE: set[Path] = set()
#: what to do about it
_HINTS = {
    errno.ENOSPC: "make room, then run the same command again",
    errno.EDQUOT: "make room, then run the same command again",
    errno.EFBIG: "files may not grow larger here; see `ulimit -f`",
    errno.EROFS: "choose a folder that can be written to",
    errno.EACCES: "choose another place, or change who may use this one",
    errno.EPERM: "choose another place, or change who may use this one",
    errno.ELOOP: "its symbolic links lead in a circle",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "something in this path is a file, not a folder",
    errno.EEXIST: "something else has this name; choose another",
    errno.EISDIR: "name a file",
    errno.EMFILE: "see `ulimit -n`",
    errno.ENFILE: "see `ulimit -n`",
}


def in_words(error: OSError, otherwise: str = "") -> SalmonError:
    """What the system refused, where, and what to do.

    Args:
        otherwise: the place, where the error names none.
    """
    named = error.filename if isinstance(error.filename, str | bytes | os.PathLike) else None
    where = os.fsdecode(named) if named else otherwise
    if error.errno is None:
        return SalmonError(str(error) or type(error).__name__, where=where or None)
    return SalmonError(os.strerror(error.errno), where=where or None, hint=_HINTS.get(error.errno))


def full_path(path: Path | str) -> Path:
    """Absolute, with `~` and symbolic links followed; one whose links lead in a circle is no file and no folder."""
    return Path(os.path.realpath(os.path.expanduser(path)))


def nameable(path: Path) -> Path:
    """The path, if the files of a run can hold it: Linux takes names of any bytes, JSON and YAML only characters.

    Raises:
        SalmonError: a part of it is not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = str(path).encode(errors="backslashreplace").decode()
        raise SalmonError("has bytes in its name that are not UTF-8", where=shown, hint="rename it") from None
    return path


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """A write that fails in the block names `path`."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in _WRITING:
            error.filename = str(path)
        raise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` when the block ends well.

    What was written is on the disk before it is renamed. Folders above are made. One writer at a time: what a killed
    one left is written over. A symbolic link stays one, and what it leads to is replaced; a device or pipe, which
    nothing can take the place of, is written to itself.

    Raises:
        OSError: names `path`, whichever file the system refused.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # it is a file, or a link to nowhere
        os.stat(path.parent)
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), error.filename) from None
    with suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            with naming(path):
                yield path
            return
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    aside = target.with_name(target.name + ".tmp")
    _ASIDE.add(aside)
    try:
        with naming(path):
            yield aside
            with aside.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(aside, target)
    except OSError as error:
        if error.filename == str(aside):
            error.filename = str(path)
        raise
    finally:
        with suppress(OSError):  # what was refused has been said
            aside.unlink(missing_ok=True)
        _ASIDE.discard(aside)


def abandon() -> None:
    """Removes what is being written aside, before a process ends in the middle of it."""
    for aside in list(_ASIDE):
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """A text as UTF-8, with its line breaks as they are."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8", newline="")


def append_line(path: Path, line: str) -> None:
    """Adds a line; where it cannot be written whole, nothing of it stays, unless another process has written since."""
    rest = memoryview((line + "\n").encode(errors="backslashreplace"))
    with naming(path), path.open("ab", buffering=0) as file:
        before, size = file.tell(), len(rest)
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            with suppress(OSError):
                if os.fstat(file.fileno()).st_size == before + size - len(rest):
                    file.truncate(before)
            raise
