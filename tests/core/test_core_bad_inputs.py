"""Bad input: one clear message with its place, the right exit code, no stack trace, nothing half-written."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from core_world import RULES, Cli, document, make_folder, prompt_lines, salmon

from salmon_core import ConfigError, SalmonError
from salmon_core.config.resolve import load
from salmon_core.pipeline import Pipeline
from salmon_core.run.folder import MadeFrom
from salmon_core.run.outputs import Outputs
from salmon_core.run.processes import Lock
from salmon_core.run.run import Run
from salmon_core.stages import stage as stage_named
from salmon_core.stages.base import Process, Sources, Work


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


def clear(text: str) -> None:
    assert "Traceback" not in text
    assert 'File "' not in text
    assert len(text) < 4000


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


# -- data ------------------------------------------------------------------------------------------------------------


def lines(*rows: Any) -> str:
    return prompt_lines(3) + "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def parquet(prompts: pa.Array) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"prompt": prompts}), file)
    return file.getvalue()


#: said to be text, and is not
NO_TEXT = pa.array([b"\xff\xfe"]).view(pa.string())
ASSISTANT_LAST = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
DATA: dict[str, tuple[str, str | bytes, tuple[str, ...]]] = {
    "broken line": ("p.jsonl", lines('{"prompt": "a'), ("p.jsonl: line 4", "not JSON")),
    "not an object": ("p.jsonl", lines("[1, 2]"), ("p.jsonl: line 4", "not a JSON object")),
    "not UTF-8": ("p.jsonl", b'{"prompt": "caf\xe9"}\n', ("p.jsonl", "not UTF-8")),
    "column missing": ("p.jsonl", lines({"question": "Why?"}), ("p.jsonl: line 4", "it has question", "columns")),
    "prompt not text": ("p.jsonl", lines({"prompt": 3}), ("p.jsonl: line 4", "'prompt'")),
    "half a surrogate": ("p.jsonl", lines('{"prompt": "a\\ud800b"}'), ("p.jsonl: line 4", "surrogate")),
    "ends with assistant": (
        "p.jsonl",
        lines({"prompt": ASSISTANT_LAST["messages"]}),
        ("p.jsonl: line 4", "the user's"),
    ),
    "unknown role": ("p.jsonl", lines({"messages": [{"role": "bot", "content": "x"}]}), ("line 4", "'bot'")),
    "no conversation": ("p.jsonl", lines({"messages": "Hi"}), ("p.jsonl: line 4", "list of {role, content}")),
    "bad split": ("p.jsonl", lines({"prompt": "x", "split": "dev"}), ("p.jsonl: line 4", "'dev'")),
    "one id, two prompts": ("p.jsonl", lines({"prompt": "other", "id": "p1"}), ("p.jsonl", "id 'p1'")),
    "ragged CSV": ("p.csv", "id,prompt\n1,Why?\n2,How,come\n", ("p.csv: line 3", "number of fields")),
    "short CSV": ("p.csv", "id,prompt\n1\n", ("p.csv: line 2", "number of fields")),
    "deeply nested": (
        "p.jsonl",
        lines('{"prompt": ' + "[" * 99999 + "]" * 99999 + "}"),
        ("line 4", "nested too deeply"),
    ),
    "half a surrogate in an id": ("p.jsonl", lines('{"prompt": "a", "id": "\\ud800"}'), ("line 4", "surrogate")),
    "half of one in a category": ("p.jsonl", lines('{"prompt": "a", "category": "\\udfff"}'), ("line 4", "surrogate")),
    "one id twice, as number and text": (
        "p.jsonl",
        lines({"prompt": "a", "id": 7}, {"prompt": "b", "id": "7"}),
        ("'7'",),
    ),
    "a column twice": ("p.csv", "prompt,id,prompt\na,1,b\n", ("p.csv: line 1", "two columns 'prompt'")),
    "UTF-16": ("p.csv", "prompt\nWhy?\n".encode("utf-16"), ("p.csv", "not UTF-8")),
    "truncated Parquet": ("p.parquet", parquet(pa.array(["Why?"] * 99))[:-9], ("p.parquet", "not a readable Parquet")),
    "Parquet of no text": ("p.parquet", parquet(NO_TEXT), ("p.parquet", "not a readable Parquet file", "utf-8")),
    "broken Parquet": ("p.parquet", b"PAR1 no more", ("p.parquet", "not a readable Parquet file")),
    "empty": ("p.jsonl", "\n\n", ("p.jsonl", "no prompts to train on")),
    "all held out": ("p.jsonl", '{"prompt": "a", "split": "test"}\n', ("no prompts to train on", "1 are held out")),
}


def no_leftovers(stage: Path) -> None:
    assert not list(stage.rglob("*.tmp"))
    assert json.loads((stage / "manifest.json").read_text())["status"] == "started"


@pytest.mark.parametrize("case", DATA)
def test_bad_prompts(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the stage's own task, in this process; the next test goes all the way."""
    name, content, says = DATA[case]
    run = Run(tmp_path / "runs" / "toy", load(_config_for(tmp_path, name, content)))
    own, stage = stage_named("prompts"), run.stage("prompts")
    run.path.mkdir(parents=True)
    stage.begin(MadeFrom("mark", {}, {}), {})
    with pytest.raises(SalmonError) as error:
        own.work(own.inputs(Sources(run)), Work(stage, run.path / "cache", run.config.registry))
    for phrase in says:
        assert phrase in str(error.value)
    assert not (stage.path / "prompts.parquet").exists()
    no_leftovers(stage.path)


