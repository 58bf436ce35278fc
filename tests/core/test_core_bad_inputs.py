"""Bad input: one clear message with its place, the right exit code, no stack trace, nothing half-written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from core_world import RULES, Cli, document, make_folder, prompt_lines, salmon

from salmon_core import SalmonError
from salmon_core.backends import make_job, train
from salmon_core.launch import Lock
from salmon_core.pipeline import Pipeline
from salmon_core.resolve import load
from salmon_core.runs import StageFolder


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
    Bad("unknown component", ("judge.generator", "no generator named 'toy-juge'", "did you mean 'toy-judge'?"),
        {"judge": {**document()["judge"], "generator": "toy-juge"}}),
    Bad("unknown evaluator in a list", ("evaluate[1]", "'toy-cuont'", "did you mean 'toy-count'?"),
        {"evaluate": ["toy-count", "toy-cuont"]}),
    Bad("unknown engine option", ("sample.engine.speed: there is no such option",),
        {"sample": {"engine": {"name": "bytes", "speed": 3}}}),
    Bad("bad generator option", ("judge.generator.flip", "less than or equal to 1", "2.5"),
        {"judge": {**document()["judge"], "generator": {"name": "toy-judge", "flip": 2.5}}}),
    Bad("bad backend option", ("train.options.steps", "'many'"),
        {"train": {"backend": "toy", "algorithm": "toy", "options": {"steps": "many"}}}),
    Bad("unknown algorithm", ("train.algorithm", "toy has no 'ppo'", "it has toy"),
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


ASSISTANT_LAST = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
DATA: dict[str, tuple[str, str | bytes, tuple[str, ...]]] = {
    "broken line": ("p.jsonl", lines('{"prompt": "a'), ("p.jsonl: line 4", "not JSON")),
    "not an object": ("p.jsonl", lines("[1, 2]"), ("p.jsonl: line 4", "not a JSON object")),
    "not UTF-8": ("p.jsonl", b'{"prompt": "caf\xe9"}\n', ("p.jsonl", "not UTF-8")),
    "column missing": ("p.jsonl", lines({"question": "Why?"}), ("p.jsonl: line 4", "it has question", "columns")),
    "prompt not text": ("p.jsonl", lines({"prompt": 3}), ("p.jsonl: line 4", "'prompt'")),
    "half a surrogate": ("p.jsonl", lines('{"prompt": "a\\ud800b"}'), ("p.jsonl: line 4", "surrogate")),
    "ends with assistant": ("p.jsonl", lines(ASSISTANT_LAST), ("p.jsonl: line 4", "the user's")),
    "unknown role": ("p.jsonl", lines({"messages": [{"role": "bot", "content": "x"}]}), ("line 4", "'bot'")),
    "no conversation": ("p.jsonl", lines({"messages": "Hi"}), ("p.jsonl: line 4", "list of {role, content}")),
    "bad split": ("p.jsonl", lines({"prompt": "x", "split": "dev"}), ("p.jsonl: line 4", "'dev'")),
    "one id, two prompts": ("p.jsonl", lines({"prompt": "other", "id": "p1"}), ("p.jsonl", "id 'p1'")),
    "ragged CSV": ("p.csv", "id,prompt\n1,Why?\n2,How,come\n", ("p.csv: line 3", "number of fields")),
    "short CSV": ("p.csv", "id,prompt\n1\n", ("p.csv: line 2", "number of fields")),
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
    from salmon_core import worker
    from salmon_core.runs import write_json
    from salmon_core.view import RunView

    name, content, says = DATA[case]
    resolved = load(_config_for(tmp_path, name, content))
    run, stage = tmp_path / "runs" / "toy", StageFolder(tmp_path / "runs" / "toy", "prompts")
    run.mkdir(parents=True)
    write_json(
        run / "config.json", {"document": resolved.config.model_dump(mode="json"), "base": str(tmp_path), "source": ""}
    )
    stage.begin("mark", {}, {})
    with pytest.raises(SalmonError) as error:
        worker.prompts(RunView.open(run))
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


@pytest.mark.parametrize(("fail", "says"), [("nan", "the metric loss is nan"), ("nothing", "model is missing")])
def test_a_trainer_that_ends_well_without_a_result(fail: str, says: str, tmp_path: Path) -> None:
    resolved = load(make_folder(tmp_path, train={**document()["train"], "options": {"fail": fail}}))
    run = tmp_path / "runs" / "toy"
    stage = StageFolder(run, "train-policy")
    stage.path.mkdir(parents=True)
    job = make_job(resolved, "train-policy", run, resolved.models["policy"], None)
    with Lock(run) as lock, pytest.raises(SalmonError, match=says):
        train(resolved, job, stage, lock, lambda event: None)


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
        ("score", "runs/toy", "rows.jsonl"): "rows.jsonl: line 1: has no text in 'completion'",
        ("score", "runs/toy", "gone.jsonl"): "gone.jsonl",
        ("score", "runs/toy", "rows.jsonl", "--principle", "vague"): "no principle 'vague'",
        ("principles", "show", "harmles"): "did you mean 'harmless'?",
        ("principles", "import", "rows.jsonl", "file"): "exists already",
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


def test_the_same_errors_from_python(tmp_path: Path) -> None:
    with pytest.raises(SalmonError, match="held_out"):
        load(make_folder(tmp_path, held_out=2))
    with pytest.raises(SalmonError, match="no stage 'sft'"):
        Pipeline(load(make_folder(tmp_path))).run(until="sft")
