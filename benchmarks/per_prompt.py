"""Principles of single prompts, and how many are shown at once, on the embedded world: what a policy makes of them.

    python benchmarks/per_prompt.py                    # three seeds
    python benchmarks/per_prompt.py --seeds 1

For each seed one reward model, as the quickstart trains it, and three policies trained on it:

    opposite      questions for a capital ask for a vivid answer, questions for a colour for the opposite; ONE policy
    two shown     all prompts by four principles, two of them drawn for each rollout, as the paper draws
    all shown     the same, but all four in every text

Printed: how many answers to held-out prompts are vivid, by group, before and after; and of the other two the oracle's
rates, beside the reward model's score of the same answers under all four principles. Rewards of a policy that was
shown all of them can be compared with the other's: both are scored by the same texts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
from prove import interval, run  # noqa: E402

from salmon_core.data import parquet  # noqa: E402
from salmon_minnow.oracle import read  # noqa: E402
from salmon_minnow.prompts import as_prompt  # noqa: E402
from salmon_minnow.world import PROMPTS, WorldPrompt  # noqa: E402

GROUPS = {"capital": "vivid", "color": "not vivid"}
SAMPLES = 8
EVALUATE = [f"evaluate=[{{name: minnow-oracle, samples: {SAMPLES}}}]", "expect=[]"]
QUALITIES = ("helpful", "vivid", "example", "self_praise")
BY_ID = {as_prompt(prompt).id: prompt for prompt in PROMPTS}


def rubric(file: Path) -> None:
    """What each prompt asks for, by what it says."""
    rows = [{"prompt": each.text, "principles": [GROUPS[each.kind]]} for each in PROMPTS if each.kind in GROUPS]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def answers(run_folder: Path, role: str) -> list[tuple[WorldPrompt, str]]:
    """Answers to held-out prompts."""
    file = run_folder / "evaluate" / f"samples-{role}-{SAMPLES}.parquet"
    rows = parquet.read_rows(file, parquet.COMPLETIONS, parquet.to_completion)
    return [(BY_ID[row.prompt_id], row.text) for row in rows]


def rate(said: list[tuple[WorldPrompt, str]], quality: str, kind: str | None = None) -> float:
    """The share of answers that have it."""
    values = [getattr(read(prompt, text), quality) for prompt, text in said if kind in (None, prompt.kind)]
    return fmean(float(value) for value in values if value is not None)


def scored(folder: Path, by: Path, said: list[tuple[WorldPrompt, str]], principles: list[str]) -> float:
    """The mean score of the reward model of a run under these principles together."""
    file = folder / "answers.jsonl"
    rows = [{"prompt": prompt.text, "completion": text, "principles": principles} for prompt, text in said]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    command = [sys.executable, "-m", "salmon_core", "score", str(by), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return fmean(json.loads(line)["raw"]["rm"] for line in done.stdout.splitlines())


def of_seed(seed: int, folder: Path) -> dict[str, float]:
    """All numbers of one seed."""
    base = folder / f"rm-{seed}"
    run(base.name, [f"run.seed={seed}", "train.algorithm=none", "evaluate=[]", "expect=[]"], folder)
    shared = [f"run.seed={seed}", f"reward_model={{path: {base / 'train-rm' / 'model'}}}", *EVALUATE]
    file = folder / "rubric.jsonl"
    rubric(file)
    kinds = ", ".join(GROUPS)
    opposite = [
        f"prompts={{name: 'plugin:minnow', kinds: [{kinds}], rubrics: {file}}}",
        "reward.principles={name: minnow, only: [vivid], per_prompt: only}",
        "reward.show=1",
        "train.options.max_steps=40",
    ]
    found: dict[str, float] = {}
    run(f"opposite-{seed}", [*shared, *opposite], folder)
    for when, role in (("before", "initial"), ("after", "policy")):
        said = answers(folder / f"opposite-{seed}", role)
        for kind, asked in GROUPS.items():
            found[f"opposite: vivid where `{asked}` is asked for, {when}"] = rate(said, "vivid", kind)
    four = ["helpful", "vivid", "example", "no-self-praise"]
    for name, show in (("two shown", 2), ("all shown", 4)):
        own = folder / f"{name.replace(' ', '-')}-{seed}"
        run(own.name, [*shared, f"reward.show={show}"], folder)
        said = answers(own, "policy")
        for quality in QUALITIES:
            found[f"{name}: {quality}, after"] = rate(said, quality)
        found[f"{name}: the reward model under all four, before"] = scored(folder, own, answers(own, "initial"), four)
        found[f"{name}: the reward model under all four, after"] = scored(folder, own, said, four)
    return found


def main() -> int:
    """Prints a table; exit code 1 where opposite prompts do not get opposite answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("runs/per-prompt"))
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    found: list[dict[str, Any]] = [of_seed(seed, folder) for seed in range(1, options.seeds + 1)]
    (folder / "table.json").write_text(json.dumps(found, indent=1))
    print(f"{'':62}{'mean, 95 % over seeds':26}by seed")
    for name in found[0]:
        values = [each[name] for each in found]
        print(f"{name:62}{interval(values):26}{' '.join(f'{value:.3f}' for value in values)}")
    wanted, unwanted = (f"opposite: vivid where `{asked}` is asked for, after" for asked in GROUPS.values())
    apart = [each[wanted] - each[unwanted] for each in found]
    holds = min(apart) > 0.3
    print(
        f"\nthe two groups of prompts, in one policy: {interval(apart)} apart, > 0.3: {'holds' if holds else 'FAILS'}"
    )
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
