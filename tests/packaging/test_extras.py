"""What `pip install salmon-core[...]` names: every distribution of the repository, in the one version."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
OURS = [*sorted((ROOT / "plugins").glob("salmon-*")), *sorted((ROOT / "backends").glob("salmon-*"))]


def project(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


CORE = project(ROOT)
EXTRAS: dict[str, list[Requirement]] = {
    name: [Requirement(line) for line in lines] for name, lines in CORE["optional-dependencies"].items()
}


def test_each_distribution_has_an_extra_in_its_version() -> None:
    named = {each.name: each for lines in EXTRAS.values() for each in lines if each.name.startswith("salmon-")}
    by_name = {project(folder)["name"]: project(folder) for folder in OURS}
    assert set(named) == {*by_name, "salmon-core"}
    for lines in EXTRAS.values():
        for each in lines:
            if each.name in by_name:
                assert str(each.specifier) == f"=={by_name[each.name]['version']}" == f"=={CORE['version']}"
                assert each.extras <= set(by_name[each.name].get("optional-dependencies", {})), each


def test_all_is_all() -> None:
    (line,) = EXTRAS["all"]
    assert line.name == "salmon-core"
    assert line.extras == set(EXTRAS) - {"all"}
    assert all(each.extras <= set(EXTRAS) for lines in EXTRAS.values() for each in lines if each.name == "salmon-core")


def test_the_readme_names_them() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in EXTRAS if f"`{name}`" not in text] == []
