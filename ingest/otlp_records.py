"""One log record, or one span, of OTLP as a line."""

from __future__ import annotations

from typing import Any

from ingest.conventions import json_text
from ingest.limits import Limits
from ingest.otlp_sheet import Line
from ingest.otlp_wire import Wire, attributes_of, check_fields
from ingest.severity import of_level
from tocsin.errors import InputError

_SPAN_KINDS = ("", "internal", "server", "client", "producer", "consumer")  # by number; 0 is unspecified
_FAILED = 2  # the status of a span; 1 is ok, 0 is unset
_ERROR = 17
_TRACE_BYTES, _SPAN_BYTES = 16, 8
_NS_PER_MS = 1_000_000


def line_of_log(record: Any, wire: Wire, limits: Limits) -> Line:
    """A log record.

    Raises:
        InputError: an id has the wrong length, a value is over a limit.
    """
    fields = attributes_of(record.attributes, wire, limits)
    name = record.event_name
    if name:
        fields["event.name"] = name
    level = record.severity_text
    severity = _severity(record.severity_number, level)
    if level and (severity is None or of_level(level) != severity):  # else it says nothing more
        fields["severity_text"] = level
    body = _text(wire.value(record.body, limits.json_depth_max), limits)
    return Line(
        time=record.time_unix_nano or record.observed_time_unix_nano or 0,
        severity_number=severity,
        body=body or name or json_text(fields),
        attributes=fields,
        trace_id=_identifier(record.trace_id, _TRACE_BYTES, wire),
        span_id=_identifier(record.span_id, _SPAN_BYTES, wire),
    )


def line_of_span(span: Any, wire: Wire, limits: Limits) -> Line:
    """A span: its name, kind and, when it failed, why; the line is named by its ids.

    Raises:
        InputError: an id has the wrong length or is missing, a value is over a limit.
    """
    trace_id = _identifier(span.trace_id, _TRACE_BYTES, wire)
    span_id = _identifier(span.span_id, _SPAN_BYTES, wire)
    if trace_id is None or span_id is None:
        raise InputError("trace id or span id: missing")
    start, end = span.start_time_unix_nano or 0, span.end_time_unix_nano or 0
    number = span.kind or 0
    kind = _SPAN_KINDS[number] if 0 <= number < len(_SPAN_KINDS) else ""
    status = wire.field(span, "status")
    code = (status and status.code) or 0
    fields = attributes_of(span.attributes, wire, limits)
    known = {
        "span.name": span.name,
        "span.kind": kind,
        "parent_span_id": _identifier(span.parent_span_id, _SPAN_BYTES, wire),
        "status": {1: "ok", _FAILED: "error"}.get(code),
        "status_message": status and status.message,
        "events": [_event(event, wire, limits) for event in span.events or ()],
        "links": [_link(link, wire) for link in span.links or ()],
    }
    fields.update({name: value for name, value in known.items() if value})
    if start and end >= start:
        fields["duration_ms"] = (end - start) / _NS_PER_MS
    check_fields(fields, limits)
    words = [span.name, kind, "error" if code == _FAILED else ""]
    said = " ".join(word for word in words if word)
    why = status.message if status and status.message else ""
    return Line(
        time=start,
        severity_number=_ERROR if code == _FAILED else None,
        body=f"{said}: {why}" if why else said,
        attributes=fields,
        trace_id=trace_id,
        span_id=span_id,
        identity=trace_id + span_id,
    )


def _event(event: Any, wire: Wire, limits: Limits) -> dict[str, Any]:
    known = {"name": event.name or "", "time_unix_nano": event.time_unix_nano or 0}
    return attributes_of(event.attributes, wire, limits) | known


def _link(link: Any, wire: Wire) -> dict[str, str | None]:
    return {
        "trace_id": _identifier(link.trace_id, _TRACE_BYTES, wire),
        "span_id": _identifier(link.span_id, _SPAN_BYTES, wire),
    }


def _severity(number: int | None, level: str | None) -> int | None:
    if number and 1 <= number <= 24:
        return number
    return of_level(level) if level else None


def _text(value: Any, limits: Limits) -> str:
    """A body as text: of bytes what they spell, of a structure its JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, (dict, list)):
        check_fields(value, limits)
    return "" if value is None else json_text(value)


def _identifier(given: Any, size: int, wire: Wire) -> str | None:
    """An id in hexadecimal; None where there is none: nothing, or zeros alone."""
    if not given:
        return None
    found = wire.identifier(given)
    if not any(found):
        return None
    if len(found) != size:
        raise InputError(f"an id of {len(found)} bytes where {size} are wanted")
    return found.hex()
