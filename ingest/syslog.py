"""Syslog: messages out of a stream of bytes, and messages into LINES.

A message stays as it was sent; its time, host and program are read where those of every line are (header.py). What
would be lost there becomes attributes: the facility, the message id and the structured data of RFC 5424.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import polars as pl

from ingest.batch import Part, Rejected
from ingest.limits import Limits
from ingest.lines import reject, text_of
from tocsin.errors import InputError
from tocsin.record import LINES

#: RFC 5424, table 1, by the names that syslog daemons use.
FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *("ntp", "audit", "alert", "clock", *(f"local{number}" for number in range(8))),
)

_COUNTED = re.compile(rb"([1-9][0-9]{0,8}) ")  # RFC 6587: the size of the frame, and a blank
_COUNTED_MESSAGE = re.compile(rb"[1-9][0-9]{0,8} <")
_UNDECIDED = re.compile(rb"(?:[1-9][0-9]{0,8} ?)?\Z")
_COUNT_BYTES = 10
_ENDS = b"\r\n\0"
_PRI = re.compile(r"<([0-9]{1,3})>")
# PRI and version, time, host, program, process; then the message id and the structured data.
_MODERN = re.compile(r"<[0-9]{1,3}>[1-9][0-9]{0,2} \S+ \S+ \S+ \S+ (\S{1,255}) (?=([-\[]))")
_ELEMENT = re.compile(r'\[([^\s=\]"]{1,255})((?: +[^\s=\]"]{1,255}="(?:[^"\\\]]|\\.|\\)*")*) *\]', re.DOTALL)
_PARAMETER = re.compile(r'([^\s=\]"]+)="((?:[^"\\\]]|\\.|\\)*)"', re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\\]])')
_HEADED = re.compile(r"<[0-9]{1,3}>(?:[1-9][0-9]{0,2} [0-9-]|[A-Z][a-z]{2} [ 0-9][0-9] |[0-9]{4}-)")

_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it came."""

    raw: bytes
    peer: str  # address of the sender
    is_cut: bool = False  # it was longer than a frame may be; this is its beginning


class Framing:
    """Takes the bytes of one connection apart: counted frames, or lines that end in LF or NUL.

    Which it is shows in the first bytes, and holds for the connection. NUL ends a message where there is one, so that
    Python's tracebacks stay in one piece.

    Args:
        frame_bytes_max: a longer frame is cut, and its rest skipped.
    """

    def __init__(self, frame_bytes_max: int) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._buffer = b""
        self._is_counted: bool | None = None
        self._end = b""  # LF or NUL, once one was seen
        self._skipping = 0  # bytes of a counted frame that are left out; -1 is up to the end of the line

    def feed(self, data: bytes) -> list[tuple[bytes, bool]]:
        """The messages that became complete, and whether each was cut.

        Raises:
            InputError: a frame does not begin with its size, so that nothing after it can be found.
        """
        self._buffer += data
        if self._is_counted is None:
            if _UNDECIDED.match(self._buffer):
                return []  # a size, or the number that some routers begin their lines with
            self._is_counted = _COUNTED_MESSAGE.match(self._buffer) is not None
        return self._counted() if self._is_counted else self._lines()

    def finish(self) -> list[tuple[bytes, bool]]:
        """What is left when the connection ends: a line that lacks its end, or a frame that was not sent whole."""
        rest, self._buffer = self._buffer, b""
        if self._skipping or self._is_counted is None:
            return [(rest, False)] if rest.strip(_ENDS) and not self._skipping else []
        if self._is_counted:
            size = _COUNTED.match(rest)
            return [(rest[size.end() :], True)] if size and len(rest) > size.end() else []
        return [(rest, False)] if rest.strip(_ENDS) else []

    def _counted(self) -> list[tuple[bytes, bool]]:
        found: list[tuple[bytes, bool]] = []
        buffer, position = self._buffer, 0
        while position < len(buffer):
            if self._skipping:
                step = min(self._skipping, len(buffer) - position)
                self._skipping -= step
                position += step
                continue
            size = _COUNTED.match(buffer, position)
            if size is None:
                if len(buffer) - position < _COUNT_BYTES and buffer[position:].isdigit() and buffer[position] != 48:
                    break
                if buffer[position : position + 1] in {b"\n", b"\0"}:  # some end counted frames too
                    position += 1
                    continue
                raise InputError("syslog: a frame that does not begin with its size")
            length, start = int(size[1]), size.end()
            kept = min(length, self._frame_bytes_max)
            if len(buffer) - start < kept:
                break
            found.append((buffer[start : start + kept], length > kept))
            position = start + kept
            self._skipping = length - kept
        self._buffer = buffer[position:]
        return found

    def _lines(self) -> list[tuple[bytes, bool]]:
        if not self._end:
            self._end = b"\0" if b"\0" in self._buffer else b"\n" if b"\n" in self._buffer else b""
        *lines, rest = self._buffer.split(self._end) if self._end else [self._buffer]
        if lines and self._skipping:
            del lines[0]
            self._skipping = 0
        limit = self._frame_bytes_max
        found = [(line[:limit], len(line) > limit) for line in lines if line.strip(_ENDS)]
        if len(rest) > limit:
            if not self._skipping:
                found.append((rest[:limit], True))
                self._skipping = -1
            rest = b""
        self._buffer = b"" if self._skipping else rest
        return found


def lines_of(messages: Sequence[Message], stream: str, limits: Limits) -> Part:
    """Messages as lines of a stream; one that was cut is refused."""
    bodies: list[str] = []
    attributes: list[str] = []
    positions: list[int] = []
    rejected: list[Rejected] = []
    for position, message in enumerate(messages):
        text = text_of(message.raw.rstrip(_ENDS))
        if message.is_cut:
            rejected.append(reject(position, text, f"longer than {len(message.raw)} bytes, or cut short", limits))
        elif text and not text.isspace():
            positions.append(position)
            bodies.append(text)
            attributes.append(_encoder.encode(_attributes(text, message.peer)).decode())
    columns = {
        name: pl.Series(name, [None], dtype=dtype).new_from_index(0, len(bodies)) for name, dtype in LINES.items()
    }
    found = {
        "position": pl.Series(positions, dtype=pl.UInt32),
        "body": pl.Series(bodies, dtype=pl.String),
        "attributes": pl.Series(attributes, dtype=pl.String),
    }
    return Part(stream=stream, lines=pl.DataFrame(columns | found), rejected=tuple(rejected))


def _attributes(text: str, peer: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    pri = _PRI.match(text)
    if pri is not None and int(pri[1]) < 8 * len(FACILITIES):
        attributes["syslog.facility"] = FACILITIES[int(pri[1]) // 8]
    if _HEADED.match(text) is None:
        attributes["host.ip"] = peer  # nothing else says from where it is
        return attributes
    modern = _MODERN.match(text)
    if modern is not None:
        if modern[1] != "-":
            attributes["syslog.msg_id"] = modern[1]
        if modern[2] == "[":
            data = structured_data(text, modern.end())
            if data:
                attributes["syslog.structured_data"] = data
    return attributes


def structured_data(text: str, position: int) -> dict[str, dict[str, str]]:
    """The elements that stand in `text` from `position` on: id -> name -> value."""
    found: dict[str, dict[str, str]] = {}
    while (element := _ELEMENT.match(text, position)) is not None:
        found.setdefault(element[1], {}).update(_parameters(_PARAMETER.findall(element[2])))
        position = element.end()
    return found


def _parameters(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: _ESCAPED.sub(r"\1", value) for name, value in pairs}
