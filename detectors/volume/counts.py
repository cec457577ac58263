"""Counts what happened in each interval: lines, error lines, lines of each template, lines that name each entity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from detectors.codes import Coded, coded, exploded, runs
from detectors.hashing import Hashes, combine, hash64, hash_text
from detectors.table import Rows
from detectors.volume.settings import VolumeSettings
from detectors.words import one_line
from tocsin.record import UNPARSED

Texts = NDArray[np.object_]

SECOND_NS = 1_000_000_000

#: What a series counts. The last two are made of the others when an interval closes (`book.py`).
TOTAL, ERRORS, TEMPLATE, ENTITY, NEWCOMER, DISTINCT = range(6)

_ERROR = 17  # OpenTelemetry severity number
_FACET_HASH = [hash_text(f"volume facet {facet}") for facet in range(6)]


@dataclass(frozen=True, slots=True)
class Counts:
    """One row for each series of each interval, by interval and key. Texts are Python's, in arrays of objects."""

    interval: Rows  # number of the interval since 1970
    key: Hashes  # of the series
    stream: Hashes  # hash of its name
    group: Hashes  # the newcomers' series of its peers; 0 for a stream's own counts
    facet: NDArray[np.int8]
    value: NDArray[np.float64]
    event_id: Texts  # the latest of the lines counted
    name: Texts  # template id or entity, "" for a stream's own counts
    text: Texts  # for a person: the head of the line, or the entity

    def __len__(self) -> int:
        return len(self.key)

    def at(self, rows: Rows | NDArray[np.bool_] | slice) -> Counts:
        """Some of the rows."""
        return Counts(**{name: column[rows] for name, column in self.columns().items()})

    def columns(self) -> dict[str, NDArray[Any]]:
        """Columns by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def line(self, row: int) -> tuple[str, str, str]:
        """Event id, name and text of one row."""
        return self.event_id[row], self.name[row], self.text[row]


def no_counts() -> Counts:
    """None at all."""
    whole, word, text = np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.object_)
    return Counts(whole, word, word, word, np.zeros(0, np.int8), np.zeros(0), text, text, text)


def together(parts: Sequence[Counts]) -> Counts:
    """All rows of some, one after another."""
    parts = parts or [no_counts()]
    return Counts(
        **{each.name: np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(Counts)}
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """What is counted of one facet: a row for each mention, and the texts that they mention."""

    facet: int
    record: Rows
    said: Coded
    group: Hashes  # of each text, to be combined with the stream
    text: pl.Series | None = None  # for a person, of each record; None: what is said


def count(records: pl.DataFrame, settings: VolumeSettings) -> Counts:
    """Count RECORDS, sorted by time and event id."""
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
        key, group = _keys(part, hashes, text)
        name = objects(part.said.texts)[text]
        counts.append(
            Counts(
                interval=intervals[place % len(intervals)],
                key=key,
                stream=hashes,
                group=group,
                facet=np.full(len(seen), part.facet, np.int8),
                value=seen.count.astype(np.float64),
                event_id=objects(records["event_id"][latest]),
                name=name,
                text=name if part.text is None else objects(one_line(part.text[latest], settings.text_chars_max)),
            )
        )
    whole = together(counts)
    return whole.at(np.lexsort((whole.key, whole.interval)))


def objects(texts: Sequence[str] | pl.Series) -> Texts:
    """Texts as an array of objects."""
    array = np.empty(len(texts), np.object_)
    array[:] = texts.to_list() if isinstance(texts, pl.Series) else texts
    return array


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


def _keys(part: _Part, stream: Hashes, text: Rows) -> tuple[Hashes, Hashes]:
    """Key and group of counts of some streams and texts."""
    if part.facet in {TOTAL, ERRORS}:
        return combine(stream, _FACET_HASH[part.facet]), np.zeros(len(stream), np.uint64)
    group = newcomers_of(stream, part.facet, part.group[text])
    return combine(group, hash64(part.said.texts)[text]), group
