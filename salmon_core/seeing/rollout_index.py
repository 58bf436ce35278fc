"""All rollouts of a training, to be sorted, filtered, searched and paged: an Arrow table, read on as files come.

A row's name is its generated batch and its place in it, as alarms name it. `completion_ids` stay on the disk.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from salmon_core.data.rollouts import ROLLOUTS, rollout_files
from salmon_core.errors import SalmonError
from salmon_core.kit.significance import clustered
from salmon_core.seeing.changes import TRAINING, Change
from salmon_core.seeing.rollout_query import PART, SORTS, Ordered, Query, chosen, whole

__all__ = ["PART", "SORTS", "Page", "Query", "RolloutIndex", "histogram"]

_Z = 1.959964
_READ = tuple(name for name in ROLLOUTS.names if name != "completion_ids")
_MAPS = ("components", "by_principle", "left_out")
#: files that are read at once
_THREADS = 2
BINS = 32


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of those that were asked for.

    Attributes:
        rows: as `ROLLOUTS`, maps as dictionaries, with `place`, `shown` (labels), `flagged` and `change`.
        total: rows that were asked for, `all` there are.
        bins: rewards of those that were asked for: (low, high, count).
    """

    rows: list[dict[str, Any]]
    total: int
    all: int
    bins: tuple[tuple[float, float, int], ...]


