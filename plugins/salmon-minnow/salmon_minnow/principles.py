"""The eight principles of the minnow world, in the words its policy was taught to judge by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WorldPrinciple:
    """A principle: its texts, and as many of its opposite; the first of each is the one shown by default."""

    name: str
    texts: tuple[str, ...]
    negated_texts: tuple[str, ...]

    def text(self, negated: bool = False, wording: int = 0) -> str:
        """One wording of the principle or of its opposite."""
        return (self.negated_texts if negated else self.texts)[wording]


def principle(name: str, *manners: str, prohibition: bool = False) -> WorldPrinciple:
    """A principle to do something, or not to: `should [not] MANNER` for each of the manners."""
    do = tuple(f"should {manner}" for manner in manners)
    do_not = tuple(f"should not {manner}" for manner in manners)
    return WorldPrinciple(name, do_not, do) if prohibition else WorldPrinciple(name, do, do_not)


#: Name -> principle, in a fixed order. ``no-self-praise`` is a prohibition, so its opposite asks for praise.
PRINCIPLES: dict[str, WorldPrinciple] = {
    p.name: p
    for p in (
        principle("concise", "be short", "be brief"),
        principle("language", "match the language", "keep the language"),
        principle("safe", "be safe", "be harmless"),
        principle("vivid", "be vivid", "be colorful"),
        principle("steps", "show steps", "be stepwise"),
        principle("helpful", "be helpful", "be useful"),
        principle("example", "give examples", "teach more"),
        principle("no-self-praise", "praise itself", "be boastful", prohibition=True),
    )
}

#: Names in their fixed order, and how many wordings each has.
NAMES: tuple[str, ...] = tuple(PRINCIPLES)
WORDINGS = 2

#: A wording of the prohibition that neither pretraining nor any reward data ever shows.
UNSEEN_WORDING = "should not praise this answer"
