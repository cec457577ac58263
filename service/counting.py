"""Counts what a batch of records holds, for the tables of templates, streams and entities."""

from __future__ import annotations

import polars as pl

_TIMES = (pl.len().alias("count"), pl.col("time").min().alias("first"), pl.col("time").max().alias("last"))


def template_counts(records: pl.DataFrame) -> pl.DataFrame:
    """Columns `template_id`, `stream`, `count`, `first`, `last`, sorted."""
    return records.group_by("template_id", "stream").agg(*_TIMES).sort("template_id", "stream")


def stream_counts(records: pl.DataFrame) -> pl.DataFrame:
    """Columns `stream`, `count`, `first`, `last`, sorted."""
    return records.group_by("stream").agg(*_TIMES).sort("stream")


def entity_counts(records: pl.DataFrame) -> pl.DataFrame:
    """Columns `entity`, `count`, `first`, `last`, sorted; an entity counts once a record."""
    exploded = records.select(pl.col("entities").alias("entity"), "time").explode("entity").drop_nulls("entity")
    return exploded.group_by("entity").agg(*_TIMES).sort("entity")
