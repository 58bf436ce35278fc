"""Finding plugins and their components; who owns what, what is broken and why.

pluggy calls the hooks. By itself it loses the owner of a result, ignores misspelt markers, and lets one failing plugin
end the call for all; so each plugin is called through a subset of one, and whatever fails is remembered as broken: it
is an error only when something of it is used. Entry points are read and imported once in a process.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from salmon_core.api import hooks
from salmon_core.api.component import Component, ComponentSpec
from salmon_core.api.events import Event
from salmon_core.errors import PluginError, SalmonError, boundary

GROUP = hooks.NAMESPACE
_FILE_MODULE = "salmon_file_plugin_"


@dataclass(frozen=True, slots=True)
class Owner:
    """The plugin a component comes from; `distribution` is the file's path for a file plugin."""

    plugin: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return self.distribution


@dataclass(frozen=True, slots=True)
class Owned:
    """A component with its kind and owner."""

    kind: str
    component: Component
    owner: Owner

    @property
    def name(self) -> str:
        """As a configuration writes it."""
        return self.component.name

    @property
    def address(self) -> str:
        """The name that only this component has."""
        return f"{self.owner.distribution}/{self.component.name}"

    def load(self) -> Any:
        """The component's class or object.

        Raises:
            PluginError: it cannot be imported.
        """
        target = self.component.target
        if not isinstance(target, str):
            return target
        module, _, attribute = target.partition(":")
        what = f"{self.kind} {self.name!r}"
        if not module or not attribute:
            raise PluginError(str(self.owner), f"target {target!r} is not `package.module:attribute`", what=what)
        with boundary(str(self.owner), what):
            value: Any = importlib.import_module(module)
            for part in attribute.split("."):
                value = getattr(value, part)
            return value


@dataclass(frozen=True, slots=True)
class Broken:
    """A plugin that cannot be used, and why."""

    owner: Owner
    reason: str


class Registry:
    """All plugins of this process.

    Attributes:
        owners: of the plugins that loaded.
    """

    def __init__(self) -> None:
        self.owners: list[Owner] = []
        self._broken: list[Broken] = []
        self._components: dict[str, list[Owned]] = {}
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hooks.Hooks)

    @classmethod
    def discover(cls, files: Sequence[Path] = ()) -> Registry:
        """Every installed plugin, then the file plugins. Never raises: see `broken`.

        The same registry for the same files with the same content, so that plugins are loaded once a process.
        """
        key = (tuple(sys.path), tuple((path, path.read_bytes() if path.is_file() else b"") for path in files))
        if key not in _DISCOVERED:
            registry = cls()
            for owner, module in _installed(key[0]):
                if isinstance(module, str):
                    registry._broken.append(Broken(owner, module))
                else:
                    registry.add(module, owner)
            for file in files:
                registry.add_file(file)
            _DISCOVERED[key] = registry
        return _DISCOVERED[key]

    def add_file(self, path: Path) -> None:
        """Loads a single file as a plugin; its owner is the file."""
        owner = Owner(path.stem, str(path), "file")
        try:
            name = _FILE_MODULE + path.stem
            spec = importlib.util.spec_from_file_location(name, path)
            if spec is None or spec.loader is None:
                raise ImportError("not a Python file")
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            line = _line_in(error, path)
            self._broken.append(Broken(owner, f"cannot import{line}: {type(error).__name__}: {error}"))
            return
        self.add(module, owner)

    def add(self, module: ModuleType, owner: Owner) -> None:
        """Registers one plugin."""
        key = _key(owner)
        try:
            self._manager.register(module, name=key)
            self._check(module)
        except (Exception, SystemExit) as error:
            if self._manager.has_plugin(key):
                self._manager.unregister(name=key)
            self._broken.append(Broken(owner, str(error)))
            return
        self.owners.append(owner)
        for kind in self._components:
            self._collect(kind, owner)

    def _check(self, module: ModuleType) -> None:
        """Mistyped hooks, missing markers, and modules that are no plugins at all."""
        pending = {
            impl.function.__name__
            for caller in self._manager.get_hookcallers(module) or ()
            if not caller.has_spec()
            for impl in caller.get_hookimpls()
            if impl.plugin is module
        }
        for name in sorted(pending):
            raise ValueError(f"there is no hook {name!r}{_suggest(name, hooks.NAMES)}")
        for name in hooks.NAMES:
            function = vars(module).get(name)
            if callable(function) and not hasattr(function, f"{GROUP}_impl"):
                raise ValueError(f"{name} lacks the marker @hookimpl (from salmon_core import hookimpl)")
        if not self._manager.get_hookcallers(module):
            raise ValueError("implements no hook of salmon (from salmon_core import hookimpl)")

    @property
    def broken(self) -> list[Broken]:
        """Plugins, and hooks of plugins, that cannot be used."""
        for kind in hooks.KINDS:
            self.components(kind)
        return self._broken

    def components(self, kind: str) -> list[Owned]:
        """All of a kind; the hook is called when they are first asked for."""
        if kind not in self._components:
            self._components[kind] = []
            for owner in self.owners:
                self._collect(kind, owner)
        return self._components[kind]

    def _module(self, owner: Owner) -> ModuleType:
        module = self._manager.get_plugin(_key(owner))
        assert isinstance(module, ModuleType)
        return module

    def _only(self, hook: str, owner: Owner) -> pluggy.HookCaller:
        """A hook of one plugin alone: so its results have an owner, and its failure stops no other."""
        mine = self._module(owner)
        others = [plugin for plugin in self._manager.get_plugins() if plugin is not mine]
        return self._manager.subset_hook_caller(hook, others)

    def _collect(self, kind: str, owner: Owner) -> None:
        hook = hooks.PREFIX + kind
        if not any(caller.name == hook for caller in self._manager.get_hookcallers(self._module(owner)) or ()):
            return
        try:
            results = self._only(hook, owner)()
            if not results:  # pluggy drops None
                raise TypeError("returned None, not components")
            items = [item for result in results for item in result]
        except (Exception, SystemExit) as error:
            self._broken.append(Broken(owner, f"{hook}: {type(error).__name__}: {error}"))
            return
        found = self._components[kind]
        for item in items:
            if not isinstance(item, Component):
                self._broken.append(Broken(owner, f"{hook}: yields {type(item).__name__}, not a Component"))
            elif any(item.name == o.name and o.owner == owner for o in found):
                self._broken.append(Broken(owner, f"{hook}: yields {item.name!r} twice"))
            else:
                found.append(Owned(kind, item, owner))

    def find(self, kind: str, name: str) -> Owned:
        """The component a configuration means by `name`, or by `DISTRIBUTION/NAME`.

        Raises:
            SalmonError: there is none, or two plugins offer it.
        """
        owned = self.components(kind)
        matches = [o for o in owned if o.name == name or o.address == name]
        if len(matches) == 1:
            return matches[0]
        label = singular(kind)
        if matches:
            names = " or ".join(o.address for o in matches)
            raise SalmonError(f"{len(matches)} plugins offer a {label} named {name!r}", hint=f"write {names}")
        known = sorted({o.name for o in owned})
        raise SalmonError(f"no {label} named {name!r}{_suggest(name, known)}", hint=self._there_are(kind, known))

    def default(self, kind: str) -> Owned:
        """The component that a configuration means which names none.

        Raises:
            SalmonError: no installed plugin offers a default, or several do.
        """
        owned = self.components(kind)
        chosen = [o for o in owned if o.component.default] or owned
        if len(chosen) == 1:
            return chosen[0]
        label = singular(kind)
        if chosen:
            names = ", ".join(sorted(o.address for o in chosen))
            raise SalmonError(f"no {label} is named, and several could be meant", hint=f"name one of {names}")
        raise SalmonError(f"no {label} is named", hint=self._there_are(kind, []))

    def _there_are(self, kind: str, known: Sequence[str]) -> str:
        hint = f"there are: {', '.join(known)}" if known else f"no installed plugin offers a {singular(kind)}"
        if self.broken:
            hint += "; broken plugins: " + "; ".join(f"{b.owner}: {b.reason}" for b in self.broken)
        return hint

    def owned(self, spec: ComponentSpec) -> Owned:
        """The component that a spec names, of the very plugin it was chosen from.

        Raises:
            SalmonError: that plugin does not offer it here.
        """
        return self.find(spec.kind, f"{spec.owner}/{spec.name}")

    def build(self, spec: ComponentSpec) -> Any:
        """The component, constructed from the spec's options.

        Raises:
            PluginError: its constructor failed.
        """
        from salmon_core.plugins.options import construct

        return construct(self.owned(spec), spec.options)

    def observe(self, event: Event) -> list[PluginError]:
        """Tells every plugin of an event. One that fails does not stop the others, nor the run."""
        failures = []
        for owner in self.owners:
            try:
                with boundary(str(owner), "salmon_event"):
                    self._only("salmon_event", owner)(event=event)
            except PluginError as error:
                failures.append(error)
        return failures

    def __iter__(self) -> Iterator[Owned]:
        for kind in hooks.KINDS:
            yield from sorted(self.components(kind), key=lambda o: (o.name, o.owner.distribution))


