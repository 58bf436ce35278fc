"""The files that `salmon init` writes."""

from __future__ import annotations

import json

_CONFIG = """\
# salmon run salmon.yaml        every key: docs/configuration.md
run: {{name: {name}, seed: 0}}
policy:
  model: {model}                # hub id, folder, or plugin:NAME
prompts: prompts.jsonl          # or CSV, Parquet, {{name: dataset, path: HUB_ID}}, plugin:NAME
held_out: 0.2                   # share of the prompts kept for evaluation
sample: {{samples: 4, temperature: 0.7, max_new_tokens: 256}}
judge: {{generator: self-judge, principles: principles.yaml}}
reward_model: {{backend: trl, options: {{total_batch_size: 16}}}}
reward:
  principles: principles.yaml   # a different set may steer RL: the reward model reads them as text
  show: 2                       # drawn for each prompt
  bonuses: [missing-stop]
  interventions: []             # forbid a reward hack: [{{principle: no-self-praise, from_rollout: 0}}]
train:
  backend: trl
  algorithm: ppo
  epochs: 16
  options: {{generation_batch_size: 64, total_batch_size: 64, max_completion_length: 256}}
evaluate: [rm-accuracy, reward-shift]
"""

_MINNOW_CONFIG = """\
# salmon run salmon.yaml        every key: docs/configuration.md
run: {{name: {name}, seed: 0}}
policy: {{model: "plugin:minnow", template: minnow}}   # a tiny world that comes with salmon
prompts: plugin:minnow
limits: {{prompt: 48, completion: 80, total: 256}}
sample: {{samples: 10, temperature: 0.8, max_new_tokens: 56, batch_size: 256}}
judge:
  principles: minnow
  generator: {{name: self-judge, repeats: 12, geometric_p: 0.4, cap: 3, min_margin: 0.5, normalise: none,
              flip: 0.0, exclude: [], min_characters: 1, rules: []}}
reward_model:
  backend: trl
  options: {{learning_rate: 1.5e-3, total_batch_size: 16, per_device_train_batch_size: 16}}
reward:
  principles: {{name: minnow, only: [helpful, vivid, no-self-praise]}}   # try others: salmon principles show minnow
  show: 2
  bonuses: [missing-stop]
train:
  backend: trl
  algorithm: ppo
  options: {{learning_rate: 5.0e-4, critic_learning_rate: 3.0e-3, generation_batch_size: 80, total_batch_size: 80,
            per_device_train_batch_size: 80, max_completion_length: 56, temperature: 0.8, kl_coef: 0.2,
            cliprange_value: 1.0, max_steps: 24}}
evaluate: [minnow-oracle, {{name: rm-accuracy, truth: minnow}}, reward-shift]
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


def starter_files(name: str, model: str) -> dict[str, str]:
    """Texts by relative path."""
    if model == "plugin:minnow":
        return {"salmon.yaml": _MINNOW_CONFIG.format(name=name)}
    prompts = [pattern.format(subject) for subject in _SUBJECTS for pattern in _ASKED]
    return {
        "salmon.yaml": _CONFIG.format(name=name, model=model),
        "principles.yaml": _PRINCIPLES.format(name=name),
        "prompts.jsonl": "".join(json.dumps({"prompt": text}, ensure_ascii=False) + "\n" for text in prompts),
    }
