"""Whatever others wrote comes in: recognised, converted, nothing lost; and what goes wrong is said."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from salmon_core.api.principles import Principle
from salmon_core.cli.main import main
from salmon_core.errors import ConfigError
from salmon_core.principles.files import load_principle_set
from salmon_core.principles.formats.registry import FORMATS
from salmon_core.principles.imported import Imported, import_principles, write_imported

SAMPLES = Path(__file__).parent / "formats"
#: by sample: the format, how many principles it holds, how many of them are left out, and one of those that come out
EXPECTED: dict[str, tuple[str, int, int, tuple[str, str, str | None, float]]] = {
    "salmon.json": ("salmon-json", 3, 0, (
        "idle-talk", "The response avoids this: The response fills space with talk that answers nothing.",
        "The response fills space with talk that answers nothing.", 2)),
    "constitution.json": ("constitution", 4, 1, (
        "treats-the-customer-as-an-equal", "The response treats the customer as an equal.", None, 1)),
    "rules.txt": ("text", 4, 0, ("honest-about-delays", "The response is honest about delays.", None, 1)),
    "paragraphs.txt": ("text", 2, 0, (
        "a-patient-colleague-would-give-to-somebody",
        "The response is one that a patient colleague would give to somebody who asks for the third time.", None, 1)),
    "bullets.md": ("markdown-bullets", 5, 1, (
        "warmth", "The response greets the customer by name where the name is known.", None, 1)),
    "sections.md": ("markdown-sections", 3, 1, (
        "named-sources", "The response names where its numbers come from.", None, 1)),
    "requirements.json": ("requirements", 4, 1, (
        "skips-the-warning-about-the-mains-voltage",
        "The response avoids this: Skips the warning about the mains voltage.",
        "Skips the warning about the mains voltage.", 3)),
    "named.yaml": ("named", 3, 0, (
        "upselling", "The response avoids this: The response pushes a new purchase before the repair was tried.",
        "The response pushes a new purchase before the repair was tried.", 1)),
    "titled.json": ("titled", 3, 1, ("dose-stated", "The response states the dose in millilitres.", None, 5)),
    "criteria.json": ("criteria", 6, 1, (
        "thesis", "The feedback says what the essay claims.", "The claim is not mentioned.", 2)),
    "criteria.toml": ("criteria", 2, 0, (
        "cr-1", "The review says how to reproduce the fault.", "The fault cannot be found from the review.", 2)),
    "scale.json": ("scale", 3, 1, (
        "candour", "Whether the answer admits what it does not know. At its best: It marks what is uncertain.",
        "Whether the answer admits what it does not know. At its worst: It claims to know everything.", 1)),
    "texts.yaml": ("texts", 3, 1, (
        "uses-the-customer-s-own-words", "The response uses the customer's own words.", None, 1)),
    "ours.toml": ("salmon", 2, 0, (
        "metric", "The response gives lengths in metres.", "The response gives lengths in feet.", 2)),
    "points.jsonl": ("per-prompt", 5, 1, (
        "recommends-leftover-drops-of-somebody-else",
        "The response avoids this: Recommends leftover drops of somebody else.",
        "Recommends leftover drops of somebody else.", 8)),
    "question.jsonl": ("per-prompt", 3, 0, (
        "rain-myth", "The response avoids this: Claims that rain is salty.", "Claims that rain is salty.", 2)),
    "principle.jsonl": ("per-prompt", 4, 1, (
        "would-make-the-guests-smile", "The response would make the guests smile.", None, 1)),
}  # fmt: skip
Cli = Callable[..., Result]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*args: object) -> Result:
        done = CliRunner().invoke(main, ["principles", *map(str, args)])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert "Traceback" not in done.output
        return done

    return run


def all_of(imported: Imported) -> list[Principle]:
    return [*(imported.principles or ()), *(each for row in imported.prompts for each in row.principles)]


def test_every_sample_is_expected_and_every_format_has_one() -> None:
    assert {path.name for path in SAMPLES.iterdir()} == set(EXPECTED)
    assert {found[0] for found in EXPECTED.values()} == {each.name for each in FORMATS}


@pytest.mark.parametrize("name", EXPECTED)
def test_samples(name: str) -> None:
    format_name, items, lost, one = EXPECTED[name]
    imported = import_principles(SAMPLES / name)
    found = {each.name: each for each in all_of(imported)}
    assert imported.format == format_name
    assert imported.count + sum(each.item for each in imported.unmapped) == items
    assert sum(each.item for each in imported.unmapped) == lost
    got = found[one[0]]
    assert (got.name, got.text, got.negated, got.weight) == one
    for each in found.values():
        assert each.source.startswith(f"{name}, ")
        assert each.text.startswith(("The ", "Asks ", "Names ", "Says ", "Explains ", "How ", "Whether "))


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_written_is_read_back_equal(name: str, tmp_path: Path) -> None:
    imported = import_principles(SAMPLES / name)
    if imported.principles is not None:
        write_imported(imported, tmp_path / "a.yaml")
        assert load_principle_set(tmp_path / "a.yaml") == imported.principles
        return
    write_imported(imported, tmp_path / "a.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == len(imported.prompts)
    for row, expected in zip(rows, imported.prompts, strict=True):
        names = [each["name"] for each in row["principles"]]
        assert len(set(names)) == len(names)
        assert row.get("messages", row.get("prompt")) is not None
        for values, principle in zip(row["principles"], expected.principles, strict=True):
            values["tags"] = tuple(values.get("tags", ()))
            assert Principle(**values) == principle
    # Our own rubric file is in a format that is known, too; only the place in `source` is another.
    again = import_principles(tmp_path / "a.jsonl")
    assert [(p.name, p.text, p.negated, p.weight) for p in all_of(again)] == [
        (p.name, p.text, p.negated, p.weight) for p in all_of(imported)
    ]


def test_every_place_of_what_is_lost(cli: Cli) -> None:
    done = cli("import", SAMPLES / "criteria.json", "essay.yaml")
    assert done.stdout == "5 principles written to essay.yaml (read as criteria)\n"
    assert done.stderr.splitlines()[0].endswith("criteria.json; 1 item left out")
    assert set(done.stderr.splitlines()[1:]) == {
        "  - criteria[0]: 1 of its anchors lie between the ends (kept in `source`)",
        "  - sections[1]: is a section without criteria",
        "  - version: `version` has no place in a principle set",
    }
    assert "The claim is hinted at." in load_principle_set(Path("essay.yaml"))["thesis"].source


def test_lines_are_named_where_there_are_some(cli: Cli) -> None:
    assert "line 14: rules[2].owner: `owner` has no place in a principle" in cli(
        "import", SAMPLES / "named.yaml", "n.yaml").stderr  # fmt: skip
    assert "line 1: rubrics[2]: its weight is 0, so it would never count" in cli(
        "import", SAMPLES / "points.jsonl", "p.jsonl").stderr  # fmt: skip
    assert "line 16: a heading without a paragraph below it" in cli("import", SAMPLES / "sections.md", "s.yaml").stderr


def test_what_is_said_of_many_rows_is_said_once(cli: Cli, tmp_path: Path) -> None:
    row = {"prompt": "x", "principle": "The answer is y.", "note": "z"}
    lines = [json.dumps({**row, "prompt": f"x{number}"}) for number in range(9)]
    (tmp_path / "many.jsonl").write_text("\n".join(lines))
    done = cli("import", "many.jsonl")
    assert done.stdout == ("9 principles for 9 prompts written to many-principles.jsonl (read as per-prompt)\n")
    assert (
        "  - line 1: note, line 2: note, line 3: note and 6 more: `note` has no place in a rubric file" in done.stderr
    )


def test_by_default_the_target_is_named_after_the_file(cli: Cli) -> None:
    assert cli("import", SAMPLES / "rules.txt").exit_code == 0
    assert load_principle_set(Path("rules.yaml")).name == "rules"
    again = cli("import", SAMPLES / "rules.txt")
    assert (again.exit_code, again.stderr) == (1, "error: rules.yaml: the file exists already (give another name)\n")


def test_a_dangling_link_is_not_written_through(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").symlink_to("elsewhere.yaml")
    assert cli("import", SAMPLES / "rules.txt").exit_code == 1
    assert not (tmp_path / "elsewhere.yaml").exists()


@pytest.mark.parametrize(
    ("name", "target", "ending"), [("rules.txt", "a.jsonl", ".yaml"), ("points.jsonl", "a.yaml", ".jsonl")]
)
def test_targets_of_another_kind_are_refused(cli: Cli, name: str, target: str, ending: str) -> None:
    done = cli("import", SAMPLES / name, target)
    assert done.exit_code == 1
    assert f"(end it with {ending})" in done.stderr
    assert not Path(target).exists()


def test_a_format_can_be_named(cli: Cli) -> None:
    done = cli("import", SAMPLES / "bullets.md", "a.yaml", "--format", "text")
    assert "(read as text)" in done.stdout
    assert any("- **Warmth**" in each.text for each in load_principle_set(Path("a.yaml")))
    wrong = cli("import", SAMPLES / "rules.txt", "b.yaml", "--format", "criterai")
    assert wrong.exit_code == 2
    assert "there is no format 'criterai'; did you mean 'criteria'?" in wrong.stderr
    assert not Path("b.yaml").exists()


def test_formats_are_listed(cli: Cli) -> None:
    done = cli("import", "--list-formats")
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == [each.name for each in FORMATS]


@pytest.mark.parametrize("name", EXPECTED)
def test_content_counts_and_no_ending(name: str, tmp_path: Path) -> None:
    """The same format without the file's own ending."""
    shutil.copy(SAMPLES / name, tmp_path / "unnamed")
    if (SAMPLES / name).suffix in (".yaml", ".md", ".toml", ".json", ".jsonl", ".txt"):
        found = import_principles(tmp_path / "unnamed")
        plain = "markdown-bullets" if name == "texts.yaml" else EXPECTED[name][0]
        assert found.format == plain


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("a.json", '{"rules": 3}', "is in no format that is known: it is an object with 'rules'"),
        ("a.json", '[{"rule": "x", "points": 2}]', "it is a list of objects with 'rule', 'points'"),
        ("a.json", "3", "it is 3"),
        ("a.json", "[]", "it is an empty list"),
        ("a.json", "[{", "is not JSON: EOF while parsing an object at line 1 column 2"),
        ("a.txt", '{"requirement": ', "is not JSON"),
        ("a.txt", " \n", "is empty"),
        ("a.toml", "a = ", "is not TOML: "),
        ("a.toml", "x = " + "[" * 5000, "is nested too deeply"),
        ("a.toml", ".".join(["a"] * 200) + " = 1", "is nested too deeply"),
        ("a.yaml", "a: [", "not valid YAML"),
        ("a.yaml", "principles: [{name: a, text: b}]", "is a principle set as salmon reads it already"),
        ("a.jsonl", '{"prompt": "x"}\n{"prompt": ', "a.jsonl: line 2: is not JSON: EOF while parsing"),
        ("a.jsonl", '{"prompt": "x", "rubrics": []}', "line 1: has a prompt and no principles"),
        ("a.json", '[{"requirement": "", "weight": 1}]', "[0]: has no text in `requirement`"),
        ("a.json", '[{"requirement": "x", "weight": 0}]', "[0]: its weight is 0, so it would never count"),
        ("a.json", '[{"requirement": "x", "weight": "\\ud800"}]', "half of a surrogate pair"),
        ("a.json", '[{"requirement": "x", "weight": [1]}]', "[0]: its `weight` is no number"),
        ("a.md", "# Only\n\n## Headings\n", "a heading without"),
    ],
)
def test_what_goes_wrong_is_said_once(cli: Cli, tmp_path: Path, file: str, text: str, says: str) -> None:
    (tmp_path / file).write_text(text, encoding="utf-8")
    done = cli("import", file, "out.yaml")
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert done.stderr.startswith(f"error: {file}")
    assert "configuration" not in done.stderr
    assert not (tmp_path / "out.yaml").exists()
    if "no format" in says:
        assert "requirements" in done.stderr


