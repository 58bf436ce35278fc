"""What is closed by leaving its context."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Closing:
    """A context manager; leaving it calls `close`, whatever happened."""

    def close(self) -> None:
        """Frees what it holds; may be called more than once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
