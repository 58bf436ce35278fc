"""Finding plugins and their components; who owns what, what is broken and why.

pluggy drops unknown arguments, ignores misspelt markers, loses the owner of a result, and one broken import kills its
host. So plugins are loaded one by one, each hook implementation is called by itself, and whatever fails is remembered
as broken: it is an error only when something of it is used.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from salmon_core import hookspecs
from salmon_core.errors import PluginError, SalmonError, boundary
from salmon_core.interfaces import Component

GROUP = hookspecs.NAMESPACE
OBSERVERS = ("salmon_run_started", "salmon_stage_finished", "salmon_event", "salmon_run_finished")
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
        return self.component.name

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


@dataclass
class Registry:
    """All plugins of this process."""

    components: dict[str, list[Owned]] = field(default_factory=lambda: {kind: [] for kind in hookspecs.KINDS})
    broken: list[Broken] = field(default_factory=list)
    owners: list[Owner] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)

    @classmethod
    def discover(cls, files: Sequence[Path] = ()) -> Registry:
        """Loads every installed plugin, then the file plugins. Never raises: see `broken`."""
        registry = cls()
        entries = importlib.metadata.entry_points(group=GROUP)
        # Sorted, since the order of installation must not matter.
        found = sorted(
            ((entry.name, entry.dist.name if entry.dist else "?", entry) for entry in entries), key=lambda e: e[:2]
        )
        for name, distribution, entry in {(n, d): (n, d, e) for n, d, e in found}.values():
            owner = Owner(name, distribution, entry.dist.version if entry.dist else "?")
            try:
                module = entry.load()
            except (Exception, SystemExit) as error:
                reason = f"cannot import {entry.value}{_line_in(error)}: {type(error).__name__}: {error}"
                registry.broken.append(Broken(owner, reason))
                continue
            registry.add(module, owner)
        for file in files:
            registry.add_file(file)
        return registry

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
            self.broken.append(Broken(owner, f"cannot import{line}: {type(error).__name__}: {error}"))
            return
        self.add(module, owner)

    def add(self, module: ModuleType, owner: Owner) -> None:
        """Registers one plugin and collects its components."""
        key = f"{owner.distribution}:{owner.plugin}"
        try:
            self._manager.register(module, name=key)
            self._check(module)
        except Exception as error:
            if self._manager.has_plugin(key):
                self._manager.unregister(name=key)
            self.broken.append(Broken(owner, str(error)))
            return
        self.owners.append(owner)
        for kind, hook in hookspecs.KINDS.items():
            for impl in getattr(self._manager.hook, hook).get_hookimpls():
                if impl.plugin_name == key:
                    self._collect(kind, hook, impl.function, owner)

    def _check(self, module: ModuleType) -> None:
        """Mistyped hooks, missing markers, and modules that are no plugins at all."""
        pending = {
            impl.function.__name__
            for caller in self._manager.get_hookcallers(module) or ()
            if not caller.has_spec()
            for impl in caller.get_hookimpls()
            if impl.plugin is module
        }
        known = [name for name in dir(hookspecs) if name.startswith("salmon_")]
        for name in sorted(pending):
            raise ValueError(f"there is no hook {name!r}{_suggest(name, known)}")
        for name in known:
            function = vars(module).get(name)
            if callable(function) and not hasattr(function, f"{GROUP}_impl"):
                raise ValueError(f"{name} lacks the marker @hookimpl (from salmon_core import hookimpl)")
        if not self._manager.get_hookcallers(module):
            raise ValueError("implements no hook of salmon (from salmon_core import hookimpl)")

    def _collect(self, kind: str, hook: str, function: Any, owner: Owner) -> None:
        try:
            items = list(function())
        except Exception as error:
            self.broken.append(Broken(owner, f"{hook}: {type(error).__name__}: {error}"))
            return
        for item in items:
            if not isinstance(item, Component):
                self.broken.append(Broken(owner, f"{hook}: yields {type(item).__name__}, not a Component"))
            elif any(item.name == o.name and o.owner == owner for o in self.components[kind]):
                self.broken.append(Broken(owner, f"{hook}: yields {item.name!r} twice"))
            else:
                self.components[kind].append(Owned(kind, item, owner))

    def find(self, kind: str, name: str) -> Owned:
        """The component a configuration means by `name`, or by `DISTRIBUTION/NAME`.

        Raises:
            SalmonError: there is none, or two plugins offer it.
        """
        owned = self.components[kind]
        matches = [o for o in owned if o.name == name or f"{o.owner.distribution}/{o.name}" == name]
        if len(matches) == 1:
            return matches[0]
        label = _singular(kind)
        if matches:
            names = " or ".join(f"{o.owner.distribution}/{o.name}" for o in matches)
            raise SalmonError(f"{len(matches)} plugins offer a {label} named {name!r}", hint=f"write {names}")
        known = sorted({o.name for o in owned})
        hint = f"there are: {', '.join(known)}" if known else f"no installed plugin offers a {label}"
        if self.broken:
            hint += "; broken plugins: " + "; ".join(f"{b.owner}: {b.reason}" for b in self.broken)
        raise SalmonError(f"no {label} named {name!r}{_suggest(name, known)}", hint=hint)

    def observe(self, hook: str, **values: Any) -> list[PluginError]:
        """Calls an observer hook of every plugin. One that fails does not stop the others, nor the run."""
        failures = []
        for impl in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            try:
                with boundary(impl.plugin_name, hook):
                    impl.function(**{name: values[name] for name in impl.argnames})
            except PluginError as error:
                failures.append(error)
        return failures

    def __iter__(self) -> Iterator[Owned]:
        for kind in hookspecs.KINDS:
            yield from sorted(self.components[kind], key=lambda o: (o.name, o.owner.distribution))


def _singular(kind: str) -> str:
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
