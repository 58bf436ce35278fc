"""Tasks of the harness, in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

COUNTRIES = {"Spain": "Madrid", "France": "Paris", "Italy": "Rome", "Germany": "Berlin", "Portugal": "Lisbon"}
CHOICE = {
    "task": "capitals",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "docs.jsonl"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "What is the capital of {{country}}?",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{answer}}",
    "metadata": {"version": 2},
}
SPOKEN = {
    "task": "spoken",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "docs.jsonl"}},
    "test_split": "test",
    "output_type": "generate_until",
    "doc_to_text": "What is the capital of {{country}}?",
    "doc_to_target": "{{choices[answer]}}",
    "generation_kwargs": {"until": ["."], "max_gen_toks": 12, "do_sample": False},
    "metric_list": [{"metric": "exact_match"}, {"metric": "bleu"}],
}
GROUP = {
    "group": "both",
    "task": ["capitals", "turned"],
    "aggregate_metric_list": [{"metric": "acc", "weight_by_size": True}],
}


def tasks(folder: Path) -> Path:
    """A folder of a group of two tasks, one more task, and their documents."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "country": country,
            "choices": [f" The capital of {country} is {each}." for each in COUNTRIES.values()],
            "answer": i,
        }
        for i, country in enumerate(COUNTRIES)
    ]
    (folder / "docs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    turned = CHOICE | {"task": "turned", "doc_to_text": "The capital of {{country}}:"}
    for name, config in {"capitals": CHOICE, "turned": turned, "spoken": SPOKEN, "both": GROUP}.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    return folder


CONFIG: dict[str, Any] = {
    "run": {"name": "asked", "seed": 3},
    "plugins": ["nudging.py"],
    "policy": {"model": "plugin:minnow", "template": "minnow", "dtype": "float32"},
    "prompts": "plugin:minnow",
    "limits": {"prompt": 48, "completion": 80, "total": 256},
    "sample": {"max_new_tokens": 16},
    "judge": {"principles": "minnow"},
    "reward": {"principles": "minnow", "rm_weight": 0, "bonuses": [{"name": "missing-stop"}]},
    "train": {"backend": "nudge", "algorithm": "nudge"},
    "evaluate": {"name": "lm-eval", "tasks": ["./tasks"], "batch_size": 4},
}
