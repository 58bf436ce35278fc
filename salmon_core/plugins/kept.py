"""A model that stays open from one stage of a run to the next, where one process does both.

Stages in a row that ask the same model are one process: a policy that samples and then judges its own completions is
loaded once. What is asked of it may differ, where its engine can turn one into the other (`Engine.turned`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from salmon_core.api.component import ComponentSpec
from salmon_core.api.models import Ability, ModelSpec
from salmon_core.errors import boundary


@dataclass(frozen=True)
class Which:
    """An open model: by whom, which, and what it can be asked."""

    engine: ComponentSpec
    model: ModelSpec
    ability: Ability


class _Lent:
    """An open model that is not closed by whoever borrows it.

    Args:
        model: as its engine opened it, whatever that is.
    """

    def __init__(self, model: Any):
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def close(self) -> None:
        """It is closed when the process asks for another one, or ends."""


class Kept:
    """The last model that was opened."""

    def __init__(self) -> None:
        self._which: Which | None = None
        self._model: Any = None

    def open(self, which: Which, engine: Any, owner: str, opened: Callable[[], Any]) -> Any:
        """The model, as it is or opened now; what is open besides is closed before.

        Args:
            engine: the component; asked to turn what is open, where only the ability is another one.
            opened: opens it.
        """
        if self._model is None or which != self._which:
            model = self._turned(which, engine, owner)
            if model is None:
                self.close()
                model = opened()
            self._which, self._model = which, model
        return _Lent(self._model)

    def _turned(self, which: Which, engine: Any, owner: str) -> Any:
        before = self._which
        turned = getattr(engine, "turned", None)
        if before is None or not callable(turned) or (which.engine, which.model) != (before.engine, before.model):
            return None
        with boundary(owner, f"engine {which.engine.name!r}, turned"):
            return turned(self._model, which.ability)

    def close(self) -> None:
        """Frees it."""
        model, self._which, self._model = self._model, None, None
        if model is not None and callable(getattr(model, "close", None)):
            model.close()


_keeping: Kept | None = None


@contextmanager
def keeping() -> Iterator[None]:
    """In the block, `open_model` keeps what it opened until it is asked for another one."""
    global _keeping
    _keeping = Kept()
    try:
        yield
    finally:
        _keeping.close()
        _keeping = None


def kept() -> Kept | None:
    """What keeps models in this process; None where each is closed by whoever opened it."""
    return _keeping
