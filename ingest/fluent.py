"""Fluentd's forward protocol, version 1: messages of Fluentd, Fluent Bit, Docker and fluent-logger, into LINES.

https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1

A message carries one event, an array of them, or a stream of them that may be compressed; here all become the stream.
Where it names its chunk, the sender waits for an answer and sends the chunk again when none comes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec
import polars as pl

from ingest.batch import Batch, Part, Rejected, stream_name
from ingest.conventions import Asked, Row, to_lines
from ingest.json_rows import why_over
from ingest.limits import Limits, decompress
from ingest.lines import reject, text_of
from ingest.msgpack import bytes_of, cut, members_of, value_of
from tocsin.errors import InputError, TooLargeError
from tocsin.record import LINES, TIME

DEFAULT_STREAM = "fluent"

_NS_MAX = 9_223_372_036_854_775_807  # the year 2262
_SECOND = 1_000_000_000
_SLICE_BYTES = 2**20  # of events made into objects at once: an empty list of one byte is an object of 56
_FIELD_BYTES = 2  # the shortest key and value there is
_CHUNK_BYTES_MAX = 1024  # of the name; Fluentd's has 24, Fluent Bit's 32
_PAIR = b"\x92"  # an array of two
_NIL, _NONE = b"\xc0", b"\x80"  # nothing, and a map of nothing
_UNREADABLE = (InputError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
_COMPRESSED = ("gzip", "zstd")
_SIGNALS = {1: "metrics", 2: "traces"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message of the protocol.

    Attributes:
        raw: its events, one MessagePack value after the other; or, where it is refused, what it began with.
        tag: what the sender calls the source.
        peer: address of the sender.
        chunk: the sender's name for it as MessagePack; empty where no answer is waited for.
        why_refused: None where it can be read.
    """

    raw: bytes
    tag: str = ""
    peer: str = ""
    chunk: bytes = b""
    why_refused: str | None = None

    @property
    def ack(self) -> bytes:
        """The answer that says it is durable."""
        return b"\x81\xa3ack" + self.chunk


class _Nanoseconds(int):
    """Fluentd's own extension: a time in nanoseconds since 1970."""


