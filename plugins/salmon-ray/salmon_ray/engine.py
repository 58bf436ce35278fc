"""The engine `ray`. Ray is imported only when a model is opened."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from salmon_core.api import Ability, Engine, ModelSpec, ProcessMemory, TokenCodec, Use, able
from salmon_core.errors import SalmonError, boundary
from salmon_core.plugins.engines import engine_memory, open_codec
from salmon_core.plugins.registry import Registry
from salmon_ray import options

if TYPE_CHECKING:
    from salmon_ray.models import RayChooser, RaySampler, RayScorer
    from salmon_ray.pool import Pool


class RayEngine(Engine):
    """Lets another engine work in a pool of Ray actors.

    It opens what that engine opens, and is deterministic where it is: which worker a piece of work goes to changes
    nothing.
    """

    Options = options.Options

    def __init__(self, options: options.Options):
        self._options, self._inner = options, options.inner
        self._registry = Registry.discover()
        self._engine: Any = self._registry.build(self._inner)
        self.deterministic = bool(getattr(self._engine, "deterministic", False))
        for ability in get_args(Ability):
            if not able(self._engine, ability):
                setattr(self, ability, None)

    def codec(self, model: ModelSpec) -> TokenCodec:
        """That model's tokenizer, by the inner engine, in this process."""
        return open_codec(self._registry, self._inner, model)

    def check(self, model: ModelSpec, ability: Ability) -> None:
        """Whether there is Ray, and the inner engine could open such a model; starts nothing.

        Raises:
            SalmonError: it could not.
        """
        if getattr(importlib.util.find_spec("ray"), "origin", None) is None:
            raise SalmonError(
                "Ray is not installed",
                where="engine ray",
                hint="pip install 'salmon-ray[ray]', on every machine of a cluster",
            )
        if not able(self._engine, ability):
            raise SalmonError(f"engine {self._inner.name!r} opens no {ability}", hint="choose another inner engine")
        with boundary(self._inner.owner, f"engine {self._inner.name!r}, check"):
            if callable(check := getattr(self._engine, "check", None)):
                check(model, ability)

    def memory(self, model: ModelSpec, use: Use) -> ProcessMemory | None:
        """What the inner engine keeps in each worker."""
        found = engine_memory(self._registry, self._inner, model, use)
        return found[0] if found else None

    def sampler(self, model: ModelSpec) -> RaySampler:
        """A language model to sample from.

        Raises:
            SalmonError: as `check`; no Ray can be started or reached; or what the inner engine raises in a worker.
        """
        from salmon_ray.models import RaySampler

        return RaySampler(*self._opened(model, "sampler"))

    def chooser(self, model: ModelSpec) -> RayChooser:
        """A language model to choose with; raises as `sampler` does."""
        from salmon_ray.models import RayChooser

        return RayChooser(*self._opened(model, "chooser"))

    def scorer(self, model: ModelSpec) -> RayScorer:
        """A reward model; raises as `sampler` does."""
        from salmon_ray.models import RayScorer

        return RayScorer(*self._opened(model, "scorer"))

    def _opened(self, model: ModelSpec, ability: Ability) -> tuple[Pool, TokenCodec, int]:
        from salmon_ray import wire
        from salmon_ray.pool import Pool, inherited
        from salmon_ray.worker import versions

        self.check(model, ability)
        codec = self.codec(model)
        order = wire.order(self._inner, _anywhere(model), ability, inherited(), versions(self._inner))
        return Pool(order, self._options, model.path), codec, self._options.chunk


def _anywhere(model: ModelSpec) -> ModelSpec:
    """The model by names that do not depend on a working directory."""
    path, adapter = (
        str(Path(name).expanduser().absolute()) if name and Path(name).expanduser().is_dir() else name
        for name in (model.path, model.adapter)
    )
    return replace(model, path=path or model.path, adapter=adapter)
