"""OTLP in JSON: names in lowerCamelCase, whole numbers as numbers or texts, ids in hexadecimal.

A null is as if the field were absent; unknown names are passed over.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, NoReturn

import msgspec

from ingest.lines import text_of
from ingest.otlp_wire import Group, Signal, Wire, check_count, too_deep
from tocsin.errors import InputError

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None  # past it: a time after 2262
_Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None


class _Json(msgspec.Struct, rename="camel", gc=False):
    """A message in JSON; a field that is absent is None."""


class _AnyValue(_Json):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: _Int64 = None
    double_value: float | None = None
    array_value: _ArrayValue | None = None
    kvlist_value: _KeyValueList | None = None
    bytes_value: str | None = None


class _ArrayValue(_Json):
    values: list[_AnyValue] | None = None


class _KeyValue(_Json):
    key: str | None = None
    value: _AnyValue | None = None


class _KeyValueList(_Json):
    values: list[_KeyValue] | None = None


class _Holder(_Json):
    attributes: list[_KeyValue] | None = None


class _Scope(_Holder):
    name: str | None = None
    version: str | None = None


class _LogRecord(_Holder):
    time_unix_nano: _Count = None
    observed_time_unix_nano: _Count = None
    severity_number: int | None = None
    severity_text: str | None = None
    body: _AnyValue | None = None
    trace_id: str | None = None
    span_id: str | None = None
    event_name: str | None = None


class _Event(_Holder):
    time_unix_nano: _Count = None
    name: str | None = None


class _Link(_Json):
    trace_id: str | None = None
    span_id: str | None = None


class _Status(_Json):
    message: str | None = None
    code: int | None = None


class _Span(_Holder):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    kind: int | None = None
    start_time_unix_nano: _Count = None
    end_time_unix_nano: _Count = None
    events: list[_Event] | None = None
    links: list[_Link] | None = None
    status: _Status | None = None


class _Quantile(_Json):
    quantile: float | None = None
    value: float | None = None


class _DataPoint(_Holder):
    """Of any kind of metric."""

    time_unix_nano: _Count = None
    flags: int | None = None
    as_double: float | None = None
    as_int: _Int64 = None
    count: _Count = None
    sum: float | None = None
    min: float | None = None
    max: float | None = None
    quantile_values: list[_Quantile] | None = None


class _Points(_Json):
    """The data points of a metric of any kind."""

    data_points: list[_DataPoint] | None = None
    aggregation_temporality: int | None = None
    is_monotonic: bool | None = None


class _Metric(_Json):
    name: str | None = None
    unit: str | None = None
    gauge: _Points | None = None
    sum: _Points | None = None
    histogram: _Points | None = None
    exponential_histogram: _Points | None = None
    summary: _Points | None = None


_RECORDS: dict[Signal, type[_Json]] = {Signal.LOGS: _LogRecord, Signal.SPANS: _Span, Signal.METRICS: _Metric}

#: The names of the lists by resource, by scope, and of records.
_LISTS = {
    Signal.LOGS: ("resourceLogs", "scopeLogs", "logRecords"),
    Signal.SPANS: ("resourceSpans", "scopeSpans", "spans"),
    Signal.METRICS: ("resourceMetrics", "scopeMetrics", "metrics"),
}


def _frame(signal: Signal) -> Any:
    """The frame of a request, with its records as they were sent."""
    outer, middle, inner = _LISTS[signal]
    scoped: Any = msgspec.defstruct(
        "ByScope",
        [("scope", _Scope | None, None), ("records", list[msgspec.Raw] | None, None)],
        rename={"records": inner},
    )
    by_resource: Any = msgspec.defstruct(
        "ByResource",
        [("resource", _Holder | None, None), ("by_scope", list[scoped] | None, None)],
        rename={"by_scope": middle},
    )
    return msgspec.defstruct("Frame", [("by_resource", list[by_resource] | None, None)], rename={"by_resource": outer})


# Not strict: whole numbers come as texts too, and so do NaN and Infinity.
_open_frame = {signal: msgspec.json.Decoder(_frame(signal), strict=False).decode for signal in Signal}
_open_record = {signal: msgspec.json.Decoder(_RECORDS[signal], strict=False).decode for signal in Signal}


def _open(body: bytes, signal: Signal, count_max: int) -> list[Group]:
    text = text_of(body)
    if not text or text.isspace():
        raise InputError("body: it is empty; a request without records is {}")
    try:
        frame = _open_frame[signal](text)
    except (msgspec.DecodeError, RecursionError) as error:
        _refuse(error, "body")
    by_resource = frame.by_resource or ()
    count = len(by_resource) + sum(len(one.by_scope or ()) for one in by_resource)
    check_count(count, count_max)
    groups = [
        Group(one.resource, inner.scope, inner.records or ()) for one in by_resource for inner in one.by_scope or ()
    ]
    check_count(count + sum(len(group.records) for group in groups), count_max)
    return groups


def _record(raw: msgspec.Raw, signal: Signal) -> Any:
    try:
        return _open_record[signal](raw)
    except (msgspec.DecodeError, RecursionError) as error:
        _refuse(error, signal)


def _refuse(error: Exception, what: str) -> NoReturn:
    if isinstance(error, RecursionError):
        raise InputError(f"{what}: nested too deep to be read") from error
    reason = str(error).removeprefix("JSON is malformed: ")
    if isinstance(error, msgspec.ValidationError):  # it names the field
        raise InputError(f"{what}: {reason[:200]}") from error
    reason = "it ends too early" if "truncated" in reason else reason[:200]
    raise InputError(f"{what}: not valid JSON: {reason}") from error


def _value(value: _AnyValue | None, levels: int) -> Any:
    if value is None:
        return None
    if value.array_value is not None or value.kvlist_value is not None:
        if not levels:
            raise too_deep()
        if value.array_value is not None:
            return [_value(item, levels - 1) for item in value.array_value.values or ()]
        pairs = value.kvlist_value.values if value.kvlist_value else None
        return {pair.key or "": _value(pair.value, levels - 1) for pair in pairs or ()}
    if value.bytes_value is not None:
        try:
            return base64.b64decode(value.bytes_value, validate=True)
        except ValueError as error:
            raise InputError("bytesValue: not base64") from error
    scalars = (value.string_value, value.int_value, value.double_value, value.bool_value)
    return next((scalar for scalar in scalars if scalar is not None), None)


def _identifier(text: str | None) -> bytes:
    try:
        return binascii.unhexlify(text or "")
    except ValueError as error:
        raise InputError("an id that is not hexadecimal") from error


JSON = Wire(open=_open, record=_record, raw=bytes, field=getattr, value=_value, identifier=_identifier)