def test_other_files_that_cannot_be_read(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "folder.json").mkdir()
    assert cli("import", "bytes.txt").stderr == "error: bytes.txt: is not UTF-8 text (byte 0)\n"
    assert cli("import", "folder.json").stderr == "error: folder.json: is a folder, not a file\n"
    assert cli("import", "gone.json").stderr == "error: gone.json: there is no such file\n"


def test_showing_a_bad_set_speaks_of_no_configuration(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("principles:\n  - {name: a, text: ''}\n  - {name: a}\n")
    done = cli("show", "rules.yaml")
    assert done.exit_code == 2
    lines = done.stderr.splitlines()
    assert lines[0] == "error: 2 problems in rules.yaml"
    assert lines[1].endswith("rules.yaml:2: principles[0].text: is empty")


@pytest.mark.parametrize("command", [("show",), ("check",), ("export", "--format", "text")])
def test_a_file_in_another_format_is_to_be_imported_first(cli: Cli, command: tuple[str, ...]) -> None:
    shutil.copy(SAMPLES / "rules.txt", "rules.txt")
    done = cli(command[0], "rules.txt", *command[1:])
    assert (done.exit_code, done.stderr) == (
        1,
        "error: rules.txt: is no principle set in YAML (turn it into one: salmon principles import rules.txt)\n",
    )


def test_a_broken_item_is_no_reason_to_refuse_the_rest(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"requirement": "One."}, 3, {"weight": 1}, {"requirement": "Two."}]))
    imported = import_principles(tmp_path / "a.json")
    assert [p.text for p in all_of(imported)] == ["One.", "Two."]
    assert [(each.where, each.item) for each in imported.unmapped] == [("[1]", True), ("[2]", True)]


