"""The schema of a configuration for editors, and what is said of keys that nobody knows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from core_world import Cli, document, environment, install, make_folder, salmon
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from salmon_core.config.choices import BonusChoice, EvaluatorChoice, PromptChoice
from salmon_core.config.json_schema import CHOICES, json_schema
from salmon_core.config.load import parse_config
from salmon_core.errors import ConfigError
from salmon_core.plugins.options import BESIDE
from salmon_core.plugins.registry import Registry

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = [*sorted((ROOT / "examples").glob("*.yaml")), ROOT / "examples/own-model/salmon.yaml"]
PLAIN: Mapping[str, Any] = {
    "run": {"name": "a"},
    "policy": {"model": "./model"},
    "prompts": "prompts.jsonl",
}


@cache
def schema() -> Draft202012Validator:
    found = json_schema(Registry.discover())
    Draft202012Validator.check_schema(found)
    return Draft202012Validator(found)


def refused(values: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in schema().iter_errors(values)]


def changed(place: str, value: Any) -> dict[str, Any]:
    """The plain configuration with one value at a dotted place."""
    values: Any = deepcopy(dict(PLAIN))
    *sections, key = place.split(".")
    here = values
    for section in sections:
        here = here.setdefault(section, {})
    here[key] = value
    return values  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name + "/" + path.name)
def test_every_example_is_accepted(path: Path) -> None:
    assert refused(YAML(typ="safe").load(path.read_text(encoding="utf-8"))) == []


RIGHT = {
    "an engine": ("sample.engine", "transformers"),
    "an engine with its owner": ("sample.engine", {"name": "salmon-transformers/transformers"}),
    "no engine": ("sample.engine", None),
    "options of the installed judge": ("judge.judge", {"batch_pairs": 3}),
    "a name that is null": ("label", {"name": None, "repeats": 2}),
    "one evaluator without a list": ("evaluate", "rm-accuracy"),
    "one evaluator with options": ("evaluate", {"name": "rm-accuracy", "samples": 3}),
    "evaluators": ("evaluate", ["salmon-evaluators/rm-accuracy", {"name": "reward-shift"}]),
    "a bonus with a weight and a label": (
        "reward.bonuses", ["length", {"name": "length", "weight": 3, "label": "more", "max_tokens": 3}],
    ),
    "prompts in a file": ("prompts", {"name": "data/PROMPTS.CSV", "limit": 3, "on_bad_row": "drop"}),
    "prompts by their reader": ("prompts", {"name": "jsonl", "path": "rows.txt"}),
    "prompts of a plugin": ("prompts", "plugin:minnow"),
    "principles in a file": ("judge.principles", {"name": "mine.yaml", "only": ["kind"]}),
    "principles by name": ("reward.principles", "salmon-rl"),
    "a trainer's options, unnamed": ("train.options", {"kl_coef": 0.1}),
    "another algorithm's options": ("train", {"algorithm": "grpo", "options": {"num_generations": 4}}),
    "no training": ("train", {"algorithm": "none", "options": {"whatever": 1}}),
    "another trainer": ("train", {"backend": "openrlhf", "algorithm": "ppo", "options": {"vllm_engines": 2}}),
    "a rule by name, which the labeller reads": ("label.rules", ["phrase"]),
    "a score for failures": ("reward.on_failure", -1.5),
    "an expectation": ("expect", [{"metric": "rm.positive", "min": 0.5}]),
    "a path to a reward model": ("reward_model", {"path": "rm"}),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_is_accepted(name: str) -> None:
    values = changed(*RIGHT[name])
    assert refused(values) == []
    parse_config(values)


WRONG = {
    "a key of no section": ("smaple", {}),
    "a key of a section": ("sample.temprature", 0.7),
    "a key of another section": ("judge.temperature", 0.7),
    "a key deep down": ("train.launch.gpus", 3),
    "a number as a text": ("sample.samples", "many"),
    "too few samples": ("sample.samples", 1),
    "a share above one": ("held_out", 1.5),
    "a section that is null": ("sample", None),
    "a name of a run": ("run.name", "../up"),
    "no such engine": ("sample.engine", "transformer"),
    "no such judge, with options": ("judge.judge", {"name": "self-juge"}),
    "no such evaluator in a list": ("evaluate", ["rm-accuracy", "rm-acuracy"]),
    "no such evaluator alone": ("evaluate", "rm-acuracy"),
    "no such bonus": ("reward.bonuses", ["lenght"]),
    "no such bonus, with options": ("reward.bonuses", [{"name": "lenght", "weight": 2}]),
    "no such template": ("policy.template", "standart"),
    "no such principles": ("judge.principles", "salmon-rn"),
    "no such model of a plugin": ("policy.model", "plugin:minow"),
    "no such trainer": ("train.backend", "tlr"),
    "no such algorithm": ("train.algorithm", "ppoo"),
    "an algorithm of another trainer": ("train", {"backend": "trl", "algorithm": "reinforce++"}),
    "an option of an engine": ("sample.engine", {"name": "transformers", "speed": 3}),
    "an option of the installed labeller": ("label", {"repeat": 3}),
    "an option out of range": ("label", {"flip": 2}),
    "an option of a bonus": ("reward.bonuses", [{"name": "length", "max_token": 3}]),
    "a weight that is a text": ("reward.bonuses", [{"name": "length", "weight": "much"}]),
    "a bonus without a name": ("reward.bonuses", [{"weight": 1}]),
    "an option of the installed trainer": ("train.options", {"learnin_rate": 1}),
    "an option of a trainer's adapter": ("train.options", {"lora": {"rank": 3}}),
    "an option of another algorithm": ("train", {"algorithm": "grpo", "options": {"critic_learning_rate": 1}}),
    "an option of another trainer": ("train.options", {"vllm_engines": 2}),
    "an option of the reward model": ("reward_model.options", {"kl_coef": 1}),
    "an option of sft": ("sft", {"data": "a.jsonl", "options": {"epoch": 1}}),
    "a file given twice": ("prompts", {"name": "a.jsonl", "path": "b.jsonl"}),
    "prompts of no kind": ("prompts", "prompts.txt"),
    "an expectation of nothing": ("expect", [{"metric": "rm.positive"}]),
    "a trained reward model with options": ("reward_model", {"path": "rm", "options": {"learning_rate": 1}}),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused(name: str) -> None:
    assert refused(changed(*WRONG[name]))


def test_file_plugins_may_add_names() -> None:
    """But what is installed is known all the same."""
    values = document()
    assert refused(values) == []
    parse_config(values)
    assert refused({**values, "plugins": []})
    assert refused({**values, "sample": {"engine": {"name": "transformers", "speed": 3}}})


def test_names_say_what_they_mean() -> None:
    names = schema().schema["$defs"]["name.bonuses"]["anyOf"][0]  # type: ignore[index, call-overload]
    meaning = dict(zip(names["enum"], names["enumDescriptions"], strict=True))
    assert meaning["length"] == meaning["salmon-bonuses/length"] != ""


def test_every_choice_of_a_configuration_has_a_kind() -> None:
    text = json.dumps(schema().schema)
    for left in ("Selection", "DefaultSelection", "BonusChoice", "EvaluatorChoice", "PromptChoice"):
        assert f"$defs/{left}" not in text, f"{left} is chosen at a place that is not in CHOICES: {CHOICES}"
    assert set(BESIDE["bonuses"]) == set(BonusChoice.model_fields)
    assert set(BESIDE["evaluators"]) == set(EvaluatorChoice.model_fields)
    assert set(BESIDE["prompts"]) == set(PromptChoice.model_fields)


ODD = """
import math
from pathlib import Path
from typing import Annotated, Any
from pydantic import BaseModel, BeforeValidator, ConfigDict
from salmon_core import Component, hookimpl

