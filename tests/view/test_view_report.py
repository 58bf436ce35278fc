"""`salmon report --html`: one file, which loads nothing, runs nothing but its own, and trusts no text."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import pytest
from core_world import salmon
from view_world import Page

import salmon_view.plugin
from salmon_core.cli.report import write_report
from salmon_core.errors import SalmonError
from salmon_core.plugins.registry import Registry
from salmon_core.testing import CommandContract, ReportContract


@pytest.fixture(scope="module")
def page(seen: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    out = tmp_path_factory.mktemp("report") / "report.html"
    done = salmon("report", seen, "--html", out, cwd=out.parent)
    assert done.code == 0, done.text
    assert out.stat().st_size < 5e6
    return Page(out.read_text(encoding="utf-8"))


def test_it_has_the_parts(page: Page) -> None:
    for part in ("Did it work?", "What changed", "Principles that were rewarded", "Most rewarded", "Judge", "Record"):
        assert part in page.text


def test_it_loads_nothing(page: Page) -> None:
    for tag, attributes in page.elements:
        assert not attributes.get("src"), tag
        assert (attributes.get("href") or "#").startswith("#"), attributes
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
    assert not page.of("link")


def test_only_its_own_scripts_may_run(page: Page) -> None:
    (policy,) = (each["content"] for each in page.of("meta") if each.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", page.source, re.DOTALL)
    assert len(scripts) == len(page.of("script")) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_texts_stay_texts(page: Page) -> None:
    assert 'document.title="owned"' in page.text
    assert not page.of("img")
    assert len(page.of("style")) == 1
    for unseen in ("\x1b", "\u202e", "\u2066"):
        assert unseen not in page.text


def test_without_a_plugin_it_says_which(seen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is installed."""
    monkeypatch.setattr(Registry, "discover", classmethod(lambda cls: cls()))
    with pytest.raises(SalmonError, match="no installed plugin writes a report as html") as caught:
        write_report(seen, "html", tmp_path / "x.html")
    assert caught.value.hint == "pip install salmon-view"


def test_no_run_there(tmp_path: Path) -> None:
    done = salmon("report", tmp_path, "--html", "x.html", cwd=tmp_path)
    assert done.code == 1
    assert "there is no run in this folder" in done.err
    assert not (tmp_path / "x.html").exists()


class TestCommand(CommandContract):
    plugin = salmon_view.plugin
    name = "view"


class TestReport(ReportContract):
    plugin = salmon_view.plugin
    name = "html"

    @pytest.fixture(autouse=True)
    def _run(self, seen: Path) -> None:
        self.folder = seen

    def inputs(self) -> Path:
        return self.folder
