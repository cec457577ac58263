"""Small whole numbers in place of texts and hashes, so that a batch is grouped by sorting machine words.

A batch of thousands of lines holds a few hundred texts and keys. They are numbered once, and all counting works on the
numbers: grouping them costs a few nanoseconds a row, grouping texts a hundred.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from detectors.table import Rows

_TABLE_MAX = 1 << 22  # numbers below it are renumbered by a table, 16 MB at most; larger ones by sorting
_BITS = 63  # of a whole number without its sign


@dataclass(frozen=True, slots=True)
class Coded:
    """A series of texts as numbers: row r is `texts[code[r]]`."""

    code: Rows
    texts: pl.Series  # distinct, in the order in which they come first

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, slots=True)
class Runs:
    """Equal numbers of an array brought together: one row for each distinct number, ascending."""

    code: Rows  # the number
    first: Rows  # where it comes first in the array
    count: Rows  # how often it comes
    order: Rows  # rows of the array by number, equal ones as they come
    start: Rows  # of each distinct number in `order`

    def __len__(self) -> int:
        return len(self.code)

    def total(self, values: Rows) -> Rows:
        """Sum of some values of each row of the array, by distinct number."""
        return np.asarray(np.add.reduceat(values[self.order], self.start) if len(self.start) else values[:0], np.int64)


def coded(texts: pl.Series) -> Coded:
    """Number the texts of a series without nulls."""
    if len(texts) == 0:
        return Coded(np.zeros(0, np.int64), texts)
    # Categories of our own are forgotten with the series; those that polars shares would grow for ever.
    physical = texts.cast(pl.Categorical(pl.Categories.random())).to_physical().to_numpy()
    code, first = dense(physical, int(physical.max()) + 1)
    return Coded(code, texts[first])


def dense(numbers: NDArray[np.integer], size: int) -> tuple[Rows, Rows]:
    """Renumber numbers below `size` in the order in which they come first: the new ones, and where each comes first."""
    if size > _TABLE_MAX:
        numbers = np.unique(numbers, return_inverse=True)[1]
        size = len(numbers)
    places = np.arange(len(numbers))
    table = np.empty(size, np.int32)
    table[numbers[::-1]] = places[::-1]  # the last assignment wins: the first place
    first = table[numbers]
    begins = first == places
    code = (np.cumsum(begins) - 1)[first]
    return code, np.flatnonzero(begins)


def runs(numbers: Rows, size: int) -> Runs:
    """Bring equal numbers below `size` together."""
    count = len(numbers)
    bits = count.bit_length()
    if size.bit_length() + bits > _BITS:
        order = np.argsort(numbers, kind="stable")
        ordered = numbers[order]
    else:
        # Number and place in one word: sorting words is many times faster than sorting places by numbers.
        words = np.sort((numbers << bits) | np.arange(count))
        ordered, order = words >> bits, words & ((1 << bits) - 1)
    begins = np.ones(count, np.bool_)
    begins[1:] = ordered[1:] != ordered[:-1]
    start = np.flatnonzero(begins)
    return Runs(ordered[start], order[start], np.diff(start, append=count), order, start)


def exploded(lists: pl.Series) -> tuple[Rows, pl.Series]:
    """The list that each text of a series of lists is in, and the texts."""
    lengths = lists.list.len().to_numpy()
    return np.repeat(np.arange(len(lists)), lengths), lists.explode(empty_as_null=False, keep_nulls=False)
