"""The hooks. They only discover and observe: what runs, and in what order, stands in the configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import pluggy

from salmon_core.api.component import Component
from salmon_core.api.events import Event

NAMESPACE = "salmon"
hookspec = pluggy.HookspecMarker(NAMESPACE)
hookimpl = pluggy.HookimplMarker(NAMESPACE)

#: kind of component -> what a target is; each kind has a hook `salmon_KIND()` that yields components
KINDS: Mapping[str, str] = {
    "principle_sets": "Principle sets; a target is a `PrincipleSet`, or the `pathlib.Path` of a YAML file.",
    "judges": "Judges of pairs; see `salmon_core.api.Judge`.",
    "labellers": "From judgments to preferences; see `salmon_core.api.Labeller`.",
    "bonuses": "Symbolic rewards; see `salmon_core.api.Bonus`.",
    "backends": "Trainers; see `salmon_core.api.Backend`.",
    "engines": "Inference engines; see `salmon_core.api.Engine`.",
    "prompts": "Prompt sources; see `salmon_core.api.PromptSource`.",
    "models": "Models shipped with a plugin, `plugin:NAME` in a configuration; a target is a folder (`pathlib.Path`).",
    "templates": "Prompt templates; a target is a `salmon_core.api.Template`.",
    "evaluators": "Evaluators; see `salmon_core.api.Evaluator`.",
    "oracles": "Ground truth, where a world has one; see `salmon_core.api.Oracle`.",
    "monitors": "What watches a run's rollouts; see `salmon_core.api.Monitor`.",
    "commands": "Commands of `salmon`; a target is a `click.Command`, imported when it is called.",
    "reports": "Forms of a run's report as a file; a target is `write(run: Path, out: Path) -> None`.",
    "starters": "Starting points of `salmon init`; a target is a `salmon_core.api.Starter`.",
}
PREFIX = "salmon_"


def _listing(kind: str, meaning: str) -> Callable[[], Iterable[Component]]:
    def spec() -> Iterable[Component]:
        raise NotImplementedError

    spec.__name__ = spec.__qualname__ = PREFIX + kind
    spec.__doc__ = meaning
    return hookspec(spec)


@hookspec
def salmon_event(event: Event) -> None:
    """Observer: something happened in a run; called in the `salmon run` process only. See `salmon_core.api.events`."""


class Hooks:
    """Every hook's specification, for pluggy."""

    salmon_event = staticmethod(salmon_event)


for _kind, _meaning in KINDS.items():
    setattr(Hooks, PREFIX + _kind, staticmethod(_listing(_kind, _meaning)))

#: names of all hooks
NAMES: tuple[str, ...] = (*(PREFIX + kind for kind in KINDS), "salmon_event")
__all__ = ["KINDS", "NAMES", "NAMESPACE", "PREFIX", "Hooks", "hookimpl", "hookspec"]
