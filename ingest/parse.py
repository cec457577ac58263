"""Turns a batch of lines into records: the template, the parameters and the entities of each, its time and its id.

Text goes by skeletons (skeleton.py): masks, entities and Drain see each distinct skeleton once, and what varies is cut
out of all lines at once. JSON objects go by their keys (events.py). A line with nothing to parse has the template
UNPARSED.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from ingest.batch import Batch
from ingest.entities import entity, with_more
from ingest.header import severities_in, times_in
from ingest.ndjson import UnreadObjects
from ingest.object_shapes import ObjectShapes
from ingest.objects import Objects, find_objects, read_attributes, read_objects, read_shaped
from ingest.plans import Extent
from ingest.reading import Texts, read_texts
from ingest.shapes import Shape, Shapes
from ingest.stamps import nothing
from ingest.templates import StreamTemplates, TemplateSettings
from ingest.times import TimeSettings, times
from tocsin.identity import batch_digest, event_ids
from tocsin.record import RECORDS, TIME, empty_lines, empty_records
from tocsin.state import State

_KIND = "parser"
_VERSION = 2
_HEX = pl.Series([f"{number:04x}" for number in range(65536)], dtype=pl.String)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseSettings:
    """How much of a line is read, and how much is remembered of all of them."""

    template: TemplateSettings = field(default_factory=TemplateSettings)  # Drain and the bounds of one stream
    time: TimeSettings = field(default_factory=TimeSettings)  # which times are believed
    streams_max: int = 1_000  # streams with templates of their own; those without lines for longest are forgotten first
    chars_max: int = 4_096  # of a line that are read; the rest is kept in the body and not looked at
    tokens_max: int = 128  # words of a line that make its template; Grafana Loki's cap, which ended its memory trouble
    parameters_max: int = 64  # of a record
    parameter_chars_max: int = 1_024  # of one parameter
    entities_max: int = 32  # of a record; the most telling kinds are kept
    shapes_max: int = 50_000  # distinct skeletons remembered of lines, and of JSON objects; about 3 kB each


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template as it reads now."""

    template_id: str
    tenant: str
    stream: str
    text: str


