"""`salmon completion`: the shell's script, printed or installed."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from salmon_core.data.files import write_text
from salmon_core.errors import SalmonError

#: around what is written into a shell's own file
_BEGIN, _END = "# >>> salmon completion >>>", "# <<< salmon completion <<<"


def show_completion(command: click.Command, shell: str, *, install: bool) -> None:
    """Prints the script, or installs it for this user; a second time that changes nothing.

    Args:
        command: `salmon` itself.
        shell: `bash`, `zsh` or `fish`.

    Raises:
        SalmonError: the shell's own file cannot be read as text, or holds half of what was installed.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise SalmonError(f"there is no completion for {shell!r}", hint="bash, zsh or fish")
    source = kind(command, {}, "salmon", "_SALMON_COMPLETE").source()
    if not install:
        click.echo(source)
        return
    script, startup = _places(shell)
    _put(script, source.rstrip("\n") + "\n")
    if startup is not None:
        _put(startup, _with_block(startup, _block(shell, script)))
    click.echo(f"a new {shell} completes `salmon`; in this one: source {script}")


def _places(shell: str) -> tuple[Path, Path | None]:
    """The script's file; the shell's own file that has to name it, where the shell finds it in no other way."""
    home = Path.home()
    if shell == "fish":
        config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
        return config / "fish" / "completions" / "salmon.fish", None
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    startup = home / ".bashrc" if shell == "bash" else Path(os.environ.get("ZDOTDIR") or home) / ".zshrc"
    return data / "salmon" / f"completion.{shell}", startup


def _block(shell: str, script: Path) -> str:
    quoted = "'" + str(script).replace("'", "'\\''") + "'"
    lines = [f"[ -r {quoted} ] && . {quoted}"]
    if shell == "zsh":  # whose completion has to be on before anything can be added to it
        lines.insert(0, "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }")
    return "\n".join([_BEGIN, *lines, _END]) + "\n"


def _with_block(startup: Path, block: str) -> str:
    """The shell's own file with the block: in the place of an earlier one, else at the end."""
    try:
        text = startup.read_bytes().decode("utf-8") if startup.exists() else ""
    except UnicodeDecodeError:
        raise SalmonError("is no UTF-8 text", where=str(startup), hint=f"add to it yourself:\n{block}") from None
    marks = [line for line in text.splitlines() if line in (_BEGIN, _END)]
    if marks not in ([], [_BEGIN, _END]):
        raise SalmonError(
            "has a part of an earlier completion", where=str(startup), hint=f"remove the lines {_BEGIN!r} and {_END!r}"
        )
    if marks:
        return re.sub(rf"(?ms)^{re.escape(_BEGIN)}$.*?^{re.escape(_END)}$\n?", lambda _: block, text)
    return text + ("\n" if text and not text.endswith("\n") else "") + block


def _put(path: Path, text: str) -> None:
    """Writes a text where it is not there already, and says which."""
    if path.exists() and path.read_bytes() == text.encode():
        click.echo(f"kept    {path}", file=sys.stderr)
        return
    mode = path.stat().st_mode & 0o777 if path.exists() else None
    write_text(path, text)
    if mode is not None:
        path.chmod(mode)
    click.echo(f"written {path}", file=sys.stderr)
