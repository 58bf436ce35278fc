"""What the reward model says of both answers of each item under each set of principles; kept as it comes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from salmon_card.items import Item
from salmon_core.data.files import write_text
from salmon_core.data.json import read_json
from salmon_core.errors import SalmonError
from salmon_core.records import Message, ShownPrinciple
from salmon_core.run.identity import fingerprint

Shown = tuple[ShownPrinciple, ...]
Text = tuple[Sequence[Message], str, Sequence[Shown]]
#: items scored in one call: what a killed examination repeats at most
ITEMS = 64
#: a score of (index of the item, 0 or 1 for the answer, principles shown)
Score = Callable[[int, int, Shown], float]


class Examined(Protocol):
    """A reward model to be asked."""

    def score_texts(self, texts: Sequence[Text]) -> list[list[float]]:
        """Scores of (conversation, completion, sets of principles): one per set."""


def scored(
    model: Examined,
    items: Sequence[Item],
    sets: Sequence[Sequence[Shown]],
    folder: Path,
    progress: Callable[[int], None] = lambda done: None,
) -> Score:
    """Scores of all that is asked of each item, in few calls; what was scored before lies in the folder.

    Args:
        sets: for each item.
        progress: told how many items are done.

    Raises:
        SalmonError: a score that is not a finite number.
    """
    table: list[tuple[Mapping[Shown, float], Mapping[Shown, float]]] = []
    for start in range(0, len(items), ITEMS):
        progress(start)
        own, asked = items[start : start + ITEMS], sets[start : start + ITEMS]
        texts: list[Text] = [
            (item.messages, answer, each) for item, each in zip(own, asked, strict=True) for answer in item.answers
        ]
        found = _kept(folder / f"scores-{_key(texts)}.json", texts)
        if found is None:
            found = model.score_texts(texts)
            if not all(math.isfinite(value) for row in found for value in row):
                raise SalmonError("the reward model gave a score that is no finite number", where="report card")
            write_text(folder / f"scores-{_key(texts)}.json", json.dumps(found) + "\n")
        for number, each in enumerate(asked):
            first, second = (dict(zip(each, found[2 * number + side], strict=True)) for side in (0, 1))
            table.append((first, second))
    progress(len(items))
    return lambda item, side, shown: table[item][side][shown]


def _key(texts: Sequence[Text]) -> str:
    return fingerprint(
        [
            [
                list(map(dict, messages)),
                answer,
                [[[each.name, each.text, each.negated] for each in shown] for shown in sets],
            ]
            for messages, answer, sets in texts
        ]
    )


def _kept(file: Path, texts: Sequence[Text]) -> list[list[float]] | None:
    found = read_json(file)
    fits = isinstance(found, list) and [len(row) for row in found] == [len(sets) for *_, sets in texts]
    return found if fits else None


class View:
    """Scores as checks read them.

    Args:
        items: in the order of their indices.
        score: of the reward model, or of one with a defect.
    """

    def __init__(self, items: Sequence[Item], score: Score):
        self.items, self.score = items, score
        self._spread: dict[Shown, float] = {}

    def margin(self, item: int, shown: Shown) -> float:
        """By how much the first answer is ahead."""
        return self.score(item, 0, shown) - self.score(item, 1, shown)

    def relative(self, item: int, shown: Shown) -> float:
        """The same over the root mean square of all items' margins under this set; 0 where all are 0."""
        if shown not in self._spread:
            squares = math.fsum(self.margin(index, shown) ** 2 for index in range(len(self.items)))
            self._spread[shown] = math.sqrt(squares / max(1, len(self.items)))
        spread = self._spread[shown]
        return self.margin(item, shown) / spread if spread else 0.0