class Parser:
    """Knows the templates of every stream; the same batches in the same order give the same records."""

    def __init__(self, settings: ParseSettings | None = None) -> None:
        self._settings = settings or ParseSettings()
        self._extent = Extent(
            tokens_max=self._settings.tokens_max,
            parameters_max=self._settings.parameters_max,
            parameter_chars_max=self._settings.parameter_chars_max,
            entities_max=self._settings.entities_max,
        )
        self._shapes = Shapes(shapes_max=self._settings.shapes_max, extent=self._extent)
        self._unread = UnreadObjects(shapes_max=self._settings.shapes_max, chars_max=self._settings.chars_max)
        self._object_shapes = ObjectShapes(shapes_max=self._settings.shapes_max, extent=self._extent)
        self._streams: dict[tuple[str, str], StreamTemplates] = {}  # the one used last is last
        self._changed: dict[str, Template] = {}

    def parse(self, batch: Batch, offset: int) -> pl.DataFrame:
        """Return RECORDS, sorted by time; equal times keep the order of the lines.

        Args:
            batch: lines of one stream.
            offset: of the batch in the journal; names its events where the sender named neither batch nor line.
        """
        return self.parse_all([(batch, offset)])[0]

    def parse_all(self, batches: Sequence[tuple[Batch, int]]) -> list[pl.DataFrame]:
        """Return the RECORDS of each of many batches with their offsets; small ones are done twenty times as fast.

        A template that changes reads the same way in all of them, so parameters may differ from those of one by one.
        """
        lines = self._in_fields(batches, _once(_stacked(batches)))
        if lines.is_empty():
            return [empty_records()] * len(batches)
        streams = self._begun([batch for batch, _ in batches])
        read = self._read(lines, streams)
        for known in streams:
            self._note(known)
        batch = lines["batch"]
        records = pl.DataFrame(
            {
                "event_id": _event_ids(batches, lines),
                "tenant": pl.Series([batch.tenant for batch, _ in batches], dtype=pl.String).gather(batch),
                "stream": pl.Series([batch.stream for batch, _ in batches], dtype=pl.String).gather(batch),
                "observed_time": lines["observed_time"],
                "body": lines["body"],
                **read,
            }
        )
        records = records.select(pl.col(name).cast(dtype) for name, dtype in RECORDS.items())
        return _split(_in_time_order(records, batch), batch, len(batches))

    def new_templates(self) -> tuple[Template, ...]:
        """Templates that were created, or whose text changed, since the last call."""
        changed = tuple(self._changed.values())
        self._changed = {}
        return changed

    def state(self) -> State:
        """Return all that decides about the records of later batches, as JSON values."""
        streams = [[tenant, stream, known.words()] for (tenant, stream), known in self._streams.items()]
        return State(kind=_KIND, version=_VERSION, words={"streams": streams})

    def restore(self, state: State) -> None:
        """Know what `state` knows and nothing else.

        Raises:
            StateError: the state is of something else or of another version.
        """
        words = state.expect(_KIND, _VERSION).words
        self._streams = {}
        self._changed = {}
        for tenant, stream, known in words["streams"]:
            self._streams[tenant, stream] = templates = StreamTemplates(tenant, stream, self._settings.template)
            templates.restore(known)

    def _begun(self, batches: Sequence[Batch]) -> list[StreamTemplates]:
        """Templates of the stream of each batch."""
        begun: dict[tuple[str, str], StreamTemplates] = {}
        for batch in batches:
            key = (batch.tenant, batch.stream)
            if key not in begun:
                known = self._streams.get(key, StreamTemplates(*key, self._settings.template))
                known.begin()
                begun[key] = known
        self._streams = {key: known for key, known in self._streams.items() if key not in begun} | begun
        for key in list(self._streams)[: max(len(self._streams) - self._settings.streams_max, 0)]:
            del self._streams[key]
        return [begun[batch.tenant, batch.stream] for batch in batches]

    def _note(self, known: StreamTemplates) -> None:
        for identity, template in known.changed.items():
            self._changed[identity] = Template(
                template_id=identity, tenant=known.tenant, stream=known.stream, text=template.text
            )
        known.changed = {}

    def _read(self, lines: pl.DataFrame, streams: Sequence[StreamTemplates]) -> dict[str, pl.Series]:
        """What the lines say: the columns of RECORDS that were not known before.

        Args:
            lines: stacked LINES.
            streams: templates by batch.
        """
        batch = lines["batch"].to_numpy()
        objects, whole = self._apart(lines["body"])
        time, severity = _headers(whole, lines)
        texts = _without_objects(whole, lines["body"], objects)
        read = read_texts(texts, self._shapes, batch[texts.rows], streams)
        if len(objects.codes):
            shaped = read_shaped(objects, self._object_shapes, batch[objects.shaped_rows], streams)
            read = pl.concat([read, shaped])
        if objects.rows:
            known_of = [streams[place] for place in batch[objects.rows].tolist()]
            read = pl.concat([read, read_objects(objects, known_of, self._extent)])
        if not read["row"].is_sorted():
            read = read.sort("row")
        entities = read["entities"]
        more = read_attributes(lines, objects, self._object_shapes, self._settings.chars_max)
        if not more.is_empty():
            entities = with_more(entities, more, self._settings.entities_max)
        stated = times(lines.with_columns(time.alias("header")), self._settings.time)
        return {
            "time": stated.time,
            "attributes": stated.attributes,
            "severity_number": _first(lines["severity_number"], severity).fill_null(0),
            "trace_id": _first(lines["trace_id"], read["trace"]),
            "span_id": _first(lines["span_id"], read["span"]),
            "template_id": read["template_id"],
            "parameters": read["parameters"],
            "entities": entities,
        }

    def _in_fields(self, batches: Sequence[tuple[Batch, int]], lines: pl.DataFrame) -> pl.DataFrame:
        """Read the objects of batches that nobody has read yet, all at once."""
        unread = [(place, batch.unread) for place, (batch, _) in enumerate(batches) if batch.unread is not None]
        for message_field in dict.fromkeys(asked.message_field for _, asked in unread):
            mine = [place for place, asked in unread if asked.message_field == message_field]
            rows = lines["batch"].is_in(mine).arg_true()
            read = self._unread.read(lines["body"].gather(rows), message_field).drop("position", "identity")
            if len(rows) == len(lines):
                lines = lines.with_columns(read)
            else:
                lines = lines.with_columns(lines[name].scatter(rows, read[name]) for name in read.columns)
        return lines

    def _apart(self, bodies: pl.Series) -> tuple[Objects, Texts]:
        """Lines that are JSON objects, and the others with their shapes."""
        objects = find_objects(bodies, self._object_shapes, self._settings.chars_max)
        is_other = np.ones(len(bodies), bool)
        is_other[objects.shaped_rows] = False
        is_other[objects.rows] = False
        rows = np.flatnonzero(is_other).astype(np.uint32)
        heads = _heads(bodies if len(rows) == len(bodies) else bodies.gather(rows), self._settings.chars_max)
        shapes, codes = self._shapes.of(heads)
        return objects, Texts(rows, heads, codes, shapes)


