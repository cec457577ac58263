"""Writes rows as log lines, column by column: no Python object is made per line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from service.simulate.clock import Times
from tocsin.record import TIME

#: What every stream of the simulation is made of; `planted` is null in normal lines.
WRITTEN: dict[str, pl.DataType] = {"time": TIME, "line": pl.String(), "planted": pl.String()}

_PLACE = re.compile(r"<([a-z][a-z0-9_]*)>")
_WHEN = {
    "iso": "%Y-%m-%dT%H:%M:%S%.3fZ",
    "java": "%Y-%m-%d %H:%M:%S,%3f",
    "postgres": "%Y-%m-%d %H:%M:%S%.3f UTC",
    "syslog": "%b %e %H:%M:%S",
    "nginx": "%d/%b/%Y:%H:%M:%S +0000",
    "klog": "%m%d %H:%M:%S%.6f",
    "jvm": "%Y-%m-%dT%H:%M:%S%.3f+0000",
}


def line(pattern: str) -> pl.Expr:
    """An expression that writes `pattern` with each `<name>` replaced by that column or form of the time."""
    parts = _PLACE.split(pattern)
    pieces = [_place(part) if position % 2 else pl.lit(part) for position, part in enumerate(parts) if part]
    return pl.concat_str(pieces)


def _place(name: str) -> pl.Expr:
    return pl.col("time").dt.strftime(_WHEN[name]) if name in _WHEN else pl.col(name).cast(pl.String)


def rows(times: Times, columns: Mapping[str, Any] | None = None, *, planted: str | None = None) -> pl.DataFrame:
    """A frame of things that happen: `time`, `planted`, and whatever they are written with."""
    frame = pl.DataFrame({"time": times, **(columns or {})})
    return frame.with_columns(pl.col("time").cast(TIME), pl.lit(planted, pl.String).alias("planted"))


def written(frame: pl.DataFrame, text: pl.Expr | str) -> pl.DataFrame:
    """WRITTEN lines, one a row of `frame`."""
    shape = line(text) if isinstance(text, str) else text
    return frame.select("time", shape.alias("line"), "planted")


def later(frame: pl.DataFrame, seconds: float | pl.Expr) -> pl.DataFrame:
    """The same rows a little later."""
    shift = seconds if isinstance(seconds, pl.Expr) else pl.lit(seconds)
    return frame.with_columns(pl.col("time") + pl.duration(microseconds=(shift * 1e6).cast(pl.Int64)))


def together(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """All lines of one stream in time order; equal times keep their order, so that a cause is before its effect."""
    return pl.concat(
        [frame.select(pl.col(name).cast(kind) for name, kind in WRITTEN.items()) for frame in frames]
    ).sort("time", maintain_order=True)


def pick(rng: np.random.Generator, choices: Mapping[str, float], size: int) -> list[str]:
    """Names by weight."""
    weights = np.array(list(choices.values()), np.float64)
    names = list(choices)
    return [names[index] for index in rng.choice(len(names), size, p=weights / weights.sum())]


def hexes(rng: np.random.Generator, size: int, digits: int) -> pl.Series:
    """Random names in hexadecimal digits, as trace ids are."""
    text = rng.bytes((size * digits + 1) // 2).hex()
    return pl.Series([text[begin : begin + digits] for begin in range(0, size * digits, digits)], dtype=pl.String)
