"""Which time a record has: the line's own, or that of the line before it, and never one that cannot be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from tocsin.record import TIME


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSettings:
    """Which times are believed."""

    ahead_s_max: float = 600.0  # a clock that is further ahead of the arrival is wrong: NTP keeps clocks within seconds
    year_min: int = 1990  # before it is a clock that starts at 1970 or an empty field


@dataclass(frozen=True, slots=True)
class Times:
    """What `times` finds."""

    time: pl.Series  # TIME, never null
    attributes: pl.Series  # JSON objects; a time that was not believed is kept as `tocsin.original_time`


def times(lines: pl.DataFrame, header: pl.Series, observed_time: datetime, settings: TimeSettings) -> Times:
    """Times of LINES: as sent, else from the header; a line without takes that of the line before it, else after it.

    Args:
        lines: LINES.
        header: time found in each line.
        observed_time: when the lines arrived; the time where nothing better is known.
        settings: which times are believed.
    """
    earliest = pl.lit(datetime(settings.year_min, 1, 1, tzinfo=UTC)).cast(TIME)
    latest = pl.lit(observed_time + timedelta(seconds=settings.ahead_s_max)).cast(TIME)
    observed = pl.lit(observed_time).cast(TIME)
    stated = pl.coalesce("time", "header")
    wrong = (stated < earliest) | (stated > latest)
    original = pl.concat_str(
        pl.lit('"tocsin.original_time":"'), stated.dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ"), pl.lit('"}')
    )
    attributes = pl.col("attributes").fill_null("{}")
    noted = pl.concat_str(
        attributes.str.strip_suffix("}"),
        pl.when(attributes.str.contains(r"^\s*\{\s*\}")).then(pl.lit("")).otherwise(pl.lit(",")),
        original,
    )
    frame = lines.select("time", "attributes", header.cast(TIME).alias("header")).select(
        pl.when(wrong).then(observed).otherwise(stated).alias("time"),
        pl.when(wrong).then(noted).otherwise(attributes).alias("attributes"),
    )
    filled = frame.select(pl.col("time").forward_fill().backward_fill().fill_null(observed)).to_series()
    return Times(filled, frame["attributes"])
