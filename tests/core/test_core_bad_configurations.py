"""Bad configurations: one clear message with its place, the right exit code, no stack trace, nothing half-written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from core_world import RULES, Cli, clear, document, make_folder, salmon

from salmon_core import ConfigError
from salmon_core.config.resolve import load


@dataclass(frozen=True)
class Bad:
    """A configuration with something wrong, and what the message has to say."""

    name: str
    says: tuple[str, ...]
    changes: dict[str, Any] = field(default_factory=dict)
    text: str | None = None
    args: tuple[str, ...] = ()
    prepare: Callable[[Path], object] = lambda folder: None


def plain_yaml(**changes: Any) -> str:
    return yaml.safe_dump(document(**changes), sort_keys=False)


def with_rewards(**values: Any) -> dict[str, Any]:
    return {"reward": {**document()["reward"], **values}}


CONFIG = [
    Bad("yaml syntax", ("salmon.yaml: line 2, column", "not valid YAML"), text="run: {name: a}\n  policy: [\n"),
    Bad("tab", ("salmon.yaml: line 2", "not valid YAML"), text="run:\n\tname: a\n"),
    Bad("impossible date", ("salmon.yaml", "not valid YAML"), text="run: {name: 2026-13-45}\n"),
    Bad("nested too deeply", ("salmon.yaml", "nested too deeply"), text="run: " + "[" * 600 + "]" * 600),
    Bad("contains itself", ("salmon.yaml", "contains itself"), text="run: &a {name: toy, more: *a}\n"),
    Bad("python object", ("salmon.yaml: line 1", "not valid YAML"), text="run: !!python/object/apply:os.getcwd []\n"),
    Bad("empty", ("salmon.yaml", "is empty"), text="# nothing\n"),
    Bad("a list", ("salmon.yaml", "not a mapping"), text="- run\n"),
    Bad("duplicate key", ("line 3", "'seed' is given twice"), text="run:\n  seed: 1\n  seed: 2\n"),
    Bad("unknown key", ("polcy: there is no such option",), {"polcy": {}}),
    Bad("unknown key, deeper", ("train.launch.gpus: there is no such option",),
        {"train": {**document()["train"], "launch": {"gpus": 3}}}),
    Bad("wrong type", ("run.seed", "valid integer", "'seven'"), {"run": {"name": "toy", "seed": "seven"}}),
    Bad("wrong name", ("run.name",), {"run": {"name": "../elsewhere"}}),
    Bad("out of range", ("held_out", "less than 1"), {"held_out": 1.5}),
    Bad("missing sections", ("run: is required", "policy: is required", "prompts: is required"), text="train: {}\n"),
    Bad("unknown component", ("judge.judge", "no judge named 'toy-juge'", "did you mean 'toy-judge'?"),
        {"judge": {**document()["judge"], "judge": "toy-juge"}}),
    Bad("unknown evaluator in a list", ("evaluate[1]", "'toy-cuont'", "did you mean 'toy-count'?"),
        {"evaluate": ["toy-count", "toy-cuont"]}),
    Bad("unknown engine option", ("sample.engine.speed: there is no such option",),
        {"sample": {"engine": {"name": "bytes", "speed": 3}}}),
    Bad("bad judge option", ("judge.judge.bias", "valid number", "'much'"),
        {"judge": {**document()["judge"], "judge": {"name": "toy-judge", "bias": "much"}}}),
    Bad("bad labeller option", ("label.flip", "less than or equal to 1", "2.5"),
        {"label": {"name": "toy-labels", "flip": 2.5}}),
    Bad("bad backend option", ("train.options.steps", "'many'"),
        {"train": {"backend": "toy", "algorithm": "toy", "options": {"steps": "many"}}}),
    Bad("unknown algorithm", ("train.algorithm", "toy has no 'ppo'", "it has toy, toy-pairs, toy-two"),
        {"train": {"backend": "toy", "algorithm": "ppo"}}),
    Bad("bad bonus option", ("reward.bonuses[0].letter", "valid string"),
        with_rewards(bonuses=[{"name": "letters", "letter": 3}])),
    Bad("bonus weight", ("reward.bonuses[0].weight", "finite"),
        with_rewards(bonuses=[{"name": "letters", "weight": float("nan")}])),
    Bad("duplicate labels", ("reward.bonuses[1]", "two components are called 'letters'", "label"),
        with_rewards(bonuses=["letters", "letters"])),
    Bad("fallback that is no number", ("reward.on_failure",), with_rewards(on_failure=float("inf"))),
    Bad("infinite weight", ("reward.principles.weights.kind", "finite"),
        with_rewards(principles={"name": "rules.yaml", "weights": {"kind": float("inf")}})),
    Bad("unknown principle", ("reward.principles.only", "no principle 'kynd'", "it has kind, short"),
        with_rewards(principles={"name": "rules.yaml", "only": ["short", "kynd"]})),
    Bad("unknown intervention", ("reward.interventions[0]", "no principle named 'no-shouting'", "text"),
        with_rewards(interventions=[{"principle": "no-shouting"}])),
    Bad("intervention that never is", ("reward.interventions[0]", "until_rollout 2 is not after from_rollout 5"),
        with_rewards(interventions=[{"principle": "kind", "from_rollout": 5, "until_rollout": 2}])),
    Bad("prompts missing", ("prompts.path", "no file 'nowhere.jsonl'"), {"prompts": "nowhere.jsonl"}),
    Bad("prompts named twice", ("prompts.path",), {"prompts": {"name": "prompts.jsonl", "path": "other.jsonl"}}),
    Bad("principles missing", ("judge.principles", "nothing.yaml"),
        {"judge": {**document()["judge"], "principles": "nothing.yaml"}}),
    Bad("principles broken", ("rules.yaml:3: principles[0].text", "is required"),
        prepare=lambda f: (f / "rules.yaml").write_text(RULES.replace("text: The answer is short., ", ""))),
    Bad("preferences missing", ("preferences", "no file 'own.parquet'"), {"preferences": "own.parquet"}),
    Bad("model folder missing", ("policy.model", "no model folder './policies'"),
        {"policy": {"model": "./policies", "template": "toy"}}),
    Bad("plugin without such a model", ("policy.model", "no model named 'nothing-here'"),
        {"policy": {"model": "plugin:nothing-here", "template": "toy"}}),
    Bad("--set without a value", ("--set run.seed", "KEY=VALUE"), args=("--set", "run.seed")),
    Bad("--set into nothing", ("--set evaluate.7.name=x", "no '7'"), args=("--set", "evaluate.7.name=x")),
    Bad("--set of broken yaml", ("--set run.seed=[", "not valid YAML"), args=("--set", "run.seed=[")),
    Bad("--set of an unknown key", ("train.epoch: there is no such option",), args=("--set", "train.epoch=3")),
    Bad("file plugin with a syntax error", ("plugins: bad.py", "SyntaxError", "line 3"),
        {"plugins": ["world.py", "bad.py"]}, prepare=lambda f: (f / "bad.py").write_text("x = 1\n\ndef f(:\n")),
    Bad("file plugin that fails", ("plugins: bad.py", "line 2", "ZeroDivisionError"),
        {"plugins": ["world.py", "bad.py"]}, prepare=lambda f: (f / "bad.py").write_text("x = 1\ny = x / 0\n")),
    Bad("file plugin outside the folder", ("plugins[1]", "outside the configuration's folder"),
        {"plugins": ["world.py", "../elsewhere.py"]},
        prepare=lambda f: (f.parent / "elsewhere.py").write_text("x = 1\n")),
    Bad("file plugin missing", ("plugins[1]", "no Python file 'gone.py'"), {"plugins": ["world.py", "gone.py"]}),
    Bad("file plugins refused", ("plugins[0]", "switched off"), args=("--no-file-plugins",)),
    Bad("zero character in a path", ("salmon.yaml: prompts: has a zero character",),
        {"prompts": "a\0.jsonl"}),
    Bad("zero character, by --set", ("run.folder: has a zero character",), args=("--set", 'run.folder="a\\0"')),
    Bad("two documents", ("expected a single document in the stream, but found another document",),
        text=plain_yaml() + "---\nmore: 1\n"),
    Bad("a section left empty", ("sample: has to be a mapping of keys to values, not null",), {"sample": None}),
    Bad("a section that is a truth value", ("train: has to be a mapping of keys to values, not True",),
        {"train": True}),
    Bad("a bonus that is a number", ("reward.bonuses[0]: has to be a mapping of keys to values, not 3",),
        with_rewards(bonuses=[3])),
    Bad("a key that is a number", ("7: there is no such option",), text=plain_yaml() + "7: 8\n"),
    Bad("an expectation of nothing", ("expect[0]: needs `min`, `max` or both",),
        {"expect": [{"metric": "rm.positive"}]}),
    Bad("an expectation that is no number", ("expect[0].min", "finite"),
        {"expect": [{"metric": "rm.positive", "min": float("nan")}]}),
    Bad("an expectation that cannot hold", ("expect[0]: min 2 is above max 1",),
        {"expect": [{"metric": "rm.positive", "min": 2, "max": 1}]}),
    Bad("a huge seed", ("run.seed", "less than 9223372036854775808"), {"run": {"name": "toy", "seed": 10**30}}),
    Bad("a seed of thousands of digits", ("salmon.yaml", "4300 digits"),
        text=plain_yaml().replace("seed: 1", "seed: " + "9" * 5000)),
    Bad("a name too long for a folder", ("run.name", "at most 120"), {"run": {"name": "x" * 300}}),
    Bad("--set with a digit that is none", ("--set evaluate.²=x", "no '²'"), args=("--set", "evaluate.²=x")),
    Bad("--set of what contains itself", ("--set train=", "contains itself"), args=("--set", "train=&a {backend: *a}")),
    Bad("--set of half a character", ("--set run.name=", "not valid YAML"), args=("--set", "run.name=\udcff")),
    Bad("principles that are a folder", ("rules.yaml: is a folder",),
        prepare=lambda f: ((f / "rules.yaml").unlink(), (f / "rules.yaml").mkdir())),
    Bad("principles with a zero character", ("rules.yaml:1: extends: has a zero character",),
        prepare=lambda f: (f / "rules.yaml").write_text('extends: "a\\0.yaml"\n')),
    Bad("several at once", ("run.seed", "held_out", "train.launch.gpus", "--set nonsense"),
        {"run": {"name": "toy", "seed": -1}, "held_out": 2, "train": {**document()["train"], "launch": {"gpus": 1}}},
        args=("--set", "nonsense")),
    Bad("several at once, when looked up", ("policy.model", "evaluate[0]", "reward.bonuses[0]", "rules.yaml"),
        {"policy": {"model": "./gone", "template": "toy"}, "evaluate": ["gone"],
         "reward": {"principles": "rules.yaml", "engine": "bytes", "bonuses": ["gone"]}},
        prepare=lambda f: (f / "rules.yaml").write_text("name: [")),
]  # fmt: skip


@pytest.mark.parametrize("bad", CONFIG, ids=lambda bad: bad.name)
def test_bad_configurations(bad: Bad, tmp_path: Path, cli: Cli) -> None:
    folder = tmp_path / "here"
    config = make_folder(folder, bad.text, **bad.changes)
    bad.prepare(folder)
    for command in ("check", "run"):
        done = cli(command, config, *bad.args)
        assert done.code == 2
        assert done.err.count("error:") == 1
        for phrase in bad.says:
            assert phrase in done.err, done.err
        clear(done.text)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda file: None, "there is no such file"),
        (lambda file: file.mkdir(), "is a folder"),
        (lambda file: file.write_bytes(b"run: \xff\xfe"), "is not UTF-8 text (byte 5)"),
    ],
    ids=["missing", "a folder", "not text"],
)
def test_configurations_that_cannot_be_read(
    make: Callable[[Path], object], says: str, tmp_path: Path, cli: Cli
) -> None:
    make(tmp_path / "salmon.yaml")
    done = cli("run", "salmon.yaml")
    assert done.code == 2
    assert "salmon.yaml" in done.err
    assert says in done.err
    clear(done.text)


def test_sixty_problems_fit_a_screen(tmp_path: Path, cli: Cli) -> None:
    bonuses = [{"name": "letters" + "s" * 150, "weight": i} for i in range(60)]
    done = cli("check", make_folder(tmp_path, **with_rewards(bonuses=bonuses)))
    assert done.code == 2
    assert "error: 119 problems" in done.err or "error: 60 problems" in done.err
    assert "... and " in done.err
    clear(done.text)
    short = cli("check", make_folder(tmp_path, **{f"key{i}": 1 for i in range(60)}))
    assert "error: 60 problems" in short.err
    assert short.err.count("there is no such option") > 20  # how many fit depends on the path
    clear(short.text)


@pytest.mark.parametrize("phase", ["shape", "looked up"])
def test_several_problems_name_their_file_once(phase: str, tmp_path: Path, cli: Cli) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "shape": {"held_out": 2, "polcy": {}, "sample": None},
        "looked up": {"evaluate": ["gone", "lost"], "prompts": "none.jsonl"},
    }
    make_folder(tmp_path, **wrong[phase])
    done = cli("check", "salmon.yaml")
    assert done.code == 2
    lines = done.err.splitlines()
    assert lines[0] == "error: 3 problems in salmon.yaml"
    assert [line[:4] for line in lines[1:]] == ["  - "] * 3
    assert done.err.count("salmon.yaml") == 1
    with pytest.raises(ConfigError) as error:
        load(Path("salmon.yaml"))
    assert str(error.value).count("salmon.yaml: ") == 3  # where nobody writes a heading
    clear(cli("check", make_folder(tmp_path / ("deep" * 50) / ("er" * 100), **wrong[phase])).text)


def test_merge_keys_are_fine(tmp_path: Path, cli: Cli) -> None:
    text = plain_yaml().replace("run:\n", "run:\n  <<: {seed: 4}\n").replace("  seed: 1\n", "")
    done = cli("check", make_folder(tmp_path, text))
    assert done.code == 0, done.text
    assert "toy, seed 4" in done.out


def test_exit_code_two_of_the_command_itself(tmp_path: Path) -> None:
    config = make_folder(tmp_path, held_out=7)
    done = salmon("run", config, cwd=tmp_path)
    assert done.code == 2
    assert "held_out" in done.err
    clear(done.text)
    assert not (tmp_path / "runs").exists()
