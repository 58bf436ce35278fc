"""Who gets pages: whoever has the token, by a name of this server, from a page of this server."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from core_world import salmon
from view_world import Viewer

PAGES = ("", "/rollouts", "/rollouts/7/0", "/answers", "/judge", "/reward", "/steer", "/try")
SCORE = {"prompt": "Why?", "completion": "Because.", "principles": []}


def test_without_the_token_there_is_nothing(viewer: Viewer) -> None:
    for path in ("/", "/static/view.js", *(f"/runs/0{page}" for page in PAGES)):
        for token in ("", "x" * 43, viewer.token[:-1], viewer.token + "x", "ü"):
            answer = viewer.ask(path, token=token.encode().decode("latin-1"))
            assert answer.status == 401, path
            assert viewer.token not in answer.text
    assert viewer.ask("/runs/0/try/score", SCORE, token="").status == 401


def test_the_address_with_the_token_becomes_a_cookie(viewer: Viewer) -> None:
    answer = viewer.ask(f"/runs/0/rollouts?q=a%20b&token={viewer.token}", token="")
    assert answer.status == 303
    assert answer.headers["location"] == "/runs/0/rollouts?q=a+b"
    cookie = answer.headers["set-cookie"]
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    sent = cookie.partition(";")[0]
    assert viewer.ask("/runs/0", token="", headers={"Cookie": f"a=b; {sent}"}).status == 200
    other = sent.replace(str(viewer.port), str(viewer.port + 1))
    assert viewer.ask("/runs/0", token="", headers={"Cookie": other}).status == 401
    assert viewer.ask("/runs/0?token=wrong-wrong-wrong", token="").status == 401


def test_another_name_for_this_address_is_refused(viewer: Viewer) -> None:
    """A foreign name that somebody points here (DNS rebinding)."""
    for name in (
        f"evil.example:{viewer.port}",
        "127.0.0.1:1",
        "127.0.0.1",
        "",
        f"127.0.0.1.evil.example:{viewer.port}",
    ):
        assert viewer.ask("/runs/0", headers={"Host": name}).status == 421, name
    assert viewer.ask("/runs/0", headers={"Host": f"localhost:{viewer.port}"}).status == 200


def test_another_origin_can_neither_read_nor_steer(viewer: Viewer, seen: Path) -> None:
    ours = f"http://127.0.0.1:{viewer.port}"
    cookie = {"Cookie": f"salmon-view-{viewer.port}={viewer.token}"}
    before = sorted(each.name for each in seen.iterdir())
    change = {"what": "add", "text": "Obey.", "apply": True}
    for origin in (
        "https://evil.example",
        "null",
        f"http://127.0.0.1:{viewer.port + 1}",
        f"https://127.0.0.1:{viewer.port}",
    ):
        for path, body in (("/runs/0", None), ("/runs/0/steer", change), ("/runs/0/try/score", SCORE)):
            answer = viewer.ask(path, body, token="", headers={**cookie, "Origin": origin})
            assert answer.status == 403, (origin, path)
            assert "access-control-allow-origin" not in answer.headers
    # A form of another site can send no JSON, and says where it comes from.
    assert viewer.ask("/runs/0/steer", change, token="", headers=cookie).status == 403
    cross = {**cookie, "Origin": ours, "Sec-Fetch-Site": "cross-site"}
    assert viewer.ask("/runs/0/steer", change, token="", headers=cross).status == 403
    plain = {**cookie, "Origin": ours, "Content-Type": "text/plain"}
    assert viewer.ask("/runs/0/steer", change, token="", headers=plain).status == 415
    assert sorted(each.name for each in seen.iterdir()) == before


def test_pages_may_load_and_run_nothing_else(viewer: Viewer) -> None:
    for page in (*PAGES, "/nothing"):
        answer = viewer.ask(f"/runs/0{page}")
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
    for page in PAGES:
        own = viewer.page(f"/runs/0{page}")
        for tag, attributes in own.elements:
            assert "style" not in attributes, (page, tag)
            assert not [name for name in attributes if name.startswith("on")], (page, tag)
            for name in ("src", "href", "action"):
                value = attributes.get(name) or ""
                assert value.startswith(("/", "#", "data:,")) or not value, (page, tag, value)
                assert not value.startswith("//")
        assert all(each.get("src") for each in own.of("script"))


def test_what_is_not_there(viewer: Viewer) -> None:
    for path in (
        "/runs/1",
        "/runs/0/rollouts/7/99",
        f"/runs/0/rollouts/{10**30}/0",
        "/runs/0/rollouts/7/0/model",
        "/etc",
    ):
        assert viewer.ask(path).status == 404, path
    assert viewer.ask("/static/../app.py").status == 404
    assert viewer.ask("/static/%2e%2e/app.py").status == 404
    assert viewer.ask("/runs/0/try/score", [1]).status == 400
    strange = viewer.ask("/runs/0/rollouts?low=nan&high=x&start=-5&batch=9e99&sort=%00&principle=%ff&q=%00")
    assert strange.status == 200


def test_the_ready_file_is_its_owners(viewer: Viewer) -> None:
    assert stat.S_IMODE(viewer.ready.stat().st_mode) == 0o600


def test_a_ready_file_that_cannot_be_written(seen: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for file, said in ((tmp_path, "Is a directory (name a file)"), (tmp_path / "file" / "x", "something else has")):
        done = salmon("view", seen, "--no-browser", "--ready-file", file, cwd=tmp_path)
        assert done.code == 1
        assert said in done.err
        assert "Traceback" not in done.text


@pytest.mark.parametrize("words", [("nowhere",), (".",), ()])
def test_no_run_there(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = salmon("view", *words, "--no-browser", cwd=tmp_path)
    assert done.code == 1
    assert "there is no run in this folder" in done.err
    assert "Traceback" not in done.text
