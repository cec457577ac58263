"""GELF: a body of one message, or one a line, and messages that came one by one, into LINES by service."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import polars as pl

from ingest.batch import Part, Rejected, stream_name
from ingest.conventions import Asked, Row, to_lines
from ingest.json_rows import Rows, rows_of_json, rows_of_ndjson
from ingest.limits import Limits, decompress
from ingest.lines import Split, count_openers, reject, split, text_of
from tocsin.errors import InputError
from tocsin.record import LINES

#: GELF's name -> OpenTelemetry's. Further fields lose their leading `_` and keep their names.
_NAMES = {
    "host": "host.name",
    "file": "code.file.path",
    "line": "code.line.number",
    "_container_id": "container.id",
    "_container_name": "container.name",
    "_image_id": "container.image.id",
    "_image_name": "container.image.name",
    "_pid": "process.pid",
    "_process_name": "process.executable.name",
    "_thread_name": "thread.name",
    "_thread": "thread.name",
    "_service": "service.name",
    "_service_name": "service.name",
    "_service.name": "service.name",
    "_app": "service.name",
    "_application": "service.name",
    "_application_name": "service.name",
}
_STREAM_FIELDS = ("service.name", "facility", "container.name", "tag")
_MESSAGE_FIELDS = ("short_message", "full_message", "message")
_GZIP = b"\x1f\x8b"


def decode_gelf(body: bytes, limits: Limits) -> tuple[Part, ...]:
    """Lines of GELF messages, by stream. The body may be compressed by gzip or zlib: its first bytes tell.

    Senders name both encodings at once in their header, or none, so the header says nothing.

    Raises:
        InputError: the body as a whole cannot be read, or is empty.
        TooLargeError: it is over a limit.
    """
    text = text_of(decompress(body, _encoding(body), limits))
    if not text or text.isspace():
        raise InputError("body: it is empty")
    found = _rows(text, limits)
    if not (found.rows or found.rejected):
        raise InputError("body: there is no message in it")
    return _parts(found, limits)


@dataclass(frozen=True, slots=True)
class Message:
    """One message that did not come over HTTP."""

    raw: bytes  # not compressed; or, where it is refused, what it began with
    peer: str  # address of the sender
    why_refused: str | None = None


def opened(raw: bytes, peer: str, size_max: int, limits: Limits) -> Message:
    """The message in a datagram, which may be compressed.

    Args:
        raw: as it came.
        peer: address of the sender.
        size_max: bytes of the message when it is not compressed.
        limits: where to stop.
    """
    try:
        text = decompress(raw, _encoding(raw), replace(limits, decompressed_bytes_max=size_max))
    except InputError as error:
        return Message(raw[: limits.rejected_bytes_max], peer, str(error))
    return Message(text, peer)


def lines_of(messages: Sequence[Message], limits: Limits) -> tuple[Part, ...]:
    """Messages as lines, by stream. What is none is refused alone."""
    texts = [text_of(message.raw) for message in messages]
    whys = [message.why_refused for message in messages]
    kept = [at for at, why in enumerate(whys) if why is None]
    rejected = tuple(reject(at, texts[at], why, limits) for at, why in enumerate(whys) if why is not None)
    openers = sum(count_openers(texts[at]) for at in kept)
    sent = Split(positions=kept, texts=[texts[at] for at in kept], openers=openers, rejected=rejected)
    found = rows_of_ndjson(sent, limits)
    for at, row in zip(found.positions, found.rows, strict=True):
        if not row.get("host"):
            row["host.ip"] = messages[at].peer  # nothing else says from where it is
    return _parts(found, limits)


def _parts(found: Rows, limits: Limits) -> tuple[Part, ...]:
    members: dict[str, list[int]] = {}
    refused: dict[str, list[Rejected]] = {}
    for at, row in enumerate(found.rows):
        found.rows[at] = renamed = _renamed(row)
        stream = _stream(renamed)
        why = _why_refused(renamed)
        if why is None:
            members.setdefault(stream, []).append(at)
        else:
            raw = found.texts[at] if found.texts is not None else msgspec.json.encode(row).decode()
            refused.setdefault(stream, []).append(reject(found.positions[at], raw, why, limits))
    if found.rejected:
        refused.setdefault("gelf", []).extend(found.rejected)
    return tuple(
        Part(stream=stream, lines=_lines(found, members.get(stream, [])), rejected=tuple(refused.get(stream, ())))
        for stream in dict.fromkeys((*members, *refused))
    )


def _encoding(body: bytes) -> str:
    if body.startswith(_GZIP):
        return "gzip"
    is_zlib = len(body) > 1 and body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2], "big") % 31 == 0
    return "deflate" if is_zlib else "identity"


def _rows(text: str, limits: Limits) -> Rows:
    """One message or an array; or, as Graylog takes them in bulk, one a line."""
    try:
        return rows_of_json(text, limits)
    except InputError:
        parts = split(text, limits)
        if len(parts.texts) < 2:
            raise
        return rows_of_ndjson(parts, limits)


def _renamed(row: Row) -> Row:
    renamed: Row = {}
    for name, value in row.items():
        if name != "version" and value is not None:
            new = _NAMES.get(name) or name.removeprefix("_")
            renamed.setdefault(new, value)
    return renamed


def _why_refused(row: Row) -> str | None:
    if any(isinstance(row.get(name), str) and row[name] for name in _MESSAGE_FIELDS):
        return None
    return "field 'short_message': missing, or no text"


def _stream(row: Row) -> str:
    names: list[Any] = [row.get(name) for name in _STREAM_FIELDS]
    return stream_name(next((name for name in names if isinstance(name, str) and name), ""), "gelf")


def _lines(found: Rows, members: list[int]) -> pl.DataFrame:
    if not members:
        return pl.DataFrame(schema=LINES)
    rows = [found.rows[at] for at in members]
    for row in rows:
        row["short_message"] = next(
            row[name] for name in _MESSAGE_FIELDS if isinstance(row.get(name), str) and row[name]
        )
    asked = Asked(message_field="short_message")
    return to_lines(rows, [found.positions[at] for at in members], asked).lines
