"""Principle sets in files: YAML with inheritance, and the JSON lists that SALMON published.

A YAML file:

    name: my-rules                 # default: the file's name
    description: what it is for
    extends: salmon-rl             # a bundled set, a plugin's, or the path of a file relative to this one
    only: [concise, candor]        # of the extended set (default: all of it)
    without: [vivid]
    weights: {candor: 2}           # instead of the extended set's
    principles:                    # further ones
      - {name: kind, text: The response is kind., negated: The response is harsh., weight: 1,
         categories: {reasoning: 128}, tags: [tone], title: Kind, source: where it was taken from}
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import resources
from pathlib import Path

from salmon_core.api.principles import PrincipleSet
from salmon_core.data.files import full_path
from salmon_core.errors import ConfigError, Problem, SalmonError

Lookup = Callable[[str], PrincipleSet]

SUFFIXES = (".yaml", ".yml", ".json")

#: the file of a set that lies in a folder of its own
_SET = "principles.yaml"

#: files being read right now, outermost first; finds cycles, also those that go through a plugin's lookup
_open: ContextVar[tuple[Path, ...]] = ContextVar("open_principle_files", default=())


def bundled_dir() -> Path:
    """The folder of the bundled sets: in the installed package, or in the checkout it is run from."""
    installed = Path(str(resources.files("salmon_core"))) / "principle_sets"
    return installed if installed.is_dir() else Path(__file__).resolve().parents[2] / "principles"


def bundled_names() -> tuple[str, ...]:
    """Names of the bundled sets, sorted."""
    alone = [path.stem for path in bundled_dir().glob("*.yaml")]
    return tuple(sorted([*alone, *(path.parent.name for path in bundled_dir().glob(f"*/{_SET}"))]))


def bundled_file(name: str) -> Path:
    """The file of a bundled set; one that has more beside it lies in a folder of its own."""
    alone = bundled_dir() / f"{name}.yaml"
    return alone if alone.is_file() else bundled_dir() / name / _SET


def load_principle_set(source: str | Path, *, lookup: Lookup | None = None, base: Path | None = None) -> PrincipleSet:
    """A principle set with all that it extends.

    Args:
        source: a file (a `Path`, or a text ending in .yaml, .yml or .json), or the name of a set.
        lookup: finds sets by name; raises KeyError or a SalmonError for those it does not know. Without one, and for
            its KeyErrors, the bundled sets are searched.
        base: folder that a relative path starts from; the working directory by default.

    Raises:
        ConfigError: everything wrong with the file, and with the files it extends.
    """
    if isinstance(source, Path) or source.lower().endswith(SUFFIXES):
        return _read((base or Path()) / source, lookup)
    return _by_name(source, lookup, "principle set")


def _by_name(name: str, lookup: Lookup | None, where: str = "") -> PrincipleSet:
    if lookup is not None:
        try:
            return lookup(name)
        except KeyError:
            pass
        except ConfigError:
            raise
        except SalmonError as error:
            raise ConfigError([Problem(where, error.message, error.hint)]) from None
    if name in bundled_names():
        return _read(bundled_file(name), lookup)
    hint = f"bundled are {', '.join(bundled_names())}; a file is named with its ending, .yaml"
    raise ConfigError([Problem(where, f"there is no principle set named {name!r}", hint)])


def _read(path: Path, lookup: Lookup | None) -> PrincipleSet:
    if "\0" in str(path):  # YAML can write it, no path can have it
        raise ConfigError([Problem("", "has a zero character")])
    # The readers are imported late: to list plugins needs the names only, and neither pydantic nor YAML.
    if path.suffix.lower() == ".json":
        from salmon_core.principles.salmon_json import read_salmon_json

        return read_salmon_json(path)
    from salmon_core.principles.yaml import read_principle_yaml

    def find(name: str) -> PrincipleSet:
        return _read(path.parent / name, lookup) if name.lower().endswith(SUFFIXES) else _by_name(name, lookup)

    with _no_cycle(path):
        return read_principle_yaml(path, find)


@contextmanager
def _no_cycle(path: Path) -> Iterator[None]:
    full, above = full_path(path), _open.get()
    if full in above:
        chain = " -> ".join(each.name for each in (*above[above.index(full) :], full))
        raise ConfigError([Problem(f"{above[-1]}: extends", f"the sets extend each other in a circle: {chain}")])
    token = _open.set((*above, full))
    try:
        yield
    finally:
        _open.reset(token)
