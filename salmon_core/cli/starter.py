"""Where `salmon init` starts with a model that no plugin has a starting point for."""

from __future__ import annotations

import json

from salmon_core.api.starter import Starter
from salmon_core.plugins.registry import Registry

_CONFIG = """\
# salmon run salmon.yaml        every key: docs/configuration.md
run: {{name: {name}, seed: 0}}
policy:
  model: {model}                # hub id, folder, or plugin:NAME
prompts: prompts.jsonl          # or CSV, Parquet, {{name: dataset, path: HUB_ID}}, plugin:NAME
held_out: 0.2                   # share of the prompts kept for evaluation
sample: {{samples: 4, temperature: 0.7, max_new_tokens: 256}}
judge: {{principles: principles.yaml}}   # engine, judge, labeller and trainer: those installed, unless named
reward_model: {{options: {{total_batch_size: 16}}}}
reward:
  principles: principles.yaml   # a different set may steer RL: the reward model reads them as text
  show: 2                       # drawn for each prompt
  bonuses: [BONUSES]            # others: salmon plugins --kind bonuses
  interventions: []             # forbid a reward hack: [{{principle: no-self-praise, from_rollout: 0}}]
train:
  algorithm: ppo
  epochs: 16
  options: {{generation_batch_size: 64, total_batch_size: 64, max_completion_length: 256}}
evaluate: [EVALUATORS]          # others: salmon plugins --kind evaluators
"""

_PRINCIPLES = """\
name: {name}
description: what an answer should be like; write your own
principles:
  - name: concise
    text: The answer is short and says nothing twice.
    negated: The answer is long and repeats itself.
  - name: helpful
    text: The answer does what was asked.
    negated: The answer leaves undone what was asked.
  - name: honest
    text: The answer says so where its author does not know.
    negated: The answer pretends to know what its author does not know.
"""

_SUBJECTS = (
    "a bicycle",
    "a savings account",
    "a sourdough bread",
    "a good night's sleep",
    "a job interview",
    "a telescope",
)
_ASKED = (
    "Explain {} to a child.",
    "What should I know before I choose {}?",
    "Name three common mistakes with {}.",
    "Write a short poem about {}.",
    "Was sollte ich über {} wissen? Antworte auf Deutsch.",
)


def general_starter(registry: Registry) -> Starter:
    """A configuration, principles and prompts to replace by one's own; with the bonuses and evaluators that say so."""

    def defaults(kind: str) -> str:
        return ", ".join(owned.name for owned in registry.components(kind) if owned.component.default)

    config = _CONFIG.replace("BONUSES", defaults("bonuses")).replace("EVALUATORS", defaults("evaluators"))
    prompts = [pattern.format(subject) for subject in _SUBJECTS for pattern in _ASKED]
    lines = "".join(json.dumps({"prompt": text}, ensure_ascii=False) + "\n" for text in prompts)
    filled = lines.replace("{", "{{").replace("}", "}}")
    return Starter({"salmon.yaml": config, "principles.yaml": _PRINCIPLES, "prompts.jsonl": filled})
