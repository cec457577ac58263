"""What the two forms of an OTLP request, protobuf and JSON, have in common: records with the same fields.

A request is opened in two steps: its frame first, with every record still as bytes, then each record by itself. So a
record that is damaged is refused alone, and its bytes are at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from ingest.limits import Limits
from tocsin.errors import InputError, TooLargeError


class Signal(StrEnum):
    """What OTLP carries, by the name of one record."""

    LOGS = "log record"
    SPANS = "span"
    METRICS = "metric"


class Group(NamedTuple):
    """Records of one scope of one resource."""

    resource: Any
    scope: Any
    records: Sequence[Any]  # each still as bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """How a form is read. Records of both forms have the field names of the protobuf messages.

    Attributes:
        open: the frame of a request with so many groups and records at most. Raises InputError and TooLargeError.
        record: one of its records. Raises InputError.
        raw: the bytes of a record.
        field: a field that may be absent; None where it is.
        value: what an AnyValue holds, as deep as so many levels; bytes stay bytes. Raises InputError.
        identifier: the bytes of a trace or span id. Raises InputError.
    """

    open: Callable[[bytes, Signal, int], list[Group]]
    record: Callable[[Any, Signal], Any]
    raw: Callable[[Any], bytes]
    field: Callable[[Any, str], Any]
    value: Callable[[Any, int], Any]
    identifier: Callable[[Any], bytes]


def attributes_of(pairs: Sequence[Any] | None, wire: Wire, limits: Limits) -> dict[str, Any]:
    """Attributes as one object; of two with the same key the later.

    Raises:
        InputError: there are too many, or one is nested too deep.
    """
    if pairs is not None and len(pairs) > limits.fields_max:
        raise InputError(f"more than {limits.fields_max} fields")
    found: dict[str, Any] = {}
    is_nested = False
    for pair in pairs or ():
        holder = pair.value
        value = None if holder is None else holder.string_value  # most are texts; the others look empty here
        if not value:
            value = wire.value(holder, limits.json_depth_max)
            is_nested = is_nested or type(value) in {dict, list}
        found[pair.key or ""] = value
    if is_nested:
        check_fields(found, limits)
    return found


def check_fields(value: Any, limits: Limits) -> None:
    """Refuse a value with too many fields.

    Raises:
        InputError: it has.
    """
    fields = 0
    level: list[Any] = [value]
    while level:
        fields += sum(len(holder) for holder in level if isinstance(holder, dict))
        if fields > limits.fields_max:
            raise InputError(f"more than {limits.fields_max} fields")
        held = [item for holder in level for item in (holder.values() if isinstance(holder, dict) else holder)]
        level = [item for item in held if isinstance(item, (dict, list))]


def check_count(count: int, count_max: int) -> None:
    """Refuse a request of too many parts, before anything is made of them.

    Raises:
        TooLargeError: it has more than `count_max`.
    """
    if count > count_max:
        raise TooLargeError(f"body: more than {count_max} resources, scopes or records; send it in parts")


def too_deep() -> InputError:
    """The refusal of a value that is nested too deep."""
    return InputError("a value is nested too deep")
