"""Counts of the intervals that are not over: one table an interval, each series once in it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from detectors.hashing import Hashes
from detectors.table import Heap
from detectors.volume.counts import COUNTS, Counted, distinct_of

_NUMBERS = {"stream": np.uint64, "group": np.uint64, "facet": np.int8, "count": np.float64}
_LINE = ("event_id", "name", "text")  # of the latest line counted
_SCHEMA = {**_NUMBERS, **dict.fromkeys(_LINE, np.object_)}


class Open:
    """Tables by interval, by the key of the series. A copy shares each until one of the two changes it."""

    def __init__(self) -> None:
        self._tables: dict[int, Heap] = {}
        self._shared: set[int] = set()

    def __len__(self) -> int:
        return sum(len(table) for table in self._tables.values())

    def copy(self) -> Open:
        """Another that holds the same."""
        twin = Open()
        twin._tables, twin._shared, self._shared = dict(self._tables), set(self._tables), set(self._tables)
        return twin

    def add(self, counts: pl.DataFrame) -> None:
        """Add COUNTS, sorted by interval, each series once an interval."""
        if counts.is_empty():
            return
        interval, key = counts["interval"].to_numpy(), counts["key"].to_numpy()
        begins = np.flatnonzero(np.concatenate([[True], interval[1:] != interval[:-1]]))
        columns = {name: counts[name].to_numpy() for name in _NUMBERS}
        columns |= {name: np.array(counts[name].to_list(), np.object_) for name in _LINE}
        for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(counts)], strict=True):
            part = {name: column[begin:end] for name, column in columns.items()}
            _add(self._own(int(interval[begin])), key[begin:end], part)

    def take(self, is_taken: Callable[[int, Hashes], NDArray[np.bool_]]) -> pl.DataFrame:
        """Take counts out, by the interval and the streams of its rows: COUNTS, by interval and key."""
        taken = [pl.DataFrame(schema=COUNTS)]
        for interval, table in sorted(self._tables.items()):
            rows = table.in_order()
            mask = is_taken(interval, table["stream"][rows])
            if not mask.any():
                continue
            taken.append(_frame(interval, table, rows[mask]))
            del self._tables[interval]
            if not mask.all():
                left = self._tables[interval] = table.copy()
                left.keep(rows[~mask])
                self._shared.discard(interval)
        return pl.concat(taken)

    def frame(self) -> pl.DataFrame:
        """All of it: COUNTS, by interval and key."""
        tables = [_frame(interval, table, table.in_order()) for interval, table in sorted(self._tables.items())]
        return pl.concat([pl.DataFrame(schema=COUNTS), *tables])

    def held(self, interval: int, streams: Hashes) -> Counted:
        """What is counted of some streams, sorted, in an interval, by key."""
        table = self._tables.get(interval, Heap(_SCHEMA))
        rows = table.in_order()
        stream = table["stream"][rows]
        places = np.minimum(np.searchsorted(streams, stream), len(streams) - 1)
        rows = rows[streams[places] == stream]
        group = table["group"][rows]
        return Counted(
            source=table,
            row=rows,
            key=table.keys[rows],
            stream=table["stream"][rows],
            group=group,
            different=distinct_of(group),
            facet=table["facet"][rows],
            value=table["count"][rows],
        )

    def _own(self, interval: int) -> Heap:
        table = self._tables.get(interval)
        if table is None:
            table = Heap(_SCHEMA)
        elif interval in self._shared:
            table = table.copy()
        self._tables[interval] = table
        self._shared.discard(interval)
        return table


def _add(table: Heap, key: Hashes, columns: dict[str, NDArray[np.generic]]) -> None:
    rows = table.find(key)
    old = rows >= 0
    known = rows[old]
    table["count"][known] += columns["count"][old]
    for name in _LINE:
        table[name][known] = columns[name][old]
    table.add(key[~old], {name: column[~old] for name, column in columns.items()})


def _frame(interval: int, table: Heap, rows: NDArray[np.int64]) -> pl.DataFrame:
    columns = {name: table[name][rows] for name in _NUMBERS} | {name: table[name][rows].tolist() for name in _LINE}
    columns |= {"key": table.keys[rows], "interval": np.full(len(rows), interval)}
    return pl.DataFrame({name: columns[name] for name in COUNTS.names()}, schema=COUNTS)
