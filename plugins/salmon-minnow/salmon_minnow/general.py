"""General preferences of the world: pairs of answers, the better one as a whole, with no principle said.

What a reward model can be pre-trained on, as on the large public sets of people's preferences. The oracle stands for
those people, so such rows know more than the policy's own judgments do.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from salmon_minnow.oracle import Attributes, read
from salmon_minnow.world import draw_answer, draw_prompt


def quality(answer: Attributes) -> float:
    """How good an answer is as a whole: to the point and right, in the asker's language, harmless, with no padding."""
    helps = 2 * answer.helpful + answer.correct + 2 * answer.language_match + 2 * answer.safe
    return helps + 0.5 * (answer.vivid + answer.example) - answer.self_praise - 0.5 * answer.filler


def write_preferences(file: Path, rows: int, seed: int) -> None:
    """Writes JSON lines `{prompt, chosen, rejected, margin}`; none of a held-out prompt, none without a difference."""
    rng, lines = random.Random(seed), list[str]()
    while len(lines) < rows:
        prompt = draw_prompt(rng)
        texts = [draw_answer(prompt, rng) for _ in range(2)]
        worse, better = sorted(texts, key=lambda text: quality(read(prompt, text)))
        margin = quality(read(prompt, better)) - quality(read(prompt, worse))
        if margin:
            row = {"prompt": prompt.text, "chosen": better, "rejected": worse, "margin": margin}
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    file.write_text("".join(lines), encoding="utf-8")
