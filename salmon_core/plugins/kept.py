"""A model that stays open from one stage of a run to the next, where one process does both.

Stages in a row are one process: a policy that samples and then judges its own completions is loaded once. What is asked
of it may differ, where its engine can turn one into the other (`Engine.turned`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from salmon_core.api.component import ComponentSpec
from salmon_core.api.models import Ability, ModelSpec
from salmon_core.closing import Closing
from salmon_core.errors import boundary


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
        """It is closed with what keeps it."""


class Kept(Closing):
    """The one model of stages in a row; a context manager."""

    def __init__(self) -> None:
        self._which: tuple[ComponentSpec, ModelSpec] | None = None
        self._ability: Ability = "sampler"
        self._model: Any = None

    def want(self, engine: ComponentSpec, model: ModelSpec) -> None:
        """This one is kept from now on; another one is closed."""
        if (engine, model) != self._which:
            self.close()
            self._which = (engine, model)

    def wants(self, engine: ComponentSpec, model: ModelSpec) -> bool:
        """Whether it is the one to be kept."""
        return (engine, model) == self._which

    def open(self, ability: Ability, engine: Any, owner: str, opened: Callable[[], Any]) -> Any:
        """The model, as it is or opened now.

        Args:
            engine: the component; asked to turn what is open, where only the ability is another one.
            opened: opens it.
        """
        if self._model is None or ability != self._ability:
            model = None if self._model is None else self._turned(ability, engine, owner)
            if model is None:
                self._free()
                model = opened()
            self._ability, self._model = ability, model
        return _Lent(self._model)

    def _turned(self, ability: Ability, engine: Any, owner: str) -> Any:
        turned = getattr(engine, "turned", None)
        if not callable(turned):
            return None
        with boundary(owner, f"engine, {self._ability} turned into a {ability}"):
            return turned(self._model, ability)

    def _free(self) -> None:
        model, self._model = self._model, None
        if callable(close := getattr(model, "close", None)):
            close()

    def close(self) -> None:
        """Frees it."""
        self._which = None
        self._free()


_keeping: Kept | None = None


@contextmanager
def keeping(models: Kept, engine: ComponentSpec, model: ModelSpec) -> Iterator[None]:
    """In the block, `open_model` opens this one once, and leaves it open; any other as ever."""
    global _keeping
    models.want(engine, model)
    _keeping = models
    try:
        yield
    finally:
        _keeping = None


def kept(engine: ComponentSpec, model: ModelSpec) -> Kept | None:
    """What keeps this model in this process; None where it is closed by whoever opened it."""
    return _keeping if _keeping is not None and _keeping.wants(engine, model) else None