class RolloutIndex:
    """The rollouts of one run.

    Args:
        stage: the folder of `train-policy`.
    """

    def __init__(self, stage: Path):
        self._stage = stage
        self._files: dict[Path, tuple[int, int]] = {}
        self._parts: dict[Path, pa.Table] = {}
        self._flags: frozenset[tuple[int, int]] = frozenset()
        self._early: list[Change] | None = None
        self._ordered = Ordered(_empty())
        self.components: tuple[str, ...] = ()
        self.wrong: tuple[str, ...] = ()

    def refresh(self, flagged: Iterable[Sequence[int]] = ()) -> bool:
        """Reads what is new; True where anything changed. What cannot be read is passed over, and told in `wrong`.

        Args:
            flagged: (generated batch, place) of rollouts that alarms are about.
        """
        flags = frozenset((int(each[0]), int(each[1])) for each in flagged)
        known = {}
        for file in rollout_files(self._stage):
            try:
                status = file.stat()
            except FileNotFoundError:  # of a training that was begun anew
                continue
            known[file] = (status.st_size, status.st_mtime_ns)
        changed = [file for file, own in known.items() if self._files.get(file) != own]
        if not changed and len(known) == len(self._files) and flags == self._flags:
            return False
        with ThreadPoolExecutor(_THREADS) as pool:
            read = dict(zip(changed, pool.map(_read, changed), strict=True))
        self.wrong = tuple(str(each) for each in read.values() if isinstance(each, SalmonError))
        self._parts = {
            file: table for file in known if isinstance(table := read.get(file, self._parts.get(file)), pa.Table)
        }
        self._files, self._flags = known, flags
        self._put_together()
        return True

    def _put_together(self) -> None:
        self._early = None
        parts = [each for each in self._parts.values() if each.num_rows]
        if not parts:
            self._ordered, self.components = Ordered(_empty()), ()
            return
        # Not every file has every component.
        table = pa.concat_tables(parts, promote_options="default").combine_chunks()
        names = [name.removeprefix(PART) for name in table.column_names if name.startswith(PART)]
        table = table.append_column("place", _places(table.column("rollout_index")))
        table = table.append_column("flagged", _flagged(table, self._flags))
        table = table.append_column("change", _change(table))
        self._ordered, self.components = Ordered(table), tuple(names)

    @property
    def table(self) -> pa.Table:
        """All that was read, with what is made of it."""
        return self._ordered.table

    @property
    def categories(self) -> list[str]:
        """That rollouts have."""
        return sorted(each for each in pc.unique(self.table.column("category")).to_pylist() if each)

    @property
    def principles(self) -> list[str]:
        """Labels of those that were shown."""
        sets = pc.unique(self.table.column("shown")).to_pylist()
        return sorted({name for each in sets for name in (each or "").split(", ") if name})

    @property
    def batches(self) -> list[int]:
        """Generated batches that were written down."""
        return sorted(pc.unique(self.table.column("rollout_index")).to_pylist())

    def find(self, query: Query) -> Page:
        """One page."""
        ordered = self._ordered  # which another thread may replace
        table, mask = ordered.table, chosen(ordered.table, query)
        places, rewards = ordered.places(query), table.column("reward")
        if mask is not None:
            places, rewards = places.filter(mask.take(places)), rewards.filter(mask)
        rows = _rows(table, places.slice(query.start, query.size))
        return Page(rows, len(places), table.num_rows, histogram(rewards))

    def one(self, rollout_index: int, place: int) -> dict[str, Any] | None:
        """A rollout by its name; None where there is none."""
        table = self.table
        mask = pc.and_(pc.equal(table.column("rollout_index"), rollout_index), pc.equal(table.column("place"), place))
        rows = _rows(table, pc.indices_nonzero(mask).cast(pa.int64()).slice(0, 1))
        return rows[0] if rows else None

    def visits(self, prompt_id: str) -> list[dict[str, Any]]:
        """All rollouts of a prompt, in the order of their batches."""
        return self.find(Query("rollout_index", False, prompt_id=prompt_id, size=self.table.num_rows)).rows

    def early_and_late(self) -> list[Change]:
        """The reward and its components in the first and the last quarter of the batches, prompts as clusters."""
        if self._early is None:
            self._early = self._early_and_late()
        return self._early

    def _early_and_late(self) -> list[Change]:
        order = self.batches
        if len(order) < 2:
            return []
        size = max(1, len(order) // 4)
        sides = [self._of_batches(order[:size]), self._of_batches(order[-size:])]
        found = []
        for title, name in [("reward", "reward"), *((each, PART + each) for each in self.components)]:
            one, other = (clustered(_clusters(side, name)) for side in sides)
            half = _Z * math.hypot(one.error, other.error)
            if not math.isfinite(half):
                continue
            change = other.mean - one.mean
            n = min(one.clusters, other.clusters)
            found.append(Change(title, TRAINING, one.mean, other.mean, change - half, change + half, n))
        return found

    def _of_batches(self, batches: Collection[int]) -> pa.Table:
        mask = pc.is_in(self.table.column("rollout_index"), pa.array(list(batches), pa.int64()))
        return self.table.filter(mask)


def _rows(table: pa.Table, places: pa.Array) -> list[dict[str, Any]]:
    found = table.drop_columns(["searched"]).take(places).to_pylist()
    return [row | {name: dict(row[name] or ()) for name in _MAPS} for row in found]


def histogram(values: pa.ChunkedArray | pa.Array, bins: int = BINS) -> tuple[tuple[float, float, int], ...]:
    """Of the values that are finite: (low, high, count)."""
    values = pc.filter(values, pc.fill_null(pc.is_finite(values), False))
    if not len(values):
        return ()
    ends = pc.min_max(values)
    low, high = ends["min"].as_py(), ends["max"].as_py()
    if low == high:
        return ((low, high, len(values)),)
    width = (high - low) / bins
    numbers = pc.min_element_wise(pc.floor(pc.divide(pc.subtract(values, low), width)).cast(pa.int32()), bins - 1)
    counts = {each["values"]: each["counts"] for each in pc.value_counts(numbers).to_pylist()}
    return tuple((low + width * number, low + width * (number + 1), counts.get(number, 0)) for number in range(bins))


def _read(file: Path) -> pa.Table | SalmonError:
    try:
        with pq.ParquetFile(file, memory_map=False) as opened:
            names = [name for name in _READ if name in opened.schema_arrow.names]
            table = opened.read(columns=names, use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        return SalmonError(f"cannot be read: {str(error).partition(chr(10))[0]}", where=str(file))
    needed = pa.schema([ROLLOUTS.field(name) for name in _READ])
    for field in needed:
        if field.name not in table.column_names:  # of an earlier version
            table = table.append_column(field.name, pa.nulls(table.num_rows, field.type))
    try:
        return _with_more(table.select(list(_READ)).cast(needed))
    except (pa.ArrowException, ValueError) as error:
        return SalmonError(f"has a column of another type: {str(error).partition(chr(10))[0]}", where=str(file))


def _with_more(table: pa.Table) -> pa.Table:
    """With what is made of a row alone: once for each file, so that a batch that comes costs no more than itself."""
    if not table.num_rows:
        return table
    table = table.combine_chunks()
    table = table.append_column("shown", _labels(table.column("principles")))
    table = table.append_column("searched", _text(table))
    for name in pc.unique(_keys(table.column("components"))).to_pylist():
        table = table.append_column(PART + name, pc.map_lookup(table.column("components"), name, "first"))
    return table


def _empty() -> pa.Table:
    table = pa.schema([ROLLOUTS.field(name) for name in _READ]).empty_table()
    more: Mapping[str, pa.DataType] = {
        "place": pa.int64(),
        "shown": pa.string(),
        "flagged": pa.bool_(),
        "change": pa.float64(),
        "searched": pa.string(),
    }
    for name, kind in more.items():
        table = table.append_column(name, pa.array([], kind))
    return table


def _arange(count: int) -> pa.Array:
    return pa.array(range(count), pa.int64())


def _keys(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays([chunk.keys for chunk in column.chunks])


def _places(indexes: pa.ChunkedArray) -> pa.Array:
    """Of each row in its batch: rows of a batch stand after each other, file by file."""
    counts = pc.value_counts(indexes).field("counts").to_pylist()
    return pa.array(list(chain.from_iterable(map(range, counts))), pa.int64())


def _text(table: pa.Table) -> pa.Array:
    """What is searched, in small letters."""
    both = [pc.fill_null(table.column(name), "") for name in ("prompt", "completion")]
    return whole(pc.utf8_lower(pc.binary_join_element_wise(*both, "\n")))


def _labels(column: pa.ChunkedArray) -> pa.Array:
    """Principles that were shown, as `kind, not short`."""
    lists = whole(column)
    flat = pc.list_flatten(lists)
    names, negated = pc.struct_field(flat, "name"), pc.struct_field(flat, "negated")
    labels = pc.if_else(pc.fill_null(negated, False), pc.binary_join_element_wise(pa.scalar("not"), names, " "), names)
    sizes = pc.fill_null(pc.list_value_length(lists), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(sizes).cast(pa.int32())])
    return pc.binary_join(pa.ListArray.from_arrays(offsets, labels), ", ")


def _flagged(table: pa.Table, flags: Collection[tuple[int, int]]) -> pa.Array:
    if not flags:
        return pa.array([False] * table.num_rows, pa.bool_())
    # One number for batch and place, which are both below two to the thirty-first.
    own = pc.add(pc.multiply(table.column("rollout_index"), 2**31), table.column("place"))
    return whole(pc.is_in(own, pa.array([batch * 2**31 + place for batch, place in flags], pa.int64())))


def _change(table: pa.Table) -> pa.Array:
    """The reward minus the mean reward of the same prompt when it was first visited; null at that first visit."""
    own = table.select(["prompt_id", "rollout_index", "reward"])
    first = own.group_by("prompt_id").aggregate([("rollout_index", "min")])
    joined = own.append_column("at", _arange(own.num_rows)).join(first, "prompt_id")
    early = joined.filter(pc.equal(joined.column("rollout_index"), joined.column("rollout_index_min")))
    means = early.group_by("prompt_id").aggregate([("reward", "mean")])
    joined = joined.join(means, "prompt_id").sort_by("at")
    later = pc.greater(joined.column("rollout_index"), joined.column("rollout_index_min"))
    change = pc.subtract(joined.column("reward"), joined.column("reward_mean"))
    return whole(pc.if_else(later, change, pa.scalar(None, pa.float64())))


def _clusters(table: pa.Table, name: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for prompt, value in zip(table.column("prompt_id").to_pylist(), table.column(name).to_pylist(), strict=True):
        if value is not None and math.isfinite(value):
            found.setdefault(prompt, []).append(value)
    return found
