"""What components of all kinds keep to: options are checked and survive, inputs stay, the same gives the same."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import json
import pickle
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from salmon_core.api.component import ComponentSpec
from salmon_core.errors import ConfigError, PluginError, SalmonError
from salmon_core.plugins.options import options_model, validate_options
from salmon_core.plugins.registry import Owned
from salmon_core.testing.comparing import difference
from salmon_core.testing.elsewhere import Answer, Made, Request, asked, registry_for

_UNKNOWN = ("no_such_option", "nor_this_one")


class ComponentContract:
    """The base of all contracts. Each calls the component by `ask`, and compares what it says.

    Attributes:
        kind: of component; each contract has its own.
        plugin: the module with the hooks, or the path of a file; None: whatever is installed.
        name: of the component.
        options: as a configuration gives them; should not be all defaults, where there are options.
        base: the folder that paths among them are relative to.
        tolerance: by how much a number may differ where the rest of a batch does, absolute and relative.
    """

    kind: ClassVar[str]
    plugin: ClassVar[ModuleType | Path | None] = None
    name: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    base: ClassVar[Path] = Path()
    tolerance: ClassVar[float] = 0.0

    # -- for contracts -------------------------------------------------------------------------------------------

    @cached_property
    def made(self) -> Made:
        """The component, as a configuration chose it."""
        registry = registry_for(self.plugin)
        return Made(registry, validate_options(registry.find(self.kind, self.name), self.options, self.name, self.base))

    @property
    def owned(self) -> Owned:
        """The component with its owner."""
        return self.made.registry.owned(self.made.spec)

    def inputs(self) -> Any:
        """What the component is asked with; override it for rows of your own."""
        return None

    @staticmethod
    def ask(made: Made, inputs: Any) -> Any:
        """Constructs the component, asks it, and checks what it says."""
        return made.build() is not None

    def answer(self, inputs: Any) -> Any:
        """What the component says to these inputs."""
        return self.ask(self.made, inputs)

    def repeats(self) -> bool:
        """Whether the same inputs have to give the same result."""
        return True

    def portable(self) -> bool:
        """Whether another process can ask the same."""
        return self.repeats()

    def elsewhere(self, folder: Path, *, ask: bool = True, heavy: tuple[str, ...] = ()) -> Answer:
        """The answer of a fresh process.

        Args:
            ask: or only construct the component.
            heavy: modules to look for afterwards.
        """
        plugin: Path | str | None = None
        if isinstance(self.plugin, ModuleType):
            plugin = self.plugin.__name__
            if importlib.util.find_spec(plugin) is None:
                pytest.skip(f"{plugin} cannot be imported by its name, so no other process finds it")
        elif self.plugin is not None:
            plugin = self.plugin.resolve()
        request = Request(plugin, self.made.spec, self.ask if ask else None, self.inputs() if ask else None, heavy)
        return asked(request, folder)

    def same(self, found: Any, wanted: Any, what: str, *, tolerance: float = 0.0) -> None:
        """Asserts that two results are the same."""
        differs = difference(found, wanted, tolerance)
        assert differs is None, f"{what}: {differs}"

    # -- tests ---------------------------------------------------------------------------------------------------

    def test_it_is_listed(self) -> None:
        """With a name that a configuration can write, and one line about it."""
        component = self.owned.component
        assert component.name == component.name.strip() != ""
        assert not set(component.name) & set("/\n:"), (
            f"the name {component.name!r} cannot be written in a configuration"
        )
        assert component.summary.strip(), "the component has no summary"
        assert "\n" not in component.summary, "the summary is one line"

    def test_unknown_options_are_refused(self) -> None:
        """All of them at once; a misspelt option is never silently ignored."""
        wrong = {**self.options, **dict.fromkeys(_UNKNOWN, 1)}
        with pytest.raises(ConfigError) as caught:
            validate_options(self.owned, wrong, self.name, self.base)
        for name in _UNKNOWN:
            assert name in str(caught.value), f"the message does not name the unknown option {name!r}: {caught.value}"

    def test_defaults_are_valid(self) -> None:
        """As if a configuration had written them."""
        model = options_model(self.owned.load())
        if model is None or any(field.is_required() for field in model.model_fields.values()):
            return
        values = model().model_dump()
        self.same(model.model_validate(values).model_dump(), values, "the defaults, read as a configuration's options")

    def test_options_survive(self) -> None:
        """JSON and pickling: they come to other processes, and into files."""
        spec = self.made.spec
        self.same(json.loads(json.dumps(spec.options)), spec.options, "options after a way through JSON")
        self.same(pickle.loads(pickle.dumps(spec)), spec, "the pickled component")
        again = validate_options(self.owned, spec.options, self.name, self.base)
        self.same(
            again, ComponentSpec(spec.kind, spec.name, spec.owner, spec.options, spec.paths), "options read twice"
        )
        target = self.owned.load()
        model = options_model(target)
        if model is None:
            return
        values: BaseModel = model.model_validate(dict(spec.options))
        if inspect.isclass(getattr(target, "Options", None)):  # one made from a constructor has no name to pickle by
            self.same(pickle.loads(pickle.dumps(values)).model_dump(), values.model_dump(), "the pickled options")

    def test_inputs_stay_as_they_were(self) -> None:
        """Neither rows nor what is nested in them is changed."""
        inputs = self.inputs()
        before = copy.deepcopy(inputs)
        self.answer(inputs)
        self.same(inputs, before, "the inputs afterwards")

    def test_the_same_gives_the_same(self) -> None:
        """Asked twice, each time constructed anew."""
        first = self.answer(self.inputs())
        again = self.answer(self.inputs())
        if self.repeats():
            self.same(again, first, "asked again")

    def test_a_fresh_process_gives_the_same(self, tmp_path: Path) -> None:
        """It can be constructed there, and does not depend on the hashes of texts or the working directory."""
        folder = tmp_path / "a-working-directory"  # of its own: `inputs` may have their files in `tmp_path`
        folder.mkdir()
        found = self.elsewhere(folder, ask=self.portable())
        assert not any(folder.iterdir()), "it left files in the working directory"
        if self.portable():
            self.same(found.result, self.answer(self.inputs()), "in a fresh process", tolerance=self.tolerance)


def allowed(action: Callable[..., object], *args: object) -> None:
    """Does something that may be refused, by a `SalmonError` that says why; any other error is a mistake."""
    try:
        action(*args)
    except PluginError:
        raise
    except SalmonError:
        pass
