"""Takes records apart into the things that can be new: templates, entities, field values, and pairs of them.

A single is one thing that a batch holds. Its `group` is what it is compared with (the templates of a stream, the users
of a stream, the values of one field of a stream); its `key` names it within all groups. A pair is two singles that one
record holds: the template with an identifying entity, or two identifying entities. All columns are numbers, and hashes
are made once for each thing, not for each record; texts come along for those few that turn out to be new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from detectors.codes import Coded, coded, dense, exploded, runs
from detectors.hashing import Hashes, combine, hash64, hash_text
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
    """One row for each thing, by key."""

    key: Hashes  # ascending
    group: Hashes
    facet: Rows  # index into FACETS
    record: Rows  # the first record that holds it
    place: Rows  # of its first mention: templates of all records first, then their entities, then their fields
    kind: Rows  # number of its group in `groups`
    groups: Hashes
    text: Rows  # number of its text in `texts`
    texts: pl.Series

    def __len__(self) -> int:
        return len(self.key)


@dataclass(frozen=True, slots=True)
class Pairs:
    """One row for each two singles that met in a record, by their rows in Singles."""

    left: Rows
    right: Rows
    key: Hashes
    record: Rows  # the first in which they meet
    place: Rows  # of their first meeting among all

    def __len__(self) -> int:
        return len(self.left)


@dataclass(frozen=True, slots=True)
class Tally:
    """Things or pairs minute by minute: a busy minute brings the same few over and over."""

    row: Rows  # in Singles or Pairs, ascending
    minute: Rows  # number in `Things.minutes`, ascending for each row
    count: Rows  # how often it came in the minute
    record: Rows  # the first of them
    begins: NDArray[np.bool_]  # the first minute of its row

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True)
class Things:
    """A batch of records, taken apart."""

    singles: Singles
    pairs: Pairs
    times: Rows  # ns of each record
    minutes: Rows  # those in which there are records, since 1970
    template: Rows  # the single of each record's template
    of_singles: Tally
    of_pairs: Tally


@dataclass(frozen=True, slots=True)
class _Part:
    """The things of one facet: one row a mention; and one a distinct text."""

    record: Rows
    said: Coded
    name: pl.Series  # of each text: what with its stream and facet makes the group


def in_order(records: pl.DataFrame) -> pl.DataFrame:
    """Records by time; equal times by id, so that the order in which they arrived does not matter."""
    return records.sort("time", "event_id")


def things(records: pl.DataFrame, settings: NoveltySettings) -> Things:
    """Take records apart, which are in order."""
    times = records["time"].to_physical().to_numpy()
    minute, minutes = _minutes(times)
    parts = (_templates(records), _entities(records, settings), _fields(records, settings))
    record = np.concatenate([part.record for part in parts])
    single, singles = _singles(records["stream"], parts, record)
    templates, entities = len(records), len(parts[1].record)
    mentions = runs(single * len(minutes) + minute[record], len(singles) * len(minutes))
    parsed = (records["template_id"] != UNPARSED).to_numpy()
    pairs, of_pairs = _pairs(single[: templates + entities], parts[1].record, parsed, minute, len(minutes), singles)
    return Things(
        singles=singles,
        pairs=pairs,
        times=times,
        minutes=minutes,
        template=single[:templates],
        of_singles=_tally(mentions.code, mentions.count, record[mentions.first], len(minutes)),
        of_pairs=of_pairs,
    )


def at_rows(pairs: Pairs, rows: Rows) -> Pairs:
    """Some of the pairs."""
    return Pairs(
        left=pairs.left[rows],
        right=pairs.right[rows],
        key=pairs.key[rows],
        record=pairs.record[rows],
        place=pairs.place[rows],
    )


def group_of(stream: str, facet: Facet, name: str = "") -> np.uint64:
    """Group of the things of a facet; `name` is the kind of an entity or the name of a field."""
    group = combine(combine(hash_text(stream), _FACET_HASH[facet]), hash_text(name))
    return np.uint64(group[0])


def key_of(group: np.uint64, text: str) -> np.uint64:
    """Key of one thing of a group."""
    return np.uint64(combine(group, hash_text(text))[0])


def _minutes(times: Rows) -> tuple[Rows, Rows]:
    """Number of each record's minute, and the minutes."""
    minute = times // MINUTE_NS
    begins = np.ones(len(minute), np.bool_)
    begins[1:] = minute[1:] != minute[:-1]
    return np.cumsum(begins) - 1, minute[begins]


def _templates(records: pl.DataFrame) -> _Part:
    said = coded(records["template_id"])
    return _Part(np.arange(len(records)), said, pl.repeat("", len(said), eager=True))


def _entities(records: pl.DataFrame, settings: NoveltySettings) -> _Part:
    """Identifying entities, at most so many a record."""
    record, texts = exploded(records["entities"])
    said = coded(texts)
    name = said.texts.str.extract("^([^:]*)")
    identifying = name.is_in(settings.identifying_kinds).to_numpy()[said.code]
    record, code = record[identifying], said.code[identifying]
    kept = _places(record, len(records)) < settings.entities_per_record_max
    return _Part(record[kept], Coded(code[kept], said.texts), name)


