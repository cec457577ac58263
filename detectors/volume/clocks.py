"""Clocks of the streams: which intervals are over, by a stream's own lines or by those of the others.

A stream that keeps step with the others falls silent by their clock. But streams may be sent in turns, a day of one and
then a day of the next, and none is silent between its turns: the clock that counts is that of lines whose stream has
delivered again since.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from detectors.hashing import hash64
from detectors.table import Rows, Table
from detectors.volume.counts import SECOND_NS
from detectors.volume.settings import VolumeSettings

_LAG_KEPT = 0.9  # of the worst lag of a stream, at each batch of it
_NEVER = np.iinfo(np.int64).max // 4  # lag of a stream that follows no clock


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What a batch says about clocks."""

    streams: pl.DataFrame  # by name: `stream` (hash), `name`, `oldest`, `newest`, `observed`, `settled`; times in ns
    times: Rows  # of all lines, ns, sorted


def arrivals_of(records: pl.DataFrame) -> Arrivals:
    """Clocks of RECORDS, sorted by time. `settled` is the newest line of what was observed before the latest."""
    time, observed = pl.col("time").to_physical(), pl.col("observed_time").to_physical()
    rows = records.group_by(pl.col("stream").alias("name")).agg(
        time.min().alias("oldest"),
        time.max().alias("newest"),
        observed.max().alias("observed"),
        time.filter(observed < observed.max()).max().fill_null(0).alias("settled"),
    )
    rows = rows.sort("name")
    rows = rows.with_columns(pl.Series("stream", hash64(rows["name"])))
    return Arrivals(rows, records["time"].to_physical().to_numpy())


class Clocks(Table):
    """One row a stream, by hash; and the clock of the tenant. Times are ns of event time, intervals numbers."""

    def __init__(self, settings: VolumeSettings) -> None:
        super().__init__(
            {
                "next": np.int64,  # first interval that is not closed
                "newest": np.int64,  # its latest line
                "heard": np.int64,  # latest closed interval with lines
                "observed": np.int64,  # arrival of its latest delivery
                "settled": np.int64,  # the latest line of the deliveries before that
                "lag": np.int64,  # how far its lines arrive behind the settled clock
                "age": np.float64,  # intervals closed
            }
        )
        self.clock = 0  # of the tenant; 0 before the first line
        self._settings = settings
        self._width = settings.interval_s * SECOND_NS

    def copy(self) -> Clocks:
        """Others that show the same."""
        twin = Clocks(self._settings)
        twin.keys, twin.clock = self.keys.copy(), self.clock
        twin.columns = {name: column.copy() for name, column in self.columns.items()}
        return twin

    def arrive(self, arrivals: Arrivals) -> dict[int, str]:
        """Move the clocks; return the names of new streams by hash."""
        frame = arrivals.streams
        keys, oldest, newest, observed, settled = (
            frame[name].to_numpy() for name in ("stream", "oldest", "newest", "observed", "settled")
        )
        self._pass_time(arrivals.times)
        behind = np.maximum(self._settled() - oldest, 0)
        rows = self.find(keys)
        old = rows >= 0
        known, new = rows[old], ~old
        lag = self["lag"][known] if old.any() else np.zeros(0, np.int64)
        faded = np.where(lag < _NEVER, (lag * _LAG_KEPT).astype(np.int64), 0)
        if old.any():
            self["lag"][known] = np.maximum(faded, behind[old])
            self._settle(known, observed[old], settled[old])
            self["newest"][known] = np.maximum(self["newest"][known], newest[old])
        # The interval in which a stream begins is not whole: it is never closed.
        columns = {
            "next": oldest[new] // self._width + 1,
            "newest": newest[new],
            "heard": oldest[new] // self._width,
            "observed": observed[new],
            "settled": settled[new],
            "lag": behind[new],
            "age": np.zeros(int(new.sum())),
        }
        self.add(keys[new], columns)
        return dict(zip(keys[new].tolist(), frame["name"].filter(pl.Series(new)).to_list(), strict=True))

    def limits(self, until: int = 0) -> Rows:
        """First interval of each stream that is not over yet.

        Args:
            until: when it is now, if that is later than any line.
        """
        settings = self._settings
        clock = until if until > self.clock else self._settled()
        late = int(settings.lateness_s * SECOND_NS)
        own, lag = self["newest"] - late, self["lag"]
        followed = np.where(lag <= settings.in_step_s * SECOND_NS, clock - np.minimum(lag, _NEVER) - late, own)
        return np.asarray(np.maximum(own, followed) // self._width, np.int64)

    def _pass_time(self, times: Rows) -> None:
        before = self.clock or int(times[0])
        ahead = np.maximum(times, before)
        if np.diff(ahead, prepend=before).max() > self._settings.jump_s * SECOND_NS:
            # Nobody saw the time between pass, so nobody was silent in it.
            self["lag"][:] = _NEVER
        self.clock = int(ahead[-1])

    def _settle(self, rows: Rows, observed: Rows, settled: Rows) -> None:
        """Note that deliveries of some streams are followed by later ones."""
        before = np.where(observed > self["observed"][rows], self["newest"][rows], 0)
        self["settled"][rows] = np.maximum.reduce([self["settled"][rows], settled, before])
        self["observed"][rows] = np.maximum(self["observed"][rows], observed)

    def _settled(self) -> int:
        return int(self["settled"].max(initial=0))
