"""For every key of the configuration: which stages a change of it does anew.

The keys are read off the schema, so a new one fails here until it has a row; what it reruns is computed, and compared
with `reruns.json`, which a person has read. `python tests/core/test_core_reruns.py` writes that file anew.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from core_world import document, make_folder
from pydantic import BaseModel

from salmon_core.config.choices import BonusChoice, DefaultSelection, PrincipleChoice, Selection
from salmon_core.config.load import read_config
from salmon_core.config.preferring import KeepSection, PreferencesSection
from salmon_core.config.reinforcing import Intervention, VetoSection
from salmon_core.config.resolve import load
from salmon_core.config.schema import Config, Expectation
from salmon_core.pipeline import Pipeline

GOLDEN = Path(__file__).parent / "reruns.json"
#: keys that no stage reads: they say where, how fast, or what is looked at afterwards
NEUTRAL = {
    "run.name",
    "run.folder",
    "run.call_timeout",
    "judge.concurrency",
    "judge.attempts",
    "judge.on_weak",
    "train.python",
    "expect",
    "reward.explain_every",
    "monitors.use",
    "monitors.on_alarm",
    "monitors.from_sets",
    "monitors.device",
    "monitors.apply.at_most",
    "monitors.apply.kl",
    "monitors.again.after",
    "monitors.again.unanswered",
    "monitors.again.at_most",
}
#: key -> another value than that of `start()`
OTHER: dict[str, Any] = {
    "run.name": "other",
    "run.seed": 2,
    "run.folder": "elsewhere",
    "run.call_timeout": 60,
    "plugins": ["world.py", "more.py"],
    "policy.model": "./other",
    "policy.dtype": "float32",
    "policy.device": "cpu",
    "policy.adapter": "./other",
    "policy.trust_remote_code": True,
    "policy.template": "toy-too",
    "limits.prompt": 65,
    "limits.completion": 129,
    "limits.total": 513,
    "prompts": "others.jsonl",
    "held_out": 0.5,
    "self_align.model": "./other",
    "self_align.engine": {"name": "bytes", "scale": 2.0},
    "self_align.principles": {"name": "self-align", "without": ["measure"]},
    "self_align.show_principles": 3,
    "self_align.exemplars": "worked.yaml",
    "self_align.show_exemplars": 1,
    "self_align.thoughts": False,
    "self_align.prompts": "generated",
    "self_align.questions.generate": 7,
    "self_align.questions.attempts": 7,
    "self_align.questions.topics": "topics.yaml",
    "self_align.questions.show": 1,
    "self_align.questions.temperature": 0.5,
    "self_align.questions.top_p": 0.5,
    "self_align.questions.max_new_tokens": 7,
    "self_align.questions.min_words": 1,
    "self_align.questions.max_words": 70,
    "self_align.questions.similar": 0.5,
    "self_align.samples": 3,
    "self_align.temperature": 0.5,
    "self_align.top_p": 0.5,
    "self_align.max_new_tokens": 7,
    "self_align.batch_size": 7,
    "self_align.shard_size": 7,
    "self_align.filters.min_characters": 7,
    "self_align.filters.repeats": 0.5,
    "self_align.filters.mentions": ["rule"],
    "self_align.filters.same_answer": 7,
    "self_align.verbose.principles": {"name": "self-align", "without": ["measure"]},
    "self_align.verbose.exemplars": "worked.yaml",
    "self_align.verbose.max_new_tokens": 7,
    "self_align.verbose.keep": "both",
    "sft.data": "others.jsonl",
    "sft.backend": "toy-too",
    "sft.options": {"steps": 4},
    "sample.engine": {"name": "bytes", "scale": 2.0},
    "sample.samples": 4,
    "sample.temperature": 0.9,
    "sample.top_p": 0.9,
    "sample.max_new_tokens": 47,
    "sample.batch_size": 31,
    "sample.shard_size": 5,
    "sample.stop": ["x"],
    "judge.judge": {"name": "toy-judge", "bias": 0.5},
    "judge.principles": {"name": "rules.yaml", "only": ["kind"]},
    "judge.engine": {"name": "bytes", "scale": 2.0},
    "judge.model": "./other",
    "judge.orders": "mean",
    "judge.form": "text",
    "judge.probe": 3,
    "judge.gold": "others.jsonl",
    "judge.on_weak": "warn",
    "judge.shard_size": 5,
    "judge.concurrency": 3,
    "judge.attempts": 2,
    "label": {"name": "toy-labels", "flip": 0.5},
    "preferences": "own.parquet",
    "reward_model.init": "./other",
    "reward_model.path": "./other",
    "reward_model.pretrain.preferences": "others.parquet",
    "reward_model.pretrain.principles": "rows",
    "reward_model.pretrain.keep": {"column": "ratio", "above": 2.0},
    "reward_model.pretrain.min_margin": 0.5,
    "reward_model.pretrain.limit": 7,
    "reward_model.pretrain.backend": "toy-too",
    "reward_model.pretrain.options": {"steps": 4},
    "reward_model.backend": "toy-too",
    "reward_model.options": {"steps": 4},
    "reward.principles": {"name": "rules.yaml", "negate": ["kind"]},
    "reward.show": 2,
    "reward.combine": "mean",
    "reward.veto": {"below": 0.0, "floor": -1.0},
    "reward.explain_every": 3,
    "reward.rm_weight": 2.0,
    "reward.engine": {"name": "bytes", "scale": 2.0},
    "reward.template": "toy-too",
    "reward.interventions": [{"principle": "kind"}],
    "reward.bonuses": [{"name": "letters", "weight": 2.0}],
    "reward.on_failure": 0.0,
    "train.backend": "toy-too",
    "train.algorithm": "toy-two",
    "train.epochs": 2,
    "train.rows.principles": "prompt",
    "train.rows.only": ["kind"],
    "train.options": {"steps": 4},
    "train.python": "/usr/bin/python3",
    "train.launch.processes": 2,
    "train.launch.accelerate_config": "rules.yaml",
    "monitors.use": [],
    "monitors.on_alarm": "stop",
    "monitors.from_sets": [],
    "monitors.device": "auto",
    "monitors.apply.at_most": 2,
    "monitors.apply.kl": 3.0,
    "monitors.again.after": 9,
    "monitors.again.unanswered": 40,
    "monitors.again.at_most": 1,
    "evaluate": ["toy-count"],
    "expect": [{"metric": "rm.positive", "min": 0.9}],
}
#: key -> what else the configuration has to say for the key to mean something
BESIDE: dict[str, dict[str, Any]] = {
    "monitors.on_alarm": {"monitors.use": []},
    "monitors.from_sets": {"monitors.use": []},
    "monitors.device": {"monitors.use": []},
    **{f"monitors.again.{key}": {"monitors.use": []} for key in ("after", "unanswered", "at_most")},
    **{
        f"monitors.apply.{key}": {
            "monitors.use": [],
            "monitors.on_alarm": "apply",
            "monitors.apply": {"at_most": 1, "kl": 5.0},
        }
        for key in ("at_most", "kl")
    },
    "train.rows.principles": {"train.algorithm": "toy-pairs"},
    "train.rows.only": {"train.algorithm": "toy-pairs"},
    **{
        f"reward_model.pretrain.{key}": {"reward_model.pretrain": {"preferences": "own.parquet"}}
        for key in ("preferences", "principles", "keep", "min_margin", "limit", "backend", "options")
    },
    "self_align.principles": {"self_align.exemplars": "worked.yaml"},
    "self_align.verbose.principles": {"self_align.exemplars": "worked.yaml"},
}


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Keys of a section; what names a component, and lists, count as one key each."""
    for name, field in model.model_fields.items():
        inner = [each for each in (field.annotation, *get_args(field.annotation)) if isinstance(each, type)]
        whole = (
            Selection,
            DefaultSelection,
            BonusChoice,
            PrincipleChoice,
            PreferencesSection,
            VetoSection,
            KeepSection,
            Intervention,
            Expectation,
        )
        sections = [each for each in inner if issubclass(each, BaseModel) and not issubclass(each, whole)]
        if sections:
            yield from leaves(sections[0], f"{prefix}{name}.")
        else:
            yield prefix + name


