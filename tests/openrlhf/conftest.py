"""Makes `openrlhf_world` importable; runs of the real OpenRLHF are for `make test-openrlhf` only."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    from openrlhf_world import PYTHON

    for item in items:
        if item.get_closest_marker("openrlhf") is not None and not PYTHON:
            item.add_marker(pytest.mark.skip(reason="needs OpenRLHF's interpreter: make test-openrlhf"))
