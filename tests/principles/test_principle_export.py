"""Sets leave in formats that others read, with what has no place there said; and come back where they can."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from salmon_core.api.principles import Principle, PrincipleSet
from salmon_core.cli import declared_principles
from salmon_core.cli.main import main
from salmon_core.principles.exported import TARGETS, export_principles
from salmon_core.principles.files import bundled_names, load_principle_set
from salmon_core.principles.imported import import_principles
from salmon_core.principles.yaml import write_principle_yaml

FULL = PrincipleSet(
    "desk",
    (
        Principle(
            "kind", "The response is kind.", "The response is harsh.", 2.0, {"reasoning": 3.0}, ("tone",), "Kind!"
        ),
        Principle("brief", "The response is brief.\nVery.", weight=0.5, source="a.json, [0]: x"),
    ),
    "for the desk",
)
Cli = Callable[..., Result]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    write_principle_yaml(FULL, tmp_path / "desk.yaml")
    return lambda *args: CliRunner().invoke(main, ["principles", *map(str, args)])


def test_the_command_knows_the_formats() -> None:
    assert declared_principles.TARGETS == TARGETS


def test_yaml_holds_everything(tmp_path: Path) -> None:
    text, lost = export_principles(FULL, "yaml")
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    assert lost == []
    assert load_principle_set(tmp_path / "a.yaml") == FULL


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("salmon-json", ["negated text of kind", "weights by category of kind", "tags of kind", "source of brief",
                         "the set's description"]),
        ("text", ["name of kind, brief", "title of kind", "negated text of kind", "weight of kind, brief",
                  "weights by category of kind", "tags of kind", "source of brief", "the set's description",
                  "line breaks in the text of brief"]),
        ("markdown", ["negated text of kind", "weight of kind, brief", "weights by category of kind", "tags of kind",
                      "source of brief", "line breaks in the text of brief"]),
        ("requirements", ["name of kind, brief", "title of kind", "negated text of kind", "weights by category of kind",
                          "tags of kind", "source of brief", "the set's description"]),
    ],
)  # fmt: skip
def test_what_is_lost_is_said(cli: Cli, name: str, lost: list[str]) -> None:
    done = cli("export", "desk.yaml", "--format", name)
    assert done.exit_code == 0
    assert done.stderr.splitlines() == [f"not in {name}: {each}" for each in lost]


def test_the_texts_themselves(cli: Cli) -> None:
    assert (
        cli("export", "desk.yaml", "--format", "text").stdout == "The response is kind.\nThe response is brief. Very.\n"
    )
    assert cli("export", "desk.yaml", "--format", "markdown").stdout == (
        "# desk\n\nfor the desk\n\n## Kind!\n\nThe response is kind.\n\n## brief\n\nThe response is brief. Very.\n"
    )
    assert json.loads(cli("export", "desk.yaml", "--format", "requirements").stdout) == [
        {"weight": 2, "requirement": "The response is kind."},
        {"weight": 0.5, "requirement": "The response is brief.\nVery."},
    ]
    show = cli("show", "desk.yaml", "--json")
    assert cli("export", "desk.yaml", "--format", "salmon-json").stdout == show.stdout


def test_into_a_new_file_only(cli: Cli, tmp_path: Path) -> None:
    assert cli("export", "honest", "--format", "requirements", "-o", "out.json").stdout == (
        "8 principles written to out.json\n"
    )
    before = (tmp_path / "out.json").read_text()
    again = cli("export", "honest", "--format", "text", "-o", "out.json")
    assert (again.exit_code, again.stderr) == (1, "error: out.json: the file exists already (give another name)\n")
    assert (tmp_path / "out.json").read_text() == before


def test_a_set_that_is_not_there(cli: Cli) -> None:
    gone = cli("export", "gone.yaml", "--format", "text")
    assert gone.exit_code == 2
    assert "gone.yaml: there is no such file" in gone.stderr
    assert cli("export", "desk.yaml", "--format", "xml").exit_code == 2


@pytest.mark.parametrize("name", bundled_names())
@pytest.mark.parametrize("target", ["salmon-json", "text", "markdown", "requirements"])
def test_there_and_back(name: str, target: str, tmp_path: Path) -> None:
    """What the format has a place for comes back as it was."""
    original = load_principle_set(name)
    ending = {"text": ".txt", "markdown": ".md"}.get(target, ".json")
    path = tmp_path / f"{name}{ending}"
    path.write_text(export_principles(original, target)[0], encoding="utf-8")
    imported = import_principles(path)
    again = imported.principles
    assert again is not None
    assert not any(each.item for each in imported.unmapped)
    keeps = {
        "salmon-json": ("name", "title", "text", "negated"),
        "text": ("text",),
        "markdown": ("name", "title"),
        "requirements": ("text", "weight"),
    }[target]
    assert [[getattr(p, key) for key in keeps] for p in again] == [[getattr(p, key) for key in keeps] for p in original]
    if target == "markdown":  # of a longer text the first sentence
        assert all(p.text.startswith(q.text) for p, q in zip(original, again, strict=True))
    assert all(p.source for p in again)
