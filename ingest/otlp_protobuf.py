"""OTLP in protobuf."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ingest.otlp_wire import Group, Signal, Wire, check_count, too_deep
from tocsin.errors import InputError

_RECORDS: dict[Signal, type[Message]] = {Signal.LOGS: LogRecord, Signal.SPANS: Span, Signal.METRICS: Metric}


def _frame() -> type[Message]:
    """The frame of a request, with its records as bytes.

    The requests for logs, spans and metrics number their fields alike: 1, by resource, [1: resource, 2: by scope
    [1: scope, 2: records]].
    """
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="tocsin_otlp.proto", package="tocsin.otlp", syntax="proto3")
    shapes: dict[str, tuple[tuple[str, bool, str], ...]] = {
        "ByScope": (("scope", False, ""), ("records", True, "")),
        "ByResource": (("resource", False, ""), ("by_scope", True, "ByScope")),
        "Frame": (("by_resource", True, "ByResource"),),
    }
    for name, fields in shapes.items():
        shape = file.message_type.add(name=name)
        for number, (label, is_list, kind) in enumerate(fields, start=1):
            shape.field.add(
                name=label,
                number=number,
                label=field.LABEL_REPEATED if is_list else field.LABEL_OPTIONAL,
                type=field.TYPE_MESSAGE if kind else field.TYPE_BYTES,
                type_name=f".tocsin.otlp.{kind}" if kind else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tocsin.otlp.Frame"))


_Frame = _frame()


def _parse(message: type[Message], raw: bytes, what: str) -> Any:
    try:
        return message.FromString(raw)
    except DecodeError as error:
        reason = str(error).rpartition(": ")[2]
        if "MaxDepth" in reason:
            raise InputError(f"{what}: nested too deep to be read") from error
        raise InputError(f"{what}: not valid protobuf ({reason[:80]})") from error


def _open(body: bytes, _signal: Signal, count_max: int) -> list[Group]:
    groups = []
    by_resource = _parse(_Frame, body, "body").by_resource
    count = len(by_resource)
    check_count(count, count_max)
    for place, one in enumerate(by_resource, start=1):
        resource = _parse(Resource, one.resource, f"body, resource {place}")
        count += len(one.by_scope)
        check_count(count, count_max)
        for inner in one.by_scope:
            scope = _parse(InstrumentationScope, inner.scope, f"body, resource {place}, its scope")
            groups.append(Group(resource, scope, inner.records))
            count += len(inner.records)
            check_count(count, count_max)
    return groups


def _record(raw: bytes, signal: Signal) -> Any:
    return _parse(_RECORDS[signal], raw, signal)


def _field(message: Message, name: str) -> Any:
    return getattr(message, name) if message.HasField(name) else None


def _value(value: Any, levels: int) -> Any:
    kind = value.WhichOneof("value")
    if kind in {"array_value", "kvlist_value"}:
        if not levels:
            raise too_deep()
        held = getattr(value, kind).values
        if kind == "array_value":
            return [_value(item, levels - 1) for item in held]
        return {pair.key: _value(pair.value, levels - 1) for pair in held}
    return None if kind is None else getattr(value, kind)


PROTOBUF = Wire(open=_open, record=_record, raw=bytes, field=_field, value=_value, identifier=bytes)
