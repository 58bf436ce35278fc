"""Asks the process that has a run's models; it is started when it is first asked, and again where it died."""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from salmon_core.errors import SalmonError

#: seconds that an answer may take; loading a large model is part of the first
PATIENCE = 900.0


class Asking:
    """One run's process; one question at a time.

    Args:
        run: its folder.
        file_plugins: whether its configuration may name some.
    """

    def __init__(self, run: Path, *, file_plugins: bool):
        self._argv = [sys.executable, "-m", "salmon_view.worker", str(run)]
        self._argv += [] if file_plugins else ["--no-file-plugins"]
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def ask(self, do: str, **values: Any) -> Any:
        """
        Raises:
            SalmonError: what was asked for cannot be done, or the process ended.
        """
        with self._lock:
            return self._asked({"do": do, **values})

    def _asked(self, request: Mapping[str, Any]) -> Any:
        process = self._started()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(request, ensure_ascii=True).encode() + b"\n")
            process.stdin.flush()
            line = self._line(process)
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            process.kill()
            process.wait()
            raise SalmonError("the process with the run's models ended", hint="its words stand where salmon view runs")
        answer = json.loads(line)
        if "error" in answer:
            raise SalmonError(str(answer["error"]))
        return answer["is"]

    def _line(self, process: subprocess.Popen[bytes]) -> bytes:
        assert process.stdout is not None
        deadline, parts = time.monotonic() + PATIENCE, bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not parts.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    break
                part = process.stdout.read1(1 << 16)  # type: ignore[attr-defined]  # a buffered reader
                if not part:
                    break
                parts += part
        return bytes(parts)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self._process

    def close(self) -> None:
        """Ends the process."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
