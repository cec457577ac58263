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


def newest(group: Hashes, at: Rows, per_group: int, total: int) -> NDArray[np.bool_]:
    """Mask of the rows that stay when each group keeps its `per_group` newest and all together `total`."""
    order = np.lexsort((-at, group))
    sorted_group = group[order]
    first = np.searchsorted(sorted_group, sorted_group)
    mask = np.zeros(len(group), np.bool_)
    mask[order] = np.arange(len(group)) - first < per_group
    if mask.sum() > total:
        kept = np.flatnonzero(mask)
        oldest = kept[np.argsort(at[kept], kind="stable")][: len(kept) - total]
        mask[oldest] = False
    return mask
