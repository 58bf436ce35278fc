"""Pairs and judgments for the tests of salmon-judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from salmon_core.api import Principle
from salmon_core.records import Completion, Judgment, Pair, Prompt
from salmon_judge.options import Options

#: no noise, no rules: what is left is the arithmetic
PLAIN = {"flip": 0.0, "flip_by_rule": 0.0, "rules": (), "negate_probability": 0.0}


def plain(**changes: object) -> Options:
    return Options.model_validate({**PLAIN, **changes})


def pair(name: str, first: str = "", second: str = "", prompt: str = "What is this about?") -> Pair:
    """Completions long enough not to be dropped, unless given."""
    texts = (first or f"The first completion of {name}.", second or f"The second completion of {name}.")
    one, two = (Completion(name, index, text, (), 5, True) for index, text in enumerate(texts))
    return Pair(Prompt.from_text(prompt, id=name), one, two)


def principles(*names: str) -> list[Principle]:
    return [Principle(name, f"Is {name}.", f"Is not {name}.") for name in names]


def judgments(pairs: Sequence[Pair], table: Mapping[str, Sequence[tuple[float, float]]]) -> list[Judgment]:
    """From principle -> (s12, s21) for each pair."""
    return [
        Judgment(each.id, name, *scores)
        for name, column in table.items()
        for each, scores in zip(pairs, column, strict=True)
    ]
