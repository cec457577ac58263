"""OTLP requests, put together in JSON."""

from __future__ import annotations

import json
from typing import Any

from ingest.otlp_wire import Signal

TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"

LISTS = {
    Signal.LOGS: ("resourceLogs", "scopeLogs", "logRecords"),
    Signal.SPANS: ("resourceSpans", "scopeSpans", "spans"),
    Signal.METRICS: ("resourceMetrics", "scopeMetrics", "metrics"),
}

#: A record of each signal that is taken.
GOOD: dict[Signal, dict[str, Any]] = {
    Signal.LOGS: {"body": {"stringValue": "good"}},
    Signal.SPANS: {"traceId": TRACE, "spanId": SPAN},
    Signal.METRICS: {"name": "m", "gauge": {"dataPoints": [{"asInt": "1"}]}},
}


def attributes(**values: Any) -> list[dict[str, Any]]:
    """In JSON; an underscore in a name is a dot."""
    return [{"key": key.replace("_", "."), "value": any_value(value)} for key, value in values.items()]


def any_value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": value}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [any_value(item) for item in value]}}
        case dict():
            return {"kvlistValue": {"values": [{"key": key, "value": any_value(item)} for key, item in value.items()]}}
    return {"stringValue": value}


def request(signal: Signal, *records: Any, resource: Any = None, scope: Any = None) -> bytes:
    outer, middle, inner = LISTS[signal]
    return json.dumps({outer: [{"resource": resource, middle: [{"scope": scope, inner: records}]}]}).encode()


def field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message that has a length."""
    size, length = len(content), b""
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content
