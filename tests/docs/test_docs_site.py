"""The site without building it: every page is in the navigation, and every link leads somewhere in it as well."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from doc_pages import ROOT

sys.path.insert(0, str(ROOT / "docs"))
import make_gallery
import site_pages


class _Loader(yaml.SafeLoader):
    """Reads mkdocs.yml; the one function that it names is not called."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)
CONFIG: dict[str, Any] = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), _Loader)
DOCS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))


def leaves(nav: Any) -> Iterator[str]:
    for item in nav:
        for value in item.values():
            yield from [value] if isinstance(value, str) else leaves(value)


def test_the_navigation_has_every_page_once() -> None:
    named = list(leaves(CONFIG["nav"]))
    assert sorted(named) == sorted(map(site_pages.site_path, [*site_pages.PAGES, *DOCS]))
    assert named[0] == "index.md"
    assert all((ROOT / site_pages.repository_path(uri)).is_file() for uri in named)


@pytest.mark.parametrize("page", [*DOCS, *site_pages.PAGES])
def test_links_are_those_of_the_site(page: str) -> None:
    """Each relative link of a page is, in the site, a file that the site has."""
    text = (ROOT / page).read_text(encoding="utf-8")
    there = {*map(site_pages.site_path, [*DOCS, *site_pages.outside()])}
    pictures = [path for path in (ROOT / "docs").rglob("*") if path.suffix in (".svg", ".png")]
    there |= {site_pages.site_path(path.relative_to(ROOT).as_posix()) for path in pictures}
    changed = site_pages.rewritten(text, page)
    assert changed.count("\n") == text.count("\n")
    prose = re.sub(r"^```.*?^```$", "", changed, flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        path = link.partition("#")[0]
        if path and not re.match(r"[a-z]+:", link):
            base = (ROOT / "site" / site_pages.site_path(page)).parent
            target = (base / path).resolve().relative_to(ROOT / "site").as_posix()
            assert target in there, f"{page}: {link}"


def test_what_lies_outside_docs_keeps_its_anchor_and_code_stays() -> None:
    text = "[a](../examples/minnow.yaml) [b](../README.md#install)\n```text\n[c](../README.md)\n```\n[d](https://x.y/z)"
    assert site_pages.rewritten(text, "docs/memory.md") == (
        "[a](repository/examples/minnow.yaml) [b](index.md#install)\n```text\n[c](../README.md)\n```\n[d](https://x.y/z)"
    )
    assert site_pages.rewritten("[a](docs/memory.md)", "README.md") == "[a](memory.md)"


def test_a_broken_link_fails_the_site() -> None:
    """mkdocs counts only warnings that it logs, so that `--quiet` would switch `--strict` off."""
    (line,) = re.findall(r"^\t.*mkdocs build.*$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert "--strict" in line
    assert "-q" not in line.replace("--strict", "")
    assert {*CONFIG["validation"]["links"].values(), *CONFIG["validation"]["nav"].values()} == {"warn"}


def test_nothing_is_fetched_from_elsewhere() -> None:
    assert CONFIG["theme"]["font"] is False
    assert not {"extra_css", "extra_javascript"} & set(CONFIG)


def test_the_gallery_is_what_its_script_writes() -> None:
    """But for what the commands print, which takes a run; pictures stay."""
    text = make_gallery.PAGE.read_text(encoding="utf-8")
    assert text.startswith(make_gallery.HEAD)
    assert re.findall(r"^## (.*)$", text, re.M) == [*(title for title, _, _ in make_gallery.SHOWN), "Pictures"]
    assert len(make_gallery.PICTURES.findall(text)) == 1
    assert len(make_gallery.ANSWERS.findall(make_gallery.README.read_text(encoding="utf-8"))) == 1
    table = (
        make_gallery.README.read_text(encoding="utf-8")
        .partition("<!-- answers -->")[2]
        .partition("<!-- /answers -->")[0]
    )
    assert all(line in text for line in table.splitlines() if line.startswith("│"))
