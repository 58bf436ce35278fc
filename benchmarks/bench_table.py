"""`salmon bench` on five subjects whose worth is known beforehand, as the tables of docs/bench.md.

    python benchmarks/bench_table.py               a quarter of an hour on a core; ended, the same command goes on

The reward model of `examples/minnow.yaml`, which knows the principles of its world and no others; SmolLM2-135M with a
score head that was not trained; the same model as a judge, by its chat template; length; a coin. SmolLM2 has to be
there: `python examples/real/make_model.py` makes it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODEL = ROOT / "examples" / "real" / "model"
#: in the folder of results
MINNOW, UNTRAINED, SMOLLM2 = "minnow", "SmolLM2-untrained-head", "SmolLM2-judge"
SEED = 1


def command(*argv: str, cwd: Path) -> None:
    """Runs `salmon`.

    Raises:
        SystemExit: it failed.
    """
    done = subprocess.run([sys.executable, "-m", "salmon_core", *argv], cwd=cwd, env=os.environ | {"COLUMNS": "230"})
    if done.returncode:
        raise SystemExit(f"salmon {' '.join(argv)}: exit code {done.returncode}")


def minnow(folder: Path, quick: bool) -> None:
    """The run, up to its reward model."""
    settings = [f"run.folder={folder}", f"run.name={MINNOW}", f"run.seed={SEED}"]
    settings += ["sample.samples=2", "label.repeats=2", "reward_model.options.max_steps=8"] if quick else []
    options = [word for each in settings for word in ("--set", each)]
    command("run", str(ROOT / "examples" / "minnow.yaml"), "--until", "train-rm", *options, cwd=folder)


def untrained(model: Path, target: Path) -> None:
    """The model with a score head of random weights."""
    if (target / "config.json").exists():
        return
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed

    set_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(model)
    if tokenizer.pad_token_id in (None, tokenizer.eos_token_id):  # a score is read at the EOS
        tokenizer.pad_token = "<|endoftext|>"
    scalar = AutoModelForSequenceClassification.from_pretrained(model, num_labels=1)
    scalar.config.pad_token_id = tokenizer.pad_token_id
    tokenizer.save_pretrained(target)
    scalar.save_pretrained(target)


def main(argv: Sequence[str]) -> None:
    """Makes what is not there yet, asks what is not answered yet, and prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / "benchmarks" / "results" / "bench")
    parser.add_argument("--model", type=Path, default=MODEL, help="SmolLM2, or any chat model")
    parser.add_argument("--limit", type=int, default=60, help="pairs of answers")
    parser.add_argument("--quick", action="store_true", help="a reward model of a few steps; the numbers mean nothing")
    options = parser.parse_args(argv)
    model = options.model.resolve()
    if not (model / "config.json").is_file():
        raise SystemExit(f"{model}: there is no model; python examples/real/make_model.py makes it")
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    minnow(folder, options.quick)
    untrained(model, folder / UNTRAINED)
    if not (folder / SMOLLM2).exists():
        (folder / SMOLLM2).symlink_to(model)
    names = [MINNOW, UNTRAINED, SMOLLM2, "length", "random"]
    # A template whose texts begin with the answer: what principles share is read once.
    more = ["--limit", str(options.limit), "--dtype", "float32", "--rm-template", "standard"]
    more += ["--json", "bench.json", "--out", "bench.md"]
    command("bench", *names, *more, cwd=folder)
    # All rows of its own world, which are few among those of all families.
    own = ["--families", "minnow", "--limit", "0", "--json", "minnow.json", "--out", "minnow.md"]
    command("bench", MINNOW, "length", "random", *own, cwd=folder)
    for page in ("bench.md", "minnow.md"):
        print((folder / page).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(sys.argv[1:])
