"""The contract every detector keeps: records in, one score a unit out, and the reasons when asked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import ClassVar, Protocol

import polars as pl

from tocsin.finding import Reason
from tocsin.record import TIME
from tocsin.state import State

#: What `score` and `advance` return: one row a unit. Never null; `score` is finite.
SCORES: dict[str, pl.DataType] = {
    "unit": pl.String(),  # what was scored, readable; with `start` it names the finding
    "stream": pl.String(),
    "entities": pl.List(pl.String()),  # `kind:value`
    "template_ids": pl.List(pl.String()),
    "start": TIME,
    "end": TIME,
    "score": pl.Float64(),  # higher is more abnormal
    "event_ids": pl.List(pl.String()),
}


def empty_scores() -> pl.DataFrame:
    """A SCORES frame without rows."""
    return pl.DataFrame(schema=SCORES)


class Detector(Protocol):
    """Higher is more abnormal. `score` never learns, `fit` never alerts, looking changes nothing.

    Live order is `score(batch)`, `explain` of what was judged abnormal, then `fit(batch)` with the same batch.
    """

    Settings: ClassVar[type]  # a frozen dataclass; the only argument of the constructor
    name: str
    lookback: timedelta  # history that `score` wants in front of the new rows

    def fit(self, history: pl.DataFrame) -> None:
        """Learn from RECORDS in addition to what is known."""

    def score(self, batch: pl.DataFrame) -> pl.DataFrame:
        """Return SCORES of RECORDS; the same state and batch give the same rows."""
        ...

    def explain(self, unit: Mapping[str, object]) -> tuple[Reason, ...]:
        """Say why one SCORES row, as a dict, scored as it did; at least one reason, the strongest first."""
        ...

    def state(self) -> State:
        """Return all that is known, as plain values."""
        ...

    def restore(self, state: State) -> None:
        """Know what `state` knows and nothing else.

        Raises:
            StateError: the state is of another detector or version.
        """

    def advance(self, until: datetime) -> pl.DataFrame:
        """Return SCORES of what ends because time passed without events, as of `until`.

        It learns nothing: called again it returns the same rows, whose findings have the same ids. Calibration must not
        learn from them either. Detectors without a clock return an empty frame.
        """
        ...
