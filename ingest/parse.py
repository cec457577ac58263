"""Turns a batch of lines into records: the template, the parameters and the entities of each, its time and its id.

Text goes by skeletons (skeleton.py): masks, entities and Drain see each distinct skeleton once, and what varies is cut
out of all lines at once. JSON objects go by their keys (events.py). A line with nothing to parse has the template
UNPARSED.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import polars as pl

from ingest.batch import Batch
from ingest.entities import as_lists
from ingest.header import headers
from ingest.reading import Extent, objects_in, read_attributes, read_header, read_objects, read_texts
from ingest.shapes import Shapes
from ingest.templates import StreamTemplates, TemplateSettings
from ingest.times import TimeSettings, times
from tocsin.identity import event_ids
from tocsin.record import RECORDS, TIME, empty_lines, empty_records
from tocsin.state import State

_KIND = "parser"
_VERSION = 1
_TOGETHER = timedelta(hours=1)  # arrivals so near to each other see the same years in dates without one


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
    shapes_max: int = 50_000  # distinct skeletons remembered, about 3 kB each


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
        self._shapes = Shapes(shapes_max=self._settings.shapes_max, tokens_max=self._settings.tokens_max)
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
        lines = _stacked(batches)
        if lines.is_empty():
            return [empty_records()] * len(batches)
        streams = self._begun([batch for batch, _ in batches])
        header = _headers(lines)
        parsed = self._parsed(lines, header, streams)
        for known in streams:
            self._note(known)
        time = times(lines.with_columns(header["time"].alias("header")), self._settings.time)
        records = lines.select(
            pl.Series(_event_ids(batches, lines), dtype=pl.String).alias("event_id"),
            pl.Series([batch.tenant for batch, _ in batches]).gather(lines["batch"]).alias("tenant"),
            pl.Series([batch.stream for batch, _ in batches]).gather(lines["batch"]).alias("stream"),
            time.time.alias("time"),
            "observed_time",
            pl.coalesce("severity_number", header["severity_number"], pl.lit(0, pl.Int8)).alias("severity_number"),
            "body",
            time.attributes.alias("attributes"),
            pl.coalesce("trace_id", parsed["trace"]).alias("trace_id"),
            pl.coalesce("span_id", parsed["span"]).alias("span_id"),
            parsed["template_id"],
            parsed["parameters"],
            parsed["entities"],
        )
        records = records.select(pl.col(name).cast(dtype) for name, dtype in RECORDS.items())
        return _split(records.sort(lines["batch"], "time", maintain_order=True), lines["batch"], len(batches))

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

    def _parsed(self, lines: pl.DataFrame, header: pl.DataFrame, streams: Sequence[StreamTemplates]) -> pl.DataFrame:
        """template_id, parameters, entities, trace and span of each line.

        Args:
            lines: stacked LINES.
            header: what stands before their messages.
            streams: templates by batch.
        """
        settings = self._settings
        extent = Extent(parameters_max=settings.parameters_max, parameter_chars_max=settings.parameter_chars_max)
        messages = _messages(lines["body"], header["start"])
        objects = objects_in(messages)
        known_of = [streams[batch] for batch in lines["batch"].gather([row for row, _ in objects]).to_list()]
        events = read_objects(objects, known_of, extent)
        texts = pl.DataFrame({"text": _heads(messages, settings.chars_max), "batch": lines["batch"]}).with_row_index(
            "row"
        )
        if objects:
            texts = texts.join(events.messages, on="row", how="anti", maintain_order="left")
        reading = read_texts(texts, self._shapes, streams, extent)
        attributes = read_attributes(lines["attributes"], dict(objects))
        read = pl.concat([reading.messages, events.messages]).sort("row")
        entities = pl.concat([reading.entities, events.entities, attributes, read_header(header)])
        return read.with_columns(
            pl.col("parameters").fill_null([]),
            as_lists(entities, len(lines), settings.entities_max).alias("entities"),
        )


def _stacked(batches: Sequence[tuple[Batch, int]]) -> pl.DataFrame:
    """Lines of all batches with `batch`, the place of theirs, and `observed_time`; a line named twice comes once."""
    parts = [
        batch.lines.with_columns(
            pl.lit(place, pl.UInt32).alias("batch"), pl.lit(batch.observed_time).cast(TIME).alias("observed_time")
        )
        for place, (batch, _) in enumerate(batches)
    ]
    if not parts:
        return empty_lines()
    lines = pl.concat(parts)
    if lines["identity"].null_count() == len(lines):
        return lines
    return lines.filter(pl.col("identity").is_null() | pl.struct("batch", "identity").is_first_distinct())


def _split(records: pl.DataFrame, batch: pl.Series, count: int) -> list[pl.DataFrame]:
    """Records of each batch; they lie in the order of their batches."""
    ends = np.searchsorted(batch.to_numpy(), np.arange(1, count + 1)).tolist()
    return [records[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _headers(lines: pl.DataFrame) -> pl.DataFrame:
    """What stands before the messages; batches that arrived within an hour of each other are read at once."""
    observed = lines["observed_time"]
    if observed[-1] - observed[0] < _TOGETHER and observed.is_sorted():
        return headers(lines["body"], observed_time=observed[-1])
    parts = lines.partition_by("batch", maintain_order=True)
    return pl.concat([headers(part["body"], observed_time=part["observed_time"][0]) for part in parts])


def _messages(bodies: pl.Series, starts: pl.Series) -> pl.Series:
    """Bodies without their headers."""
    if not (starts > 0).any():
        return bodies
    piece = pl.col("body").cast(pl.Binary).bin.slice(pl.col("start")).cast(pl.String)
    message = pl.when(pl.col("start") > 0).then(piece).otherwise(pl.col("body"))
    return pl.DataFrame({"body": bodies, "start": starts}).select(message.alias("body")).to_series()


def _heads(messages: pl.Series, chars_max: int) -> pl.Series:
    """The beginnings of long messages."""
    if (messages.str.len_bytes().max() or 0) <= chars_max:  # type: ignore[operator]  # of an integer column
        return messages
    return messages.str.head(chars_max)


def _event_ids(batches: Sequence[tuple[Batch, int]], lines: pl.DataFrame) -> list[str]:
    """Ids by place in the batch; a line that its sender named has an id of that name."""
    ids: list[str] = []
    positions = lines.group_by("batch", maintain_order=True).agg("position")
    for place, places in positions.iter_rows():
        batch, offset = batches[place]
        ids += event_ids(batch.tenant, batch.stream, str(offset) if batch.identity is None else batch.identity, places)
    named = lines["identity"].is_not_null().arg_true().to_list()
    for row, place, name in zip(named, *lines.select("batch", "identity")[named].to_dict().values(), strict=True):
        batch, _ = batches[place]
        ids[row] = event_ids(batch.tenant, batch.stream, f"line {name}", [0])[0]
    return ids
