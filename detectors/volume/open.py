"""Counts of the intervals that are not over: one table an interval, each series once in it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from detectors.hashing import Hashes
from detectors.table import Heap
from detectors.volume.counts import Counts, no_counts, together

_NUMBERS = {"stream": np.uint64, "group": np.uint64, "facet": np.int8, "value": np.float64}
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

    def add(self, counts: Counts) -> None:
        """Add counts, sorted by interval, each series once an interval."""
        interval = counts.interval
        columns = {name: getattr(counts, name) for name in _SCHEMA}
        changes = np.flatnonzero(np.diff(interval)) + 1
        for begin, end in pairwise([0, *changes.tolist(), len(counts)] if len(counts) else []):
            part = {name: column[begin:end] for name, column in columns.items()}
            _add(self._own(int(interval[begin])), counts.key[begin:end], part)

    def take(self, is_taken: Callable[[int, Hashes], NDArray[np.bool_]]) -> Counts:
        """Take counts out, by the interval and the streams of its rows."""
        taken = []
        for interval, table in sorted(self._tables.items()):
            rows = table.in_order()
            mask = is_taken(interval, table["stream"][rows])
            if not mask.any():
                continue
            taken.append(_counts(interval, table, rows[mask]))
            del self._tables[interval]
            if not mask.all():
                left = self._tables[interval] = table.copy()
                left.keep(rows[~mask])
                self._shared.discard(interval)
        return together(taken)

    def all(self) -> Counts:
        """All of it."""
        tables = sorted(self._tables.items())
        return together([_counts(interval, table, table.in_order()) for interval, table in tables])

    def held(self, interval: int, streams: Hashes) -> Counts:
        """What is counted of some streams, sorted, in an interval."""
        table = self._tables.get(interval)
        if table is None:
            return no_counts()
        rows = table.in_order()
        stream = table["stream"][rows]
        places = np.minimum(np.searchsorted(streams, stream), len(streams) - 1)
        return _counts(interval, table, rows[streams[places] == stream])

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
    table["value"][known] += columns["value"][old]
    for name in _LINE:
        table[name][known] = columns[name][old]
    table.add(key[~old], {name: column[~old] for name, column in columns.items()})


def _counts(interval: int, table: Heap, rows: NDArray[np.int64]) -> Counts:
    columns = {name: table[name][rows] for name in _SCHEMA}
    return Counts(interval=np.full(len(rows), interval), key=table.keys[rows], **columns)
