"""Configurations, by shape and by what they name; `tests/core/test_core_bad_configurations.py` has others."""

from __future__ import annotations

from typing import Any

import yaml
from bad_case import Bad, Folder, Gone, Link
from core_world import document

PLAIN = yaml.safe_dump(document(), sort_keys=False)
#: 294 bytes that stand for a thousand million values
BOMB = "".join(
    f"{name}: &{name} [{','.join([before] * 9)}]\n"
    for name, before in zip("abcdefghi", ["x", *(f"*{letter}" for letter in "abcdefgh")], strict=True)
)


def section(name: str, **values: Any) -> dict[str, Any]:
    """A section of the working configuration with some values changed."""
    return {name: {**document()[name], **values}}


CONFIGS = [
    # -- the text
    Bad("white space only", ("salmon.yaml", "is empty"), text="  \n\n"),
    Bad("a scalar", ("salmon.yaml", "is not a mapping"), text="hello\n"),
    Bad("a number", ("salmon.yaml", "is not a mapping"), text="7\n"),
    Bad("binary", ("salmon.yaml", "is not UTF-8 text (byte 128)"), text=bytes(range(256))),
    Bad("zero bytes", ("salmon.yaml: line 1", "special characters"), text=b"run: \0\n"),
    Bad("UTF-16", ("salmon.yaml", "is not UTF-8 text"), text=PLAIN.encode("utf-16")),
    Bad("Latin-1", ("salmon.yaml", "is not UTF-8 text (byte 12)"), text="run: {name: ü}\n".encode("latin-1")),
    Bad("an unclosed quote", ("salmon.yaml: line", "not valid YAML"), text=PLAIN + 'more: "a\n'),
    Bad("an unknown anchor", ("salmon.yaml: line 1, column 6", "undefined alias"), text="run: *nobody\n"),
    Bad("an unknown tag", ("salmon.yaml: line 1, column 6", "not valid YAML"), text="run: !mine {name: a}\n"),
    Bad("an alias bomb", ("salmon.yaml", "more than 100,000 values"), text=BOMB),
    Bad("an anchor merged into itself", ("salmon.yaml: line", "contains itself"), text="run: &r {<<: *r, name: a}\n"),
    Bad("five megabytes of a list", ("salmon.yaml", "5,000,000 characters", "JSON Lines"), text="- a\n" * 1_250_000),
    Bad("a key that is a list", ("line 1, column 3", "a key has to be a single value"), text="? [a]\n: b\n"),
    Bad("a merge of no mapping", ("salmon.yaml: line",), text="run: {<<: 3, name: a}\n"),
    Bad("half a surrogate pair", ("salmon.yaml: line 1, column 13", "half of a surrogate"),
        text='run: {name: "a\\ud800"}\n'),
    Bad("JSON with a comment", ("salmon.yaml: line",), text='{"run": {"name": "a"}} // mine\n'),
    Bad("another version of YAML", ("salmon.yaml", "no such version"), text="%YAML 1.10\n---\nrun: {name: a}\n"),
    Bad("a key twice, deep", ("line 3", "'show' is given twice"), text="reward:\n  show: 1\n  show: 2\n"),
    # -- the file
    Bad("no file", ("salmon.yaml", "there is no such file"), files={"salmon.yaml": Gone()}),
    Bad("no file for plan", ("gone.yaml", "there is no such file"), "plan gone.yaml"),
    Bad("no file for run", ("gone.yaml", "there is no such file"), "run gone.yaml", absent=["runs"]),
    Bad("a folder", ("salmon.yaml", "is a folder, not a file"), files={"salmon.yaml": Folder()}),
    Bad("a dangling link", ("salmon.yaml", "there is no such file"), files={"salmon.yaml": Link("gone.yaml")}),
    Bad("a link to itself", ("salmon.yaml", "symbolic links"), files={"salmon.yaml": Link("salmon.yaml")}),
    Bad("below a file", ("rules.yaml/salmon.yaml", "Not a directory"), "check rules.yaml/salmon.yaml"),
    Bad("a name too long", ("File name too long",), "check " + "x" * 300 + ".yaml"),
    Bad("a name that is not UTF-8", ("caf\\udce9/salmon.yaml", "not UTF-8", "rename it"), "check caf\udce9/salmon.yaml",
        code=1, files={"caf\udce9/salmon.yaml": PLAIN}),
    Bad("no argument", ("Missing argument 'CONFIG'",), "check"),
    Bad("an unknown option", ("No such option", "--fast"), "run salmon.yaml --fast"),
    Bad("an unknown stage", ("--until", "'train'", "'train-rm'"), "run salmon.yaml --until train"),
    # -- keys and values
    Bad("a typing error in a section", ("sample.temprature: there is no such option",),
        changes=section("sample", temprature=1)),
    Bad("a section as a list", ("run: has to be a mapping", "not ["), changes={"run": [{"name": "a"}]}),
    Bad("a text for a number", ("limits.prompt", "'many'"), changes={"limits": {"prompt": "many"}}),
    Bad("a negative number", ("limits.completion", "greater than or equal to 1", "-3"),
        changes={"limits": {"completion": -3}}),
    Bad("a fraction for a whole number", ("sample.samples", "2.5"), changes=section("sample", samples=2.5)),
    Bad("a number that is none", ("sample.temperature", "nan"), changes=section("sample", temperature=float("nan"))),
    Bad("one sample", ("sample.samples", "greater than or equal to 2", "1"), changes=section("sample", samples=1)),
    Bad("an empty name", ("run.name",), changes={"run": {"name": ""}}),
    Bad("a name with a slash", ("run.name",), changes={"run": {"name": "a/b"}}),
    Bad("a name that is a date", ("run.name", "valid string"),
        text=PLAIN.replace("name: toy\n", "name: 2026-01-01\n", 1)),
    Bad("a number for a name", ("run.name", "valid string"), changes={"run": {"name": 7}}),
    Bad("an unknown choice", ("reward.combine", "'sum'", "'joint'"), changes=section("reward", combine="sum")),
    Bad("an unknown type of number", ("policy.dtype", "'int8'", "'bfloat16'"), changes=section("policy", dtype="int8")),
    Bad("a truth value in words", ("policy.trust_remote_code", "'perhaps'"),
        changes=section("policy", trust_remote_code="perhaps")),
    Bad("a list for a text", ("sft.data", "valid string"), changes={"sft": {"data": ["a.jsonl"]}}),
    Bad("a list for a text or a mapping", ("preferences", "a mapping"), changes={"preferences": ["a.parquet"]}),
    Bad("a text for a list", ("plugins", "list"), changes={"plugins": "world.py"}),
    Bad("an engine without a name", ("sample.engine", "name"), changes=section("sample", engine={"name": ""})),
    Bad("everything held out", ("held_out", "less than 1"), changes={"held_out": 1}),
    Bad("a place for results that is a number", ("run.folder", "valid string"),
        changes={"run": {"name": "toy", "folder": 7}}),
    Bad("no prompts", ("prompts: is required",), text=PLAIN.replace("prompts: prompts.jsonl\n", "")),
    Bad("no name", ("run.name: is required",), changes={"run": {"seed": 1}}),
    Bad("a trained reward model, and options", ("reward_model", "no effect", "remove one"),
        changes={"reward_model": {"path": "./policy", "options": {"steps": 1}}}),
    Bad("one file named in two ways", ("prompts.path", "leave one"),
        changes={"prompts": {"name": "prompts.jsonl", "path": "prompts.jsonl"}}),
    Bad("prompts of an unknown kind", ("prompts", "'prompts.txt'"), changes={"prompts": "prompts.txt"}),
    Bad("a launch file that is gone", ("train.launch.accelerate_config", "there is no file 'fsdp.yaml'"),
        changes=section("train", launch={"accelerate_config": "fsdp.yaml"})),
    Bad("no principle left", ("salmon.yaml: reward.principles", "no principle is left"),
        changes=section("reward", principles={"name": "rules.yaml", "without": ["short", "kind"]})),
    Bad("an unknown template", ("policy.template", "'tall'", "toy"), changes=section("policy", template="tall")),
    Bad("an unknown backend", ("train.backend", "'trll'"), changes=section("train", backend="trll")),
    Bad("a judge asked for the opposite", ("judge.principles.negate", "judging always asks"),
        changes=section("judge", principles={"name": "rules.yaml", "negate": True})),
    Bad("a number set to a text", ("run.seed", "'x'"), "check salmon.yaml --set run.seed=x"),
    Bad("a value set below a number", ("--set held_out.x=1",), "check salmon.yaml --set held_out.x=1"),
    Bad("a link to itself as model", ("policy.model", "./loop"), changes=section("policy", model="./loop"),
        files={"loop": Link("loop")}),
    Bad("a link to itself as plugin", ("plugins[1]", "loop.py"), changes={"plugins": ["world.py", "loop.py"]},
        files={"loop.py": Link("loop.py")}),
    Bad("a link to itself as preferences", ("preferences", "loop.parquet"), changes={"preferences": "loop.parquet"},
        files={"loop.parquet": Link("loop.parquet")}),
    Bad("a link to itself as prompts", ("prompts.path", "loop.jsonl"), changes={"prompts": "loop.jsonl"},
        files={"loop.jsonl": Link("loop.jsonl")}),
    Bad("a home that nobody has", ("policy.model", "~nobody-here/model"),
        changes=section("policy", model="~nobody-here/model")),
    Bad("prompts with a name too long", ("prompts.path", "there is no file"),
        changes={"prompts": "x" * 300 + ".jsonl"}),
    Bad("a plugin with a name too long", ("plugins[1]", "there is no Python file"),
        changes={"plugins": ["world.py", "x" * 300 + ".py"]}),
]  # fmt: skip
