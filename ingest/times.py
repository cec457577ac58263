"""Which time a record has: the line's own, or that of the line before it, and never one that cannot be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

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


def times(lines: pl.DataFrame, settings: TimeSettings) -> Times:
    """Times as sent, else from the header; a line without takes that of the line before it, else of the line after it.

    Args:
        lines: `time`, `header` (the time found in the line), `attributes`, `observed_time` and `batch` of each line.
        settings: which times are believed.
    """
    observed = pl.col("observed_time")
    stated = pl.coalesce("time", "header")
    earliest = pl.lit(datetime(settings.year_min, 1, 1, tzinfo=UTC)).cast(TIME)
    wrong = (stated < earliest) | (stated > observed + pl.duration(milliseconds=round(settings.ahead_s_max * 1000)))
    attributes = pl.col("attributes").fill_null("{}")
    frame = lines.select(
        pl.when(wrong).then(observed).otherwise(stated).alias("time"),
        pl.when(wrong).then(stated).alias("original"),
        attributes,
        observed,
        "batch",
    )
    if frame["original"].null_count() < len(frame):
        frame = frame.with_columns(_noted(pl.col("original"), pl.col("attributes")).alias("attributes"))
    if frame["time"].null_count() > 0:
        nearest = pl.col("time").forward_fill().backward_fill().over("batch")
        frame = frame.with_columns(pl.coalesce(nearest, observed).alias("time"))
    return Times(frame["time"], frame["attributes"])


def _noted(original: pl.Expr, attributes: pl.Expr) -> pl.Expr:
    """Attributes with a time that was not believed."""
    noted = pl.concat_str(
        attributes.str.strip_chars_end().str.strip_suffix("}"),
        pl.when(attributes.str.contains(r"^\s*\{\s*\}")).then(pl.lit("")).otherwise(pl.lit(",")),
        pl.lit('"tocsin.original_time":"'),
        original.dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ"),
        pl.lit('"}'),
    )
    return pl.when(original.is_not_null()).then(noted).otherwise(attributes)
