"""A table of numbers by 64-bit key: sorted arrays, so that membership of a million keys is one binary search each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from detectors.hashing import Hashes

Rows = NDArray[np.int64]


class Table:
    """Rows sorted by `keys`; `columns` are parallel to them."""

    def __init__(self, schema: Mapping[str, DTypeLike]) -> None:
        self.keys: Hashes = np.zeros(0, np.uint64)
        self.columns: dict[str, NDArray[Any]] = {name: np.zeros(0, dtype) for name, dtype in schema.items()}

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self.columns[column]

    def find(self, keys: Hashes) -> Rows:
        """Row of each key, -1 where it is not in the table."""
        if len(self.keys) == 0:
            return np.full(len(keys), -1, np.int64)
        rows = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[rows] == keys, rows, -1)

    def copy(self) -> Table:
        """Another table with the same rows."""
        twin = Table({})
        twin.keys = self.keys.copy()
        twin.columns = {name: column.copy() for name, column in self.columns.items()}
        return twin

    def add(self, keys: Hashes, columns: Mapping[str, NDArray[Any]]) -> None:
        """Add keys, distinct and not yet in the table, in any order."""
        if len(keys) == 0:
            return
        order = np.argsort(keys)
        places = np.searchsorted(self.keys, keys[order])
        self.keys = np.insert(self.keys, places, keys[order])
        for name, column in self.columns.items():
            self.columns[name] = np.insert(column, places, columns[name][order].astype(column.dtype))

    def keep(self, mask: NDArray[np.bool_]) -> int:
        """Drop the rows outside `mask`; return how many."""
        dropped = len(mask) - int(mask.sum())
        if dropped:
            self.keys = self.keys[mask]
            self.columns = {name: column[mask] for name, column in self.columns.items()}
        return dropped

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """All of it, for a State."""
        return {f"{prefix}.key": self.keys} | {f"{prefix}.{name}": column for name, column in self.columns.items()}

    def take(self, prefix: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Become what `arrays` gave."""
        self.keys = arrays[f"{prefix}.key"].copy()
        self.columns = {name: arrays[f"{prefix}.{name}"].copy() for name in self.columns}


class Heap:
    """Rows that stay where they were put until some are dropped; an index finds them by key.

    So adding thousands to hundreds of thousands moves the index alone, and row numbers stay true meanwhile.
    """

    def __init__(self, schema: Mapping[str, DTypeLike]) -> None:
        self._index = Table({"row": np.int64})
        self._columns: dict[str, NDArray[Any]] = {name: np.zeros(0, dtype) for name, dtype in schema.items()}
        self._keys: Hashes = np.zeros(0, np.uint64)

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self._columns[column][: len(self)]

    @property
    def keys(self) -> Hashes:
        """Key of each row."""
        return self._keys[: len(self)]

    def find(self, keys: Hashes) -> Rows:
        """Row of each key, -1 where it is not there; faster where the keys ascend."""
        places = self._index.find(keys)
        return np.where(places >= 0, self._index["row"][places], -1) if len(self) else places

    def add(self, keys: Hashes, columns: Mapping[str, NDArray[Any]]) -> Rows:
        """Add keys, distinct and not yet there, in any order; return their rows."""
        begin, end = len(self), len(self) + len(keys)
        if end > len(self._keys):
            room = max(begin + begin // 2, end)
            self._keys = _with_room(self._keys, room)
            self._columns = {name: _with_room(column, room) for name, column in self._columns.items()}
        self._keys[begin:end] = keys
        for name, column in self._columns.items():
            column[begin:end] = columns[name]
        rows = np.arange(begin, end)
        self._index.add(keys, {"row": rows})
        return rows

    def copy(self) -> Heap:
        """Another with the same rows."""
        twin = Heap({})
        twin._index.keys, twin._index.columns = self._index.keys, dict(self._index.columns)  # replaced, never changed
        twin._keys = self._keys.copy()
        twin._columns = {name: column.copy() for name, column in self._columns.items()}
        return twin

    def in_order(self) -> Rows:
        """All rows, by key."""
        return self._index["row"]

    def keep(self, rows: Rows) -> int:
        """Drop all but some rows, given by key; return how many. Rows are numbered by key afterwards."""
        dropped = len(self) - len(rows)
        if dropped:
            self._take(self._keys[rows], {name: column[rows] for name, column in self._columns.items()})
        return dropped

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """All of it by key, for a State."""
        rows = self.in_order()
        columns = {f"{prefix}.{name}": column[rows] for name, column in self._columns.items()}
        return {f"{prefix}.key": self._keys[rows]} | columns

    def take(self, prefix: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Become what `arrays` gave."""
        self._take(arrays[f"{prefix}.key"].copy(), {name: arrays[f"{prefix}.{name}"].copy() for name in self._columns})

    def _take(self, keys: Hashes, columns: dict[str, NDArray[Any]]) -> None:
        self._keys, self._columns = keys, columns
        self._index = Table({"row": np.int64})
        self._index.add(keys, {"row": np.arange(len(keys))})


def _with_room(array: NDArray[Any], size: int) -> NDArray[Any]:
    larger = np.empty(size, array.dtype)
    larger[: len(array)] = array
    return larger


def newest(group: Hashes, at: Rows, per_group: int, total: int) -> NDArray[np.bool_]:
    """Mask of the rows that stay when each group keeps its `per_group` newest and all together `total`."""
    mask = np.ones(len(group), np.bool_)
    # Few groups are too large, if any: only they are looked at row by row.
    groups, sizes = np.unique(group, return_counts=True)
    for each in groups[sizes > per_group]:
        rows = np.flatnonzero(group == each)
        mask[rows[np.argsort(-at[rows], kind="stable")[per_group:]]] = False
    if mask.sum() > total:
        kept = np.flatnonzero(mask)
        oldest = kept[np.argsort(at[kept], kind="stable")][: len(kept) - total]
        mask[oldest] = False
    return mask
