"""Datadog's log intake into lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import polars as pl

from ingest.batch import Part, Rejected, stream_name
from ingest.conventions import Asked, Row, to_lines
from ingest.json_rows import Rows, rows_of_json
from ingest.limits import Limits
from ingest.lines import count_openers, split, text_of
from ingest.severity import of_level
from ingest.stamps import read_times
from tocsin.errors import TooLargeError

DEFAULT_STREAM = "datadog"

#: Datadog's names of what a message is about, and OpenTelemetry's.
_ABOUT = {"hostname": "host.name", "service": "service.name", "ddsource": "ddsource"}
#: What a message says about itself beside its text.
_ENVELOPE = frozenset({*_ABOUT, "message", "status", "timestamp", "ddtags"})
_TAGS_MAX = 256  # of one message; an agent in Kubernetes sends about thirty

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What a request says beside its body."""

    is_text: bool = False  # the body is lines, not JSON
    defaults: Mapping[str, str] = field(default_factory=dict)  # of messages that do not say so: hostname, ddtags, ...
    time: str | None = None  # of messages that have none


@dataclass(slots=True)
class _Messages:
    """The messages of one stream."""

    positions: list[int] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    times: list[object] = field(default_factory=list)
    severities: list[int | None] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def decode_datadog(body: bytes, beside: Beside, limits: Limits) -> tuple[Part, ...]:
    """The lines of a body; none where it is `{}`, by which an agent asks whether anybody is there.

    Raises:
        InputError: it is not JSON.
        TooLargeError: it is over a limit.
    """
    text = text_of(body)
    if not text or text.isspace():
        return ()
    found = _rows_of_text(text, limits) if beside.is_text else rows_of_json(text, limits)
    streams: dict[str, _Messages] = {}
    for position, row in zip(found.positions, found.rows, strict=True):
        if not row:
            continue
        told = {**beside.defaults, **row}
        messages = streams.setdefault(_stream(told), _Messages())
        if len(streams) > limits.streams_max:
            raise TooLargeError(f"message {position}: more than {limits.streams_max} services; send it in parts")
        messages.positions.append(position)
        messages.rows.append(_flat(told, limits))
        messages.severities.append(of_level(told.get("status")))
        messages.times.append(told.get("timestamp") or beside.time)
    if found.rejected:
        streams.setdefault(_stream(beside.defaults), _Messages()).rejected.extend(found.rejected)
    return tuple(_part(stream, messages) for stream, messages in streams.items())


def _rows_of_text(text: str, limits: Limits) -> Rows:
    parts = split(text, limits)
    rows: list[Row] = [{"message": line} for line in parts.texts]
    return Rows(rows=rows, positions=parts.positions, texts=parts.texts, rejected=parts.rejected)


def _stream(told: Mapping[str, object]) -> str:
    for name in ("service", "ddsource"):
        value = told.get(name)
        if isinstance(value, str) and value:
            return stream_name(value, DEFAULT_STREAM)
    return DEFAULT_STREAM


def _flat(told: Row, limits: Limits) -> Row:
    """One object: tags, fields, what it is about, and the message itself, which comes first."""
    flat = _tags(told.get("ddtags"))
    flat |= {name: value for name, value in told.items() if name not in _ENVELOPE}
    flat |= {ours: told[theirs] for theirs, ours in _ABOUT.items() if told.get(theirs)}
    if "status" in told and of_level(told["status"]) is None:
        flat["status"] = told["status"]
    message = told.get("message")
    inner = _object(message, limits)
    return flat | inner if inner is not None else {**flat, "message": message}


def _object(message: object, limits: Limits) -> Row | None:
    """The object that a message is, or that its text spells: Datadog reads both."""
    if isinstance(message, str) and message[:1] == "{":
        if count_openers(message) > limits.json_depth_max or len(message) > limits.fields_max:
            return None  # it may be over a limit for objects, and is within that for text
        try:
            message = _decode(message)
        except (msgspec.DecodeError, RecursionError):
            return None
    return message if isinstance(message, dict) else None


def _tags(text: object) -> Row:
    """`k:v,k2:v2` as fields; words without a value are `tags`."""
    if not isinstance(text, str) or not text:
        return {}
    fields: Row = {}
    words = []
    for tag in text.split(",", _TAGS_MAX)[:_TAGS_MAX]:
        name, colon, value = tag.strip().partition(":")
        if colon and name and value:
            fields.setdefault(name, value)
        elif name:
            words.append(name)
    return fields | {"tags": words} if words else fields


def _part(stream: str, messages: _Messages) -> Part:
    lines = to_lines(messages.rows, messages.positions, Asked()).lines
    # What a message says itself is truer than what the agent says about it.
    severity = pl.Series(messages.severities, dtype=pl.Int8)
    lines = lines.with_columns(
        lines["time"].fill_null(read_times(messages.times)), lines["severity_number"].fill_null(severity)
    )
    return Part(stream=stream, lines=lines, rejected=tuple(messages.rejected))
