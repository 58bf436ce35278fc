"""What a run may be believed: inputs are not forgotten, owners not lost, models not held, paths not misread."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from core_world import Cli, document, environment, make_folder, salmon

from salmon_core.api import Job, RewardSpec
from salmon_core.config.resolve import load
from salmon_core.pipeline import Pipeline
from salmon_core.reward.reward import Reward
from salmon_core.reward.spec import reward_spec


def other_model(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "config.json").write_text('{"other": 1}')


def report_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "runs/toy/report.json").read_text())
    return found


def test_another_judge_is_asked_again_by_an_evaluation(tmp_path: Path, cli: Cli) -> None:
    """A judge that only the evaluation reads: its model, its options and its engine count."""
    make_folder(tmp_path, evaluate=["toy-agreement"], reward_model={"path": "./policy"})
    other_model(tmp_path)
    assert cli("run", "salmon.yaml").code == 0
    again = cli("run", "salmon.yaml")
    assert again.err.count("already done") == 3
    for change in ("judge.model=./other", "judge.judge.bias=9", "judge.engine.scale=2"):
        done = cli("run", "salmon.yaml", "--set", change)
        assert done.code == 0, done.text
        assert "evaluate      done" in done.err
        assert done.err.count("already done") == 2


def test_models_are_opened_one_at_a_time_and_closed(tmp_path: Path) -> None:
    """In every process of a run, with an evaluator that asks all four roles."""
    make_folder(tmp_path, evaluate=["toy-count", "toy-agreement"])
    log = tmp_path / "log.txt"
    done = salmon("run", "salmon.yaml", cwd=tmp_path, env=environment(BYTES_LOG=str(log)))
    assert done.code == 0, done.text
    held: Counter[str] = Counter()
    opened: Counter[str] = Counter()
    for line in log.read_text().splitlines():
        process, what, model = line.split(" ", 2)
        held[process] += 1 if what == "open" else -1
        opened[model.rpartition("/")[2]] += what == "open"
        assert held[process] in (0, 1), line
    assert not any(held.values())
    assert opened.total() >= 5


def test_a_judge_that_asks_no_model_opens_none(tmp_path: Path) -> None:
    judge = {**document()["judge"], "judge": "longer"}
    make_folder(tmp_path, judge=judge)
    log = tmp_path / "log.txt"
    assert salmon("run", "salmon.yaml", "--until", "sample", cwd=tmp_path).code == 0
    done = salmon("run", "salmon.yaml", "--until", "label", cwd=tmp_path, env=environment(BYTES_LOG=str(log)))
    assert done.code == 0, done.text
    assert not log.exists()


def test_the_interpreter_belongs_to_a_backend_however_it_is_named(tmp_path: Path) -> None:
    for name in ("toy", f"{tmp_path / 'world.py'}/toy"):
        config = make_folder(tmp_path, train={"backend": name, "algorithm": "toy", "python": "./venv/bin/python"})
        pipeline = Pipeline(load(config), folder=tmp_path / "runs" / "toy")
        jobs = {stage: Job.from_json(plan.files["job.json"]) for stage, plan in pipeline.plans().items()}
        assert jobs["train-policy"].python == str(tmp_path / "venv/bin/python")
        assert jobs["train-rm"].python == str(tmp_path / "venv/bin/python")
        other = {"backend": "toy-too", "algorithm": "toy", "python": "./venv/bin/python"}
        changed = Pipeline(load(make_folder(tmp_path, train=other)), folder=tmp_path / "runs" / "toy")
        assert Job.from_json(changed.plans()["train-rm"].files["job.json"]).python is None


def test_components_keep_their_owner_on_the_way_to_a_trainer(tmp_path: Path) -> None:
    """Of two plugins with equal names the chosen one is built, from JSON as well."""
    world = (tmp_path / "world.py", tmp_path / "twin.py")
    make_folder(tmp_path)
    shutil.copy(world[0], world[1])
    for file in world:
        reward = {
            "principles": "rules.yaml",
            "engine": f"{file}/bytes",
            "bonuses": [{"name": f"{file}/letters", "label": "letters"}],
        }
        changes = {section: {**document()[section], "engine": f"{file}/bytes"} for section in ("sample", "judge")}
        config = load(
            make_folder(
                tmp_path,
                plugins=["world.py", "twin.py"],
                reward=reward,
                policy={"model": "./policy", "template": f"{file}/toy"},
                judge={**changes["judge"], "judge": f"{file}/toy-judge"},
                sample=changes["sample"],
                label=f"{file}/toy-labels",
                reward_model={"backend": f"{file}/toy"},
                train={"backend": f"{file}/toy", "algorithm": "toy"},
                evaluate=[f"{file}/toy-count"],
            )
        )
        spec = through_json(reward_spec(config, config.models["policy"]))
        assert {spec.engine.owner, spec.template.owner, spec.bonuses[0].component.owner} == {str(file)}
        with Reward.from_spec(spec) as built:
            assert built.names == ("rm", "letters")


def through_json(spec: RewardSpec) -> RewardSpec:
    found = Job.from_json(Job("train-policy", "toy", "/nowhere", spec.policy, {}, 0, reward=spec).to_json()).reward
    assert found == spec
    assert found is not None
    return found


PATHS = """

