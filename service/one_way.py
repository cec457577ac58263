"""Protocols without an answer: syslog and GELF. What is read is durable a fraction of a second later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from hashlib import blake2b
from typing import Protocol

from ingest import gelf, syslog
from ingest.batch import Batch, Part
from ingest.gelf_wire import Chunks, NulFraming
from ingest.limits import Limits
from service.gather import M
from service.gelf import GelfSettings
from service.listeners import Listener
from service.syslog import SyslogSettings

_READ_BYTES = 64 * 1024


class Syslog:
    """RFC 5424, RFC 3164, and what routers make of them."""

    name = "syslog"

    def __init__(self, settings: SyslogSettings, limits: Limits) -> None:
        self._settings = settings
        self._limits = limits
        self.udp_buffer_bytes = settings.udp_buffer_bytes

    async def converse(
        self,
        reader: asyncio.StreamReader,
        _writer: asyncio.StreamWriter,
        listener: Listener[syslog.Message],
        peer: str,
    ) -> None:
        """Read frames until the sender ends."""
        framing = syslog.Framing(self._settings.frame_bytes_max)
        await _listen(reader, framing, listener, lambda raw, is_cut: syslog.Message(raw, peer, is_cut))

    def heard(self, datagrams: Sequence[tuple[bytes, str]], _now: float) -> list[syslog.Message]:
        """A datagram is a message."""
        size_max = self._settings.frame_bytes_max
        return [syslog.Message(raw[:size_max], peer, len(raw) > size_max) for raw, peer in datagrams]

    def batches(self, messages: Sequence[syslog.Message], tenant: str, observed_time: datetime) -> list[Batch]:
        """One batch of one stream."""
        part = syslog.lines_of(messages, self._settings.stream, self._limits)
        return _batches([part], messages, tenant, observed_time)


class Gelf:
    """Graylog's messages: each ends with NUL over TCP; over UDP they may be compressed and come in chunks."""

    name = "gelf"

    def __init__(self, settings: GelfSettings, limits: Limits) -> None:
        self._settings = settings
        self._limits = limits
        self.udp_buffer_bytes = settings.udp_buffer_bytes
        self._chunks = Chunks(bytes_max=settings.chunks_bytes_max, wait_s=settings.chunks_s)

    async def converse(
        self, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, listener: Listener[gelf.Message], peer: str
    ) -> None:
        """Read messages until the sender ends."""
        framing = NulFraming(self._settings.message_bytes_max)
        await _listen(reader, framing, listener, partial(self._message, peer))

    def heard(self, datagrams: Sequence[tuple[bytes, str]], now: float) -> list[gelf.Message]:
        """Whole messages, decompressed here, so that what is gathered is as large as it seems."""
        found: list[gelf.Message] = []
        for datagram, peer in datagrams:
            for raw, why in self._chunks.feed(datagram, peer, now):
                found.append(self._opened(raw, peer) if why is None else gelf.Message(raw, peer, why))
        return found

    def batches(self, messages: Sequence[gelf.Message], tenant: str, observed_time: datetime) -> list[Batch]:
        """A batch for each stream that the messages name."""
        return _batches(gelf.lines_of(messages, self._limits), messages, tenant, observed_time)

    def _message(self, peer: str, raw: bytes, is_cut: bool) -> gelf.Message:  # noqa: FBT001 -- see `_listen`
        return gelf.Message(raw, peer, f"longer than {len(raw)} bytes" if is_cut else None)

    def _opened(self, raw: bytes, peer: str) -> gelf.Message:
        return gelf.opened(raw, peer, self._settings.message_bytes_max, self._limits)


class _Framing(Protocol):
    """Takes the bytes of one connection apart."""

    def feed(self, data: bytes) -> list[tuple[bytes, bool]]:
        """The messages that became complete, and whether each was cut."""

    def finish(self) -> list[tuple[bytes, bool]]:
        """What is left when the connection ends."""


async def _listen(
    reader: asyncio.StreamReader, framing: _Framing, listener: Listener[M], make: Callable[[bytes, bool], M]
) -> None:
    waiting: list[M] = []
    try:
        while data := await reader.read(_READ_BYTES):
            waiting = [make(raw, is_cut) for raw, is_cut in framing.feed(data)]
            await listener.take(waiting)
            waiting = []
    finally:
        listener.take_last([*waiting, *(make(raw, is_cut) for raw, is_cut in framing.finish())])


def _batches(parts: Sequence[Part], messages: Sequence[M], tenant: str, observed_time: datetime) -> list[Batch]:
    fingerprint = blake2b(b"\n".join(message.raw for message in messages), digest_size=16).hexdigest()
    return [part.batch(tenant, observed_time, fingerprint) for part in parts if part.lines.height or part.rejected]
