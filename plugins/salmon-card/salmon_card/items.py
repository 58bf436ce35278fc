"""Pairs of answers of which it is known which one follows a principle better, and who says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from salmon_core.api import Oracle, Principle
from salmon_core.records import Judgment, Message, Pair, PreferenceRow, prompt_id


@dataclass(frozen=True)
class Item:
    """Two answers to a prompt.

    Attributes:
        prompt: its id: what is independent.
        truth: by principle, by its own text: > 0 the first answer is better, < 0 the second, 0 neither; a principle of
            which nothing is known is not there.
    """

    prompt: str
    messages: tuple[Message, ...]
    first: str
    second: str
    truth: Mapping[str, float]

    @property
    def answers(self) -> tuple[str, str]:
        """The first and the second."""
        return self.first, self.second


@dataclass(frozen=True)
class Source:
    """Items, and who says what is true.

    Attributes:
        truth: who, in words.
        agreement: the truth is only a judge's or someone's opinion: what is measured is agreement with it.
        texts: of principles that items brought along, by name.
        skipped: rows that could not be used, with the reason.
    """

    items: tuple[Item, ...]
    truth: str
    agreement: bool
    texts: Mapping[str, Principle] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)


def known_by(oracle: Oracle, pairs: Iterable[Pair], names: Sequence[str]) -> tuple[Item, ...]:
    """Items by an oracle; principles that it does not know are left out."""

    def asked(pair: Pair, name: str) -> float | None:
        try:
            return float(oracle.prefer(pair.prompt, pair.first.text, pair.second.text, name))
        except KeyError:
            return None

    items = []
    for pair in pairs:
        told = {name: value for name in names if (value := asked(pair, name)) is not None}
        items.append(Item(pair.prompt.id, pair.prompt.messages, pair.first.text, pair.second.text, told))
    return tuple(items)


def judged(pairs: Sequence[Pair], judgments: Iterable[Judgment], names: Sequence[str]) -> tuple[Item, ...]:
    """Items by a judge: what both of its orders agree on; where they do not, neither answer is better."""
    said: dict[str, dict[str, float]] = {}
    for each in judgments:
        if each.principle in names:
            said.setdefault(each.pair_id, {})[each.principle] = each.score if each.consistent else 0.0
    return tuple(
        Item(pair.prompt.id, pair.prompt.messages, pair.first.text, pair.second.text, said.get(pair.id, {}))
        for pair in pairs
    )


def preferred(rows: Iterable[PreferenceRow], known: Iterable[Principle]) -> Source:
    """Items of preference rows; those of the same answers to the same prompt become one.

    A row that shows several principles, or none, says nothing of one alone, and is left out.
    """
    texts = {principle.name: principle for principle in known}
    found: dict[tuple[str, str, str], tuple[PreferenceRow, dict[str, float]]] = {}
    skipped: dict[str, int] = {}
    for row in rows:
        if len(row.principles) != 1:
            why = "shows several principles" if row.principles else "shows no principle"
            skipped[why] = skipped.get(why, 0) + 1
            continue
        (shown,) = row.principles
        if shown.name not in texts and shown.negated:
            why = "shows only the opposite of a principle that is not known"
            skipped[why] = skipped.get(why, 0) + 1
            continue
        texts.setdefault(shown.name, Principle(shown.name, shown.text))
        prompt = prompt_id(row.messages)
        turned = (prompt, row.rejected, row.chosen) in found
        key = (prompt, row.rejected, row.chosen) if turned else (prompt, row.chosen, row.rejected)
        _, truth = found.setdefault(key, (row, {}))
        truth[shown.name] = -1.0 if turned != shown.negated else 1.0
    # Chosen first would make every first answer the better one: a reward model cannot tell, a check of ours could.
    items = tuple(
        Item(prompt, row.messages, first, second, truth) if _even(prompt, first, second) else
        Item(prompt, row.messages, second, first, {name: -value for name, value in truth.items()})
        for (prompt, first, second), (row, truth) in found.items()
    )  # fmt: skip
    return Source(items, "the preferences", True, texts, skipped)


def _even(prompt: str, first: str, second: str) -> bool:
    """A coin that depends on the texts alone, and falls the other way where they are turned round."""
    one, other = (int(prompt_id(({"role": prompt, "content": text},)), 16) for text in (first, second))
    return one < other
