"""Loki's push API: label sets with lines, in protobuf or JSON, into LINES.

Labels and structured metadata become attributes under their own names. A line whose labels, time or metadata cannot be
read is refused alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import polars as pl

from ingest.batch import Part, Rejected, stream_name
from ingest.conventions import SEVERITY_NAMES, SPAN_NAMES, TRACE_NAMES
from ingest.labels import parse_labels, storable, value_of
from ingest.limits import Limits
from ingest.lines import reject, text_of
from ingest.messages import LokiPush, read_message
from ingest.severity import of_level
from ingest.stamps import read_times
from tocsin.errors import InputError, TooLargeError
from tocsin.record import TIME

#: The labels that name a stream, the most telling first.
STREAM_LABELS = ("service_name", "app", "application", "service", "job", "container", "filename")
_DEFAULT_STREAM = "loki"
_SECOND = 1_000_000_000
_NS_MAX = 9_223_372_036_854_775_807  # the year 2262
_NS_DIGITS = (18, 19)  # of a time in nanoseconds between 1973 and 2262
_SEVERITIES = {**SEVERITY_NAMES, "detected_level": of_level}
_ID_LENGTH_MAX = 128  # as `ingest.conventions`

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

Labels = Mapping[str, str]


class _Line(NamedTuple):
    """One line as it was sent."""

    text: str
    time_ns: int | None
    metadata: Labels
    why_refused: str | None = None


class _Stream(NamedTuple):
    """One set of labels, and its lines."""

    labels: Labels
    size: int  # how many lines
    lines: Iterator[_Line]
    why_refused: str | None = None


class _Known(NamedTuple):
    """What labels say about a line."""

    attributes: str | None  # JSON
    severity_number: int | None
    trace_id: str | None
    span_id: str | None


@dataclass(slots=True)
class _Columns:
    """The lines of one stream under construction."""

    times: list[int | None] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    known: list[_Known] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def next_position(self) -> int:
        return len(self.bodies) + len(self.rejected)

    def part(self, stream: str) -> Part:
        taken_by = {each.line - 1 for each in self.rejected}
        attributes, severities, traces, spans = zip(*self.known, strict=True) if self.known else ((), (), (), ())
        lines = pl.DataFrame(
            {
                "position": pl.Series([at for at in range(self.next_position) if at not in taken_by], dtype=pl.UInt32),
                "time": pl.Series(self.times, dtype=pl.Int64).cast(TIME),
                "severity_number": pl.Series(severities, dtype=pl.Int8),
                "body": pl.Series(self.bodies, dtype=pl.String),
                "attributes": pl.Series(attributes, dtype=pl.String),
                "trace_id": pl.Series(traces, dtype=pl.String),
                "span_id": pl.Series(spans, dtype=pl.String),
                "identity": pl.Series([None], dtype=pl.String).new_from_index(0, len(self.bodies)),
            }
        )
        return Part(stream=stream, lines=lines, rejected=tuple(self.rejected))


def decode_loki(body: bytes, *, is_json: bool, limits: Limits) -> tuple[Part, ...]:
    """Lines of a decompressed push request, by stream.

    Raises:
        InputError: the body as a whole is no push request.
        TooLargeError: it is over a limit.
    """
    streams = list(_streams_of_json(body) if is_json else _streams_of_message(body, limits))
    if sum(stream.size for stream in streams) > limits.lines_max:
        raise TooLargeError(f"body: more than {limits.lines_max} lines; send it in parts")
    taken: dict[str, _Columns] = {}
    for stream in streams:
        name = stream_name(value_of(stream.labels, STREAM_LABELS), _DEFAULT_STREAM)
        _take(stream, taken.setdefault(name, _Columns()), limits)
        if len(taken) > limits.streams_max:
            raise TooLargeError(f"body: lines of more than {limits.streams_max} streams; send it in parts")
    return tuple(columns.part(name) for name, columns in taken.items())


def _take(stream: _Stream, columns: _Columns, limits: Limits) -> None:
    shared = _known(stream.labels)
    for line in stream.lines:
        why = stream.why_refused or line.why_refused or _over(line, stream.labels, limits)
        if why is not None:
            columns.rejected.append(reject(columns.next_position, line.text, why, limits))
            continue
        columns.times.append(line.time_ns)
        columns.bodies.append(line.text)
        columns.known.append(_known(_merged(stream.labels, line.metadata)) if line.metadata else shared)


def _over(line: _Line, labels: Labels, limits: Limits) -> str | None:
    size_max = limits.line_bytes_max
    # A character takes 4 bytes at most.
    if 4 * len(line.text) > size_max and len(line.text.encode()) > size_max:
        return f"longer than {size_max} bytes"
    if len(labels) + len(line.metadata) > limits.fields_max:
        return f"more than {limits.fields_max} labels"
    return None


def _merged(labels: Labels, metadata: Labels) -> Labels:
    # Loki's own rule for a name that is a label too.
    return {**labels, **{f"{name}_extracted" if name in labels else name: text for name, text in metadata.items()}}


def _known(labels: Labels) -> _Known:
    """Severity and ids out of labels; the ids have columns of their own and are left out of the attributes."""
    own_names = {name.lower(): name for name in labels}
    numbers = (read(labels[own_names[name]]) for name, read in _SEVERITIES.items() if name in own_names)
    trace, span = (_named_id(labels, own_names, names) for names in (TRACE_NAMES, SPAN_NAMES))
    rest = {name: text for name, text in labels.items() if name not in {trace, span}}
    return _Known(
        attributes=_encode(rest).decode() if rest else None,
        severity_number=next((number for number in numbers if number is not None), None),
        trace_id=labels[trace] if trace else None,
        span_id=labels[span] if span else None,
    )


def _named_id(labels: Labels, own_names: Mapping[str, str], names: Sequence[str]) -> str | None:
    found = (own_names[name] for name in names if name in own_names)
    return next((name for name in found if len(labels[name]) <= _ID_LENGTH_MAX), None)


def _streams_of_message(body: bytes, limits: Limits) -> Iterator[_Stream]:
    streams = read_message(LokiPush, body, limits).streams
    if len(streams) > limits.lines_max:  # empty ones, of two bytes each
        raise TooLargeError(f"body: more than {limits.lines_max} label sets; send it in parts")
    for stream in streams:
        labels, why = _labels_of_text(text_of(stream.labels))
        yield _Stream(labels, len(stream.entries), map(_line_of_entry, stream.entries), why)


def _labels_of_text(text: str) -> tuple[Labels, str | None]:
    try:
        return parse_labels(text), None
    except InputError as error:
        return {}, str(error)


def _line_of_entry(entry: Any) -> _Line:
    seconds, nanos = entry.timestamp.seconds, entry.timestamp.nanos
    time_ns = seconds * _SECOND + nanos
    why = None
    if not 0 <= nanos < _SECOND or abs(time_ns) > _NS_MAX:
        time_ns, why = 0, f"time: {seconds} s and {nanos} ns since 1970 is none that can be kept"
    metadata = {text_of(pair.name): text_of(pair.value) for pair in entry.structuredMetadata}
    return _Line(text_of(entry.line), time_ns or None, metadata, why)


def _streams_of_json(body: bytes) -> Iterator[_Stream]:
    try:
        document = _decode(text_of(body))
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(f"body: not valid JSON: {str(error).removeprefix('JSON is malformed: ')}") from error
    streams = document.get("streams") if isinstance(document, dict) else None
    if not isinstance(streams, list):
        raise InputError('body: it needs "streams", an array')
    for at, stream in enumerate(streams):
        if not isinstance(stream, dict):
            raise InputError(f"streams[{at}]: not an object")
        yield _stream_of_values(stream, at) if "values" in stream or "stream" in stream else _old_stream(stream, at)


def _stream_of_values(stream: Mapping[str, Any], at: int) -> _Stream:
    values = _array(stream, "values", at)
    sent = stream.get("stream") or {}
    labels, why = _texts(sent, "labels")
    # Each value is an array of a time in nanoseconds, a line, and perhaps metadata.
    rows = [value if isinstance(value, list) else [] for value in values]
    times = _times([row[0] if row else None for row in rows])
    return _Stream(labels, len(values), map(_line_of_value, rows, times), why)


def _line_of_value(row: Sequence[Any], time_ns: int | None) -> _Line:
    if not 2 <= len(row) <= 3 or not isinstance(row[1], str):
        return _Line(_encode(row).decode(), None, {}, "not an array of time, line and perhaps metadata")
    metadata, why = _texts(row[2] or {}, "metadata") if len(row) == 3 else ({}, None)
    return _Line(storable(row[1]), time_ns or None, metadata, _why_no_time(row[0], time_ns) or why)


def _old_stream(stream: Mapping[str, Any], at: int) -> _Stream:
    """The form before Loki 0.4: labels as one text, entries as objects with `ts` and `line`."""
    values = _array(stream, "entries", at)
    text = stream.get("labels")
    labels, why = _labels_of_text(text) if isinstance(text, str) else ({}, "labels: not a text")
    entries = [value if isinstance(value, dict) else {} for value in values]
    times = _times([entry.get("ts", entry.get("timestamp")) for entry in entries])
    return _Stream(labels, len(values), map(_line_of_object, entries, times), why)


def _line_of_object(entry: Mapping[str, Any], time_ns: int | None) -> _Line:
    line = entry.get("line")
    if not isinstance(line, str):
        return _Line(_encode(entry).decode(), None, {}, "not an object with ts and line")
    why = _why_no_time(entry.get("ts", entry.get("timestamp")), time_ns)
    return _Line(storable(line), time_ns or None, {}, why)


def _array(stream: Mapping[str, Any], name: str, at: int) -> list[Any]:
    values = stream.get(name)
    if values is None:
        return []
    if not isinstance(values, list):
        raise InputError(f"streams[{at}].{name}: not an array")
    return values


def _texts(sent: object, what: str) -> tuple[Labels, str | None]:
    """Labels of a JSON object; numbers and truth values are written out, as some clients send them."""
    if not isinstance(sent, dict):
        return {}, f"{what}: not an object"
    texts = {}
    for name, value in sent.items():
        if isinstance(value, (dict, list)):
            return {}, f"{what} {name[:64]!r}: not a text"
        if value is not None and value != "":
            texts[storable(name)] = storable(value) if isinstance(value, str) else _encode(value).decode()
    return texts, None


def _times(values: Sequence[object]) -> Sequence[int | None]:
    """Nanoseconds since 1970 of texts of digits, of numbers, and of RFC 3339; null where one is no time."""
    texts = [str(value) if isinstance(value, (int, str)) else "" for value in values]
    if all(text.isascii() and text.isdigit() and len(text) in _NS_DIGITS for text in texts):
        numbers = [int(text) for text in texts]
        return [number if number <= _NS_MAX else None for number in numbers]
    return [0 if text == "0" else time for text, time in zip(texts, read_times(texts).cast(pl.Int64), strict=True)]


def _why_no_time(sent: object, time_ns: int | None) -> str | None:
    return f"time: {_encode(sent).decode()[:64]} is none" if time_ns is None and sent is not None else None