def _config_for(folder: Path, name: str, content: str | bytes) -> Path:
    config = make_folder(folder, prompts=name)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return config


def test_bad_prompts_by_the_command_and_mended(tmp_path: Path, cli: Cli) -> None:
    """All the way: exit code 1, one message, nothing half-written; then the same command with a good file."""
    name, content, says = DATA["broken line"]
    config = _config_for(tmp_path, name, content)
    done = salmon("run", config, cwd=tmp_path)
    assert done.code == 1
    assert done.err.count("error:") == 1
    for phrase in says:
        assert phrase in done.err
    clear(done.text)
    stage = tmp_path / "runs" / "toy" / "prompts"
    assert not (stage / "prompts.parquet").exists()
    no_leftovers(stage)
    (tmp_path / name).write_text(prompt_lines())
    assert cli("run", config, "--until", "prompts").code == 0
    assert (stage / "prompts.parquet").is_file()
    assert not (tmp_path / "runs/toy/archive").exists()


# -- plugins that fail at work ---------------------------------------------------------------------------------------

FAULTS = {
    "raise": "RuntimeError: the bonus is out of order",
    "nan": "gave nan for rollout 0 of 2",
    "short": "gave 0 scores for 2 rollouts",
    "text": "could not convert string to float",
    "none": "NoneType",
}


@pytest.mark.parametrize("how", FAULTS)
def test_a_faulty_bonus_names_its_owner(how: str, world: Path, cli: Cli) -> None:
    rows = '{"prompt": "Why?", "completion": "Because."}\n' * 2
    (world / "rows.jsonl").write_text(rows)
    saved = json.loads((world / "runs/toy/config.json").read_text())
    saved["document"]["reward"]["bonuses"] = [{"name": "faulty", "how": how, "weight": 1.0, "label": None}]
    saved["document"]["reward"]["rm_weight"] = 0.0
    saved["base"] = str(world)
    (world / "runs/toy/config.json").write_text(json.dumps(saved))
    done = cli("score", "runs/toy", "rows.jsonl", "-o", "scores.jsonl")
    assert done.code == 1
    assert str(world / "world.py") in done.err
    assert "'faulty'" in done.err
    assert FAULTS[how] in done.err
    clear(done.text)
    assert not (world / "scores.jsonl").exists()


def test_a_failing_trainer(world: Path, cli: Cli) -> None:
    done = cli("run", "salmon.yaml", "--set", "train.options={steps: 1, fail: exit}", "--until", "train-policy")
    assert done.code == 1
    assert "train-policy, step toy: exit code 3: the trainer has run out of luck" in done.err
    clear(done.text)
    states = {stage: _manifest(world, stage)["status"] for stage in ("train-rm", "train-policy")}
    assert states == {"train-rm": "finished", "train-policy": "started"}


@pytest.mark.parametrize(("fail", "says"), [("nan", "the metric loss is nan"), ("nothing", "left no model")])
def test_a_trainer_that_ends_well_without_a_result(fail: str, says: str, tmp_path: Path) -> None:
    config = load(make_folder(tmp_path, train={**document()["train"], "options": {"fail": fail, "rollouts": 0}}))
    run = Run(tmp_path / "runs" / "toy", config)
    own, stage = stage_named("train-policy"), run.stage("train-policy")
    for name in own.worked(own.inputs(Sources(run))):
        (stage.path / name).parent.mkdir(parents=True, exist_ok=True)
        (stage.path / name).touch()
        Outputs(stage.path).add(stage.path / name)
    with Lock(run.path) as lock, pytest.raises(SalmonError, match=says):
        own.execute(own.inputs(Sources(run)), Process(run, stage, lock, lambda *_, **__: None))


def _manifest(folder: Path, stage: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "runs" / "toy" / stage / "manifest.json").read_text())
    return found


# -- other commands --------------------------------------------------------------------------------------------------


