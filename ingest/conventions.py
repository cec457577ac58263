"""Which field of an event is its time, message, severity and trace: by the names that loggers use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import msgspec
import polars as pl

from ingest.severity import of_level, of_number, of_python_level
from ingest.stamps import nothing, read_times

#: In order of trust, in lower case. A dot means a nested field too: `log.level` is also `{"log": {"level": ..}}`.
MESSAGE_NAMES = (
    *("message", "msg", "@message", "short_message", "@m", "@mt", "event.original", "log.message", "log", "body"),
    *("text", "_raw", "raw", "line", "logline", "log_message", "textpayload", "jsonpayload.message", "full_message"),
    *("messagetemplate", "renderedmessage", "event"),
)
TIME_NAMES = (
    *("@timestamp", "timestamp", "time", "ts", "@t", "datetime", "date_time", "eventtime", "event_time", "_time"),
    *("__realtime_timestamp", "_source_realtime_timestamp", "timeunixnano", "observedtimeunixnano", "event.created"),
    *("time_iso8601", "created_at", "createdat", "logged_at", "utctime", "systemtime", "timecreated", "asctime"),
    *("start_time", "unixtime", "syslog_timestamp", "timereported", "timegenerated", "date"),
)
SEVERITY_NAMES: Mapping[str, Callable[[object], int | None]] = {
    "severity_number": of_number,
    "severitynumber": of_number,
    "levelno": of_python_level,
    **dict.fromkeys(
        (
            *("level", "severity", "log.level", "severity_text", "severitytext", "levelname", "loglevel", "log_level"),
            *("lvl", "priority", "syslog.severity", "syslog_severity", "@l"),
        ),
        of_level,
    ),
}
TRACE_NAMES = ("trace_id", "traceid", "trace.id", "otel_trace_id", "oteltraceid", "dd.trace_id", "trace-id", "@tr")
SPAN_NAMES = ("span_id", "spanid", "span.id", "otel_span_id", "otelspanid", "dd.span_id", "span-id", "@sp")

#: These hold a message only when the value is text: as an object they group other fields.
_MESSAGE_IF_TEXT = frozenset({"log", "event", "body", "line", "raw"})
_NUL = r"\u0000"
_ID_LENGTH_MAX = 128  # four times the longest id in use; longer is not an id

Row = dict[str, Any]
Path = tuple[str, ...]
Reader = Callable[[Any], Any]  # a value to what is kept of it; None when it is something else
Fields = tuple[tuple[Path, Reader], ...]

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the sender named; None is by convention."""

    time_field: str | None = None
    message_field: str | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """What `to_lines` makes of events."""

    lines: pl.DataFrame  # LINES of the rows that were taken
    refused: Mapping[int, str]  # index of a row that was not taken -> why


@dataclass(frozen=True, slots=True)
class Roles:
    """Where the events of one shape (the same keys in the same order) hold what."""

    message: Fields
    times: tuple[Path, ...]
    severity: Fields
    trace: Fields
    span: Fields


@dataclass(slots=True)
class _Columns:
    """The columns under construction, in the order of `index`."""

    index: list[int]
    rows: list[Row]
    times: list[tuple[Path, ...]]
    body: list[str]
    severity_number: list[int | None]
    trace_id: list[str | None]
    span_id: list[str | None]


def to_lines(rows: Sequence[Row], positions: Sequence[int], asked: Asked) -> Read:
    """Events as lines; takes the fields it understands out of the rows, the others become the attributes.

    Args:
        rows: one object an event; they are consumed.
        positions: place of each in the request.
        asked: fields that the sender named. A row whose named time cannot be read is refused.
    """
    columns = _Columns([], [], [], [], [], [], [])
    shapes: dict[Path, list[int]] = {}
    for index, row in enumerate(rows):
        shapes.setdefault(tuple(row), []).append(index)
    for shape, members in shapes.items():
        _read_shape([rows[index] for index in members], members, roles_of(shape, asked), columns)
    time = _times(columns)
    frame = pl.DataFrame(
        {
            "position": pl.Series([positions[index] for index in columns.index], dtype=pl.UInt32),
            "time": time,
            "severity_number": pl.Series(columns.severity_number, dtype=pl.Int8),
            "body": pl.Series(columns.body, dtype=pl.String),
            "attributes": pl.Series(_attributes(columns.rows), dtype=pl.String),
            "trace_id": pl.Series(columns.trace_id, dtype=pl.String),
            "span_id": pl.Series(columns.span_id, dtype=pl.String),
            "identity": pl.Series([None], dtype=pl.String).new_from_index(0, len(rows)),
        }
    )
    refused: dict[int, str] = {}
    if asked.time_field is not None and time.null_count():
        unread = time.is_null()
        refused = {columns.index[at]: _why_unread(columns.rows[at], asked.time_field) for at in unread.arg_true()}
        frame = frame.filter(~unread)
    return Read(frame if len(shapes) == 1 else frame.sort("position"), refused)


def roles_of(shape: Path, asked: Asked) -> Roles:
    """Where events with these keys hold what."""
    found: dict[str, list[tuple[int, Path, Reader]]] = {role: [] for role in _NAMES}
    for key in shape:
        for role, rank, nested, read in _KNOWN.get(key.lower(), ()):
            found[role].append((rank, (key, *nested), read))
    fields = {
        role: tuple((path, read) for _, path, read in sorted(ranked, key=itemgetter(0)))
        for role, ranked in found.items()
    }
    if asked.message_field:
        fields["message"] = tuple((path, _message) for path in _named(asked.message_field, shape))
    return Roles(
        message=fields["message"],
        times=_named(asked.time_field, shape) if asked.time_field else tuple(path for path, _ in fields["time"]),
        severity=fields["severity"],
        trace=fields["trace"],
        span=fields["span"],
    )


