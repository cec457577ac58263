"""Takes records apart into the things that can be new: templates, entities, field values, and pairs of them.

A single is one thing of one record. Its `group` is what it is compared with (the templates of a stream, the users of a
stream, the values of one field of a stream); its `key` names it within all groups. A pair is two singles of one record:
the template with an identifying entity, or two identifying entities. All columns are numbers; texts come along for
those few that turn out to be new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from detectors.hashing import Hashes, combine, hash64, hash_distinct, hash_text
from detectors.novelty.settings import NoveltySettings
from detectors.table import Rows
from tocsin.record import UNPARSED

Facet = Literal["template", "entity", "field"]
FACETS: tuple[Facet, ...] = ("template", "entity", "field")
MINUTE_NS = 60_000_000_000

_FACET_HASH: dict[str, np.uint64] = {facet: hash_text(f"facet {facet}") for facet in FACETS}
# Flat view of a JSON object: the key nearest to a short scalar names the field. Numbers with a point or more than four
# digits are measurements, not names.
_FIELD = (
    r'"[A-Za-z_@][A-Za-z0-9_.@\-]{0,63}"\s*:\s*'
    r'(?:"(?:[^"\\]|\\.){1,%d}"|-?[0-9]{1,4}\s*[,}\]]|true|false)'
)


@dataclass(frozen=True, slots=True)
class Singles:
    """One row for each thing of each record; the templates of all records come first, in the order of the records."""

    record: Rows  # row of the record
    facet: Rows  # index into FACETS
    group: Hashes
    key: Hashes
    text: pl.Series

    def __len__(self) -> int:
        return len(self.record)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two singles of one record, by their row in Singles."""

    left: Rows
    right: Rows
    key: Hashes

    def __len__(self) -> int:
        return len(self.left)


@dataclass(frozen=True, slots=True)
class Tally:
    """Distinct keys minute by minute: a busy minute brings the same few things over and over."""

    row: Rows  # the first of the key in the minute, in Singles or Pairs; ascending
    count: Rows  # how often it came in the minute
    minute: Rows

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True)
class Things:
    """A batch of records, taken apart."""

    singles: Singles
    pairs: Pairs
    times: Rows  # ns of each record
    of_singles: Tally
    of_pairs: Tally


def in_order(records: pl.DataFrame) -> pl.DataFrame:
    """Records by time; equal times by id, so that the order in which they arrived does not matter."""
    return records.sort("time", "event_id")


def things(records: pl.DataFrame, settings: NoveltySettings) -> Things:
    """Take records apart, which are in order."""
    streams = hash_distinct(records["stream"])
    templates = _templates(records, streams)
    entities = _entities(records, streams, settings)
    fields = _fields(records, streams, settings)
    parts = (templates, entities, fields)
    singles = Singles(
        record=np.concatenate([part["record"].to_numpy() for part in parts]),
        facet=np.repeat(np.arange(3), [len(part) for part in parts]),
        group=np.concatenate([part["group"].to_numpy() for part in parts]),
        key=np.concatenate([part["key"].to_numpy() for part in parts]),
        text=pl.concat([part["text"] for part in parts]),
    )
    pairs = _pairs(singles, len(records), len(entities))
    times = records["time"].to_physical().to_numpy()
    return Things(
        singles=singles,
        pairs=pairs,
        times=times,
        of_singles=_tally(singles.key, times[singles.record]),
        of_pairs=_tally(pairs.key, times[singles.record[pairs.left]]),
    )


