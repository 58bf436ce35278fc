"""Folders of runs that are damaged or none, and commands on them."""

from __future__ import annotations

from bad_case import Bad, Gone
from core_world import WORLD

ROWS = {"rows.jsonl": '{"prompt": "Why?", "completion": "So."}\n'}
SCORE = "score runs/toy rows.jsonl"

RUNS = [
    Bad("no report", ("runs/toy", "no run in this folder"), "report runs/toy", code=1),
    Bad("a report of no JSON", ("runs/toy", "report.json"), "report runs/toy", finished=True, code=1,
        files={"runs/toy/report.json": "{"}),
    Bad("a report cut short", ("runs/toy", "report.json", "salmon run"), "report runs/toy", finished=True, code=1,
        files={"runs/toy/report.json": '{"run": "toy"}'}),
    Bad("a binary report", ("runs/toy", "report.json"), "report runs/toy", finished=True, code=1,
        files={"runs/toy/report.json": b"\xff\x00"}),
    Bad("no run", ("nowhere", "no run in this folder"), "score nowhere rows.jsonl", files=ROWS, code=1),
    Bad("a run's configuration cut short", ("runs/toy", "no run in this folder"), SCORE, finished=True, code=1,
        files={**ROWS, "runs/toy/config.json": '{"base": "'}),
    Bad("a run's configuration without a document", ("config.json", "is empty"), SCORE, finished=True,
        files={**ROWS, "runs/toy/config.json": '{"base": ".", "source": "config.json"}'}),
    Bad("the reward model is gone", ("train-rm/model", "has no config.json"), SCORE, finished=True, code=1,
        files={**ROWS, "runs/toy/train-rm/model": "x"}),
    Bad("the reward model is empty", ("train-rm/model", "config.json"), SCORE, finished=True, code=1,
        files={**ROWS, "runs/toy/train-rm/model/config.json": Gone()}),
    Bad("the plugin is gone", ("plugins[0]", "world.py"), SCORE, finished=True, files={**ROWS, "world.py": Gone()}),
    Bad("the plugin is broken", ("world.py", "SyntaxError"), SCORE, finished=True,
        files={**ROWS, "world.py": WORLD.read_text() + "\ndef f(:\n"}),
    Bad("the principles are gone", ("rules.yaml", "there is no such file"), SCORE, finished=True,
        files={**ROWS, "rules.yaml": Gone()}),
    Bad("an unknown principle", ("'vague'", "it has short, kind"), SCORE + " --principle vague", finished=True, code=1,
        files=ROWS),
    Bad("a rollout before the first", ("--rollout-index", "-1"), SCORE + " --rollout-index=-1", finished=True,
        files=ROWS),
    Bad("no stage of that name in this run", ("'sft'", "its stages: prompts"), "run salmon.yaml --until sft", code=1,
        absent=["runs"]),
    Bad("a plan of what cannot be", ("train.algorithm", "toy has no 'ppo'"),
        "plan salmon.yaml --set train.algorithm=ppo"),
    Bad("an unknown command", ("No such command", "'ruin'"), "ruin salmon.yaml"),
    Bad("an unknown kind of plugin", ("'judge'", "judges"), "plugins --kind judge", code=1),
]  # fmt: skip
