"""Records of a small shop, as many as a test wants: users on addresses of their own, a dozen kinds of lines."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from tocsin.record import RECORDS

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
Records = Callable[..., pl.DataFrame]


def records_of(lines: pl.DataFrame, name: str) -> pl.DataFrame:
    """RECORDS of `at_s`, `kind`, `user`, `ip`, `stream`."""
    time = (pl.lit(START).cast(pl.Datetime("ns", "UTC")).to_physical() + (pl.col("at_s") * 1e9).cast(pl.Int64)).cast(
        pl.Datetime("ns", "UTC")
    )
    frame = lines.with_row_index("row").select(
        pl.format(name + "{}", pl.col("row").cast(pl.String).str.zfill(32 - len(name))).alias("event_id"),
        pl.lit("acme").alias("tenant"),
        "stream",
        time.alias("time"),
        time.alias("observed_time"),
        pl.lit(9).alias("severity_number"),
        pl.format("{} done by {} from {}", "kind", "user", "ip").alias("body"),
        pl.lit('{"level":"info","status":200}').alias("attributes"),
        pl.lit(None).alias("trace_id"),
        pl.lit(None).alias("span_id"),
        pl.col("kind").str.zfill(16).alias("template_id"),
        pl.concat_list("user", "ip").alias("parameters"),
        pl.concat_list(pl.format("ip:{}", "ip"), pl.format("user:{}", "user")).alias("entities"),
    )
    return frame.cast(pl.Schema(RECORDS)).sort("time", maintain_order=True)


@pytest.fixture
def shop() -> Records:
    """Normal business: `lines` over `hours`, beginning `after` the start."""

    def build(lines: int = 6_000, hours: float = 36.0, after: timedelta = timedelta(0), seed: int = 0) -> pl.DataFrame:
        chance = np.random.default_rng(seed)
        user = chance.integers(0, 20, lines)
        frame = pl.DataFrame(
            {
                "at_s": np.sort(chance.uniform(0, hours * 3600, lines)) + after.total_seconds(),
                "kind": [f"kind{number}" for number in np.minimum(chance.geometric(0.3, lines), 12)],
                "user": [f"u{number}" for number in user],
                "ip": [f"10.0.0.{number}" for number in user * 2 + chance.integers(0, 2, lines)],
                "stream": [f"s{number}" for number in chance.integers(0, 3, lines)],
            }
        )
        return records_of(frame, f"{seed}x")

    return build


@pytest.fixture
def burst() -> Records:
    """Many lines at once: by a stranger unless said otherwise."""

    def build(
        lines: int = 2_000,
        *,
        after: timedelta = timedelta(0),
        seconds: float = 120.0,
        kind: str = "kindx",
        user: str = "mallory",
        ip: str = "192.0.2.66",
        stream: str = "s0",
    ) -> pl.DataFrame:
        frame = pl.DataFrame({"at_s": np.linspace(0, seconds, lines) + after.total_seconds()}).with_columns(
            kind=pl.lit(kind), user=pl.lit(user), ip=pl.lit(ip), stream=pl.lit(stream)
        )
        return records_of(frame, "burst")

    return build
