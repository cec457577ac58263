"""What is known of each counted series: one row of numbers, bounded in number, the stalest forgotten first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.hashing import Hashes
from detectors.table import Rows, Table, newest

DAYS, DAY_HOURS = 7, 24
HOURS = DAYS * DAY_HOURS  # of a week; hour h of the week is also hour h % 24 of a day
PEAKS = 3  # worst deviations remembered: what was seen three times is a habit

_COLUMNS: dict[str, Any] = {
    "key": np.uint64,
    "stream": np.uint64,
    "group": np.uint64,  # the newcomers' series of its peers; 0 for a stream's own counts
    "facet": np.int8,
    "seen": np.int64,  # interval of the latest count above 0
    "age": np.float64,  # intervals learned
    "sums": np.dtype((np.float64, (7,))),  # decayed sums, see below
    "quiet": np.float64,  # counts that were expected since the last one
    "high": np.dtype((np.float64, (PEAKS,))),  # worst surprises upwards, decades, descending
    "low": np.dtype((np.float64, (PEAKS,))),  # downwards
    # By hour of the day, then by day: a forecast looks at one hour of all days.
    "season": np.dtype((np.float32, (DAY_HOURS, DAYS))),  # decayed sum of counts in each hour of the week
    "season_n": np.dtype((np.float32, (DAY_HOURS, DAYS))),  # decayed number of intervals in it
}
_SEASONS = ("season", "season_n")

# Places in `sums`: counts of the last hour or two and what the season had expected of them; counts of some days and how
# many intervals; squared errors beyond Poisson's, squared means, and how many errors.
RECENT, RECENT_USUAL, LEVEL, LEVEL_N, EXCESS, SQUARE, ERRORS_N = range(7)


class Series:
    """Parallel arrays; a row keeps its place until rows are forgotten."""

    def __init__(self) -> None:
        self._index = Table({"row": np.int64})
        self._arrays: dict[str, NDArray[Any]] = {name: np.zeros(0, dtype) for name, dtype in _COLUMNS.items()}
        self._size = 0
        self.texts: dict[int, tuple[str, str]] = {}  # by key: name (template id or entity, or ""), text for a person

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self._arrays[column][: self._size]

    def find(self, keys: Hashes) -> Rows:
        """Row of each key, -1 where it is not known."""
        places = self._index.find(keys)
        return np.where(places >= 0, self._index["row"][places], -1) if self._size else places

    def admit(self, keys: Hashes, *, stream: Hashes, group: Hashes, facet: NDArray[np.int8]) -> None:
        """Begin to know keys, distinct and not yet known."""
        if len(keys) == 0:
            return
        begin, end = self._size, self._size + len(keys)
        if end > len(self._arrays["key"]):
            self._arrays = {name: _grown(array, max(2 * begin, end, 64)) for name, array in self._arrays.items()}
        for array in self._arrays.values():
            array[begin:end] = 0
        for name, values in {"key": keys, "stream": stream, "group": group, "facet": facet}.items():
            self._arrays[name][begin:end] = values
        self._size = end
        self._index.add(keys, {"row": np.arange(begin, end)})

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Forget the rows outside `mask`."""
        if mask.all():
            return
        self._arrays = {name: array[: self._size][mask] for name, array in self._arrays.items()}
        self._size = int(mask.sum())
        self.texts = {key: self.texts[key] for key in self["key"].tolist() if key in self.texts}
        self._reindex()

    def prune(self, per_group: int, total: int) -> None:
        """Keep the `per_group` of each group and the `total` of all that were seen last; own counts of streams stay."""
        if self._size <= min(per_group, total):
            return
        group, seen = self["group"], self["seen"]
        own = group == 0
        mask = newest(group, np.where(own, np.iinfo(np.int64).max // 2, seen), per_group, total)
        self.keep(mask | own)

    def copy(self) -> Series:
        """Another object that knows the same."""
        twin = Series()
        # With its room for more rows, which the next admission would have to make again.
        twin._arrays = {name: array.copy() for name, array in self._arrays.items()}
        twin._size = self._size
        twin._index = self._index.copy()
        twin.texts = dict(self.texts)
        return twin

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it, for a State: there the hours of the week are in order."""
        seasons = {name: self[name].transpose(0, 2, 1).reshape(-1, HOURS) for name in _SEASONS}
        return {f"series.{name}": seasons.get(name, self[name]) for name in _COLUMNS}

    def take(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Become what `arrays` gave."""
        self._arrays = {name: arrays[f"series.{name}"].copy() for name in _COLUMNS}
        for name in _SEASONS:
            by_day = self._arrays[name].reshape(-1, DAYS, DAY_HOURS)
            self._arrays[name] = np.ascontiguousarray(by_day.transpose(0, 2, 1))
        self._size = len(self._arrays["key"])
        self._reindex()

    def _reindex(self) -> None:
        self._index = Table({"row": np.int64})
        self._index.add(self["key"], {"row": np.arange(self._size)})


def _grown(array: NDArray[Any], size: int) -> NDArray[Any]:
    larger = np.zeros((size, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
