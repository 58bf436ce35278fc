"""`salmon push`."""

from __future__ import annotations

from pathlib import Path

from rich.markup import escape

from salmon_core.cli.output import OUT
from salmon_core.errors import SalmonError
from salmon_core.kit.commands import announce_file_plugin
from salmon_core.run.run import Run
from salmon_core.sharing.hub import Upload, What, push, token, upload_of


def push_run(
    folder: Path, to: str, what: What, *, private: bool, dry_run: bool, license: str, file_plugins: bool = True
) -> None:
    """Sends what a run made to the hub, or says what it would send."""
    run = Run.open(folder, file_plugins=file_plugins, announce=announce_file_plugin)
    upload = upload_of(run, what, to, license=license)
    if not dry_run:
        _tell(upload)
        OUT.print(escape(f"pushed to {push(upload, private=private)}"))
        return
    _tell(upload)
    try:
        token()
    except SalmonError as error:
        OUT.print(escape(f"missing: {error.message} ({error.hint})"))
    OUT.print("nothing was sent")


def _tell(upload: Upload) -> None:
    width = max(len(each.name) for each in upload.files)
    kind = "model" if upload.kind == "model" else "data set"
    OUT.print(escape(f"{kind} {upload.to}, {len(upload.files)} files, {_size(sum(f.size for f in upload.files))}"))
    for each in upload.files:
        OUT.print(escape(f"  {each.name:{width}}  {_size(each.size)}"))
    if upload.left_out:
        OUT.print(escape(f"left here: {', '.join(upload.left_out)}"))
    for each_missing in upload.missing:
        OUT.print(escape(f"missing: {each_missing}"))


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
