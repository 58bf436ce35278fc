"""Report cards of four reward models of the embedded world: do the verdicts tell them apart?

    python benchmarks/card.py                      five minutes on a core; ended, the same command goes on
    python benchmarks/card.py --seeds 1 2 3

The reward model of `examples/minnow.yaml`; the same trained on rows that never negate a principle; one that was not
trained; one whose judge preferred the longer answer. Stages that runs share are done once. Each run examines its reward
model by the evaluator `report-card`, on answers to held-out prompts, by the world's oracle.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evidence.folder import EXAMPLE, ROOT, Folder
from evidence.question import Arm
from evidence.runner import RunFailed, one

from salmon_card.card import Card, read_metrics
from salmon_card.checks import CHECKS
from salmon_core.data.json import read_json

PLUGIN = Path(__file__).resolve().with_name("card_world.py")
#: no policy is trained; the reward model is, because the evaluator asks for it
_COMMON = ("train={algorithm: none}", "expect=[]")
_CARD = "evaluate=[{name: report-card, truth: minnow, sets: [minnow, minnow-wordings], max_pairs: %d, samples: %d}]"
#: a training in small, for tests
_QUICK = ("sample.samples=2", "label.repeats=2", "reward_model.options.max_steps=8")


@dataclass(frozen=True)
class Kind:
    """One reward model."""

    name: str
    settings: tuple[str, ...] = ()


KINDS = (
    Kind("ours"),
    Kind("no negatives", ("label.negate_probability=0",)),
    Kind("untrained", ("reward_model.options.max_steps=1", "reward_model.options.learning_rate=1e-12")),
    Kind("loves length", ("judge.judge=longer-wins", "label.negate_probability=0", f"plugins=[{PLUGIN.name}]")),
)


class CardFolder(Folder):
    """The runs; of the evidence's settings it has none but name, folder and seed."""

    def prepare(self) -> None:
        """Writes the configuration, and the judge beside it."""
        super().prepare()
        (self.config.parent / PLUGIN.name).write_bytes(PLUGIN.read_bytes())

    def overrides(self, arm: Arm, seed: int) -> list[str]:
        """What `salmon run` is told with `--set`."""
        named = (f"run.folder={self.path / arm.folder}", f"run.name=seed-{seed}", f"run.seed={seed}")
        return [*named, *arm.settings]


def arms(quick: bool) -> dict[str, Arm]:
    """By the reward model's name."""
    card = _CARD % ((40, 2) if quick else (200, 8))
    small = _QUICK if quick else ()
    return {kind.name: Arm(kind.name, (*small, *kind.settings, card, *_COMMON)) for kind in KINDS}


def main(argv: Sequence[str]) -> None:
    """Does what is not done yet, and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="of the results; by default benchmarks/results/card")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--quick", action="store_true", help="a few steps; the numbers mean nothing")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        where = options.folder or (Path(scratch) if options.quick else ROOT / "benchmarks" / "results" / "card")
        folder = CardFolder(where, example=EXAMPLE)
        named = arms(options.quick)
        folder.prepare()
        for seed in options.seeds:
            for name, arm in named.items():
                if not folder.finished(arm, seed):
                    try:
                        print(f"seed {seed}, {name}: {one(folder, arm, seed)}", file=sys.stderr, flush=True)
                    except RunFailed as error:
                        raise SystemExit(f"seed {seed}, {name}: FAILED\n{error}") from None
        for seed in options.seeds:
            cards = {
                name: read_metrics(read_json(folder.run(arm, seed) / "report.json")) for name, arm in named.items()
            }
            print(f"\nseed {seed}")
            print(table(cards))


def table(cards: Mapping[str, Card]) -> str:
    """A row for each check, a column for each reward model: value, and verdict."""
    lines = [["check", "n", *cards], ["---"] * (len(cards) + 2)]
    for check in CHECKS:
        figures = [card.figure(check.name) for card in cards.values()]
        n = next((str(each.n) for each in figures if each is not None), "")
        cells = [
            card.verdict(check.name) if each is None else f"{each.value:.2f} {each.verdict}"
            for each, card in zip(figures, cards.values(), strict=True)
        ]
        lines.append([check.title, n, *cells])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


if __name__ == "__main__":
    main(sys.argv[1:])
