"""OTLP: log records, spans and data points into LINES, one Part a stream.

A line carries the attributes of its resource and scope beside its own. The stream of log records is `service.name`;
spans go to `<service.name>.spans`, data points to `<service.name>.metrics`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ingest.batch import Part
from ingest.limits import Limits
from ingest.otlp_json import JSON
from ingest.otlp_points import line_of_point, points_of
from ingest.otlp_protobuf import PROTOBUF
from ingest.otlp_records import line_of_log, line_of_span
from ingest.otlp_sheet import Line, Sheet
from ingest.otlp_wire import Signal, Wire, attributes_of
from tocsin.errors import InputError, TooLargeError

Form = Literal["protobuf", "json"]

#: How many of the longest lines fit into one record: a metric has many points, and JSON may write a character in six
#: bytes. Two bytes of a hostile record take 200 of memory when it is read.
_LINES_EACH_MAX = 8

_WIRES: dict[Form, Wire] = {"protobuf": PROTOBUF, "json": JSON}


@dataclass(frozen=True, slots=True)
class _Kind:
    """How the records of a signal become lines."""

    suffix: str  # of the stream
    items_of: Callable[[Any, Wire], Iterable[Any]]
    line_of: Callable[[Any, Wire, Limits], Line]


_KINDS = {
    Signal.LOGS: _Kind("", lambda record, _wire: (record,), line_of_log),
    Signal.SPANS: _Kind(".spans", lambda record, _wire: (record,), line_of_span),
    Signal.METRICS: _Kind(".metrics", points_of, line_of_point),
}


def decode_otlp(body: bytes, signal: Signal, *, form: Form, limits: Limits) -> tuple[Part, ...]:
    """Lines of an export request; a record or data point that cannot be read is refused alone.

    Args:
        body: ExportLogsServiceRequest, ExportTraceServiceRequest or ExportMetricsServiceRequest.
        signal: which of them.
        form: of the body.
        limits: what one request may hold. That of compressed bodies is OTLP's, and here holds decompressed ones too.

    Raises:
        InputError: the body as a whole cannot be read.
        TooLargeError: it is over a limit.
    """
    size_max = limits.compressed_bytes_max
    if len(body) > size_max:
        raise TooLargeError(f"body: larger than {size_max} bytes when it is decompressed; send it in parts")
    wire = _WIRES[form]
    groups = wire.open(body, signal, limits.lines_max)
    sheet = Sheet(limits)
    for place, group in enumerate(groups, start=1):
        try:
            resource, scope = _fields_of(group.resource, wire, limits), _fields_of(group.scope, wire, limits)
        except InputError as error:
            raise InputError(f"body, resource {place}: {error}") from error
        _name(scope, group.scope)
        sheet.begin(resource, scope, _KINDS[signal].suffix)
        for raw in group.records:
            for line in _lines_of(raw, signal, wire, limits):
                sheet.add(line, lambda: wire.raw(raw))  # noqa: B023 -- called before the next turn
    return sheet.parts()


def _fields_of(holder: Any, wire: Wire, limits: Limits) -> dict[str, Any]:
    return attributes_of(holder.attributes, wire, limits) if holder else {}


def _name(fields: dict[str, Any], scope: Any) -> None:
    if scope and scope.name:
        fields["otel.scope.name"] = scope.name
    if scope and scope.version:
        fields["otel.scope.version"] = scope.version


def _lines_of(raw: Any, signal: Signal, wire: Wire, limits: Limits) -> Iterator[Line | str]:
    """The lines of a record; a text instead of a line says why there is none."""
    kind = _KINDS[signal]
    size_max = _LINES_EACH_MAX * limits.line_bytes_max
    if len(memoryview(raw)) > size_max:
        yield f"{signal}: longer than {size_max} bytes"
        return
    try:
        items = kind.items_of(wire.record(raw, signal), wire)
    except InputError as error:
        yield str(error)
        return
    for item in items:
        try:
            yield kind.line_of(item, wire, limits)
        except InputError as error:
            yield f"{signal}: {error}"
