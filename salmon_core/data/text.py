"""Text files that people wrote, and what is said where one cannot be read."""

from __future__ import annotations

from pathlib import Path

from salmon_core.errors import ConfigError, Problem


def read_text(path: Path) -> str:
    """A file's text, without a byte order mark.

    Raises:
        ConfigError: there is no such file, it cannot be read, or it is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        message = "there is no such file"
    except IsADirectoryError:
        message = "is a folder, not a file"
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start})"
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
    raise ConfigError([Problem(str(path), message)])
