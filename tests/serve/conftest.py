"""Makes `serve_world` and its neighbours importable, and starts servers that several tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "core"), str(HERE.parent / "trl")]

import pytest  # noqa: E402
from serve_world import Server, make_bytes_world, make_tiny_job  # noqa: E402


@pytest.fixture(scope="session")
def bytes_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration whose reward needs no torch, and rows for it; servers write elsewhere."""
    return make_bytes_world(tmp_path_factory.mktemp("bytes"))


@pytest.fixture(scope="session")
def tiny_job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """job.json of a trainer with a real reward model."""
    return make_tiny_job(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def server(bytes_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serves `bytes_world`, the raw protocol too; nothing may make its reward fail."""
    with Server.of(bytes_world, tmp_path_factory.mktemp("server"), "--raw") as started:
        yield started


@pytest.fixture(scope="module")
def tiny_server(tiny_job: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serves `tiny_job`, as a pipeline would start it, the raw protocol too."""
    folder = tmp_path_factory.mktemp("tiny-server")
    argv = [sys.executable, "-m", "salmon_serve", str(tiny_job), "--raw"]
    with Server(argv, folder) as started:
        yield started
