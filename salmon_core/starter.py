"""The files that `salmon init` writes."""

from __future__ import annotations

import json

_CONFIG = """\
# salmon run salmon.yaml        every key: docs/configuration.md
run: {{name: {name}, seed: 0}}
policy:
  model: {model}                # hub id, folder, or plugin:NAME
  template: {template}
prompts: prompts.jsonl          # or CSV, Parquet, {{name: dataset, path: HUB_ID}}, plugin:NAME
sample: {{samples: 2, temperature: 0.7, max_new_tokens: {tokens}}}
judge: {{generator: self-judge, principles: principles.yaml}}
reward_model: {{backend: trl, options: {{}}}}
reward:
  principles: principles.yaml   # a different set may steer RL: the reward model reads them as text
  show: 2                       # drawn for each prompt
  bonuses:
    - {{name: missing-stop, weight: 1.0}}
  interventions: []             # forbid a reward hack: [{{principle: no-self-praise, text: "...", from_rollout: 0}}]
train: {{backend: trl, algorithm: grpo, options: {{max_completion_length: {tokens}}}}}
evaluate: [rm-accuracy, reward-shift]
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

_PROMPTS = (
    "What is the capital of France?",
    "How do I bake bread?",
    "What is two plus three?",
    "Wie kann man Tee machen?",
    "¿Cuál es la capital de España?",
)


def starter_files(name: str, model: str) -> dict[str, str]:
    """Texts by relative path."""
    template = "minnow" if model == "plugin:minnow" else "standard"
    tokens = 64 if model == "plugin:minnow" else 256
    prompts = "".join(json.dumps({"prompt": text}, ensure_ascii=False) + "\n" for text in _PROMPTS)
    return {
        "salmon.yaml": _CONFIG.format(name=name, model=model, template=template, tokens=tokens),
        "principles.yaml": _PRINCIPLES.format(name=name),
        "prompts.jsonl": prompts,
    }