def _stacked(batches: Sequence[tuple[Batch, int]]) -> pl.DataFrame:
    """Lines of all batches with `batch`, the place of theirs, and `observed_time`."""
    parts = [
        batch.lines.with_columns(
            pl.lit(place, pl.UInt32).alias("batch"), pl.lit(batch.observed_time).cast(TIME).alias("observed_time")
        )
        for place, (batch, _) in enumerate(batches)
    ]
    return pl.concat(parts) if parts else empty_lines()


def _once(lines: pl.DataFrame) -> pl.DataFrame:
    """Lines without those that the same batch has under the same name before."""
    if lines["identity"].null_count() == len(lines):
        return lines
    return lines.filter(pl.col("identity").is_null() | pl.struct("batch", "identity").is_first_distinct())


def _split(records: pl.DataFrame, batch: pl.Series, count: int) -> list[pl.DataFrame]:
    """Records of each batch; they lie in the order of their batches."""
    ends = np.searchsorted(batch.to_numpy(), np.arange(1, count + 1)).tolist()
    return [records[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _headers(texts: Texts, lines: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """Time and severity that stand before the messages, of all lines; JSON objects have fields instead."""
    found = [shape.header for shape in texts.shapes]
    if len(texts.rows) == len(lines):
        time = times_in(texts.bodies, texts.codes, found, lines["observed_time"])
        return time, severities_in(texts.bodies, texts.codes, found)
    time = times_in(texts.bodies, texts.codes, found, lines["observed_time"].gather(texts.rows))
    severity = severities_in(texts.bodies, texts.codes, found)
    rows = len(lines)
    no_severity = pl.Series([None], dtype=pl.Int8).new_from_index(0, rows)
    return nothing(rows).scatter(texts.rows, time), no_severity.scatter(texts.rows, severity)


def _without_objects(texts: Texts, bodies: pl.Series, objects: Objects) -> Texts:
    """Texts whose message is no JSON object; the objects are added to `objects`."""
    may_be = np.array([shape.message.is_object for shape in texts.shapes], bool)
    if not may_be.any():
        return texts
    is_text = np.ones(len(texts.rows), bool)
    for at in np.flatnonzero(may_be[texts.codes]).tolist():
        row = int(texts.rows[at])
        shape = texts.shapes[texts.codes[at]]
        line = bodies[row].encode()
        message = line[shape.bytes_at[shape.header.start] :].decode()
        is_text[at] = not objects.add(row, message, _written(shape, line))
    return texts.where(is_text)


def _written(shape: Shape, line: bytes) -> list[str]:
    """Entities of what stands before the message of one line."""
    found = (entity(kind, line[start:end].decode()) for kind, (start, end) in shape.header.entities())
    return [text for text in found if text is not None]


def _first(one: pl.Series, other: pl.Series) -> pl.Series:
    """The one where it is not null, else the other."""
    nulls = one.null_count()
    if nulls == len(one):
        return other
    return one if nulls == 0 else one.zip_with(one.is_not_null(), other)


def _in_time_order(records: pl.DataFrame, batch: pl.Series) -> pl.DataFrame:
    """Sort the records of each batch by time; equal times keep their order."""
    time, place = records["time"].to_physical().to_numpy(), batch.to_numpy()
    if not ((time[1:] < time[:-1]) & (place[1:] == place[:-1])).any():
        return records
    return records.sort(batch, "time", maintain_order=True)


def _heads(messages: pl.Series, chars_max: int) -> pl.Series:
    """The beginnings of long messages."""
    if (messages.str.len_bytes().max() or 0) <= chars_max:  # type: ignore[operator]  # of an integer column
        return messages
    return messages.str.head(chars_max)


def _event_ids(batches: Sequence[tuple[Batch, int]], lines: pl.DataFrame) -> pl.Series:
    """Ids by place in the batch; a line that its sender named has an id of that name."""
    digests = [
        batch_digest(batch.tenant, batch.stream, str(offset) if batch.identity is None else batch.identity)
        for batch, offset in batches
    ]
    position = lines["position"]
    ids = lines.select(
        pl.concat_str(
            pl.Series(digests, dtype=pl.String).gather(lines["batch"]),
            _HEX.gather(position // 65536),
            _HEX.gather(position % 65536),
        )
    ).to_series()
    named = lines["identity"].is_not_null().arg_true()
    if named.is_empty():
        return ids
    mine = []
    for place, name in lines.select("batch", "identity")[named.to_list()].iter_rows():
        batch, _ = batches[place]
        mine += event_ids(batch.tenant, batch.stream, f"line {name}", [0])
    return ids.scatter(named, pl.Series(mine, dtype=pl.String))