def _fields(records: pl.DataFrame, settings: NoveltySettings) -> _Part:
    """Short scalar attributes as `name=value`."""
    attributes = records["attributes"]
    rows = np.flatnonzero((attributes.str.len_bytes() > len("{}")).to_numpy())
    place, written = exploded(attributes[rows].str.extract_all(_FIELD % settings.field_chars_max))
    raw = coded(written)
    # What was written may end in a comma or a brace: several texts of one thing.
    text = pl.col("text")
    name = text.str.split_exact(":", 1).struct.field("field_0")
    value = text.str.slice(name.str.len_chars() + 1)
    named = name.str.strip_chars(' "\t\n') + "=" + value.str.strip_chars(' ",}]\t\n')
    said = coded(raw.texts.to_frame("text").select(named.alias("text")).to_series())
    code = said.code[raw.code] if len(raw) else raw.code
    return _Part(rows[place], Coded(code, said.texts), said.texts.str.extract("^([^=]*)"))


def _places(record: Rows, records: int) -> Rows:
    """Place of each row among those of its record; `record` ascends."""
    ends = np.cumsum(np.bincount(record, minlength=records))
    return np.asarray(np.arange(len(record)) - np.concatenate([[0], ends])[record], np.int64)


def _singles(streams: pl.Series, parts: tuple[_Part, ...], record: Rows) -> tuple[Rows, Singles]:
    """Rows in Singles of all mentions; and Singles."""
    stream = coded(streams)
    sizes = [len(part.said) for part in parts]
    begins = np.cumsum([0, *sizes])
    # A thing is a text of a facet in a stream.
    text = np.concatenate([part.said.code + begin for part, begin in zip(parts, begins[:-1], strict=True)])
    mention, first = dense(stream.code[record] * begins[-1] + text, len(stream) * int(begins[-1]))
    text = text[first]
    texts = pl.concat([part.said.texts for part in parts])
    facet = np.searchsorted(begins, text, side="right") - 1
    names = coded(pl.concat([part.name for part in parts]))
    stream_hash, name_hash, text_hash = _hashes(stream.texts, names.texts, texts)
    facet_hash = np.array([_FACET_HASH[name] for name in FACETS])
    group = combine(combine(stream_hash[stream.code[record[first]]], facet_hash[facet]), name_hash[names.code[text]])
    # Texts that differ only far from their beginning have the same hash: they are one thing.
    key, row, single = np.unique(combine(group, text_hash[text]), return_index=True, return_inverse=True)
    groups, kind = np.unique(group[row], return_inverse=True)
    singles = Singles(
        key=key,
        group=group[row],
        facet=facet[row],
        record=record[first[row]],
        place=first[row],
        kind=kind,
        groups=groups,
        text=text[row],
        texts=texts,
    )
    return single[mention], singles


def _hashes(*texts: pl.Series) -> list[Hashes]:
    """Hashes of several series at once."""
    ends = np.cumsum([len(each) for each in texts])
    return np.split(hash64(pl.concat([each.alias("text") for each in texts])), ends[:-1])


def _pairs(  # noqa: PLR0913, PLR0917 -- numbers of mentions, of their records and of their minutes: columns of a batch
    single: Rows, owner: Rows, parsed: NDArray[np.bool_], minute: Rows, minutes: int, singles: Singles
) -> tuple[Pairs, Tally]:
    """The template with each entity of its record, and the entities with each other.

    Args:
        single: of the templates of all records, then of their entities.
        owner: record of each entity, ascending.
        parsed: the records whose template says something.
        minute: of each record.
        minutes: how many there are.
        singles: of the batch.
    """
    records = len(parsed)
    entity = np.arange(records, records + len(owner))
    with_template = parsed[owner]
    # Each entity with those after it in its record.
    ends = np.cumsum(np.bincount(owner, minlength=records))
    after = ends[owner] - np.arange(len(owner)) - 1
    left = np.repeat(np.arange(len(owner)), after)
    right = left + 1 + np.arange(len(left)) - np.repeat(np.cumsum(after) - after, after)
    record = np.concatenate([owner[with_template], owner[left]])
    left = single[np.concatenate([owner[with_template], entity[left]])]
    right = single[np.concatenate([entity[with_template], entity[right]])]
    count = len(singles)
    meetings = runs((left * count + right) * minutes + minute[record], count * count * minutes)
    tally = _tally(meetings.code, meetings.count, record[meetings.first], minutes)
    met = meetings.code[tally.begins] // minutes
    left, right = met // max(count, 1), met % max(count, 1)
    key = combine(singles.key[left], singles.key[right])
    first = meetings.first[tally.begins]
    return Pairs(left=left, right=right, key=key, record=record[first], place=first), tally


def _tally(code: Rows, count: Rows, record: Rows, minutes: int) -> Tally:
    """Tally of ascending numbers, each a thing times the number of minutes plus the minute."""
    thing = code // minutes
    begins = np.ones(len(code), np.bool_)
    begins[1:] = thing[1:] != thing[:-1]
    return Tally(row=np.cumsum(begins) - 1, minute=code % minutes, count=count, record=record, begins=begins)