class _Sent(msgspec.Struct):
    chunk: msgspec.Raw = msgspec.Raw()
    compressed: Any = None
    fluent_signal: Any = None
    metadata: msgspec.Raw = msgspec.Raw(_NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """A message before its events are looked at; bytes are MessagePack."""

    tag: str
    events: bytes  # the time where there is one event, else an array or a stream of them
    record: bytes | None  # where there is one event
    chunk: bytes
    compressed: Any
    signal: Any
    metadata: bytes


def _extension(code: int, data: memoryview) -> object:
    if code == 0 and len(data) == 8:
        return _Nanoseconds(int.from_bytes(data[:4], "big") * _SECOND + int.from_bytes(data[4:], "big"))
    return f"{code}:{data.hex()}"


_decoder = msgspec.msgpack.Decoder(ext_hook=_extension)
_options = msgspec.msgpack.Decoder(_Sent)
_raws = msgspec.msgpack.Decoder(list[msgspec.Raw])


def read_message(value: bytes, peer: str, limits: Limits) -> Message | None:
    """The message that `value` is, refused where it cannot be read; None where it is but a sign of life.

    Raises:
        InputError: this is no message, so that the sender speaks something else.
        TooLargeError: it decompresses to too much. It is not answered, so its sender keeps it.
    """
    if value == _NIL:
        return None
    array = members_of(value)
    if array is None:
        raise InputError("a message is an array: this is another protocol, or TLS on a port without it")
    beginning = value[: limits.rejected_bytes_max]
    try:
        head = _head(value, array[0])
    except _UNREADABLE as error:
        return Message(raw=beginning, peer=peer, why_refused=_why(error))
    message = Message(raw=beginning, tag=head.tag, peer=peer, chunk=head.chunk)
    try:
        return replace(message, raw=_stream(head, limits))
    except TooLargeError:
        raise
    except _UNREADABLE as error:
        return replace(message, why_refused=_why(error))


def _why(error: Exception) -> str:
    return "nested too deep to be read" if isinstance(error, RecursionError) else str(error)[:300]


def _head(value: bytes, count: int) -> _Head:
    if not 2 <= count <= 4:
        raise InputError(f"a message has 2 to 4 members, not {count}")
    tag, events, *rest = [bytes(member) for member in _raws.decode(value)]
    is_one = bytes_of(events) is None and members_of(events) is None
    if is_one and not rest:
        raise InputError("the record is missing")
    options = rest[1:] if is_one else rest
    # Docker once sent nil.
    sent = _options.decode(options[0]) if options and options[0] != _NIL else _Sent()
    if len(bytes(sent.chunk)) > _CHUNK_BYTES_MAX:
        raise InputError(f"the name of the chunk is longer than {_CHUNK_BYTES_MAX} bytes")
    chunk = bytes(sent.chunk)
    return _Head(
        tag=text_of(bytes_of(tag) or b""),
        events=events,
        record=rest[0] if is_one else None,
        chunk=chunk if chunk and bytes_of(chunk) else b"",
        compressed=sent.compressed,
        signal=sent.fluent_signal,
        metadata=bytes(sent.metadata),
    )


def _stream(head: _Head, limits: Limits) -> bytes:
    """The events of a message, one after the other."""
    if isinstance(head.signal, int) and head.signal in _SIGNALS:
        raise InputError(f"{_SIGNALS[head.signal]} of Fluent Bit are not read here, only logs")
    if head.record is not None:
        time = head.events
        if head.metadata not in {_NIL, _NONE}:
            time = _PAIR + time + head.metadata
        return _PAIR + time + head.record
    array = members_of(head.events)
    packed = head.events[array[1] :] if array is not None else bytes_of(head.events)
    assert packed is not None, "there is one record, or an array, or a stream"
    if head.compressed in (None, "text"):
        return packed
    if head.compressed not in _COMPRESSED or array is not None:
        raise InputError(f"compressed {str(head.compressed)[:40]!r} is not supported; gzip and zstd are")
    return decompress(packed, str(head.compressed), limits)


def batches_of(messages: Sequence[Message], tenant: str, observed_time: datetime, limits: Limits) -> list[Batch]:
    """Messages as batches: each chunk is one with an identity, the others are put together by stream."""
    groups: dict[tuple[str, str | None], list[Message]] = {}
    for message in messages:
        identity = f"chunk-{_digest([message.chunk, message.raw])}" if message.chunk else None
        groups.setdefault((stream_name(message.tag, DEFAULT_STREAM), identity), []).append(message)
    batches = []
    for (stream, identity), members in groups.items():
        # A chunk that came twice within these messages is one.
        part = part_of(stream, members if identity is None else members[:1], limits)
        if part.lines.height or part.rejected:
            batch = Batch(
                tenant=tenant,
                stream=stream,
                observed_time=observed_time,
                identity=identity,
                fingerprint=_digest(message.raw for message in members),
                lines=part.lines,
                rejected=part.rejected,
            )
            batches.append(batch)
    return batches


def _digest(parts: Iterable[bytes]) -> str:
    return blake2b(b"\0".join(parts), digest_size=16).hexdigest()


@dataclass(slots=True)
class _Slice:
    """Events that are made into lines together."""

    rows: list[Row] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    times: list[int | None] = field(default_factory=list)  # nanoseconds since 1970
    size: int = 0

    def lines(self) -> pl.DataFrame:
        lines = to_lines(self.rows, self.positions, Asked()).lines
        times = pl.Series("time", self.times, dtype=pl.Int64).cast(TIME)
        return lines.with_columns(times.fill_null(lines["time"]))


def part_of(stream: str, messages: Sequence[Message], limits: Limits) -> Part:
    """The events of messages as lines of a stream. One that cannot be read is refused alone."""
    frames: list[pl.DataFrame] = []
    rejected: list[Rejected] = []
    part = _Slice()
    position = 0
    for message in messages:
        events, why = _cut(message, limits)
        if why is not None:
            rejected.append(_reject(position, message.raw, f"{why}, from {message.peer}", limits))
            position += 1
        for raw in events:
            try:
                time, row = _event(raw, limits)
            except InputError as error:
                rejected.append(_reject(position, raw, str(error), limits))
            else:
                part.rows.append(row)
                part.positions.append(position)
                part.times.append(time)
                part.size += len(raw)
            position += 1
            if part.size > _SLICE_BYTES:
                frames.append(part.lines())
                part = _Slice()
    if part.rows:
        frames.append(part.lines())
    lines = pl.concat(frames) if frames else pl.DataFrame(schema=LINES)
    return Part(stream=stream, lines=lines, rejected=tuple(rejected))


def _cut(message: Message, limits: Limits) -> tuple[list[bytes], str | None]:
    if message.why_refused is not None:
        return [], message.why_refused
    try:
        return cut(message.raw, limits.lines_max), None
    except InputError as error:
        return [], f"events: {error}"


def _event(raw: bytes, limits: Limits) -> tuple[int | None, Row]:
    """Time and fields of one event, an array of both.

    Raises:
        InputError: it is none.
    """
    if len(raw) > limits.line_bytes_max:
        raise InputError(f"longer than {limits.line_bytes_max} bytes")
    event = value_of(raw, _decoder)
    if not isinstance(event, list) or len(event) < 2:
        raise InputError("not an array of time and record")
    time, record = event[:2]
    metadata: object = None
    if isinstance(time, list):  # Fluent Bit since version 2
        time, metadata = time if len(time) == 2 else (None, None)
    if not isinstance(record, dict):
        raise InputError("the record is not a map")
    row: Row = _plain(record, limits.json_depth_max)
    if isinstance(metadata, dict) and metadata:
        row.setdefault("metadata", _plain(metadata, limits.json_depth_max - 1))
    why = why_over(row, limits) if len(raw) > _FIELD_BYTES * limits.fields_max else None
    if why is not None:
        raise InputError(why)
    return _nanoseconds(time), row


def _nanoseconds(time: object) -> int | None:
    """Nanoseconds since 1970; None where nothing is said, which Fluentd writes as 0."""
    if isinstance(time, _Nanoseconds):
        found = int(time)
    elif isinstance(time, int) and not isinstance(time, bool):
        found = time * _SECOND
    elif isinstance(time, float) and math.isfinite(time * _SECOND):
        found = round(time * _SECOND)
    else:
        return None
    return found if 0 < found <= _NS_MAX else None


def _plain(value: Any, depth: int) -> Any:
    """What JSON can say of a value. Binary data is text in another encoding, where Ruby sends it."""
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, dict):
        if depth <= 0:
            raise InputError("nested too deep")
        return {_name(name): _plain(item, depth - 1) for name, item in value.items()}
    if isinstance(value, list):
        if depth <= 0:
            raise InputError("nested too deep")
        return [_plain(item, depth - 1) for item in value]
    if isinstance(value, bytes):
        return text_of(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return int(value) if isinstance(value, _Nanoseconds) else value


def _name(name: object) -> str:
    if isinstance(name, str):
        return name
    return text_of(name) if isinstance(name, bytes) else str(name)


def _reject(position: int, raw: bytes, why: str, limits: Limits) -> Rejected:
    return reject(position, text_of(raw[: limits.rejected_bytes_max]), why, limits)