def test_names_are_unique_and_short(tmp_path: Path) -> None:
    texts = ["The answer is kind."] * 3 + ["kind 2", "!?", "word" * 40, "Ünïcode Straße"]
    (tmp_path / "a.json").write_text(json.dumps(texts), encoding="utf-8")
    names = [p.name for p in all_of(import_principles(tmp_path / "a.json"))]
    assert names[:5] == ["kind", "kind-2", "kind-3", "kind-2-2", "!?"]
    assert len(names[5]) == 48
    assert names[6] == "ünïcode-straße"


def test_a_revision_becomes_a_statement() -> None:
    found = all_of(import_principles(SAMPLES / "constitution.json"))
    assert [(p.name, p.text, p.negated) for p in found] == [
        ("treats-the-customer-as-an-equal", "The response treats the customer as an equal.", None),
        (
            "and-spell-out-every-step-that-a",
            "The response leaves nothing to do for this request: Please rewrite your answer, and spell out every step"
            " that a customer would have to guess.",
            "The response still needs what this request asks for: Please rewrite your answer, and spell out every step"
            " that a customer would have to guess.",
        ),
        ("free-of-sales-talk", "The response is free of sales talk.", "The response contains sales talk."),
    ]
    assert "Say what in it is a sales pitch." in found[2].source


def test_rows_of_one_prompt_come_together() -> None:
    imported = import_principles(SAMPLES / "principle.jsonl")
    assert [(row.prompt, len(row.principles)) for row in imported.prompts] == [
        ("Write a toast for Ada.", 2),
        ("Name a fish.", 1),
    ]


def test_the_surrogate_that_could_not_be_checked(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text('name: rules\nprinciples:\n  - {name: a, text: "\\ud800"}\n')
    for command in ("show", "import"):
        done = cli(command, "a.yaml")
        assert done.exit_code == 2
        assert "a.yaml: line 3, column 21: has half of a surrogate pair" in done.stderr


def test_importing_is_light() -> None:
    code = "import sys; from salmon_core.cli.main import main\n"
    code += "main(['principles', 'import', '--help'], standalone_mode=False)\n"
    code += "assert not {'torch', 'pydantic', 'ruamel'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_folder_cannot_be_the_target(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").mkdir()
    assert cli("import", SAMPLES / "rules.txt", "a.yaml").exit_code == 1
    with pytest.raises(ConfigError):
        import_principles(tmp_path / "a.yaml")
