"""Starting points of `salmon init`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Starter:
    """Files of a first run. `{name}` in a text becomes the run's name, `{model}` the model's; braces are doubled.

    Attributes:
        model: the model it is for, as in `policy.model`; empty: any model.
        files: texts by relative path; one of them is `salmon.yaml`.
    """

    files: Mapping[str, str]
    model: str = ""

    def texts(self, *, name: str, model: str) -> dict[str, str]:
        """The files, filled in."""
        return {path: text.format(name=name, model=model) for path, text in self.files.items()}
