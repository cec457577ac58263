"""The lines of the last steps, at hand for the findings that rest on them."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

import polars as pl

from tocsin.record import RECORDS

#: What a line is shown by.
COLUMNS = ("event_id", "stream", "time", "body", "template_id")


class RecentLines:
    """Lines of one tenant, oldest out first, bounded by rows and by bytes."""

    def __init__(self, *, rows_max: int, bytes_max: int) -> None:
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        self._frames: deque[tuple[pl.DataFrame, int]] = deque()
        self._rows = 0
        self._bytes = 0

    def add(self, records: pl.DataFrame) -> None:
        """Remember RECORDS; the last ones added stay whatever their size, until the next come."""
        if records.is_empty():
            return
        lines = records.select(COLUMNS)
        size = int(lines.estimated_size())
        self._frames.append((lines, size))
        self._rows += lines.height
        self._bytes += size
        while len(self._frames) > 1 and (self._rows > self._rows_max or self._bytes > self._bytes_max):
            dropped, dropped_size = self._frames.popleft()
            self._rows -= dropped.height
            self._bytes -= dropped_size

    def find(self, event_ids: Collection[str]) -> pl.DataFrame:
        """The lines of these events that are still here, in time order, with the columns COLUMNS."""
        wanted = pl.Series("event_id", sorted(event_ids), dtype=pl.String).implode()
        found = [lines.filter(pl.col("event_id").is_in(wanted)) for lines, _ in self._frames] if event_ids else []
        return pl.concat([empty(), *found]).unique("event_id", maintain_order=True).sort("time", maintain_order=True)


def empty() -> pl.DataFrame:
    """A frame of no lines."""
    return pl.DataFrame(schema={name: RECORDS[name] for name in COLUMNS})