def test_other_commands(world: Path, cli: Cli) -> None:
    (world / "rows.jsonl").write_text('{"prompt": "Why?"}\n')
    (world / "file").write_text("")
    cases = {
        ("report", "nowhere"): "no report.json",
        ("score", "nowhere", "rows.jsonl"): "no run in this folder",
        ("score", "runs/toy", "rows.jsonl"): "rows.jsonl: line 1, column completion: is required",
        ("score", "runs/toy", "gone.jsonl"): "gone.jsonl",
        ("score", "runs/toy", "rows.jsonl", "--principle", "vague"): "no principle 'vague'",
        ("principles", "show", "harmles"): "did you mean 'harmless'?",
        ("principles", "import", "rows.jsonl", "file"): "is in no format that is known",
        ("run", "salmon.yaml", "--set", "evaluate=[]", "--until", "evaluate"): "no stage 'evaluate'",
        ("run", "salmon.yaml", "--set", "run.folder=file"): "file",
        ("init", "file"): "file",
    }
    for args, phrase in cases.items():
        done = cli(*args)
        assert done.code in (1, 2)
        assert phrase in done.err, args
        assert done.err.count("error:") == 1
        clear(done.text)


def test_files_that_salmon_did_not_write(world: Path, cli: Cli) -> None:
    (world / "rows.jsonl").write_text('{"prompt": "Why?", "completion": "So."}\n')
    (world / "none.jsonl").write_text("\n")
    assert cli("score", "runs/toy", "none.jsonl").err.endswith("error: none.jsonl: has no rows\n")
    (world / "folder.parquet").mkdir()
    assert cli("score", "runs/toy", "folder.parquet").err.endswith("error: folder.parquet: has no rows\n")
    assert "-1 is not in the range" in cli("score", "runs/toy", "rows.jsonl", "--rollout-index", "-1").err
    for text in ('{"expect": 3}', '{"expect": []}', '{"run": "toy", "expect": [], "principles": 3}', "{}"):
        (world / "runs/toy/report.json").write_text(text)
        done = cli("report", "runs/toy")
        assert done.code == 1
        assert "error: runs/toy: report.json is not as salmon run writes it" in done.err
        clear(done.text)
    for text in ("[]", "{}", '{"document": {}}', '{"document": {}, "base": 3, "source": "x"}', "\xff"):
        (world / "runs/toy/config.json").write_text(text, encoding="latin-1")
        done = cli("score", "runs/toy", "rows.jsonl")
        assert done.err == "error: runs/toy: there is no run in this folder\n"
    (world / "runs/toy/config.json").write_text('{"base": ".", "source": "config.json"}')
    assert "config.json: is empty" in cli("score", "runs/toy", "rows.jsonl").err


def test_names_that_look_like_markup(tmp_path: Path, cli: Cli) -> None:
    """Folders, metrics and what plugins say are shown as they are; a terminal's markup in them means nothing."""
    folder = tmp_path / "[/red] ünï 日本"
    config = make_folder(folder, expect=[{"metric": "evaluators.[/bold]", "max": 1}])
    with (folder / "world.py").open("a") as plugin:
        plugin.write("\n@hookimpl\ndef salmon_event(event):\n    raise KeyError('[/green]')\n")
    done = cli("run", config, "--set", f"run.folder={folder}/[/runs]")
    assert done.code == 1, done.text
    assert "observer failed" in done.err
    assert "[/green]" in done.err
    assert "evaluators.[/bold] = missing" in done.out
    assert f"report: {folder}/[/runs]/toy/report.json" in done.out
    assert cli("report", folder / "[" / "runs]" / "toy").out.count("[/bold]") == 1


def test_init_names_runs_that_can_run(tmp_path: Path, cli: Cli) -> None:
    assert cli("init", tmp_path / "Ünser (1) [/b]").code == 0
    assert cli("init", tmp_path / "日本").code == 0
    for made in tmp_path.rglob("salmon.yaml"):
        assert cli("check", made).code == 0
    refused = cli("init", "new", "--name", "a/b")
    assert refused.code == 1
    assert "'a/b' is no name for a run" in refused.err
    assert not (tmp_path / "new").exists()


def test_a_byte_order_mark_is_no_error(tmp_path: Path, cli: Cli) -> None:
    config = make_folder(tmp_path)
    (tmp_path / "prompts.jsonl").write_text(prompt_lines(), encoding="utf-8-sig")
    assert cli("run", config, "--until", "prompts").code == 0


def test_a_relative_path_from_elsewhere(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths in a configuration are relative to it; the run's folder is not."""
    make_folder(tmp_path / "project")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert cli("run", "../project/salmon.yaml", "--until", "prompts").code == 0
    assert (tmp_path / "elsewhere/runs/toy/prompts/prompts.parquet").is_file()


def test_the_same_errors_from_python(tmp_path: Path) -> None:
    with pytest.raises(SalmonError, match="held_out"):
        load(make_folder(tmp_path, held_out=2))
    with pytest.raises(SalmonError, match="no stage 'sft'"):
        Pipeline(load(make_folder(tmp_path))).run(until="sft")
