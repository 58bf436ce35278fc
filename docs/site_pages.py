"""For `make site`: the README as the home page, and what the pages link to outside docs/, under `repository/`.

The pages are written for a reader of the repository: their links are relative paths in it. Here each becomes the path
of the same file in the site, so that they work in both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
#: pages that stand in the navigation and lie outside docs/
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/own-model/README.md")
_FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")


def site_path(path: str) -> str:
    """Where in the site a file of the repository is."""
    if path == "README.md":
        return "index.md"
    return path.removeprefix("docs/") if path.startswith("docs/") else f"repository/{path}"


def repository_path(uri: str) -> str:
    """The file of the repository that is there in the site."""
    if uri == "index.md":
        return "README.md"
    return uri.removeprefix("repository/") if uri.startswith("repository/") else f"docs/{uri}"


def linked(text: str, page: str) -> Iterator[str]:
    """Files of the repository that a page links to."""
    for found in _LINK.finditer(_FENCE.sub("", text)):
        target = _target(found[2], page)
        if target is not None:
            yield target


def rewritten(text: str, page: str) -> str:
    """A page's text with its links as they are in the site; those in code stay."""
    here = PurePosixPath(site_path(page)).parent

    def change(found: re.Match[str]) -> str:
        target = _target(found[2], page)
        path = found[2] if target is None else os.path.relpath(site_path(target), here)
        return f"{found[1]}{path}{found[3] or ''}{found[4]}"

    parts, last = [], 0
    for fence in _FENCE.finditer(text):
        parts += [_LINK.sub(change, text[last : fence.start()]), fence[0]]
        last = fence.end()
    return "".join([*parts, _LINK.sub(change, text[last:])])


def outside() -> list[str]:
    """Every file outside docs/ that the site has: the pages above, and what any page links to, and so on."""
    found: set[str] = set()
    waiting = [*PAGES, *(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))]
    while waiting:
        page = waiting.pop()
        if not page.startswith("docs/"):
            if page in found:
                continue
            found.add(page)
        if page.endswith(".md"):
            text = (ROOT / page).read_text(encoding="utf-8")
            waiting += [target for target in linked(text, page) if not target.startswith("docs/")]
    return sorted(found)


def _target(link: str, page: str) -> str | None:
    """The file that a link of a page leads to; None if it leads elsewhere, or nowhere."""
    if re.match(r"[a-z]+:", link):
        return None
    path = Path(os.path.normpath(ROOT / PurePosixPath(page).parent / link))
    return path.relative_to(ROOT).as_posix() if path.is_file() and path.is_relative_to(ROOT) else None


# -- what mkdocs calls -------------------------------------------------------------------------------------------------


def on_files(files: Any, *, config: Any) -> Any:
    from mkdocs.structure.files import File

    for path in outside():
        files.append(File.generated(config, site_path(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    return rewritten(markdown, repository_path(page.file.src_uri))
