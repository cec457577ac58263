"""Lines that their senders named: each name is taken once, however often it is sent.

A shipper whose request was not answered sends it again, maybe cut into other requests; an Elasticsearch document id or
a journal cursor tells that a line is known. What is remembered is bounded: the names of the last lines, by the million.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ingest.batch import Batch
from tocsin.errors import StateError
from tocsin.identity import event_ids
from tocsin.state import State

_KIND, _VERSION = "line names", 1

Names = NDArray[np.uint64]


class LineNames:
    """The names taken lately, in two generations of half of `names_max`: when one is full, the older is forgotten."""

    def __init__(self, names_max: int) -> None:
        self._half = max(names_max // 2, 1)
        self._young: Names = np.zeros(0, np.uint64)  # sorted
        self._old: Names = np.zeros(0, np.uint64)  # sorted

    def new_lines(self, batch: Batch) -> Batch:
        """The batch without the lines whose name was taken before, here or in an earlier batch."""
        named = batch.lines["identity"].is_not_null()
        if not named.any():
            return batch
        # A name that comes twice within a batch is left to the parser, which takes the first.
        names = _hashes(batch, batch.lines["identity"].drop_nulls().to_list())
        taken = _holds(self._young, names) | _holds(self._old, names)
        self._remember(names[~taken])
        if not taken.any():
            return batch
        known = np.zeros(batch.lines.height, np.bool_)
        known[named.to_numpy()] = taken
        return replace(batch, lines=batch.lines.filter(pl.Series(~known)))

    def state(self) -> State:
        """All that is remembered."""
        return State(kind=_KIND, version=_VERSION, arrays={"young": self._young, "old": self._old})

    def restore(self, state: State) -> None:
        """Remember what `state` does and nothing else.

        Raises:
            StateError: it is of something else.
        """
        arrays = state.expect(_KIND, _VERSION).arrays
        try:
            self._young, self._old = arrays["young"].copy(), arrays["old"].copy()
        except KeyError as error:
            raise StateError(f"line names: {error!r}") from error

    def _remember(self, names: Names) -> None:
        self._young = np.union1d(self._young, names)
        if len(self._young) >= self._half:
            self._old, self._young = self._young, np.zeros(0, np.uint64)


def _hashes(batch: Batch, names: Sequence[str]) -> Names:
    ids = [event_ids(batch.tenant, batch.stream, f"line {name}", [0])[0] for name in names]
    return np.array([int(text[:16], 16) for text in ids], np.uint64)


def _holds(known: Names, names: Names) -> NDArray[np.bool_]:
    if len(known) == 0:
        return np.zeros(len(names), np.bool_)
    places = np.minimum(np.searchsorted(known, names), len(known) - 1)
    return np.asarray(known[places] == names, np.bool_)
