"""The lines of one OTLP request under construction, by stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import polars as pl

from ingest.batch import Part, Rejected, stream_name
from ingest.conventions import clean, json_text
from ingest.limits import Limits
from tocsin.errors import TooLargeError
from tocsin.record import LINES

_REPEATS_MAX = 4  # lines with the resource on each may be so many times the largest body, 256 MiB (chosen)
_NS_MAX = 2**63 - 1
_STREAM_CHARS_MAX = 128


class Line(NamedTuple):
    """What one record or data point says."""

    time: int  # ns since 1970; 0 is unknown
    severity_number: int | None
    body: str
    attributes: dict[str, Any]  # its own
    trace_id: str | None = None
    span_id: str | None = None
    identity: str | None = None


@dataclass(slots=True)
class _Columns:
    """Of one stream."""

    position: list[int] = field(default_factory=list)
    time: list[int | None] = field(default_factory=list)
    severity_number: list[int | None] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    attributes: list[str] = field(default_factory=list)
    trace_id: list[str | None] = field(default_factory=list)
    span_id: list[str | None] = field(default_factory=list)
    identity: list[str | None] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


class Sheet:
    """Takes the lines of a request in their order.

    Columns of Python values, because a request may bring a thousand resources with a line each.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._streams: dict[str, _Columns] = {}
        self._count = 0
        self._chars_left = _REPEATS_MAX * limits.compressed_bytes_max
        self._shared: dict[str, Any] = {}
        self._shared_text = "{}"
        self._stream = ""

    def begin(self, resource: dict[str, Any], scope: dict[str, Any], suffix: str) -> None:
        """Go on to the lines of a resource and scope."""
        self._shared = resource | scope
        self._shared_text = json_text(self._shared)
        service = resource.get("service.name")
        name = stream_name(service if isinstance(service, str) else "", "otlp")
        self._stream = name[: _STREAM_CHARS_MAX - len(suffix)] + suffix

    def add(self, line: Line | str, raw: Callable[[], bytes]) -> None:
        """Take a line of the resource and scope begun last, or the reason why there is none.

        Args:
            line: it or the reason.
            raw: gives the bytes of its record.

        Raises:
            TooLargeError: the request is over a limit.
        """
        limits = self._limits
        columns = self._columns()
        if isinstance(line, str):
            self._refuse(columns, line, raw)
        else:
            attributes = self._attributes(line.attributes)
            size = len(line.body) + len(attributes)
            self._chars_left -= size
            if self._chars_left < 0:
                raise TooLargeError("body: too much text once every line carries its resource; send it in parts")
            # A character takes 4 bytes at most.
            size_max = limits.line_bytes_max
            if 4 * size > size_max and len(line.body.encode()) + len(attributes.encode()) > size_max:
                self._refuse(columns, f"longer than {size_max} bytes", raw)
            else:
                columns.position.append(self._count)
                columns.time.append(line.time if 0 < line.time <= _NS_MAX else None)
                columns.severity_number.append(line.severity_number)
                columns.body.append(clean(line.body))
                columns.attributes.append(attributes)
                columns.trace_id.append(line.trace_id)
                columns.span_id.append(line.span_id)
                columns.identity.append(line.identity)
        self._count += 1
        if self._count > limits.lines_max:
            raise TooLargeError(f"body: more than {limits.lines_max} records; send it in parts")

    def parts(self) -> tuple[Part, ...]:
        """What was taken and refused, by stream."""
        return tuple(
            Part(stream=stream, lines=_frame(columns), rejected=tuple(columns.rejected))
            for stream, columns in self._streams.items()
        )

    def _columns(self) -> _Columns:
        columns = self._streams.get(self._stream)
        if columns is None:
            if len(self._streams) == self._limits.streams_max:
                raise TooLargeError(f"body: lines of more than {self._limits.streams_max} streams; send it in parts")
            columns = self._streams[self._stream] = _Columns()
        return columns

    def _attributes(self, own: dict[str, Any]) -> str:
        """Its own attributes and the shared ones, as JSON; of two with the same key its own."""
        if not own:
            return self._shared_text
        if not self._shared:
            return json_text(own)
        if not self._shared.keys().isdisjoint(own):
            return json_text(self._shared | own)
        return f"{self._shared_text[:-1]},{json_text(own)[1:]}"

    def _refuse(self, columns: _Columns, why: str, raw: Callable[[], bytes]) -> None:
        beginning = raw()[: self._limits.rejected_bytes_max]
        columns.rejected.append(Rejected(line=self._count + 1, detail=why, raw=beginning))


def _frame(columns: _Columns) -> pl.DataFrame:
    return pl.DataFrame({name: getattr(columns, name) for name in LINES}, schema=LINES)
