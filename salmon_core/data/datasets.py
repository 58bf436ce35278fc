"""Rows of data sets: a folder saved by `datasets`, or one of the hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from salmon_core.errors import DataError, SalmonError


def rows_of_dataset(
    path: str, subset: str | None, split: str, revision: str | None, limit: int | None, *, needed_by: str
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(where, row) of each row.

    Args:
        path: a folder, or a hub id.
        limit: at most so many rows.
        needed_by: the key of the configuration, for messages.

    Raises:
        SalmonError: the package `datasets` is not installed.
        DataError: there is no such data set, or it cannot be loaded.
    """
    try:
        import datasets
    except ImportError:
        raise SalmonError("needs the package datasets", where=needed_by, hint="pip install datasets") from None
    try:
        if (Path(path) / "state.json").is_file() or (Path(path) / "dataset_dict.json").is_file():
            data = datasets.load_from_disk(path)
            if isinstance(data, datasets.DatasetDict):
                data = data[split]
        else:
            data = datasets.load_dataset(path, subset, split=split, revision=revision)
    except Exception as error:  # datasets raises its own, the hub's, and the network's
        reason = str(error).strip().splitlines()
        raise DataError(
            f"cannot load the data set: {type(error).__name__}: {reason[0] if reason else ''}", where=path
        ) from None
    for number, row in enumerate(data):
        if limit is not None and number >= limit:
            return
        yield f"{path}: row {number}", row
