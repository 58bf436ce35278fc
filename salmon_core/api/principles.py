"""Principles and sets of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from salmon_core.principle import Principle

__all__ = ["Principle", "PrincipleSet"]


@dataclass(frozen=True)
class PrincipleSet:
    """Principles in order, names unique.

    Raises:
        ValueError: a name occurs twice.
    """

    name: str
    principles: tuple[Principle, ...]
    description: str = ""

    def __post_init__(self) -> None:
        twice = {name for name in self.names if self.names.count(name) > 1}
        if twice:
            raise ValueError(f"principle set {self.name!r} has more than one {', '.join(sorted(twice))}")

    def __iter__(self) -> Iterator[Principle]:
        return iter(self.principles)

    def __len__(self) -> int:
        return len(self.principles)

    def __getitem__(self, name: str) -> Principle:
        for principle in self.principles:
            if principle.name == name:
                return principle
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(principle.name for principle in self.principles)

    def select(self, only: Sequence[str] | None = None, without: Sequence[str] = ()) -> PrincipleSet:
        """Those named in `only` (None: all) and not in `without`, in this set's order.

        Raises:
            KeyError: a name that is not in the set.
        """
        wanted = self.names if only is None else only
        for name in (*wanted, *without):
            self[name]
        kept = tuple(p for p in self.principles if p.name in wanted and p.name not in without)
        return replace(self, principles=kept)

    def reweighted(self, weights: Mapping[str, float]) -> PrincipleSet:
        """With other weights for the principles named.

        Raises:
            KeyError: a name that is not in the set.
        """
        for name in weights:
            self[name]
        return replace(
            self, principles=tuple(replace(p, weight=weights.get(p.name, p.weight)) for p in self.principles)
        )
