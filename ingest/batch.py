"""One batch of lines, and its bytes as they lie in the journal."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import polars as pl
from polars.exceptions import PolarsError

from tocsin.errors import CorruptionError, InputError
from tocsin.record import LINES, empty_lines

_VERSION = 1
_MAGIC = b"TB"
_MAGIC_OF_MANY = b"TM"
_STREAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A line that could not be read; it goes to the dead letters."""

    line: int  # 1-based place in the body
    detail: str  # why, with the position in the line
    raw: bytes  # the beginning of it, as far as `Limits.rejected_bytes_max`


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """Bodies are JSON objects as they were sent: which field is what is left to whoever reads them (ndjson.py)."""

    message_field: str | None  # that the sender named; None is by convention


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one request brought for one stream, before anybody said whose and when."""

    stream: str
    lines: pl.DataFrame  # LINES
    rejected: tuple[Rejected, ...] = ()
    unread: Unread | None = None

    def batch(self, tenant: str, observed_time: datetime, fingerprint: str, identity: str | None = None) -> Batch:
        """It as a batch of a tenant; the other arguments are as in `Batch`."""
        return Batch(
            tenant=tenant,
            stream=self.stream,
            observed_time=observed_time,
            identity=identity,
            fingerprint=fingerprint,
            lines=self.lines,
            rejected=self.rejected,
            unread=self.unread,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one request brought into one stream."""

    tenant: str
    stream: str
    observed_time: datetime  # when it arrived
    identity: str | None  # the sender's own name for it
    fingerprint: str  # of the body; tells a repeated batch from another one under the same name
    lines: pl.DataFrame  # LINES
    rejected: tuple[Rejected, ...] = ()
    unread: Unread | None = None


_UNFIT = re.compile(r"[^A-Za-z0-9._:@-]+")


class _Header(msgspec.Struct, frozen=True, array_like=True):
    tenant: str
    stream: str
    observed_time: datetime
    identity: str | None
    fingerprint: str
    rejected: list[tuple[int, str, bytes]]
    unread: tuple[str | None] | None = None


_decoder = msgspec.msgpack.Decoder(_Header)
_encoder = msgspec.msgpack.Encoder()


def check_stream(name: str) -> str:
    """Return `name` when a stream may be called so.

    Raises:
        InputError: it may not.
    """
    if _STREAM.match(name) is None:
        raise InputError(f"stream {name[:64]!r}: 1 to 128 letters, digits or any of ._:@- and a letter or digit first")
    return name


def stream_name(text: str, default: str) -> str:
    """A permitted stream name that reads like `text`; `default` where nothing of it is left.

    For names that senders choose for purposes of their own: service names, indices, tags.
    """
    name = _UNFIT.sub("-", text[:128]).strip("-._:@")
    return name or default


def tick(observed_time: datetime) -> Batch:
    """A batch without lines of nobody: it says that time passed while nothing arrived."""
    return Batch(tenant="", stream="", observed_time=observed_time, identity=None, fingerprint="", lines=empty_lines())


def encode(batch: Batch) -> bytes:
    """The batch as bytes: `TB`, version, length of the header, header (MessagePack), lines (Arrow IPC).

    Not compressed: the journal does that for many batches at once.
    """
    header = _encoder.encode(
        _Header(
            tenant=batch.tenant,
            stream=batch.stream,
            observed_time=batch.observed_time,
            identity=batch.identity,
            fingerprint=batch.fingerprint,
            rejected=[(line.line, line.detail, line.raw) for line in batch.rejected],
            unread=None if batch.unread is None else (batch.unread.message_field,),
        )
    )
    body = io.BytesIO()
    body.write(_MAGIC + _VERSION.to_bytes(2, "little") + len(header).to_bytes(4, "little") + header)
    if batch.lines.height:
        batch.lines.write_ipc_stream(body, compression="uncompressed")
    return body.getvalue()


def encode_all(batches: Sequence[Batch]) -> bytes:
    """Several batches as one entry of the journal: `TM`, version, and each with its length before it."""
    if len(batches) == 1:
        return encode(batches[0])
    body = io.BytesIO()
    body.write(_MAGIC_OF_MANY + _VERSION.to_bytes(2, "little"))
    for batch in batches:
        content = encode(batch)
        body.write(len(content).to_bytes(4, "little") + content)
    return body.getvalue()


def decode_all(payload: bytes) -> tuple[Batch, ...]:
    """The batches that `encode_all` was given.

    Raises:
        CorruptionError: these are not the bytes of batches, or of another version.
    """
    if payload[:2] != _MAGIC_OF_MANY:
        return (decode(payload),)
    version = int.from_bytes(payload[2:4], "little")
    if version != _VERSION:
        raise CorruptionError(f"journal entry: batches of version {version}, this program reads version {_VERSION}")
    batches: list[Batch] = []
    position = 4
    while position < len(payload):
        end = position + 4 + int.from_bytes(payload[position : position + 4], "little")
        if end > len(payload):
            raise CorruptionError("journal entry: damaged batches (the last one is cut short)")
        batches.append(decode(payload[position + 4 : end]))
        position = end
    if not batches:
        raise CorruptionError("journal entry: damaged batches (there is none)")
    return tuple(batches)


def decode(payload: bytes) -> Batch:
    """The batch that `encode` was given.

    Raises:
        CorruptionError: these are not the bytes of a batch, or of another version.
    """
    if payload[:2] != _MAGIC:
        raise CorruptionError("journal entry: not a batch")
    version = int.from_bytes(payload[2:4], "little")
    if version != _VERSION:
        raise CorruptionError(f"journal entry: batch of version {version}, this program reads version {_VERSION}")
    end = 8 + int.from_bytes(payload[4:8], "little")
    try:
        header = _decoder.decode(memoryview(payload)[8:end])
        lines = pl.read_ipc_stream(io.BytesIO(payload[end:])) if len(payload) > end else empty_lines()
    except (msgspec.MsgspecError, UnicodeDecodeError, PolarsError, OSError) as error:
        raise CorruptionError(f"journal entry: damaged batch ({error})") from error
    if dict(lines.schema) != LINES:
        raise CorruptionError("journal entry: damaged batch (its lines have other columns)")
    return Batch(
        tenant=header.tenant,
        stream=header.stream,
        observed_time=header.observed_time,
        identity=header.identity,
        fingerprint=header.fingerprint,
        lines=lines,
        rejected=_rejected(header.rejected),
        unread=None if header.unread is None else Unread(message_field=header.unread[0]),
    )


def _rejected(rows: Sequence[tuple[int, str, bytes]]) -> tuple[Rejected, ...]:
    return tuple(Rejected(line=line, detail=detail, raw=raw) for line, detail, raw in rows)
