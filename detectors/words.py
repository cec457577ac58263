"""Makes text out of logs fit to be shown: short, in one line, nothing invisible."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from ingest.header import headers

# Control characters and those that reorder or hide text: a log line is written by strangers.
_INVISIBLE = r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"


_ANY_YEAR = datetime(2000, 1, 1, tzinfo=UTC)  # of dates without one; the times of the headers are not used here


def messages(bodies: pl.Series, chars_max: int) -> pl.Series:
    """Heads of lines as `one_line` makes them, without the usual beginning: time, host, program."""
    start = headers(bodies, observed_time=_ANY_YEAR)["start"]
    frame = pl.DataFrame({"body": bodies, "start": start})
    message = pl.col("body").cast(pl.Binary).bin.slice(pl.col("start")).cast(pl.String, strict=False)
    return one_line(frame.select(message.fill_null(pl.col("body")).alias("body")).to_series(), chars_max)


def one_line(text: pl.Series, chars_max: int) -> pl.Series:
    """Heads of texts, without characters that cannot be seen."""
    return text.str.head(chars_max).str.replace_all(_INVISIBLE, " ")


def said(text: str) -> str:
    """`user:root` as `user root`; other texts stay as they are."""
    kind, colon, value = text.partition(":")
    return f"{kind} {value}" if colon and kind.isidentifier() else text
