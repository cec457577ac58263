"""Finds too many or too few: lines of a stream, of a template, of an entity, against what this hour usually brings.

One unit is an interval of a stream, scored by its most deviating series and told by the few that explain it; or the
silence of a stream, found when the stream itself, other streams or the clock move on. Absence is zero, not missing
data. A burst need not wait for the end of its interval: what is too much already will not become less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

import polars as pl

from detectors.detector import empty_scores
from detectors.volume.book import Book
from detectors.volume.clocks import arrivals_of
from detectors.volume.counts import Counts, count
from detectors.volume.explain import explain
from detectors.volume.settings import VolumeSettings
from detectors.volume.units import Part, Unit, frame_of
from tocsin.finding import Reason
from tocsin.state import State

_NOTES_MAX = 10_000  # units of one call that can be explained from it; each is a few hundred bytes


class VolumeDetector:
    """One unit an interval of a stream, or a silence."""

    Settings: ClassVar[type] = VolumeSettings
    name = "volume"
    lookback = timedelta(0)

    def __init__(self, settings: VolumeSettings | None = None) -> None:
        self._settings = settings or VolumeSettings()
        self._book = Book(self._settings)
        # What `score` worked out already, so that `fit` of the same batch does not do it again.
        self._ahead: tuple[pl.DataFrame, Book] | None = None
        self._notes: dict[tuple[str, str, int], tuple[Part, ...]] = {}  # of the latest `score` and `advance`

    def fit(self, history: pl.DataFrame) -> None:
        """Learn from RECORDS in addition to what is known."""
        if history.is_empty():
            return
        if self._ahead is not None and self._ahead[0] is history:
            self._book = self._ahead[1]
        else:
            self._book, _, _ = self._after(history)
        self._ahead = None

    def score(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Return SCORES: the intervals that the batch ended, and those that hold too many lines before their end."""
        self._notes = {}
        if batch.is_empty():
            return empty_scores()
        book, units, counts = self._after(batch)
        self._ahead = (batch, book)
        return self._told([*units, *book.unfinished(counts)])

    def explain(self, unit: Mapping[str, object]) -> tuple[Reason, ...]:
        """Say which series deviate, from what, and how much."""
        row: Mapping[str, Any] = unit
        start: datetime = row["start"]
        return explain(row, self._notes.get((row["stream"], row["unit"], _seconds(start)), ()))

    def state(self) -> State:
        """Return all that is known, as plain values."""
        return self._book.state()

    def restore(self, state: State) -> None:
        """Know what `state` knows and nothing else."""
        book = Book(self._settings)
        book.restore(state)
        self._book, self._ahead, self._notes = book, None, {}

    def advance(self, until: datetime) -> pl.DataFrame:
        """Return SCORES of the streams that are silent as of `until`."""
        clock = int(pl.Series([until], dtype=pl.Datetime("ns", "UTC")).to_physical()[0])
        return self._told(self._book.silent(clock))

    def _after(self, records: pl.DataFrame) -> tuple[Book, list[Unit], Counts]:
        ordered = records.sort("time", "event_id")
        counts = count(ordered, self._settings)
        book = self._book.copy()
        units = book.take(counts, arrivals_of(ordered))
        return book, units, counts

    def _told(self, units: Sequence[Unit]) -> pl.DataFrame:
        """SCORES of units; what explains the strongest is kept until the next call."""
        scored = sorted((unit for unit in units if unit.parts), key=lambda unit: -unit.score)[:_NOTES_MAX]
        self._notes |= {(unit.stream, unit.unit, unit.start // 1_000_000_000): unit.parts for unit in scored}
        return frame_of(units)


def _seconds(at: datetime) -> int:
    # Intervals are whole seconds, so this is exact.
    return round(at.timestamp())