class Plain:
    def __init__(self, file: Path, most: float = math.inf, extra: object = None): ...

class Tree(BaseModel):
    model_config = ConfigDict(extra="forbid")
    below: list["Tree"] = []
    size: Annotated[int, BeforeValidator(len)] = 0

class Holds:
    Options = Tree

class Breaks:
    def __init__(self, file: "Gone", odd: open): ...

@hookimpl
def salmon_bonuses():
    yield Component("plain", Plain, "one of a constructor")
    yield Component("tree", Holds, "one that holds itself")
    yield Component("breaks", Breaks, "one without a schema")
    yield Component("gone", "no_such_module:X", "one that cannot be imported")
    yield Component("length", Plain, "one of another's name")
"""


def test_odd_plugins(tmp_path: Path) -> None:
    install(tmp_path, "odd-plugin", ODD)
    done = salmon("schema", "--out", "schema.json", cwd=tmp_path, env=environment(tmp_path))
    assert (done.code, done.text) == (0, "written schema.json\n")
    odd = Draft202012Validator(json.loads((tmp_path / "schema.json").read_text()))
    odd.check_schema(odd.schema)

    def accepts(bonus: Any) -> bool:
        return odd.is_valid(changed("reward.bonuses", [bonus]))

    assert accepts({"name": "plain", "file": "a.txt", "extra": {"a": 1}})
    assert not accepts({"name": "plain"})
    assert not accepts({"name": "plain", "file": "a.txt", "more": 1})
    assert accepts({"name": "tree", "below": [{"below": []}], "size": "read by the plugin", "weight": 2})
    assert not accepts({"name": "tree", "below": [{"beneath": []}]})
    assert accepts({"name": "breaks", "anything": 1})
    assert accepts({"name": "gone", "anything": 1})
    assert accepts("odd-plugin/length")
    assert not accepts("length")  # of two plugins
    assert accepts({"name": "salmon-bonuses/length", "max_tokens": 3})


@pytest.mark.parametrize("model", [(), ("--model", "some-lab/some-model")], ids=["a plugin's", "the general one"])
def test_init_leaves_an_editor_its_schema(model: tuple[str, ...], tmp_path: Path, cli: Cli) -> None:
    done = cli("init", "new", *model)
    assert done.code == 0, done.text
    assert "written new/.salmon-schema.json" in done.out
    text = (tmp_path / "new/salmon.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=./.salmon-schema.json\n")
    written = (tmp_path / "new/.salmon-schema.json").read_text()
    assert written == cli("schema").out
    assert list(Draft202012Validator(json.loads(written)).iter_errors(yaml.safe_load(text))) == []
    (tmp_path / "new/.salmon-schema.json").write_text("{}")
    assert "kept    new/salmon.yaml" in cli("init", "new", *model).out
    assert (tmp_path / "new/.salmon-schema.json").read_text() == written


# -- keys that nobody knows ------------------------------------------------------------------------------------------


UNKNOWN = {
    ("sampel", "samples=3"): "sampel: there is no such option; did you mean 'sample'?",
    ("sample", "temprature=1"): "sample.temprature: there is no such option; did you mean 'temperature'?",
    ("train", "launch={proceses: 2}"): "train.launch.proceses: there is no such option; did you mean 'processes'?",
    ("judge", "temperature=1"): "under `self_align.questions` or under `self_align` or under `sample`)",
    ("", "seed=1"): "seed: there is no such option (it belongs under `run`)",
    ("run", "held_out=0.1"): "run.held_out: there is no such option (it belongs at the top level of the file)",
    ("reward", "principle=a"): "did you mean 'principles'? (there is one under `reward.interventions[]`)",
    (
        "train",
        "stepz=2",
    ): "train.stepz: there is no such option (if it is the trainer's, it goes under `train.options`)",
    ("train.options", "step=2"): "train.options.step: there is no such option; did you mean 'steps'?",
    ("reward.bonuses.0", "wieght=2"): "reward.bonuses[0].wieght: there is no such option; did you mean 'weight'?",
    ("reward.bonuses.0", "leter=x"): "reward.bonuses[0].leter: there is no such option; did you mean 'letter'?",
    ("prompts", "limt=2"): "prompts.limt: there is no such option; did you mean 'limit'?",
    ("label", "flp=2"): "label.flp: there is no such option; did you mean 'flip'?",
    ("reward.interventions", "[{principle: kind, from_rolout: 1}]"): "did you mean 'from_rollout'?",
    ("expect", "[{metrc: rm}]"): "expect[0].metrc: there is no such option; did you mean 'metric'?",
}


@pytest.mark.parametrize("change", UNKNOWN, ids=".".join)
def test_an_unknown_key_is_told_the_nearest_one(change: tuple[str, str], tmp_path: Path, cli: Cli) -> None:
    section, key = change
    done = cli(
        "check", make_folder(tmp_path), "--set", f"{section}{'=' if key[0] == '[' else '.' if section else ''}{key}"
    )
    assert done.code == 2
    assert UNKNOWN[change] in done.err


def test_a_key_like_no_other_gets_no_hint() -> None:
    with pytest.raises(ConfigError) as error:
        parse_config({**PLAIN, "limits": {"xyz": 1}})
    assert str(error.value).endswith("limits.xyz: there is no such option")
