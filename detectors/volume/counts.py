"""Counts what happened in each interval: lines, error lines, lines of each template, lines that name each entity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from detectors.codes import Coded, coded, exploded, runs
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


@dataclass(frozen=True, slots=True)
class _Part:
    """What is counted of one facet: a row for each mention, and the texts that they mention."""

    facet: int
    record: Rows
    said: Coded
    group: Hashes  # of each text, to be combined with the stream
    text: pl.Series | None = None  # for a person, of each record; None: what is said


def count(records: pl.DataFrame, settings: VolumeSettings) -> pl.DataFrame:
    """Count RECORDS, sorted by time and event id: COUNTS, by interval and key."""
    interval, intervals = _intervals(records, settings)
    stream = coded(records["stream"])
    where = stream.code * len(intervals) + interval
    stream_hash = hash64(stream.texts)
    counts = []
    for part in _parts(records, settings):
        texts = max(len(part.said), 1)
        seen = runs(where[part.record] * texts + part.said.code, len(stream) * len(intervals) * texts)
        latest = part.record[seen.order[seen.start + seen.count - 1]]
        place, text = seen.code // texts, seen.code % texts
        hashes = stream_hash[place // len(intervals)]
        name = part.said.texts.gather(text)
        counts.append(
            pl.DataFrame(
                {
                    "stream": hashes,
                    "interval": intervals[place % len(intervals)],
                    **_keys(part, hashes, text),
                    "facet": np.full(len(seen), part.facet, np.int8),
                    "count": seen.count.astype(np.float64),
                    "event_id": records["event_id"].gather(latest),
                    "name": name,
                    "text": name if part.text is None else one_line(part.text.gather(latest), settings.text_chars_max),
                },
                schema=COUNTS,
            )
        )
    return pl.concat(counts).sort("interval", "key")


class Lines(Protocol):
    """What names the line behind a count: `event_id`, `name` and `text` by row."""

    def __getitem__(self, name: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Counted:
    """Some counts by key, their numbers at hand as arrays."""

    source: Lines
    row: Rows  # of each count in the source
    key: Hashes
    stream: Hashes
    group: Hashes
    different: Hashes  # the series that counts different entities of the row's kind; nonsense for other facets
    facet: NDArray[np.int8]
    value: NDArray[np.float64]

    def line(self, row: int) -> tuple[str, str, str]:
        """Event id, name and text of one row."""
        at = int(self.row[row])
        return self.source["event_id"][at], self.source["name"][at], self.source["text"][at]


def counted(frame: pl.DataFrame, bounds: Rows) -> Iterator[Counted]:
    """The rows of a frame between each bound and the next."""
    names = ("key", "stream", "group", "facet", "count")
    columns = [frame[name].to_numpy() for name in names]
    columns.insert(3, distinct_of(columns[2]))
    rows = np.arange(len(frame))
    for begin, end in pairwise(bounds.tolist()):
        part = slice(begin, end)
        yield Counted(frame, rows[part], *(column[part] for column in columns))


def total_of(stream: Hashes) -> Hashes:
    """Key of the series that counts all lines of a stream."""
    return combine(stream, _FACET_HASH[TOTAL])


def newcomers_of(stream: Hashes, facet: int, kind: Hashes) -> Hashes:
    """Key of the series that counts the busiest newcomer among templates, or among entities of a kind, of a stream."""
    return combine(combine(stream, _FACET_HASH[NEWCOMER]), combine(_FACET_HASH[facet], kind))


def distinct_of(newcomers: Hashes) -> Hashes:
    """Key of the series that counts how many different entities of a kind were active, from the newcomers' key."""
    return combine(newcomers, _FACET_HASH[DISTINCT])


def _intervals(records: pl.DataFrame, settings: VolumeSettings) -> tuple[Rows, Rows]:
    """Number of each record's interval, and the intervals since 1970; the records are sorted by time."""
    interval = records["time"].to_physical().to_numpy() // (settings.interval_s * SECOND_NS)
    begins = np.concatenate([[True], interval[1:] != interval[:-1]])
    return np.cumsum(begins) - 1, interval[begins]


def _parts(records: pl.DataFrame, settings: VolumeSettings) -> Iterator[_Part]:
    everything = np.arange(len(records))
    errors = np.flatnonzero((records["severity_number"] >= _ERROR).to_numpy())
    for facet, rows in ((TOTAL, everything), (ERRORS, errors)):
        yield _Part(facet, rows, Coded(np.zeros(len(rows), np.int64), pl.Series([""])), np.zeros(1, np.uint64))
    said = coded(records["template_id"])
    rows = np.flatnonzero((said.texts != UNPARSED).to_numpy()[said.code])
    alike = np.zeros(len(said), np.uint64)
    yield _Part(TEMPLATE, rows, Coded(said.code[rows], said.texts), alike, records["body"])
    record, texts = exploded(records["entities"])
    said = coded(texts)
    kinds = coded(said.texts.str.extract("^([^:]*)"))
    rows = np.flatnonzero(kinds.texts.is_in(settings.kinds).to_numpy()[kinds.code][said.code])
    yield _Part(ENTITY, record[rows], Coded(said.code[rows], said.texts), hash64(kinds.texts)[kinds.code])


def _keys(part: _Part, stream: Hashes, text: Rows) -> dict[str, Hashes]:
    """Key and group of counts of some streams and texts."""
    if part.facet in {TOTAL, ERRORS}:
        return {"key": combine(stream, _FACET_HASH[part.facet]), "group": np.zeros(len(stream), np.uint64)}
    group = newcomers_of(stream, part.facet, part.group[text])
    return {"key": combine(group, hash64(part.said.texts)[text]), "group": group}
