"""What a stage did, in a few words, by the numbers that it left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from salmon_core.cli.numbers import is_number

_TRAINED = (("steps", "{} steps"), ("rows", "on {} rows"), ("resumed_from", ", from step {} on"))
#: stage -> numbers and how they are said; one that is 0 or missing is not. What follows a comma is one of several
_WORDS: Mapping[str, Sequence[tuple[str, str]]] = {
    "prompts": (
        ("train", "{} to train on"),
        ("test", ", {} held out"),
        ("dropped", ", {} left out"),
        ("cut", ", {} cut"),
    ),
    "self-align": (("demonstrations", "{} demonstrations of its own"),),
    "sft": (*_TRAINED, ("final.loss", ", loss {:.3g} at last")),
    "sample": (
        ("completions", "{} answers"),
        ("mean_tokens", "of {:.0f} tokens on average"),
        ("stopped", ", {:.1%} ended by themselves"),
    ),
    "judge": (
        ("pairs", "{} pairs"),
        ("principles", "by {} principles"),
        ("unread", ", {} answers that are no verdict"),
    ),
    "verdict": (
        ("verdict", "the judge is {}"),
        ("agreement", ", both orders prefer the same in {:.0%}"),
        ("first_shown", ", the one shown first in {:.0%}"),
    ),
    "label": (("rows", "{} rows to train on"), ("pairs", "from {} pairs"), ("flipped", ", {} flipped")),
    "pretrain-rm": (*_TRAINED, ("final.accuracy", ", accuracy {:.3g} at last")),
    "train-rm": (*_TRAINED, ("final.accuracy", ", accuracy {:.3g} at last")),
    "train-policy": (
        *_TRAINED,
        ("final.reward", ", reward {:.3g} at last"),
        ("final.kl", ", KL {:.3g}"),
        ("explained_variance", ", the critic explains {:.0%} of the variance"),
    ),
}


def in_words(stage: str, metrics: Mapping[str, Any]) -> str:
    """The words; none where nothing is known of a stage.

    Args:
        metrics: of its manifest.
    """
    if metrics.get("verdict") == "too few":
        return "too few prompts to believe the judge"
    parts: list[str] = []
    for key, said in _WORDS.get(stage, ()):
        value: Any = metrics
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if value and (is_number(value) or (isinstance(value, str) and "{}" in said)):
            parts.append(said.format(value))
    return " ".join(parts).replace(" ,", ",").lstrip(", ")
