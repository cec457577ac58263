"""The export format of systemd's journal, as `systemd-journal-upload` sends it, into LINES by unit.

An entry is fields and a blank line. A field is `NAME=value`, or, where the value holds a line end or bytes that are no
text, `NAME`, a line end, the size in 8 bytes (little endian) and that many bytes. The cursor names the entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import polars as pl

from ingest.batch import Part, Rejected, stream_name
from ingest.limits import Limits
from ingest.lines import reject, text_of
from ingest.severity import of_level
from tocsin.errors import InputError, TooLargeError
from tocsin.record import LINES, TIME

Fields = list[tuple[str, bytes]]

_SIZE_BYTES = 8
_VALUE_BYTES_MAX = 64 * 1024  # of a field beside the message: a stored core dump is no attribute
_MICROSECONDS = re.compile(r"[0-9]{1,16}\Z")
_ID = re.compile(r"[0-9A-Fa-f]{16,32}\Z")

#: The journal's name -> OpenTelemetry's. Other fields keep their own, so that what a program added is found by it.
_NAMES = {
    "_HOSTNAME": "host.name",
    "_PID": "process.pid",
    "_COMM": "process.executable.name",
    "_EXE": "process.executable.path",
    "_CMDLINE": "process.command_line",
    "_SYSTEMD_UNIT": "systemd.unit",
    "CONTAINER_ID_FULL": "container.id",
    "CONTAINER_NAME": "container.name",
    "SYSLOG_IDENTIFIER": "syslog.identifier",
    "SYSLOG_FACILITY": "syslog.facility",
    "CODE_FILE": "code.file.path",
    "CODE_LINE": "code.line.number",
    "CODE_FUNC": "code.function.name",
}
#: What is said elsewhere, or only places the entry in its journal file.
_LEFT_OUT = frozenset(
    {
        *("MESSAGE", "PRIORITY", "__CURSOR", "TRACE_ID", "SPAN_ID", "SYSLOG_TIMESTAMP", "SYSLOG_RAW", "SYSLOG_PID"),
        *("__REALTIME_TIMESTAMP", "__MONOTONIC_TIMESTAMP", "_SOURCE_REALTIME_TIMESTAMP", "__SEQNUM", "__SEQNUM_ID"),
        *("_SOURCE_MONOTONIC_TIMESTAMP", "_SOURCE_BOOTTIME_TIMESTAMP", "CONTAINER_ID"),
    }
)

_encoder = msgspec.json.Encoder()


class _CutShortError(InputError):
    """The last entry is not complete."""


@dataclass(slots=True)
class _Columns:
    """The columns of one stream under construction."""

    rows: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in LINES})
    rejected: list[Rejected] = field(default_factory=list)

    def part(self, stream: str) -> Part:
        """What came for the stream."""
        columns = {
            name: pl.Series(self.rows[name], dtype=pl.Int64).cast(TIME)
            if name == "time"
            else pl.Series(self.rows[name], dtype=dtype)
            for name, dtype in LINES.items()
        }
        return Part(stream=stream, lines=pl.DataFrame(columns), rejected=tuple(self.rejected))


def decode_journald(body: bytes, limits: Limits) -> tuple[Part, ...]:
    """Lines of entries, by stream: the service's unit, else the identifier of the program.

    Raises:
        InputError: the body is not in the export format; the message has the position.
        TooLargeError: it holds more than `lines_max` entries.
    """
    parts: dict[str, _Columns] = {}
    for position, (start, _, fields) in enumerate(_entries(body, is_whole=True)):
        if position == limits.lines_max:
            raise TooLargeError(f"body, position {start}: more than {limits.lines_max} entries; send it in parts")
        values = _values(fields)
        columns = parts.setdefault(_stream(values), _Columns())
        why = _why_refused(fields, values, limits)
        if why is None:
            _add(columns.rows, position, values)
        else:
            columns.rejected.append(reject(position, _text(values.get("MESSAGE", [b""])[0]), why, limits))
    return tuple(columns.part(stream) for stream, columns in parts.items())


def whole_entries(body: bytes) -> int:
    """How many bytes at the beginning of `body` are whole entries; what follows may still be on its way.

    Raises:
        InputError: it is not in the export format.
    """
    whole = 0
    try:
        for _, end, _ in _entries(body, is_whole=False):
            whole = end
    except _CutShortError:
        return whole
    return whole


def _entries(body: bytes, *, is_whole: bool) -> Iterator[tuple[int, int, Fields]]:
    """Each entry with its place in the body; of a whole body the last needs no blank line."""
    position = start = 0
    fields: Fields = []
    while position < len(body):
        end = body.find(b"\n", position)
        if end < 0:
            raise _CutShortError(f"body, position {position}: cut short in the middle of a field")
        if end == position:  # several blank lines are one
            position += 1
            if fields:
                yield start, position, fields
            start, fields = position, []
            continue
        equals = body.find(b"=", position, end)
        if equals >= 0:
            fields.append((body[position:equals].decode(errors="replace"), body[equals + 1 : end]))
            position = end + 1
        else:
            name = body[position:end].decode(errors="replace")
            first = end + 1 + _SIZE_BYTES
            last = first + int.from_bytes(body[end + 1 : first], "little")
            if last >= len(body):
                raise _CutShortError(f"body, position {position}: cut short in the middle of field {name[:64]!r}")
            if body[last] != ord("\n"):
                raise InputError(f"body, position {position}: field {name[:64]!r} does not end where its size says")
            fields.append((name, body[first:last]))
            position = last + 1
    if fields and is_whole:
        yield start, position, fields


def _values(fields: Fields) -> dict[str, list[bytes]]:
    values: dict[str, list[bytes]] = {}
    for name, value in fields:
        values.setdefault(name, []).append(value)
    return values


def _why_refused(fields: Fields, values: dict[str, list[bytes]], limits: Limits) -> str | None:
    if len(fields) > limits.fields_max:
        return f"more than {limits.fields_max} fields"
    if any(len(message) > limits.line_bytes_max for message in values.get("MESSAGE", ())):
        return f"field 'MESSAGE': longer than {limits.line_bytes_max} bytes"
    return None


def _add(rows: dict[str, list[Any]], position: int, values: dict[str, list[bytes]]) -> None:
    known = {name: _text(found[0]) for name, found in values.items() if name in _LEFT_OUT}
    attributes = _encoder.encode(_attributes(values)).decode()
    rows["position"].append(position)
    rows["time"].append(_time(known))
    rows["severity_number"].append(of_level(known.get("PRIORITY")))
    rows["body"].append(known.get("MESSAGE") or attributes)
    rows["attributes"].append(attributes)
    rows["trace_id"].append(_id(known.get("TRACE_ID")))
    rows["span_id"].append(_id(known.get("SPAN_ID")))
    rows["identity"].append(known.get("__CURSOR") or None)


def _attributes(values: dict[str, list[bytes]]) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    service = _service(values)
    if service:
        attributes["service.name"] = service
    for name, found in values.items():
        if name in _LEFT_OUT or (name == "_SYSTEMD_UNIT" and service):
            continue
        texts = [_text(value) if len(value) <= _VALUE_BYTES_MAX else f"({len(value)} bytes)" for value in found]
        attributes[_NAMES.get(name, text_of(name.encode()))] = texts[0] if len(texts) == 1 else texts
    return attributes


def _time(known: dict[str, str]) -> int | None:
    """When the program said it, else when the journal took it; nanoseconds."""
    for name in ("_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP"):
        text = known.get(name, "")
        if _MICROSECONDS.match(text):
            return int(text) * 1000
    return None


def _id(text: str | None) -> str | None:
    return text.lower() if text and _ID.match(text) else None


def _text(value: bytes) -> str:
    return text_of(value)


def _service(values: dict[str, list[bytes]]) -> str:
    """The unit without its ending when it is a service; sessions and slices are no services."""
    unit = _text(values["_SYSTEMD_UNIT"][0]) if "_SYSTEMD_UNIT" in values else ""
    return unit.removesuffix(".service") if unit.endswith(".service") else ""


def _stream(values: dict[str, list[bytes]]) -> str:
    # Of `getty@tty1` the instance is left out: a stream each of a thousand instances would know nothing.
    names: Sequence[str] = (
        _service(values).partition("@")[0],
        *(_text(values[name][0]) for name in ("SYSLOG_IDENTIFIER", "_COMM") if name in values),
    )
    return stream_name(next((name for name in names if name), ""), "journald")
