"""Splunk's HTTP event collector into lines: events that follow one another without a separator, and raw lines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ingest.batch import Part, Rejected, stream_name
from ingest.conventions import Asked, Row, to_lines
from ingest.json_rows import Rows, rows_of_ndjson
from ingest.limits import Limits
from ingest.lines import Split, count_openers, reject, split, text_of
from ingest.stamps import read_times
from tocsin.errors import InputError, TooLargeError

DEFAULT_STREAM = "splunk"

NO_DATA, MALFORMED, EVENT_MISSING, EVENT_BLANK = 5, 6, 12, 13

#: Source types that clients send when nobody chose one.
_GENERIC = frozenset({"text", "json", "_json", "httpevent", "generic_single_line", "log4j", "string", "_raw"})
_GENERIC_INDICES = frozenset({"main", "default"})

_BROKEN_MAX = 1000  # each may be looked at to the end of the body before it turns out to be none

_scan = json.JSONDecoder().raw_decode


class EventError(InputError):
    """No event of the request could be read."""

    def __init__(self, code: int, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.code = code  # Splunk's
        self.number = number  # of the first event, from 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where events come from, by the query of their request; what an event says itself comes first."""

    host: str | None = None
    source: str | None = None
    sourcetype: str | None = None
    index: str | None = None


@dataclass(slots=True)
class _Events:
    """The events of one stream."""

    positions: list[int] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    times: list[object] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def decode_events(body: bytes, origin: Origin, limits: Limits) -> tuple[Part, ...]:
    """The lines of a body of events; those that are none are dead letters as long as one is.

    Raises:
        EventError: it is empty, or none of it is an event.
        TooLargeError: it is over a limit.
    """
    text = text_of(body)
    if not text or text.isspace():
        raise EventError(NO_DATA, "body: it is empty")
    found = _documents(text, limits)
    streams: dict[str, _Events] = {}
    poison = [(bad.line - 1, MALFORMED, bad.detail) for bad in found.rejected]
    if found.rejected:
        streams[stream_of(None, origin)] = _Events(rejected=list(found.rejected))
    for position, row in zip(found.positions, found.rows, strict=True):
        code, why = _why_none(row)
        stream = stream_of(row, origin)
        events = streams.setdefault(stream, _Events())
        if len(streams) > limits.streams_max:
            raise TooLargeError(f"event {position}: more than {limits.streams_max} streams; send it in parts")
        if code:
            events.rejected.append(reject(position, json.dumps(row), why, limits))
            poison.append((position, code, why))
            continue
        events.positions.append(position)
        events.rows.append(_flat(row, origin))
        events.times.append(row.get("time"))
    if poison and not any(events.rows for events in streams.values()):
        number, code, why = min(poison)
        raise EventError(code, f"event {number}: {why}", number)
    return tuple(_part(stream, events) for stream, events in streams.items())


def decode_raw(body: bytes, origin: Origin, limits: Limits) -> tuple[Part, ...]:
    """The lines of a body of text.

    Raises:
        EventError: it is empty.
        TooLargeError: it is over a limit.
    """
    parts = split(text_of(body), limits)
    if not parts.texts and not parts.rejected:
        raise EventError(NO_DATA, "body: it is empty")
    about = _about({}, origin)
    rows: list[Row] = [{**about, "message": text} for text in parts.texts]
    lines = to_lines(rows, parts.positions, Asked(message_field="message")).lines
    return (Part(stream=stream_of(None, origin), lines=lines, rejected=parts.rejected),)


def stream_of(row: Row | None, origin: Origin) -> str:
    """The stream of an event: its source type, else its index, where these say something."""
    own = row or {}
    sourcetype = _text(own.get("sourcetype")) or origin.sourcetype or ""
    index = _text(own.get("index")) or origin.index or ""
    for name, generic in ((sourcetype, _GENERIC), (index, _GENERIC_INDICES)):
        if name and name.lower() not in generic:
            return stream_name(name, DEFAULT_STREAM)
    return DEFAULT_STREAM


def _documents(text: str, limits: Limits) -> Rows:
    """Most clients put one event in a line, the others put nothing between them."""
    lines = split(text, limits)
    if len(lines.texts) > 1:
        found = rows_of_ndjson(lines, limits)
        if not found.rejected:
            return Rows(rows=found.rows, positions=range(len(found.rows)), texts=found.texts, rejected=())
    texts = [text[start:end] for start, end in _spans(text)]
    if len(texts) > limits.lines_max:
        raise TooLargeError(f"body: more than {limits.lines_max} events; send it in parts")
    long = {at for at, own in enumerate(texts) if len(own.encode()) > limits.line_bytes_max}
    why = f"longer than {limits.line_bytes_max} bytes"
    kept = [at for at in range(len(texts)) if at not in long]
    return rows_of_ndjson(
        Split(
            positions=kept,
            texts=[texts[at] for at in kept],
            openers=count_openers(text),
            rejected=tuple(reject(at, texts[at], why, limits) for at in sorted(long)),
        ),
        limits,
    )


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where the documents of `text` begin and end; what is none ends with its line."""
    at = broken = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        try:
            _, end = _scan(text, at)
        except (ValueError, RecursionError):
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            broken += 1
            if broken > _BROKEN_MAX:
                raise EventError(
                    MALFORMED, f"position {at}: more than {_BROKEN_MAX} events are not valid JSON"
                ) from None
        yield at, end
        at = end


def _why_none(row: Row) -> tuple[int, str]:
    """Splunk's code and the reason why `row` is no event; 0 where it is one."""
    event = row.get("event")
    if event is None:
        return (EVENT_BLANK, "the event is blank") if "event" in row else (EVENT_MISSING, "the event is missing")
    if event in ("", {}) or (isinstance(event, str) and event.isspace()):
        return EVENT_BLANK, "the event is blank"
    return 0, ""


def _flat(row: Row, origin: Origin) -> Row:
    """One object: fields, where it comes from, and the event itself, which comes first."""
    fields = row.get("fields")
    flat: Row = {**fields, **_about(row, origin)} if isinstance(fields, dict) else _about(row, origin)
    event = row["event"]
    if isinstance(event, dict):
        inner = event.get("message")  # where Splunk's loggers put an object that was logged
        return flat | event if not isinstance(inner, dict) else flat | _without(event, "message") | inner
    # Whatever else is called a message: the text of an event is the event.
    return {"message": event, **_without(flat, "message")}


def _without(row: Row, name: str) -> Row:
    return {other: value for other, value in row.items() if other != name}


def _about(row: Row, origin: Origin) -> dict[str, Any]:
    found = {
        "host.name": _text(row.get("host")) or origin.host,
        "source": _text(row.get("source")) or origin.source,
    }
    return {name: value for name, value in found.items() if value}


def _part(stream: str, events: _Events) -> Part:
    lines = to_lines(events.rows, events.positions, Asked()).lines
    lines = lines.with_columns(read_times(events.times).fill_null(lines["time"]))
    return Part(stream=stream, lines=lines, rejected=tuple(sorted(events.rejected, key=lambda bad: bad.line)))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