class Listed:
    def __init__(self, words: Path):
        self.words = words.read_text().split()

    def score_one(self, rollout: Any) -> float:
        return float(sum(word in self.words for word in rollout.completion.split()))


@hookimpl
def salmon_oracles() -> Iterable[Component]:
    return []
"""


def with_words(folder: Path) -> Path:
    """A configuration with a bonus that reads a file beside it."""
    config = make_folder(folder, **with_bonus({"name": "listed", "words": "words.txt"}))
    with (folder / "world.py").open("a") as file:
        file.write(PATHS)
    text = (folder / "world.py").read_text()
    (folder / "world.py").write_text(
        text.replace(
            '    yield Component("faulty"',
            '    yield Component("listed", Listed, "words")\n    yield Component("faulty"',
        )
    )
    (folder / "words.txt").write_text("red green")
    return config


def with_bonus(bonus: dict[str, Any]) -> dict[str, Any]:
    return {"reward": {**document()["reward"], "rm_weight": 0, "bonuses": [bonus]}}


def test_a_path_among_options_is_relative_to_the_configuration(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whatever folder and process it is read; its content counts, its place does not."""
    config = with_words(tmp_path / "project")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert cli("run", config, "--until", "train-policy").code == 0
    (tmp_path / "rows.jsonl").write_text('{"prompt": "Why?", "completion": "red blue green"}\n')
    scored = cli("score", "runs/toy", tmp_path / "rows.jsonl")
    assert json.loads(scored.out)["raw"] == {"listed": 2.0}

    def mark(path: Path) -> str:
        return Pipeline(load(path), folder=tmp_path / "elsewhere/runs/toy").sources.fingerprint("train-policy")

    before = mark(config)
    shutil.copytree(tmp_path / "project", tmp_path / "moved")
    assert mark(tmp_path / "moved" / "salmon.yaml") == before
    (tmp_path / "project" / "words.txt").write_text("blue")
    assert mark(config) != before
    os.remove(tmp_path / "project" / "words.txt")
    refused = cli("check", config)
    assert refused.code == 2
    assert "reward.bonuses[0].words: there is no file 'words.txt'" in refused.err


BAD_EVALUATORS = """

class {name}(Evaluator):
    needs = frozenset({needs})

    def evaluate(self, run: EvaluatedRun) -> Any:
        {body}


@hookimpl
def salmon_evaluators() -> Iterable[Component]:
    yield Component("bad", {name}, "for a test")
"""


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            'return Metrics("bad", {"targets": [{"name": "x", "before": 0.1, "after": 0.2}]})',
            "'targets' among its values",
        ),
        ('return Metrics("bad", {"x": float("nan")})', "cannot be written down"),
        ('return {"x": 1}', "returned a dict, not Metrics"),
        ('return Metrics("bad", targets=("x",))', "cannot be written down"),
        ('run.open("reward")', "uses the model of the role 'reward' without needing it"),
    ],
)
def test_results_that_are_none_name_their_author(body: str, says: str, tmp_path: Path) -> None:
    """Where they are returned, and not in the report after everything ran."""
    make_folder(tmp_path, plugins=["world.py", "own.py"], evaluate=["bad"], **with_bonus({"name": "letters"}))
    plain = (tmp_path / "world.py").read_text().split("class ByteCodec")[0].split("SPECIALS =")[0]
    own = plain + BAD_EVALUATORS.replace("{name}", "Bad").replace("{needs}", "()").replace("{body}", body)
    (tmp_path / "own.py").write_text(own)
    done = salmon("run", "salmon.yaml", cwd=tmp_path)
    assert done.code == 1
    assert "own.py, evaluator 'bad'" in done.err
    assert says in done.err
    assert "Traceback" not in done.text
    assert not (tmp_path / "runs/toy/report.json").exists()


def test_without_rl_no_model_is_claimed(tmp_path: Path, cli: Cli) -> None:
    config = make_folder(tmp_path, train={"algorithm": "none"}, evaluate=["toy-agreement"])
    done = cli("run", config)
    assert done.code == 0, done.text
    assert "report.json" in done.out
    assert "model:" not in done.out
    assert report_of(tmp_path)["evaluators"]["toy-agreement"]["after"] > 0