def _named(name: str, shape: Path) -> tuple[Path, ...]:
    if name in shape:
        return ((name,),)
    path = tuple(name.split("."))
    return (path,) if path[0] in shape else ()


def _read_shape(rows: list[Row], index: list[int], roles: Roles, columns: _Columns) -> None:
    body = _take(rows, roles.message)
    if None in body:
        body = [json_text(row) if text is None else text for text, row in zip(body, rows, strict=True)]
    columns.index += index
    columns.rows += rows
    columns.times += [roles.times] * len(rows)
    columns.body += body
    columns.severity_number += _take(rows, roles.severity)
    columns.trace_id += _take(rows, roles.trace)
    columns.span_id += _take(rows, roles.span)


def _take(rows: list[Row], fields: Fields) -> list[Any]:
    """Take out of each row the first field that is what it is called; None where there is none."""
    found: list[Any] = [None] * len(rows)
    for place, (path, read) in enumerate(fields):
        if place == 0 and len(path) == 1:
            key = path[0]
            found = [read(row[key]) for row in rows]
            for row in (row for row, value in zip(rows, found, strict=True) if value is not None):
                del row[key]
        else:
            missing = [at for at, value in enumerate(found) if value is None]
            for at in missing:
                found[at] = _take_one(rows[at], path, read)
        if None not in found:
            break
    return found


def _take_one(row: Row, path: Path, read: Reader) -> Any:
    holder = _holder(row, path)
    value = read(holder.get(path[-1]))
    if value is not None:
        del holder[path[-1]]
    return value


def _holder(row: Row, path: Path) -> Row:
    """The object that has, or lacks, the last name of `path`."""
    holder: Any = row
    for name in path[:-1]:
        holder = holder.get(name) if isinstance(holder, dict) else None
    return holder if isinstance(holder, dict) else {}


def _times(columns: _Columns) -> pl.Series:
    """Times, each from the first of its fields that is one; a field leaves its row only then."""
    time = nothing(len(columns.rows))
    for turn in range(max(map(len, columns.times), default=0)):
        nulls = range(len(time)) if turn == 0 else time.is_null().arg_true()
        unread = [at for at in nulls if len(columns.times[at]) > turn]
        names = [columns.times[at][turn] for at in unread]
        holders = [
            columns.rows[at] if len(path) == 1 else _holder(columns.rows[at], path)
            for at, path in zip(unread, names, strict=True)
        ]
        found = read_times([holder.get(path[-1]) for holder, path in zip(holders, names, strict=True)])
        for holder, path, is_time in zip(holders, names, found.is_not_null(), strict=True):
            if is_time:
                del holder[path[-1]]
        time = found if len(unread) == len(time) else time.scatter(unread, found)
        if time.null_count() == 0:
            break
    return time


def _why_unread(row: Row, name: str) -> str:
    paths = _named(name, tuple(row))
    value = _holder(row, paths[0]).get(paths[0][-1]) if paths else None
    if value is None:
        return f"field {name[:64]!r}: missing"
    return f"field {name[:64]!r}: {json_text(value)[:64]} is no time"


def _attributes(rows: Sequence[Row]) -> list[str]:
    text = _encoder.encode_lines(rows).decode()
    texts = text.split("\n")[: len(rows)]
    return [json_text(row) for row in rows] if _NUL in text else texts


def _without_nul(value: Any) -> Any:
    # As deep as `json_depth_max` at most.
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): _without_nul(item) for key, item in value.items()}
    return [_without_nul(item) for item in value] if isinstance(value, list) else value


def clean(text: str) -> str:
    """`text` without NUL, which databases cannot keep."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


def json_text(value: object) -> str:
    """JSON of a value, without NUL."""
    text = _encoder.encode(value).decode()
    # The four digits may follow a backslash that is text itself, so the value is cleaned and not its text.
    return _encoder.encode(_without_nul(value)).decode() if _NUL in text else text


def _text(value: object) -> str | None:
    return clean(value) or None if isinstance(value, str) else None


def _message(value: object) -> str | None:
    if isinstance(value, str):
        return value if value and "\0" not in value else clean(value) or None
    return None if value is None else json_text(value)


def _id(value: object) -> str | None:
    if isinstance(value, str):
        return clean(value) if 0 < len(value) <= _ID_LENGTH_MAX else None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


_NAMES: Mapping[str, Mapping[str, Reader]] = {
    "message": {name: _text if name in _MESSAGE_IF_TEXT else _message for name in MESSAGE_NAMES},
    "time": dict.fromkeys(TIME_NAMES, _text),  # the reader is not asked: times are read a column at once
    "severity": SEVERITY_NAMES,
    "trace": dict.fromkeys(TRACE_NAMES, _id),
    "span": dict.fromkeys(SPAN_NAMES, _id),
}


def _known() -> dict[str, list[tuple[str, int, Path, Reader]]]:
    """Key in lower case -> role, rank in it, further names inside the key's object, reader."""
    known: dict[str, list[tuple[str, int, Path, Reader]]] = {}
    for role, names in _NAMES.items():
        for rank, (name, read) in enumerate(names.items()):
            known.setdefault(name, []).append((role, rank, (), read))
            group, dot, nested = name.partition(".")
            if dot:
                known.setdefault(group, []).append((role, rank, (nested,), read))
    return known


_KNOWN = _known()  # one look-up a key, because a body may bring a million shapes
