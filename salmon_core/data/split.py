"""Which prompts are held out: an exact share, always the same ones, and never a repeat of one that is trained on."""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Sequence

from salmon_core.records import Prompt


def normal_form(prompt: Prompt) -> str:
    """The conversation without what makes no difference to a reader: case, spaces, Unicode's spellings."""
    turns = (f"{message['role']} {message['content']}" for message in prompt.messages)
    return "\n".join(" ".join(unicodedata.normalize("NFKC", turn).casefold().split()) for turn in turns)


def split_prompts(prompts: Sequence[Prompt], held_out: float, seed: int) -> tuple[list[str], int]:
    """The split of each prompt, and how many repeat an earlier one but for its form.

    Prompts whose source says a split keep it; what repeats them goes with them. Of the other n distinct texts the first
    round(n * held_out) by hash are held out, at least one where the share is above 0 and there are two: adding or
    removing others hardly changes which.

    Args:
        held_out: the share, 0 to below 1.
    """
    forms = [normal_form(prompt) for prompt in prompts]
    stated: dict[str, str] = {}
    for form, prompt in zip(forms, prompts, strict=True):
        if prompt.split:
            stated.setdefault(form, prompt.split)
    open_forms = {form for form in forms if form not in stated}
    count = math.floor(len(open_forms) * held_out + 0.5)
    if held_out > 0 and len(open_forms) > 1:
        count = min(max(count, 1), len(open_forms) - 1)
    ordered = sorted(open_forms, key=lambda form: hashlib.sha256(f"{seed}/held-out/{form}".encode()).digest())
    test = set(ordered[:count])
    splits = [
        prompt.split or stated.get(form) or ("test" if form in test else "train")
        for form, prompt in zip(forms, prompts, strict=True)
    ]
    return splits, len(forms) - len(set(forms))
