"""A thing that a plugin offers, and the same thing as a configuration chose it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Component:
    """One selectable thing of a plugin.

    A component is constructed once, from its options: with a nested pydantic `Options` as `Cls(options)`, otherwise
    with keyword arguments as `Cls(**options)`. Its options are validated before anything runs. An option annotated as
    `pathlib.Path` names a file or folder: relative to the configuration, which must exist, and whose content is part of
    the fingerprint of every stage that uses the component.

    Args:
        name: as written in a configuration; unique within its kind, else write `DISTRIBUTION/NAME`.
        target: a class or object, or `package.module:attribute`, imported only when a configuration selects it.
        summary: one line for `salmon plugins`.
        default: taken where a configuration names none of its kind, if no other installed plugin offers a default. Of
            bonuses and evaluators: what `salmon init` begins with.
    """

    name: str
    target: str | Any
    summary: str
    default: bool = False


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """A component as a configuration chose it: the one shape it has between configuration and use, in every process.

    Attributes:
        kind: of component, as in `salmon_core.api.hooks.KINDS`.
        name: within its kind and owner.
        owner: the distribution it comes from; of a file plugin the file's absolute path.
        options: validated, defaults filled in, JSON-ready; paths are absolute.
        paths: those values in `options` that are files or folders.
    """

    kind: str
    name: str
    owner: str
    options: Mapping[str, Any] = field(default_factory=dict)
    paths: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} of {self.owner}"


class HubPath(str):
    """An option that is a folder relative to the configuration where there is one, else an id on the hub."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema(min_length=1))


def paper(value: Any, what: str = "") -> dict[str, Any]:
    """For `Field(json_schema_extra=...)`: the number that the paper has for an option (arXiv 2310.05910).

    Args:
        value: JSON-ready; a run that uses another is listed under `deviations` in its report.
        what: the option in words, for that list; by default its description.
    """
    return {"paper": value, "paper_what": what} if what else {"paper": value}


def uncounted() -> dict[str, Any]:
    """For `Field(json_schema_extra=...)`: an option that changes no result, such as a number of attempts.

    It is left out of fingerprints. Annotated as `pathlib.Path`, it names a file that the component keeps for itself:
    relative to the configuration, but it need not exist.
    """
    return {"uncounted": True}
