"""Which rollouts are asked for, and in which order: answered while somebody types, of hundreds of thousands too."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

#: what rows can be sorted by, beside the components
SORTS = ("reward", "change", "n_tokens", "kl", "rollout_index")
PART = "reward: "
#: orders of one table that are kept
_KEPT = 8


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


class Ordered:
    """A table of rollouts with its orders, each made when it is first asked for: sorting takes longer than filtering.

    Args:
        table: as `RolloutIndex` puts it together; does not change.
    """

    def __init__(self, table: pa.Table):
        self.table = table
        self._orders: dict[tuple[tuple[str, str], ...], pa.Array] = {}

    def places(self, query: Query) -> pa.Array:
        """Of all rows, in the order of the query, whatever else it asks for."""
        by = self._keys(query)
        order = self._orders.get(by)
        if order is None:
            # Nulls come last, whichever way: where nothing was measured there is nothing to rank.
            order = pc.sort_indices(self.table, sort_keys=list(by))
            self._orders = {**dict(list(self._orders.items())[1 - _KEPT :]), by: order}
        return order

    def _keys(self, query: Query) -> tuple[tuple[str, str], ...]:
        if query.sort == "prompt":
            return (("prompt_id", "ascending"), ("rollout_index", "ascending"))
        known = query.sort in SORTS or (query.sort.startswith(PART) and query.sort in self.table.column_names)
        return ((query.sort if known else "rollout_index", "descending" if query.descending else "ascending"),)


def chosen(table: pa.Table, query: Query) -> pa.Array | None:
    """For each row whether it is asked for; None: all are."""
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
        # As a pattern without any: several times as fast as Arrow's own search for a plain text.
        masks.append(pc.match_substring_regex(table.column("searched"), re.escape(query.search.lower())))
    if not masks:
        return None
    mask = masks[0]
    for each in masks[1:]:
        mask = pc.and_(mask, each)
    return whole(pc.fill_null(mask, False))


def whole(column: pa.ChunkedArray) -> pa.Array:
    """As one array; a single chunk is not copied."""
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
