"""Which texts go through the model together: those that begin alike, and those of like lengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

#: padding tolerated in a batch, as a share of its real tokens
WASTE = 0.1
#: tokens that a forward pass of their own has to save
STEM = 16
#: most prefixes that share one stem
_FAMILY = 64

Ids = Sequence[int]
#: parts of which a batch pads each for itself: (tokens, sequences of so many)
Size = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Shared:
    """A prefix and its suffixes, as ids; none of them empty."""

    prefix: Ids
    suffixes: tuple[Ids, ...]

    @property
    def packed(self) -> int:
        """Tokens of all suffixes."""
        return sum(map(len, self.suffixes))

    @property
    def lifted(self) -> Shared:
        """The same texts, with what all suffixes begin with in the prefix; of each, a token at least is left."""
        head = min(common(self.suffixes[0], suffix) for suffix in self.suffixes)
        head = min(head, min(map(len, self.suffixes)) - 1)
        if not head:
            return self
        return Shared([*self.prefix, *self.suffixes[0][:head]], tuple(suffix[head:] for suffix in self.suffixes))


@dataclass(frozen=True, slots=True)
class Family:
    """Prefixes that begin alike.

    Attributes:
        stem: their first tokens, which are the same; 0 for one alone. Each of them goes on behind it.
        rows: their numbers.
    """

    stem: int
    rows: tuple[int, ...]


def common(one: Ids, two: Ids) -> int:
    """How many tokens two sequences begin with alike."""
    return next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))


def families(prefixes: Sequence[Ids]) -> list[Family]:
    """All prefixes by families, such that the stems save as many tokens as they can.

    Both orders of a pair, say, and the pairs of one prompt. In alphabetical order, those that begin alike stand side by
    side; where to cut is found by dynamic programming: best[j] tokens are saved among the first j of them.
    """
    order = sorted(range(len(prefixes)), key=lambda i: tuple(prefixes[i]))
    alike = [
        min(common(prefixes[i], prefixes[j]), len(prefixes[i]) - 1, len(prefixes[j]) - 1) for i, j in pairwise(order)
    ]
    best, begins, stems = [0], [0], [0]
    for j in range(1, len(order) + 1):
        saved, begin, stem = best[j - 1], j - 1, 0
        lowest = max(map(len, prefixes), default=0)
        for i in range(j - 2, max(-1, j - _FAMILY - 1), -1):
            lowest = min(lowest, alike[i])
            if lowest < STEM:
                break
            if best[i] + (j - 1 - i) * lowest > saved:
                saved, begin, stem = best[i] + (j - 1 - i) * lowest, i, lowest
        best.append(saved)
        begins.append(begin)
        stems.append(stem)
    found, end = [], len(order)
    while end:
        found.append(Family(stems[end], tuple(order[begins[end] : end])))
        end = begins[end]
    return found


def batches(
    sizes: Sequence[Size], budget: int, *, kinds: Sequence[tuple[int, ...]] | None = None
) -> Iterator[list[int]]:
    """Indices in batches, from the last to the first: within the budget when padded, little padding, all of one kind.

    Args:
        sizes: so sorted that neighbours are alike.
        budget: tokens; a single one may have more.
    """
    batch: list[int] = []
    widths: list[int] = []
    counts: list[int] = []
    real = 0
    for i in reversed(range(len(sizes))):
        own = sum(tokens * count for tokens, count in sizes[i])
        if batch:
            wider = [max(width, tokens) for width, (tokens, _) in zip(widths, sizes[i], strict=True)]
            more = [before + count for before, (_, count) in zip(counts, sizes[i], strict=True)]
            padded = sum(width * count for width, count in zip(wider, more, strict=True))
            alike = kinds is None or kinds[i] == kinds[batch[-1]]
            if alike and padded <= budget and padded <= (1 + WASTE) * (real + own):
                batch.append(i)
                widths, counts, real = wider, more, real + own
                continue
            yield batch
        batch, widths, counts, real = [i], [tokens for tokens, _ in sizes[i]], [count for _, count in sizes[i]], own
    if batch:
        yield batch


def packs(suffixes: Sequence[Ids], most: int) -> list[range]:
    """Runs of suffixes of at most so many tokens together."""
    starts, size = [0], 0
    for i, suffix in enumerate(suffixes):
        if size and size + len(suffix) > most:
            starts.append(i)
            size = 0
        size += len(suffix)
    return [range(*ends) for ends in zip(starts, [*starts[1:], len(suffixes)], strict=True)]
