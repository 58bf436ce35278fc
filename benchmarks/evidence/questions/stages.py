"""The whole method from a base model, and without each of its stages: `examples/minnow-full.yaml`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from evidence.question import Arm, Question, made_by, measured
from evidence.results import Read, Results, at, rate
from evidence.table import arms_table, differences

_EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
_RATES = "{name: minnow-oracle, samples: 8, before: base}"
_EVALUATE = measured(_RATES, "{name: rm-accuracy, truth: minnow, samples: 8}")


def _differing(name: str, base: str) -> dict[str, str]:
    """What one example says otherwise than another, as settings by section."""
    one, other = (_read(file) for file in (name, base))
    changed = {key: value for key, value in one.items() if value != other.get(key)}
    return {
        key: f"{key}={json.dumps(value)}" for key, value in changed.items() if key not in ("run", "evaluate", "expect")
    }


def _read(name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load((_EXAMPLES / name).read_text("utf-8"))
    return found


_OWN = _differing("minnow-full.yaml", "minnow.yaml")
_BASE_MODEL, _ALIGN = _OWN["policy"], (_OWN["self_align"], _OWN["sft"])
_PRETRAINED = _OWN["reward_model"]
_ALONE = "reward_model.pretrain=null"

FULL = Arm("all stages", (_BASE_MODEL, *_ALIGN, _PRETRAINED, *_EVALUATE))
NO_ALIGN = Arm("without self-align and sft", (_BASE_MODEL, _PRETRAINED, *_EVALUATE))
NO_PRETRAINING = Arm("without pretrain-rm", (_BASE_MODEL, *_ALIGN, _PRETRAINED, _ALONE, *_EVALUATE))
_ITS = f"{{path: {made_by(FULL)}/pretrain-rm/model}}"
#: nothing is judged, and RL is rewarded by what knows no principles
NO_JUDGING = Arm("without judge and train-rm", (_BASE_MODEL, *_ALIGN, f"reward_model={_ITS}", *_EVALUATE))
NO_MODEL = Arm("without any reward model", (_BASE_MODEL, *_ALIGN, "reward.rm_weight=0", *measured(_RATES)))
NO_RL = Arm("without train-policy", (_BASE_MODEL, *_ALIGN, _PRETRAINED, "train.algorithm=none", *_EVALUATE))
ARMS = (FULL, NO_ALIGN, NO_PRETRAINING, NO_JUDGING, NO_MODEL, NO_RL)

_QUALITIES = {
    "vivid": "vivid",
    "example": "example",
    "helpful": "helpful",
    "self-praise": "self_praise",
    "language": "language_match",
    "correct": "correct",
    "stopped": "stopped",
}
POLICY: Mapping[str, Read] = {name: rate(quality) for name, quality in _QUALITIES.items()}
BEFORE: Mapping[str, Read] = {name: rate(quality, "before") for name, quality in _QUALITIES.items()}
MODEL: Mapping[str, Read] = {
    "RM, positive": at("rm", "positive"),
    "RM, negated": at("rm", "negated"),
    **{f"sets of {size}": at("rm", "sets", "joint", str(size)) for size in (2, 3, 4)},
}


def _write(results: Results) -> list[str]:
    lines = ["The base model, before any stage:", "", *arms_table(results, (FULL,), BEFORE)]
    lines += ["What it does in the end:", "", *arms_table(results, ARMS, POLICY)]
    lines += differences(results, ARMS[1:], FULL, POLICY)
    trained = (FULL, NO_ALIGN, NO_PRETRAINING, NO_JUDGING)
    lines += ["What the reward models know:", "", *arms_table(results, trained, MODEL)]
    return lines + differences(results, trained[1:], FULL, MODEL)


QUESTION = Question(
    "stages",
    "What does each stage give?",
    """
`examples/minnow-full.yaml`: a base model aligns itself in context and is fine-tuned on that, samples and judges its
own pairs; a reward model is pre-trained on general preferences, trained on the judgments, and PPO follows it. Then the
same without one stage. Without `judge` and `train-rm`, RL is rewarded by the pre-trained reward model, which knows no
principles; without any reward model, by the stop bonus alone. The general preferences are the oracle's, of answers as
a whole; four principles are rewarded: `helpful`, `vivid`, `example`, `no-self-praise`.
""",
    ARMS,
    _write,
)
