"""`salmon completion`, by a real bash: what it completes, where it is installed, and what it imports for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(sys.executable).parent
BASH = shutil.which("bash")
HEAVY = {"torch", "transformers", "pydantic", "ruamel", "yaml", "pyarrow", "fastapi", "rich", "numpy"}

pytestmark = pytest.mark.skipif(BASH is None, reason="there is no bash")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A user's folder with the folder of a run in it."""
    run = tmp_path / "work" / "runs" / "first"
    (run / "train-policy").mkdir(parents=True)
    (run / "events.jsonl").touch()
    (run / "train-policy" / "job.json").write_text(json.dumps({"reward": {"weights": {"kind": 1.0, "brief": 2.0}}}))
    (tmp_path / "work" / "runs" / "no-run").mkdir()
    return tmp_path


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ZDOTDIR"))}
    return kept | {"HOME": str(home), "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}", **more}


def salmon(home: Path, *args: str, **more: str) -> subprocess.CompletedProcess[str]:
    argv = [PROGRAMS / "salmon", *args]
    return subprocess.run(argv, env=environment(home, **more), cwd=home / "work", capture_output=True, text=True)


#: what bash does at the tabulator key: the function that `complete -p` names, with the words so far
_PRESS = """
read -ra COMP_WORDS <<< "$1"; [[ "$1" == *" " ]] && COMP_WORDS+=("")
COMP_LINE=$1; COMP_POINT=${#COMP_LINE}; COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )); COMPREPLY=()
function=$(complete -p salmon | sed 's/.*-F \\([^ ]*\\).*/\\1/')
compopt() { :; }
"$function" salmon "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def pressed(home: Path, line: str, *, interactive: bool = False) -> set[str]:
    """What bash offers after a line; an interactive one reads its own file, the other evaluates what is printed."""
    code = _PRESS if interactive else 'eval "$(salmon completion bash)"\n' + _PRESS
    argv = [str(BASH), *(["-i"] if interactive else ["--norc"]), "-c", code, "bash", line]
    done = subprocess.run(argv, env=environment(home), cwd=home / "work", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("salmon ste", {"steer"}),
        ("salmon ser", {"serve"}),  # of a plugin
        ("salmon report ", {"runs/first"}),
        ("salmon steer runs/first --principle b", {"brief"}),
        ("salmon plugins --kind bon", {"bonuses"}),
        ("salmon principles show salmon-", {"salmon-rl", "salmon-rm"}),
        ("salmon new mon", {"monitor"}),
        ("salmon run x.yaml --unti", {"--until"}),
        ("salmon run x.yaml --until verd", {"verdict"}),
    ],
)
def test_bash_completes(line: str, wanted: set[str], home: Path) -> None:
    assert pressed(home, line) == wanted


def test_it_is_installed_once_and_works(home: Path) -> None:
    """After what the user has there; a second time changes nothing, and what was moved is renewed."""
    startup = home / ".bashrc"
    startup.write_text("export MINE=1")
    startup.chmod(0o600)
    first = salmon(home, "completion", "bash", "--install")
    assert first.returncode == 0, first.stderr
    text, script = startup.read_text(), home / ".local" / "share" / "salmon" / "completion.bash"
    assert text.startswith("export MINE=1\n# >>> salmon completion >>>\n")
    assert startup.stat().st_mode & 0o777 == 0o600
    assert pressed(home, "salmon ste", interactive=True) == {"steer"}
    again = salmon(home, "completion", "bash", "--install")
    assert again.stderr.split() == ["kept", str(script), "kept", str(startup)]
    assert startup.read_text() == text
    with startup.open("a") as file:
        file.write("export MORE=1\n")
    moved = salmon(home, "completion", "bash", "--install", XDG_DATA_HOME=str(home / "it's here"))
    assert moved.returncode == 0
    assert startup.read_text().count(">>> salmon completion >>>") == 1
    assert startup.read_text().endswith("# <<< salmon completion <<<\nexport MORE=1\n")
    assert pressed(home, "salmon ste", interactive=True) == {"steer"}


def test_a_half_installed_one_is_not_guessed_at(home: Path) -> None:
    for content, message in ((b"# >>> salmon completion >>>\n", "a part of an earlier"), (b"\xff\n", "no UTF-8 text")):
        (home / ".bashrc").write_bytes(content)
        done = salmon(home, "completion", "bash", "--install")
        assert done.returncode == 1
        assert f"{home / '.bashrc'}: " in done.stderr
        assert message in done.stderr
        assert (home / ".bashrc").read_bytes() == content


def test_zsh_and_fish_go_where_these_look(home: Path) -> None:
    assert salmon(home, "completion", "fish", "--install").returncode == 0
    assert "--command salmon" in (home / ".config" / "fish" / "completions" / "salmon.fish").read_text()
    (home / "zsh").mkdir()
    assert salmon(home, "completion", "zsh", "--install", ZDOTDIR=str(home / "zsh")).returncode == 0
    assert "compinit" in (home / "zsh" / ".zshrc").read_text()
    assert "compdef" in (home / ".local" / "share" / "salmon" / "completion.zsh").read_text()


@pytest.mark.parametrize(
    "words", ["salmon ", "salmon report ", "salmon principles show ", "salmon steer runs/first --principle "]
)
def test_each_press_is_light(words: str, home: Path) -> None:
    env = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split())), "_SALMON_COMPLETE": "bash_complete"}
    done = salmon(home, PYTHONPROFILEIMPORTTIME="1", **env)
    assert done.stdout, done.stderr[-2000:]
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "salmon_core" in imported
    assert not imported & HEAVY