#: what was discovered in this process, by where modules are found, and by the file plugins (path and content)
_DISCOVERED: dict[tuple[tuple[str, ...], tuple[tuple[Path, bytes], ...]], Registry] = {}


@cache
def _installed(search_path: tuple[str, ...]) -> list[tuple[Owner, ModuleType | str]]:
    """The modules of the installed plugins, or why one cannot be imported; in the order of their names."""
    entries = importlib.metadata.entry_points(group=GROUP)
    found = sorted(
        ((entry.name, entry.dist.name if entry.dist else "?", entry) for entry in entries), key=lambda e: e[:2]
    )
    loaded: list[tuple[Owner, ModuleType | str]] = []
    for name, distribution, entry in {(n, d): (n, d, e) for n, d, e in found}.values():
        owner = Owner(name, distribution, entry.dist.version if entry.dist else "?")
        try:
            loaded.append((owner, entry.load()))
        except (Exception, SystemExit) as error:
            reason = f"cannot import {entry.value}{_line_in(error)}: {type(error).__name__}: {error}"
            loaded.append((owner, reason))
    return loaded


def _key(owner: Owner) -> str:
    return f"{owner.distribution}:{owner.plugin}"


def singular(kind: str) -> str:
    """One of a kind, in words."""
    irregular: Mapping[str, str] = {"bonuses": "bonus", "prompts": "prompt source"}
    return irregular.get(kind, kind.removesuffix("s").replace("_", " "))


def _suggest(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _line_in(error: BaseException, path: Path | None = None) -> str:
    """Where an import failed, for a message without a stack trace: the line of the file, or file and line."""
    if isinstance(error, SyntaxError):
        return ""  # says so itself
    place, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if path is not None and file == str(path):
            place = f" (line {trace.tb_lineno})"
        elif path is None and not file.startswith("<") and file != __file__ and "importlib" not in Path(file).parts:
            place = f" ({Path(file).name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return place
