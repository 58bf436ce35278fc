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

_Z = 1.959964
_READ = tuple(name for name in ROLLOUTS.names if name != "completion_ids")
_MAPS = ("components", "by_principle", "left_out")
#: files that are read at once
_THREADS = 2
BINS = 32
#: what rows can be sorted by, beside the components
SORTS = ("reward", "change", "n_tokens", "kl", "rollout_index")
PART = "reward: "


@dataclass(frozen=True, slots=True)
class Query:
    """Which rows, in which order.

    Attributes:
        sort: one of `SORTS`, or `PART` and the name of a component; `prompt` keeps a prompt's together.
        search: stands in prompt or completion, whatever its case; empty: all.
        category: and `principle`: as shown; empty: all. `principle` is a label such as `not kind`.
        flagged: only those that an alarm is about.
        low: and `high`: of the reward.
        batch: only this generated batch.
        prompt_id: only of this prompt.
    """

    sort: str = "rollout_index"
    descending: bool = True
    search: str = ""
    category: str = ""
    principle: str = ""
    flagged: bool = False
    low: float | None = None
    high: float | None = None
    batch: int | None = None
    prompt_id: str = ""
    start: int = 0
    size: int = 50


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
        self.table: pa.Table = _empty()
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
        if not self._parts:
            self.table, self.components = _empty(), ()
            return
        table = pa.concat_tables(self._parts.values()).combine_chunks()
        names = dict.fromkeys(pc.unique(_keys(table.column("components"))).to_pylist())
        table = table.append_column("place", _places(table.column("rollout_index")))
        table = table.append_column("shown", _labels(table.column("principles")))
        table = table.append_column("flagged", _flagged(table, self._flags))
        table = table.append_column("change", _change(table))
        table = table.append_column("searched", _text(table))
        for name in names:
            table = table.append_column(PART + name, pc.map_lookup(table.column("components"), name, "first"))
        self.table, self.components = table, tuple(names)

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
        table = self.table  # which another thread may replace
        chosen = _chosen(table, query)
        rewards = pc.take(table.column("reward"), chosen)
        rows = _rows(table, _ordered(table, chosen, query).slice(query.start, query.size))
        return Page(rows, len(chosen), table.num_rows, histogram(rewards))

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


def _chosen(table: pa.Table, query: Query) -> pa.Array:
    """Places of the rows that a query asks for."""
    masks = []
    if query.category:
        masks.append(pc.equal(table.column("category"), query.category))
    if query.principle:
        # Labels are joined by `, `; one may be the end of another (`not kind`).
        padded = pc.binary_join_element_wise(pa.scalar(", "), table.column("shown"), pa.scalar(", "), "")
        masks.append(pc.match_substring(padded, f", {query.principle}, "))
    if query.flagged:
        masks.append(table.column("flagged"))
    if query.low is not None:
        masks.append(pc.greater_equal(table.column("reward"), query.low))
    if query.high is not None:
        masks.append(pc.less_equal(table.column("reward"), query.high))
    if query.batch is not None:
        masks.append(pc.equal(table.column("rollout_index"), query.batch))
    if query.prompt_id:
        masks.append(pc.equal(table.column("prompt_id"), query.prompt_id))
    if query.search:
        masks.append(pc.match_substring(table.column("searched"), query.search.lower()))
    if not masks:
        return pa.array(range(0), pa.int64()) if not table.num_rows else _arange(table.num_rows)
    mask = masks[0]
    for each in masks[1:]:
        mask = pc.and_(mask, each)
    return pc.indices_nonzero(pc.fill_null(mask, False)).cast(pa.int64())


def _ordered(table: pa.Table, chosen: pa.Array, query: Query) -> pa.Array:
    way = "descending" if query.descending else "ascending"
    name = (
        query.sort
        if query.sort in (*SORTS, *(each for each in table.column_names if each.startswith(PART)))
        else "rollout_index"
    )
    keys = {"key": pc.take(table.column(name), chosen)}
    by = [("key", way)]
    if query.sort == "prompt":
        keys = {"prompt": pc.take(table.column("prompt_id"), chosen), **keys}
        by = [("prompt", "ascending"), ("key", "ascending")]
    # Nulls come last, whichever way: where nothing was measured there is nothing to rank.
    order = pc.sort_indices(pa.table(keys), sort_keys=by)
    return pc.take(chosen, order)


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
        return table.select(list(_READ)).cast(needed)
    except (pa.ArrowException, ValueError) as error:
        return SalmonError(f"has a column of another type: {str(error).partition(chr(10))[0]}", where=str(file))


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


def _one(column: pa.ChunkedArray) -> pa.Array:
    """As one array; an empty or a single chunk is not copied."""
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _keys(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays([chunk.keys for chunk in column.chunks])


def _places(indexes: pa.ChunkedArray) -> pa.Array:
    """Of each row in its batch: rows of a batch stand after each other, file by file."""
    counts = pc.value_counts(indexes).field("counts").to_pylist()
    return pa.array(list(chain.from_iterable(map(range, counts))), pa.int64())


def _text(table: pa.Table) -> pa.Array:
    """What is searched, in small letters."""
    both = [pc.fill_null(table.column(name), "") for name in ("prompt", "completion")]
    return _one(pc.utf8_lower(pc.binary_join_element_wise(*both, "\n")))


def _labels(column: pa.ChunkedArray) -> pa.Array:
    """Principles that were shown, as `kind, not short`."""
    lists = _one(column)
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
    return _one(pc.is_in(own, pa.array([batch * 2**31 + place for batch, place in flags], pa.int64())))


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
    return _one(pc.if_else(later, change, pa.scalar(None, pa.float64())))


def _clusters(table: pa.Table, name: str) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for prompt, value in zip(table.column("prompt_id").to_pylist(), table.column(name).to_pylist(), strict=True):
        if value is not None and math.isfinite(value):
            found.setdefault(prompt, []).append(value)
    return found
