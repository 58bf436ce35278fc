"""Where `salmon init --model plugin:minnow` starts."""

from __future__ import annotations

from salmon_core.api import Starter

_CONFIG = """\
# salmon run salmon.yaml        every key: docs/configuration.md
run: {{name: {name}, seed: 0}}
policy: {{model: "plugin:minnow", template: minnow}}   # a tiny world that comes with salmon
prompts: plugin:minnow
limits: {{prompt: 48, completion: 80, total: 256}}
sample: {{samples: 10, temperature: 0.8, max_new_tokens: 56, batch_size: 256}}
judge:
  principles: minnow
label: {{repeats: 12, geometric_p: 0.4, cap: 3, min_margin: 0.5, normalise: none,
        flip: 0.0, exclude: [], min_characters: 1, rules: []}}
reward_model:
  options: {{learning_rate: 1.5e-3, total_batch_size: 16, per_device_train_batch_size: 16}}
reward:
  principles: {{name: minnow, only: [helpful, vivid, no-self-praise]}}   # try others: salmon principles show minnow
  show: 2
  bonuses: [missing-stop]
train:
  algorithm: ppo
  options: {{learning_rate: 5.0e-4, critic_learning_rate: 3.0e-3, generation_batch_size: 80, total_batch_size: 80,
            per_device_train_batch_size: 80, max_completion_length: 56, temperature: 0.8, kl_coef: 0.2,
            cliprange_value: 1.0, max_steps: 24}}
evaluate: [minnow-oracle, {{name: rm-accuracy, truth: minnow}}, reward-shift]
"""

STARTER = Starter({"salmon.yaml": _CONFIG}, model="plugin:minnow")
