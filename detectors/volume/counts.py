"""Counts what happened in each interval: lines, error lines, lines of each template, lines that name each entity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from detectors.hashing import Hashes, combine, hash64, hash_text
from detectors.table import Rows
from detectors.volume.settings import VolumeSettings
from detectors.words import one_line
from tocsin.record import UNPARSED

SECOND_NS = 1_000_000_000

#: What a series counts. The last two are made of the others when an interval closes (`book.py`).
TOTAL, ERRORS, TEMPLATE, ENTITY, NEWCOMER, DISTINCT = range(6)

#: One row for each series of each interval.
COUNTS = pl.Schema(
    {
        "stream": pl.UInt64(),  # hash of its name
        "interval": pl.Int64(),  # number of the interval since 1970
        "key": pl.UInt64(),  # of the series
        "group": pl.UInt64(),  # the newcomers' series of its peers; 0 for a stream's own counts
        "facet": pl.Int8(),
        "count": pl.Float64(),
        "event_id": pl.String(),  # the latest of the lines counted
        "name": pl.String(),  # template id or entity, "" for a stream's own counts
        "text": pl.String(),  # for a person: the head of the line, or the entity
    }
)

_ERROR = 17  # OpenTelemetry severity number
_FACET_HASH = [hash_text(f"volume facet {facet}") for facet in range(6)]


def count(records: pl.DataFrame, settings: VolumeSettings) -> pl.DataFrame:
    """Count RECORDS, sorted by time and event id."""
    width = settings.interval_s * SECOND_NS
    rows = records.select(
        pl.col("stream").alias("stream_name"),
        (pl.col("time").to_physical() // width).alias("interval"),
        "severity_number",
        "template_id",
        "entities",
        "event_id",
        "body",
    )
    where = ["stream_name", "interval"]
    lines = rows.group_by(where).agg(pl.len(), pl.col("event_id").last())
    errors = rows.filter(pl.col("severity_number") >= _ERROR)
    errors = errors.group_by(where).agg(pl.len(), pl.col("event_id").last())
    templates = (
        rows.filter(pl.col("template_id") != UNPARSED)
        .group_by(*where, pl.col("template_id").alias("name"))
        .agg(pl.len(), pl.col("event_id").last(), pl.col("body").last().alias("text"))
    )
    templates = templates.with_columns(one_line(templates["text"], settings.text_chars_max))
    entities = (
        rows.select(*where, "event_id", pl.col("entities").alias("name"))
        .explode("name")
        .drop_nulls("name")
        .group_by(*where, "name")
        .agg(pl.len(), pl.col("event_id").last())
        .with_columns(pl.col("name").str.extract("^([^:]*)").alias("kind"), pl.col("name").alias("text"))
        .filter(pl.col("kind").is_in(settings.kinds))
    )
    parts = [(lines, TOTAL), (errors, ERRORS), (templates, TEMPLATE), (entities, ENTITY)]
    return pl.concat([_keyed(part, facet) for part, facet in parts]).sort("interval", "key")


def merged(counts: pl.DataFrame) -> pl.DataFrame:
    """One row a series and interval, of counts that hold several."""
    return (
        counts.group_by("interval", "key")
        .agg(
            pl.col("stream", "group", "facet").first(),
            pl.col("count").sum(),
            pl.col("event_id", "name", "text").last(),
        )
        .select(COUNTS.names())
        .sort("interval", "key")
    )


@dataclass(frozen=True, slots=True)
class Counted:
    """Some rows of a COUNTS frame, its numbers at hand as arrays."""

    frame: pl.DataFrame
    begin: int  # of the rows in the frame
    key: Hashes
    stream: Hashes
    group: Hashes
    different: Hashes  # the series that counts different entities of the row's kind; nonsense for other facets
    facet: NDArray[np.int8]
    value: NDArray[np.float64]

    def line(self, row: int) -> tuple[str, str, str]:
        """Event id, name and text of one row."""
        at = self.begin + row
        return self.frame["event_id"][at], self.frame["name"][at], self.frame["text"][at]


def counted(frame: pl.DataFrame, bounds: Rows) -> Iterator[Counted]:
    """The rows of a frame between each bound and the next."""
    names = ("key", "stream", "group", "facet", "count")
    key, stream, group, facet, value = (frame[name].to_numpy() for name in names)
    different = distinct_of(group)
    for begin, end in pairwise(bounds.tolist()):
        part = slice(begin, end)
        yield Counted(frame, begin, key[part], stream[part], group[part], different[part], facet[part], value[part])


def total_of(stream: Hashes) -> Hashes:
    """Key of the series that counts all lines of a stream."""
    return combine(stream, _FACET_HASH[TOTAL])


def newcomers_of(stream: Hashes, facet: int, kind: Hashes) -> Hashes:
    """Key of the series that counts the busiest newcomer among templates, or among entities of a kind, of a stream."""
    return combine(combine(stream, _FACET_HASH[NEWCOMER]), combine(_FACET_HASH[facet], kind))


def distinct_of(newcomers: Hashes) -> Hashes:
    """Key of the series that counts how many different entities of a kind were active, from the newcomers' key."""
    return combine(newcomers, _FACET_HASH[DISTINCT])


def _keyed(part: pl.DataFrame, facet: int) -> pl.DataFrame:
    stream = hash64(part["stream_name"])
    if facet in {TOTAL, ERRORS}:
        key = combine(stream, _FACET_HASH[facet])
        group = np.zeros(len(part), np.uint64)
        part = part.with_columns(pl.lit("").alias("name"), pl.lit("").alias("text"))
    else:
        kind = hash64(part["kind"]) if facet == ENTITY else np.zeros(len(part), np.uint64)
        group = newcomers_of(stream, facet, kind)
        key = combine(group, hash64(part["name"]))
    return part.select(
        pl.Series("stream", stream),
        "interval",
        pl.Series("key", key),
        pl.Series("group", group),
        pl.lit(facet).alias("facet"),
        pl.col("len").alias("count"),
        "event_id",
        "name",
        "text",
    ).cast(COUNTS)
