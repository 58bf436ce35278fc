"""`salmon push` against a local stand-in of the hub."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from core_world import Result, environment, make_folder, salmon
from hub_server import BAD, GOOD, NOBODY, READER, Hub

pytestmark = pytest.mark.slow


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        yield server


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the world in `tests/core` with a policy and preferences; its models are no real ones."""
    folder = tmp_path_factory.mktemp("toy")
    make_folder(folder)
    done = salmon("run", "salmon.yaml", cwd=folder, timeout=600)
    assert done.code == 0, done.text
    return folder


def push(folder: Path, *words: str, token: str | None = GOOD, url: str = "http://127.0.0.1:9", **more: str) -> Result:
    """The installed command, with no token and no cache of this machine."""
    env = environment(HF_HOME=str(folder / "hf"), HF_ENDPOINT=url, HF_HUB_DISABLE_XET="1")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
        env.pop(name, None)
    env |= more
    if token is not None:
        env["HF_TOKEN"] = token
    return salmon("push", *words, cwd=folder, env=env, timeout=600)


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the finished real run, with what a trainer may leave beside its model."""
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    model = tmp_path / "runs" / "tiny" / "train-rm" / "model"
    for name in ("training_args.bin", "optimizer.pt", "trainer_state.json"):
        (model / name).write_bytes(b"state")
    return tmp_path


def test_a_reward_model_goes_there_and_comes_back(folder: Path, hub: Hub, tmp_path: Path) -> None:
    report = folder / "runs" / "tiny" / "report.json"
    values = json.loads(report.read_text())
    values["rm"] = {"positive": {"value": 0.75, "low": 0.61, "high": 0.86, "n": 40}}
    report.write_text(json.dumps(values))
    done = push(folder, "runs/tiny", "--to", "me/tiny-rm", "--private", "--license", "mit", url=hub.url)
    assert done.code == 0, done.text
    assert f"pushed to {hub.url}/me/tiny-rm" in done.out
    assert "left here: optimizer.pt, trainer_state.json, training_args.bin" in done.out
    files = hub.files["models/me/tiny-rm"]
    own = folder / "runs" / "tiny" / "train-rm" / "model"
    assert hub.private == {"models/me/tiny-rm"}
    assert len(hub.commits) == 1
    assert set(files) == {
        "README.md",
        "chat_template.jinja",
        "config.json",
        "model.safetensors",
        "salmon.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert files["model.safetensors"] == (own / "model.safetensors").read_bytes()
    assert files["salmon.json"] == (own / "salmon.json").read_bytes()
    card = files["README.md"].decode()
    assert yaml.safe_load(card.split("---\n")[1])["license"] == "mit"
    assert "path = 'me/tiny-rm'" in card
    assert "| positive | 0.750 | 0.610 to 0.860 | 40 |" in card
    assert GOOD not in done.text + card

    code = (
        "from salmon_core import load_reward; r = load_reward(%r); print(r('Hello?', 'Hi.', 'vivid').total); r.close()"
    )
    env = environment(HF_HOME=str(tmp_path / "other"), HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1")
    env.pop("HF_HUB_OFFLINE")
    found = []
    for path in ("me/tiny-rm", str(own)):
        argv = [sys.executable, "-c", code % path]
        loaded = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=600)
        assert loaded.returncode == 0, loaded.stderr[-2000:]
        found.append(float(loaded.stdout))
    assert found[0] == pytest.approx(found[1], abs=1e-6)


def test_again_it_is_another_commit(folder: Path, hub: Hub) -> None:
    for _ in range(2):
        assert push(folder, "runs/tiny", "--to", "me/tiny-rm", url=hub.url).code == 0
    assert len(hub.commits) == 2


def test_a_dry_run_sends_nothing(folder: Path, hub: Hub) -> None:
    done = push(folder, "runs/tiny", "--to", "me/tiny-rm", "--dry-run", url=hub.url, token=None)
    assert done.code == 0, done.text
    assert not hub.tokens
    assert not hub.files
    lines = done.out.splitlines()
    assert lines[0].startswith("model me/tiny-rm, 7 files, ")
    assert any(line.split()[0] == "model.safetensors" and line.split()[1:] == ["2.0", "MB"] for line in lines[1:8])
    assert "missing: how often it is right on held-out prompts (an evaluator tells)" in done.out
    assert "missing: there is no token in HF_TOKEN" in done.out
    assert lines[-1] == "nothing was sent"


@pytest.mark.parametrize(
    ("words", "token", "more", "says"),
    [
        (("--to", "me/x"), None, {}, "there is no token in HF_TOKEN or HUGGING_FACE_HUB_TOKEN"),
        (("--to", "me/x"), BAD, {}, "refuses the token (401)"),
        (("--to", "me/x"), READER, {}, "the token may not write to 'me' (403)"),
        (("--to", f"{NOBODY}/x"), GOOD, {}, "knows no such owner or place (404)"),
        (("--to", "me/x"), GOOD, {"HF_HUB_OFFLINE": "1"}, "switched off by HF_HUB_OFFLINE"),
        (("--to", "nothing"), GOOD, {}, "'nothing' is no id on the hub"),
        (("--to", "me/x", "--what", "policy"), GOOD, {}, "no finished stage train-policy"),
        (("--to", "me/x", "--what", "preferences"), GOOD, {}, "no finished stage label"),
    ],
)
def test_what_is_refused(
    words: tuple[str, ...], token: str | None, more: dict[str, str], says: str, tiny: Path, hub: Hub, tmp_path: Path
) -> None:
    done = push(tmp_path, str(tiny / "runs" / "tiny"), *words, url=hub.url, token=token, **more)
    assert done.code == 1
    assert says in done.err
    assert "Traceback" not in done.text
    assert not hub.commits
    assert not any(hub.files.values())


def test_the_hub_fails_or_is_not_there(folder: Path, hub: Hub) -> None:
    hub.broken = True
    done = push(folder, "runs/tiny", "--to", "me/x", url=hub.url)
    assert done.code == 1
    assert "answered 500" in done.err
    done = push(folder, "runs/tiny", "--to", "me/x")
    assert done.code == 1
    assert "http://127.0.0.1:9 cannot be reached" in done.err
    assert "Traceback" not in done.text


def test_what_was_changed_since_is_not_pushed(folder: Path, hub: Hub) -> None:
    (folder / "runs" / "tiny" / "train-rm" / "model" / "config.json").write_text("{}")
    done = push(folder, "runs/tiny", "--to", "me/x", url=hub.url)
    assert done.code == 1
    assert "config.json: has 2 bytes" in done.err
    assert not hub.files


def test_preferences_and_policy(toy: Path, hub: Hub, tmp_path: Path) -> None:
    shutil.copytree(toy, tmp_path, dirs_exist_ok=True)
    done = push(tmp_path, "runs/toy", "--to", "me/said", "--what", "preferences", url=hub.url)
    assert done.code == 0, done.text
    files = hub.files["datasets/me/said"]
    assert set(files) == {"README.md", "preferences.parquet"}
    assert files["preferences.parquet"] == (tmp_path / "runs/toy/label/preferences.parquet").read_bytes()
    front = yaml.safe_load(files["README.md"].decode().split("---\n")[1])
    assert front["configs"] == [{"config_name": "default", "data_files": "preferences.parquet"}]
    assert "judged by the judge toy-judge" in files["README.md"].decode()
    done = push(tmp_path, "runs/toy", "--to", "me/policy", "--what", "policy", "--dry-run", url=hub.url)
    assert done.code == 0, done.text
    assert "missing: weights (*.safetensors)" in done.out
    assert "missing: a license (--license)" in done.out
