"""Open models, one at a time."""

from __future__ import annotations

from collections import OrderedDict

from salmon_core.api.component import ComponentSpec
from salmon_core.api.models import Ability, ModelSpec, OpenModel
from salmon_core.closing import Closing
from salmon_core.plugins.engines import open_model
from salmon_core.plugins.registry import Registry


class ModelPool(Closing):
    """Keeps models open for whoever asks for the same one again; a context manager.

    Args:
        most: models open at the same time; before another is opened, the one longest not asked for is closed.
    """

    def __init__(self, registry: Registry, *, most: int = 1):
        self._registry, self.most = registry, most
        self._open: OrderedDict[tuple[str, str, ModelSpec, Ability], OpenModel] = OrderedDict()

    def get(self, engine: ComponentSpec, model: ModelSpec, ability: Ability) -> OpenModel:
        """The model, opened now or open already."""
        key = (engine.owner, repr(engine), model, ability)
        if key not in self._open:
            while len(self._open) >= self.most:
                self._open.popitem(last=False)[1].close()
            self._open[key] = open_model(self._registry, engine, model, ability)
        self._open.move_to_end(key)
        return self._open[key]

    def close(self) -> None:
        """Closes all."""
        while self._open:
            self._open.popitem()[1].close()
