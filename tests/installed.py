"""The command `salmon`, as it is installed beside the tests' interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SALMON = Path(sys.executable).parent / "salmon"


def environment(**more: str) -> dict[str, str]:
    """Of a command: small models, no hub, no colours."""
    own = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "NO_COLOR": "1"}
    return {**os.environ, **own, "COLUMNS": "120", **more}


def salmon(*argv: str | Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """What a command said."""
    return subprocess.run(
        [str(SALMON), *map(str, argv)], cwd=cwd, env=environment(**more), capture_output=True, text=True, timeout=300
    )
