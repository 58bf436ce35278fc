"""Makes the data: `python -m salmon_bench.make [FILE]`, by default the file that is shipped; the same bytes every time.

Needs salmon-minnow for the rows of the embedded world: its principles and its oracle.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from salmon_bench.building import Pair, Wordings, answer_pairs, checked, conflicts, sets, singles
from salmon_bench.rows import FILE, Row, write_lines
from salmon_bench.rules import RULES
from salmon_bench.templates import pairs as template_pairs
from salmon_core.api import Oracle
from salmon_core.data.files import write_text
from salmon_core.plugins.oracles import find_oracle
from salmon_core.plugins.registry import Registry
from salmon_core.records import Prompt
from salmon_core.rng import named_rng, shuffled

SEED = 1
DATA = FILE.parent
#: the embedded world: the name of its sets, its oracle and the writer
MINNOW = "minnow"
#: characters of an answer
_LONGEST = 600


def template_rows(seed: int = SEED) -> list[Row]:
    """Of the writer of templates; needs nothing but this package."""
    made = []
    for rule in RULES:
        for number, ((prompt, good, bad), trap) in enumerate(template_pairs(rule, seed=seed, number=3)):
            answers = _either(rule.name, number, good, bad)
            made.append(checked(f"templates-{rule.name}-{number}", prompt, answers, "templates", rule.name, trap))
    rows = [row for pair in made for row in singles(pair, pair.about)]
    return [*rows, *sets(made, seed=seed, each=12), *conflicts(made, seed=seed, each=16)]


def smollm2_rows(seed: int = SEED) -> list[Row]:
    """Of the small language model's answers that are shipped."""
    made = answer_pairs(_answers("smollm2.jsonl"), "smollm2", seed=seed, longest=_LONGEST, each=4)
    rows = [row for pair in made for row in singles(pair, pair.about)]
    return [*rows, *sets(made, seed=seed + 1, each=12), *conflicts(made, seed=seed + 1, each=16)]


def minnow_rows(seed: int = SEED) -> list[Row]:
    """Of the embedded world's policy's answers that are shipped, by that world's principles and oracle."""
    registry = Registry.discover()
    words = _minnow_wordings(registry)
    oracle = find_oracle(registry, MINNOW)
    by_prompt: dict[str, list[str]] = {}
    for answer in _answers("minnow.jsonl"):
        by_prompt.setdefault(answer["prompt"], []).append(answer["answer"])
    found = [
        _world_pair(oracle, words, f"{MINNOW}-{place}-{one}-{two}", prompt, (own[one], own[two]))
        for place, (prompt, own) in enumerate(by_prompt.items())
        for one, two in combinations(range(len(own)), 2)
    ]
    rows: list[Row] = []
    for name in words:
        telling = shuffled([pair for pair in found if name in pair.right], named_rng(seed, MINNOW, name))
        rows += [row for pair in _of_different_prompts(telling)[:6] for row in singles(pair, name)]
    return [*rows, *sets(found, seed=seed, each=8), *conflicts(found, seed=seed, each=10)]


def world_value(oracle: Oracle, prompt: str, answers: tuple[str, str], name: str) -> float:
    """What the oracle says of two answers: above 0 the first follows the principle better."""
    return float(oracle.prefer(Prompt.from_text(prompt), *answers, name))


def _world_pair(
    oracle: Oracle, words: dict[str, Wordings], pair_id: str, prompt: str, answers: tuple[str, str]
) -> Pair:
    values = {name: world_value(oracle, prompt, answers, name) for name in words}
    right = {name: 0 if value > 0 else 1 for name, value in values.items() if value}
    measured = {name: (values[name], -values[name]) for name in right}
    return Pair(pair_id, prompt, answers, MINNOW, right, measured, words=words)


def _minnow_wordings(registry: Registry) -> dict[str, Wordings]:
    own, other = (registry.find("principle_sets", name).load() for name in (MINNOW, f"{MINNOW}-wordings"))
    further = {each.name.removesuffix("-2"): each for each in other}
    return {
        each.name: Wordings(MINNOW, (each.text, further[each.name].text), (each.negated,))
        for each in own
        if each.negated
    }


def _of_different_prompts(pairs: Sequence[Pair]) -> list[Pair]:
    return list({pair.prompt: pair for pair in reversed(pairs)}.values())[::-1]


def _either(name: str, number: int, good: str, bad: str) -> tuple[str, str]:
    """In the order of a coin."""
    return (good, bad) if named_rng(SEED, "order", name, number).random() < 0.5 else (bad, good)


def _answers(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def rows(seed: int = SEED) -> list[Row]:
    """All of them."""
    return [*template_rows(seed), *smollm2_rows(seed), *minnow_rows(seed)]


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the file."""
    argv = sys.argv[1:] if argv is None else argv
    file = Path(argv[0]) if argv else FILE
    made = rows()
    write_text(file, write_lines(made))
    print(f"{file}: {len(made)} rows, {len({row.pair for row in made})} pairs")


if __name__ == "__main__":
    main()