def start() -> dict[str, Any]:
    """Every stage active."""
    own = {"engine": "bytes", "prompts": "both", "verbose": {}}
    sft = {"data": "sft.jsonl", "backend": "toy"}
    return document(self_align=own, sft=sft, evaluate=["toy-count", "toy-agreement"])


def prepare(folder: Path) -> None:
    make_folder(folder)
    line = '{"prompt": "a", "completion": "b"}\n'
    (folder / "sft.jsonl").write_text(line)
    (folder / "others.jsonl").write_text(line * 2)
    (folder / "own.parquet").write_bytes(b"rows")
    (folder / "others.parquet").write_bytes(b"other rows")
    worked = "".join(f"  - {{prompt: Who is {name}?, thought: Use., answer: Nobody.}}\n" for name in "abcd")
    (folder / "worked.yaml").write_text(f"exemplars:\n{worked}")
    questions = "".join(f"  - {{topic: a, kind: b, prompt: Who is {name}?}}\n" for name in "abcde")
    (folder / "topics.yaml").write_text(f"topics: [a]\nkinds: [b]\nquestions:\n{questions}")
    (folder / "other").mkdir()
    (folder / "other" / "config.json").write_text('{"other": 1}')
    (folder / "more.py").write_text(
        "from salmon_core import hookimpl\n\n\n@hookimpl\ndef salmon_oracles():\n    return []\n"
    )


def fingerprints(folder: Path, changed: Mapping[str, Any]) -> dict[str, str]:
    file = folder / "salmon.yaml"
    file.write_text(yaml.safe_dump(start()))
    overrides = [f"{key}={json.dumps(value)}" for key, value in changed.items()]
    read_config(file, overrides)
    pipeline = Pipeline(load(file, overrides), folder=folder / "runs" / "toy")
    return {name: pipeline.sources.fingerprint(name) for name in pipeline.stages if name != "report"}


def reruns(folder: Path) -> dict[str, list[str]]:
    """Key -> the stages done anew; a stage that is no longer needed is not."""
    prepare(folder)
    plain = fingerprints(folder, {})
    found = {}
    for key, value in OTHER.items():
        beside = BESIDE.get(key, {})
        before = fingerprints(folder, beside) if beside else plain
        after = fingerprints(folder, {**beside, key: value})
        found[key] = [name for name in after if after[name] != before.get(name)]
    return found


def test_every_key_has_a_row() -> None:
    assert sorted(OTHER) == sorted(leaves(Config))


def test_what_each_key_reruns(tmp_path: Path) -> None:
    found = reruns(tmp_path)
    assert {key for key, stages in found.items() if not stages} == NEUTRAL | {"plugins"}
    assert found == json.loads(GOLDEN.read_text())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        table = reruns(Path(made).resolve())
    GOLDEN.write_text("{\n" + ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in table.items()) + "\n}\n")
    sys.stdout.write(GOLDEN.read_text())
