"""Every command, every piece of code and every link of the documentation."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from doc_pages import FOLLOWED, PAGES, ROOT, Block, blocks_of, commands_of, environment, execute, matches

from salmon_core.api import hooks
from salmon_core.cli.main import main
from salmon_core.config.resolve import from_document
from salmon_core.plugins.options import construct, options_model
from salmon_core.principles.files import load_principle_set
from salmon_core.testing import registry_of

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
LANGUAGES = {"console", "python", "yaml", "json", "toml", "text", "bibtex"}
#: so many blocks at most may say that they cannot run in a test
UNTESTED = 7


def named(language: str, *, followed: bool = False) -> list[Any]:
    chosen = [
        block
        for block in BLOCKS
        if block.language == language and not block.untested and (followed or block.page not in FOLLOWED)
    ]
    return [pytest.param(block, id=block.name) for block in chosen]


def test_every_block_says_what_it_is() -> None:
    assert {block.language for block in BLOCKS} <= LANGUAGES
    marks = ("file:", "fails", "no-test:")
    for block in BLOCKS:
        assert not block.mark or block.mark.startswith(marks) or block.language == "", f"{block.name}: {block.mark}"


def test_few_blocks_go_untested() -> None:
    untested = [block for block in BLOCKS if block.untested]
    assert len(untested) <= UNTESTED, [block.name for block in untested]
    assert all(block.language == "console" and len(block.mark) > len("no-test: ") for block in untested)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "console"], ids=lambda b: b.name)
def test_commands_and_their_options_exist(block: Block) -> None:
    """Also of the blocks that are not run."""
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    for command in commands_of(block):
        words = [word for word in shlex.split(command.line.split(">")[0]) if "OMP_NUM_THREADS" not in word]
        if words[0] == "make":
            assert words[1] in targets
        if words[0] != "salmon":
            continue
        context = main.make_context("salmon", list(words[1:]))
        group: Any = main
        rest = words[1:]
        while hasattr(group, "get_command"):
            found = group.get_command(context, rest[0])
            assert found is not None, f"{block.name}: there is no command {rest[0]!r}"
            context = found.make_context(rest[0], list(rest[1:]), parent=context)
            group, rest = found, rest[1:]


@pytest.mark.slow
@pytest.mark.parametrize("block", named("console"))
def test_commands_run(block: Block, workspace: Path) -> None:
    execute(block, workspace, environment())


@pytest.mark.slow
@pytest.mark.parametrize("block", named("python"))
def test_python_runs(block: Block, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the workspace; a block with hooks is also a plugin in order, whose components can be made."""
    monkeypatch.chdir(workspace)
    module = ModuleType("a_page")
    sys.modules["a_page"] = module
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    exec(compile(block.text, block.name, "exec"), module.__dict__)
    if "module" in vars(module) or not any(name.startswith("salmon_") for name in vars(module)):
        return
    for owned in registry_of(module):
        model = options_model(owned.load())
        if model is not None and not any(field.is_required() for field in model.model_fields.values()):
            construct(owned, model().model_dump())


@pytest.mark.parametrize("block", named("yaml", followed=True))
def test_yaml_is_a_configuration(block: Block, unrun: Path) -> None:
    """A whole one, a part of one (put into the example's), or a principle set."""
    document = yaml.safe_load(block.text)
    if "principles" in document or "extends" in document:
        assert block.file is not None
        assert len(load_principle_set(unrun / block.file)) >= 2
    elif {"run", "policy"} <= set(document):
        if set(document.get("plugins", ())) <= {"calm.py"}:  # others are checked where their page is followed
            from_document(document, unrun)
    else:
        base = yaml.safe_load((unrun / "salmon.yaml").read_text(encoding="utf-8"))
        from_document(merged(base, document), unrun)


def merged(base: Any, over: Any) -> Any:
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        return {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}
    return over


@pytest.mark.parametrize("block", [*named("json", followed=True), *named("toml", followed=True)])
def test_data_can_be_read(block: Block) -> None:
    if block.language == "toml":
        assert tomllib.loads(block.text)
    elif block.file is not None and block.file.endswith(".jsonl"):
        assert all(isinstance(json.loads(line), dict) for line in block.text.splitlines())
    else:
        assert json.loads(block.text)


# -- the pages as such -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{page.name}: {link}"
        if anchor and target.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.M)
            assert anchor in {re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in headings}, link


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent == ROOT / "docs"], ids=lambda page: page.name)
def test_pages_can_be_found_and_begin_with_what_the_reader_gets(page: Path) -> None:
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line and not line.startswith("<!--")]
    assert lines[0].startswith("# ")
    assert lines[1].startswith("You get:") or page.name == "configuration.md"
    assert f"docs/{page.name}" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(len(line) <= 140 or "|" in line or "`" in line for line in lines), "a line is very long"


def test_the_reference_is_not_stale() -> None:
    script = ROOT / "docs" / "make_reference.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr


def test_the_reference_has_every_key() -> None:
    from salmon_core.config.schema import Config

    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for section in [Config.model_json_schema(), *Config.model_json_schema()["$defs"].values()]:
        for key in section.get("properties", ()):
            assert f"`{key}`" in text


def test_hooks_are_documented_with_their_arguments() -> None:
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    for name in hooks.NAMES:
        hook = getattr(hooks.Hooks, name)
        arguments = hook.__code__.co_varnames[: hook.__code__.co_argcount]
        (signature,) = re.findall(rf"`{name}\((.*?)\)(?: -> [^`]*)?`", text)
        assert re.findall(r"(\w+):", signature) == list(arguments), name


def test_messages_in_troubleshooting_are_real() -> None:
    """A piece of every message stands in the source: three words in a row, two of a short one."""
    files = [path for folder in ("salmon_core", "plugins", "backends") for path in (ROOT / folder).rglob("*.py")]
    source = " ".join(" ".join(path.read_text(encoding="utf-8").split()) for path in files)
    source = re.sub(r"""["'] f?["']""", "", source).replace("`", "'")
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \| ", text, re.M)
    assert len(rows) > 25
    for message in (piece for row in rows for piece in re.findall(r"`([^`]+)`", row)):
        words = message.replace("...", " ").split()
        size = 3 if len(words) > 4 else 2
        pieces = [" ".join(words[i : i + size]) for i in range(max(1, len(words) - size + 1))]
        assert any(piece.strip(":,()") in source for piece in pieces) or re.fullmatch(r"exit code \d", message), message


def test_the_picture_is_well_formed_and_readable_in_the_dark() -> None:
    path = ROOT / "docs" / "river.svg"
    names = {element.text for element in ElementTree.parse(path).iter() if element.get("class") == "name"}
    assert {"sample", "judge", "label", "train-rm", "train-policy", "evaluate", "report"} <= names
    assert "prefers-color-scheme: dark" in path.read_text(encoding="utf-8")


def test_the_first_bonus_is_the_same_on_both_pages() -> None:
    (short,), (long,) = (
        [block.text for block in blocks_of(ROOT / page) if block.file == "calm.py"]
        for page in ("README.md", "docs/first-bonus.md")
    )
    assert short == long
    assert len(short.splitlines()) <= 20


def test_outputs_are_compared() -> None:
    assert matches("ok ...\n...\nlast  line\n", "ok this\nand that\n last line\n")
    assert matches("...\n", "")
    assert not matches("ok\n", "ok\nmore\n")
    assert not matches("reward ...\n", "loss 1\n")
