"""vLLM's process: started, spoken with, and ended for certain."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from salmon_core.calls import alive
from salmon_core.errors import SalmonError
from salmon_core.run.processes import Running

_CHILD = Path(__file__).with_name("child.py")
#: the address of a Unix socket is no longer than 104 bytes everywhere
_LONGEST = 80
#: lines of vLLM's output that an error shows
_LINES = 6
_HINT = "change the engine's options or their `extra`, or open this model with the engine transformers"
_ENVIRONMENT = {
    # Its engine in the one process: it starts sooner, schedules the same each time, and what ends it ends all.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "NO_COLOR": "1",
    "PYTHONUNBUFFERED": "1",
}


class Child:
    """A process in which vLLM has a model open.

    It is supervised like a step of a run: when this process goes, however it goes, the child ends with all that it
    started.

    Args:
        python: interpreter that has vLLM.
        order: what to open, as `child.py` has it.
        env: put on top of the environment.
        limit: seconds until it has to be ready.
        where: the model, for messages.

    Attributes:
        known: what it says of itself and the model.

    Raises:
        SalmonError: it is not ready in time, or cannot open the model.
    """

    def __init__(self, python: str, order: Mapping[str, Any], *, env: Mapping[str, str], limit: float, where: str):
        self._where = where
        self._held = ExitStack()
        self._rest, self._asked = b"", 0
        try:
            self._start(python, env, limit)
            self._say(order)
            self.known: Mapping[str, Any] = self._ready(limit)
        except BaseException:
            self.close()
            raise

    def ask(self, question: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """What it says about a question, until all is said; then comes the next one.

        Raises:
            SalmonError: it refuses, or has ended.
        """
        self._asked += 1
        self._say(question)
        while "end" not in (heard := self._hear(None)):
            yield heard

    def enough(self, number: int) -> None:
        """Of the present question, this one need not go on."""
        self._say({"enough": number, "of": self._asked})

    def close(self) -> None:
        """Ends it with all that it started; may be called more than once."""
        self._held.close()

    def _start(self, python: str, env: Mapping[str, str], limit: float) -> None:
        deadline = time.monotonic() + limit
        with ExitStack() as short:
            folder = _private_folder()
            short.callback(shutil.rmtree, folder, ignore_errors=True)
            listening = short.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(str(folder / "s"))
            listening.listen(1)
            listening.settimeout(0.2)
            log = folder / "log"
            log.touch()
            self._log = self._held.enter_context(log.open("rb"))
            own = {} if os.path.samefile(python, sys.executable) else {"PYTHONPATH": "", "PYTHONHOME": ""}
            argv = [python, str(_CHILD), str(folder / "s")]
            running = Running(argv, env={**_ENVIRONMENT, **own, **env}, cwd=Path("/"), log=log)
            self._running = self._held.enter_context(running)
            while True:
                try:
                    self._line, _ = listening.accept()
                    break
                except TimeoutError:
                    self._wait(deadline, limit)
        # Closed before the process is ended, so that it ends by itself.
        self._held.enter_context(self._line)
        self._line.settimeout(0.2)

    def _ready(self, limit: float) -> Mapping[str, Any]:
        heard = self._hear(limit)
        ready: Mapping[str, Any] = heard["ready"]
        return ready

    def _wait(self, deadline: float, limit: float) -> None:
        """While it starts: a sign of life, since that has a limit of its own."""
        alive()
        if self._running.poll() is not None:
            raise self._ended()
        if time.monotonic() > deadline:
            raise SalmonError(
                f"vLLM was not ready within {limit:g} s{self._said()}",
                where=self._where,
                hint="raise start_timeout; enforce_eager: true starts sooner",
            )

    def _say(self, message: Mapping[str, Any]) -> None:
        try:
            self._line.settimeout(None)
            self._line.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            raise self._ended() from None
        finally:
            self._line.settimeout(0.2)

    def _hear(self, limit: float | None) -> Mapping[str, Any]:
        """The next message; with a limit, what is heard while it starts."""
        deadline = time.monotonic() + (limit or 0)
        while b"\n" not in self._rest:
            try:
                more = self._line.recv(1 << 20)
            except TimeoutError:
                if limit is not None:
                    self._wait(deadline, limit)
                elif self._running.poll() is not None:
                    raise self._ended() from None
                continue
            except OSError:
                more = b""
            if not more:
                raise self._ended()
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        heard: Mapping[str, Any] = json.loads(line)
        alive()
        if "refused" in heard:
            message = f"vLLM refuses: {heard['refused']}"
            raise SalmonError(message, where=self._where, hint=heard["hint"] or _HINT)
        return heard

    def _ended(self) -> SalmonError:
        deadline = time.monotonic() + 5
        while (code := self._running.poll()) is None and time.monotonic() < deadline:
            time.sleep(0.05)
        signal = -code if code is not None and code < 0 else (code or 0) - 128
        how = "is gone" if code is None else f"was ended by signal {signal}" if 0 < signal < 65 else f"ended ({code})"
        hint = "signal 9 may be a lack of memory: lower kv_cache_gib, gpu_memory_utilization or max_model_len"
        return SalmonError(f"vLLM's process {how}{self._said()}", where=self._where, hint=hint)

    def _said(self) -> str:
        """The end of its output."""
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - 8192))
        text = self._log.read().decode("utf-8", "replace").replace("\r", "\n")
        lines = [line.strip()[:300] for line in text.splitlines() if line.strip()]
        return "; it printed nothing" if not lines else "; its output ends with:\n  " + "\n  ".join(lines[-_LINES:])


def _private_folder() -> Path:
    """A new folder that nobody else may enter, with room in its path for a socket's name."""
    folder = tempfile.mkdtemp(prefix="salmon-vllm-")
    if len(os.fsencode(folder)) <= _LONGEST:
        return Path(folder)
    os.rmdir(folder)
    return Path(tempfile.mkdtemp(prefix="salmon-vllm-", dir="/tmp"))