def _tally(keys: Hashes, times: Rows) -> Tally:
    frame = pl.DataFrame({"key": keys, "minute": times // MINUTE_NS}).with_row_index("row")
    distinct = frame.group_by("key", "minute").agg(pl.col("row").first(), pl.len()).sort("row")
    row, count, minute = (distinct[name].to_numpy().astype(np.int64) for name in ("row", "len", "minute"))
    return Tally(row=row, count=count, minute=minute)


def at_rows(pairs: Pairs, rows: Rows) -> Pairs:
    """Some of the pairs."""
    return Pairs(left=pairs.left[rows], right=pairs.right[rows], key=pairs.key[rows])


def group_of(stream: str, facet: Facet, name: str = "") -> np.uint64:
    """Group of the things of a facet; `name` is the kind of an entity or the name of a field."""
    group = combine(combine(hash_text(stream), _FACET_HASH[facet]), hash_text(name))
    return np.uint64(group[0])


def key_of(group: np.uint64, text: str) -> np.uint64:
    """Key of one thing of a group."""
    return np.uint64(combine(group, hash_text(text))[0])


def _frame(record: Rows, group: Hashes, text: pl.Series) -> pl.DataFrame:
    keys = combine(group, hash_distinct(text))
    return pl.DataFrame({"record": record.astype(np.int64), "group": group, "key": keys, "text": text})


def _templates(records: pl.DataFrame, streams: Hashes) -> pl.DataFrame:
    group = combine(combine(streams, _FACET_HASH["template"]), hash_text(""))
    return _frame(np.arange(len(records)), group, records["template_id"].alias("text"))


def _entities(records: pl.DataFrame, streams: Hashes, settings: NoveltySettings) -> pl.DataFrame:
    """Identifying entities, at most so many a record."""
    rows = (
        records.select(pl.int_range(pl.len(), dtype=pl.Int64).alias("record"), pl.col("entities").alias("text"))
        .explode("text")
        .drop_nulls("text")
    )
    distinct = rows.select(pl.col("text").unique()).with_columns(pl.col("text").str.extract("^([^:]*)").alias("kind"))
    distinct = distinct.filter(pl.col("kind").is_in(settings.identifying_kinds))
    distinct = distinct.with_columns(
        pl.Series("kind_hash", hash64(distinct["kind"])), pl.Series("text_hash", hash64(distinct["text"]))
    )
    rows = rows.join(distinct, on="text", how="inner", maintain_order="left")
    record = rows["record"].to_numpy()
    places = np.arange(len(record)) - np.searchsorted(record, record)
    kept = places < settings.entities_per_record_max
    record, kind, text = record[kept], rows["kind_hash"].to_numpy()[kept], rows["text_hash"].to_numpy()[kept]
    group = combine(combine(streams[record], _FACET_HASH["entity"]), kind)
    return pl.DataFrame(
        {"record": record, "group": group, "key": combine(group, text), "text": rows["text"].filter(pl.Series(kept))}
    )


def _fields(records: pl.DataFrame, streams: Hashes, settings: NoveltySettings) -> pl.DataFrame:
    """Short scalar attributes as `name=value`."""
    rows = records.select(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("record"), pl.col("attributes").alias("text")
    ).filter(pl.col("text").str.len_bytes() > 2)
    rows = (
        rows.with_columns(pl.col("text").str.extract_all(_FIELD % settings.field_chars_max))
        .explode("text")
        .drop_nulls("text")
        .with_columns(pl.col("text").str.split_exact(":", 1).alias("parts"))
    )
    name = rows["parts"].struct.field("field_0").str.strip_chars(' "\t\n')
    start = rows["parts"].struct.field("field_0").str.len_chars() + 1
    value = rows.select(pl.col("text").str.slice(start).str.strip_chars(' ",}]\t\n'))["text"]
    record = rows["record"].to_numpy()
    group = combine(combine(streams[record], _FACET_HASH["field"]), hash_distinct(name))
    return _frame(record, group, (name + "=" + value).alias("text"))


def _pairs(singles: Singles, records: int, entities: int) -> Pairs:
    """The template with each entity of its record, and the entities with each other."""
    places = np.arange(records, records + entities)
    owner = singles.record[places]
    frame = pl.DataFrame({"record": owner, "left": places})
    both = frame.join(frame.rename({"left": "right"}), on="record").filter(pl.col("left") < pl.col("right"))
    both = both.sort("left", "right")
    parsed = (singles.text.head(records) != UNPARSED).to_numpy()[owner]
    left = np.concatenate([owner[parsed], both["left"].to_numpy()])
    right = np.concatenate([places[parsed], both["right"].to_numpy()])
    return Pairs(left=left, right=right, key=combine(singles.key[left], singles.key[right]))
