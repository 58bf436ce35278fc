"""From an engine as a configuration chose it to an open model, or a tokenizer."""

from __future__ import annotations

from typing import Literal, overload

from salmon_core.api.component import ComponentSpec
from salmon_core.api.memory import ProcessMemory, Use
from salmon_core.api.models import Ability, Engine, ModelSpec, OpenModel, Sampler, Scorer, TokenCodec
from salmon_core.errors import PluginError, SalmonError, boundary
from salmon_core.plugins.guarded import GuardedChooser, GuardedSampler, GuardedScorer
from salmon_core.plugins.kept import kept
from salmon_core.plugins.options import require
from salmon_core.plugins.registry import Registry

#: what an open model of an ability can be asked, and who passes it on
_METHODS = {"sampler": "sample", "chooser": "choose", "scorer": "score"}
_GUARDS = {"sampler": GuardedSampler, "chooser": GuardedChooser, "scorer": GuardedScorer}


@overload
def open_model(registry: Registry, engine: ComponentSpec, model: ModelSpec, ability: Literal["sampler"]) -> Sampler: ...
@overload
def open_model(registry: Registry, engine: ComponentSpec, model: ModelSpec, ability: Literal["scorer"]) -> Scorer: ...
@overload
def open_model(registry: Registry, engine: ComponentSpec, model: ModelSpec, ability: Ability) -> OpenModel: ...
def open_model(registry: Registry, engine: ComponentSpec, model: ModelSpec, ability: Ability) -> OpenModel:
    """A model, opened by an engine; in a process that keeps models, the one that is open already, if it is the same.

    Raises:
        SalmonError: the engine opens no such models.
        PluginError: it failed, or what it opened cannot be asked.
    """
    owned = registry.owned(engine)
    built = registry.build(engine)
    if not callable(getattr(built, ability, None)):
        raise SalmonError(f"engine {engine.name!r} opens no {ability}", hint="choose another engine")
    owner, what = str(owned.owner), f"engine {engine.name!r}, {ability}"

    def opened() -> OpenModel:
        with boundary(owner, what):
            found: OpenModel = getattr(built, ability)(model)
        if not callable(getattr(found, _METHODS[ability], None)):
            message = f"opened a {type(found).__name__}, which has no method {_METHODS[ability]}"
            raise PluginError(owner, message, what=what)
        return found

    keeps = kept(engine, model)
    asked = opened() if keeps is None else keeps.open(ability, built, owner, opened)
    guarded: OpenModel = _GUARDS[ability](asked, owner, engine.name)
    return guarded


def open_codec(registry: Registry, engine: ComponentSpec, model: ModelSpec) -> TokenCodec:
    """A model's tokenizer, without opening the model.

    Raises:
        PluginError: the engine failed, or what it gave is none.
    """
    owned = registry.owned(engine)
    built: Engine = require(owned, registry.build(engine), "codec")
    what = f"engine {engine.name!r}, codec"
    with boundary(str(owned.owner), what):
        codec = built.codec(model)
        if missing := [name for name in ("encode", "decode", "special_tokens") if not hasattr(codec, name)]:
            message = f"gave a {type(codec).__name__}, which has no {' and no '.join(missing)}"
            raise PluginError(str(owned.owner), message, what=what)
    return codec


def engine_memory(
    registry: Registry, engine: ComponentSpec, model: ModelSpec, use: Use
) -> tuple[ProcessMemory, ...] | None:
    """What an engine would keep in memory: one kind of process, or none on this machine; None where it does not say.

    Raises:
        PluginError: it failed, or what it says is no `ProcessMemory`.
    """
    owned = registry.owned(engine)
    asked = getattr(registry.build(engine), "memory", None)
    if not callable(asked):
        return None
    what = f"engine {engine.name!r}, memory"
    with boundary(str(owned.owner), what):
        found = asked(model, use)
        if found is not None and not isinstance(found, ProcessMemory):
            message = f"gave a {type(found).__name__}, not a salmon_core.api.ProcessMemory"
            raise PluginError(str(owned.owner), message, what=what)
    return () if found is None else (found,)
