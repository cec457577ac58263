"""The protobuf messages of Loki's push and of Prometheus' remote_write, versions 1 and 2.

No official Python package has them. Field names and numbers are those of `loki/pkg/push/push.proto`,
`prometheus/prompb/remote.proto`, `types.proto` and `io/prometheus/write/v2/types.proto`; fields that nobody here reads
are left out, and the library steps over them.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from ingest.limits import Limits
from tocsin.errors import InputError, TooLargeError

_MANY = "*"  # behind the name of a type: repeated

# Texts are `bytes`, which lie on the wire alike: one letter that is not UTF-8 shall not cost the whole request.
_TYPES = {
    "bytes": Field.TYPE_BYTES,
    "double": Field.TYPE_DOUBLE,
    "int64": Field.TYPE_INT64,
    "int32": Field.TYPE_INT32,
    "uint32": Field.TYPE_UINT32,
    "uint64": Field.TYPE_UINT64,
}

_MESSAGES = {
    # Loki
    "PushRequest": {"streams": (1, "Stream*")},
    "Stream": {"labels": (1, "bytes"), "entries": (2, "Entry*")},
    "Entry": {"timestamp": (1, "Timestamp"), "line": (2, "bytes"), "structuredMetadata": (3, "Label*")},
    "Timestamp": {"seconds": (1, "int64"), "nanos": (2, "int32")},
    "Label": {"name": (1, "bytes"), "value": (2, "bytes")},
    # Prometheus, version 1. Its labels stay bytes until one is known to be new: `ingest.prometheus` remembers them.
    "WriteRequest": {"timeseries": (1, "TimeSeries*")},
    "TimeSeries": {"labels": (1, "bytes*"), "samples": (2, "Sample*"), "histograms": (4, "Histogram*")},
    "Sample": {"value": (1, "double"), "timestamp": (2, "int64")},
    "Histogram": {
        "count_int": (1, "uint64"),
        "count_float": (2, "double"),
        "sum": (3, "double"),
        "timestamp": (15, "int64"),
    },
    # Prometheus, version 2
    "Request": {"symbols": (4, "bytes*"), "timeseries": (5, "TimeSeries2*")},
    "TimeSeries2": {"labels_refs": (1, "uint32*"), "samples": (2, "Sample*"), "histograms": (3, "Histogram*")},
}


def _pool() -> DescriptorPool:
    file = FileDescriptorProto(name="tocsin.proto", package="tocsin", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind) in fields.items():
            field = message.field.add(name=field_name, number=number)
            field.label = Field.LABEL_REPEATED if kind.endswith(_MANY) else Field.LABEL_OPTIONAL
            one = kind.removesuffix(_MANY)
            field.type = _TYPES.get(one, Field.TYPE_MESSAGE)
            if one not in _TYPES:
                field.type_name = f".tocsin.{one}"
    pool = DescriptorPool()
    pool.Add(file)
    return pool


def _class(pool: DescriptorPool, name: str) -> Any:
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tocsin.{name}"))


_POOL = _pool()

LokiPush = _class(_POOL, "PushRequest")
Label = _class(_POOL, "Label")
Write1 = _class(_POOL, "WriteRequest")
Write2 = _class(_POOL, "Request")


def read_message(kind: Any, body: bytes, limits: Limits) -> Any:
    """A message of one of the kinds above.

    Raises:
        InputError: these are not the bytes of such a message.
        TooLargeError: there are too many of them.
    """
    if len(body) > limits.message_bytes_max:
        raise TooLargeError(f"body: it holds more than {limits.message_bytes_max} bytes of protobuf; send it in parts")
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise InputError(f"body: not a {kind.DESCRIPTOR.name} in protobuf") from error
