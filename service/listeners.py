"""Listens to syslog over TCP, TLS and UDP; messages are journalled in batches.

Syslog has no answer that a sender could wait for. What is read is durable a fraction of a second later; while the
journal has no room, nothing is read, and TCP makes the senders wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from datetime import datetime
from hashlib import blake2b
from typing import Protocol

import structlog

from api.intake import IntakeMeters, JournalWriter
from ingest.batch import Batch, encode
from ingest.limits import Limits
from ingest.syslog import Framing, Message, lines_of
from service.gather import Gather, GatherLimits
from service.syslog import OPEN_TENANT, Bound, SyslogSettings
from tocsin.errors import InputError, StorageError

log = structlog.get_logger(__name__)

_READ_BYTES = 64 * 1024
_DATAGRAM_BYTES = 65_535
_DATAGRAMS = 1_000  # read before others get their turn
_PAUSE_S = 0.25  # between two looks whether the journal has room again
_GRACE_S = 0.2  # at a stop: after so long without a byte there is nothing more that was sent before


class Surroundings(Protocol):
    """What is asked of the HTTP process."""

    @property
    def journal(self) -> JournalWriter:
        """Where batches go."""

    @property
    def clock(self) -> Callable[[], datetime]:
        """The time."""

    @property
    def limits(self) -> Limits:
        """What one line may hold."""


class Syslog:
    """The listeners of this process.

    Args:
        settings: where and how.
        sockets: bound already.
        services: journal, clock and limits.
        meters: what is counted.
    """

    def __init__(self, settings: SyslogSettings, sockets: Bound, services: Surroundings, meters: IntakeMeters) -> None:
        self._settings = settings
        self._sockets = sockets
        self._services = services
        self._meters = meters
        limits = GatherLimits(lines=settings.batch_lines, size=settings.batch_bytes, wait_s=settings.batch_ms / 1000)
        self._gather = Gather(self._keep, limits)
        self._servers: list[asyncio.Server] = []
        self._readers: set[asyncio.Task[None]] = set()
        self._keeping: asyncio.Task[None] | None = None
        self._read_at = 0.0  # when something was last read, by the clock of the loop

    async def start(self) -> None:
        """Listen."""
        self._keeping = asyncio.create_task(self._gather.run())
        for at, context in ((self._sockets.tcp, None), (self._sockets.tls, self._sockets.context)):
            if at is not None:
                self._servers.append(await asyncio.start_server(self._connected, sock=at, ssl=context))
        if self._sockets.udp is not None:
            self._readers.add(asyncio.create_task(self._datagrams(self._sockets.udp)))

    async def stop(self, within_s: float) -> None:
        """Stop listening; what was received is kept, if there is room for it within so many seconds."""
        assert self._keeping is not None, "started before"
        for server in self._servers:
            server.close()
        await self._quiet(within_s / 2)
        readers = list(self._readers)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        self._gather.close()
        try:
            await asyncio.wait_for(self._keeping, within_s)
        except TimeoutError:
            log.error("syslog_lost", reason="the journal had no room when the service stopped")  # noqa: TRY400

    async def _quiet(self, within_s: float) -> None:
        """Wait until what the kernel holds is read; senders that go on are not waited for longer than `within_s`."""
        loop = asyncio.get_running_loop()
        self._read_at = began_at = loop.time()
        while loop.time() - began_at < within_s:
            await asyncio.sleep(_GRACE_S / 4)
            if self._gather.has_room and loop.time() - self._read_at > _GRACE_S:
                return

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "the server runs each connection in a task"
        if len(self._readers) >= self._settings.connections_max:
            log.warning("syslog_refused", reason="connections_max", peer=_address(writer))
            writer.close()
            return
        self._readers.add(task)
        try:
            await self._messages(reader, _address(writer))
        finally:
            self._readers.discard(task)
            writer.close()

    async def _messages(self, reader: asyncio.StreamReader, peer: str) -> None:
        framing = Framing(self._settings.frame_bytes_max)
        waiting: list[Message] = []
        try:
            while data := await reader.read(_READ_BYTES):
                waiting = [Message(raw, peer, is_cut) for raw, is_cut in framing.feed(data)]
                await self._take(waiting)
                waiting = []
        except InputError as error:
            log.warning("syslog_not_understood", peer=peer, error=str(error))
        except (OSError, asyncio.CancelledError):  # the sender is gone, or we are going
            pass
        finally:
            rest = [Message(raw, peer, is_cut) for raw, is_cut in framing.finish()]
            self._gather.add([*waiting, *rest])

    async def _datagrams(self, at: socket.socket) -> None:
        at.setblocking(False)
        with contextlib.suppress(OSError):
            at.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._settings.udp_buffer_bytes)
        waiting: list[Message] = []
        try:
            while True:
                await _readable(at)
                waiting = _received(at, self._settings.frame_bytes_max)
                await self._take(waiting)
                waiting = []
        except asyncio.CancelledError:
            self._gather.add([*waiting, *_received(at, self._settings.frame_bytes_max)])

    async def _take(self, messages: list[Message]) -> None:
        self._read_at = asyncio.get_running_loop().time()
        await self._gather.room()
        self._gather.add(messages)

    async def _keep(self, messages: list[Message]) -> None:
        observed_time = self._services.clock()

        def make() -> tuple[Batch, bytes]:
            part = lines_of(messages, self._settings.stream, self._services.limits)
            batch = Batch(
                tenant=self._settings.tenant or OPEN_TENANT,
                stream=part.stream,
                observed_time=observed_time,
                identity=None,
                fingerprint=blake2b(b"\n".join(message.raw for message in messages), digest_size=16).hexdigest(),
                lines=part.lines,
                rejected=part.rejected,
            )
            return batch, encode(batch)

        batch, payload = await asyncio.to_thread(make)
        is_told = False
        while True:
            try:
                await asyncio.shield(asyncio.wrap_future(self._services.journal.append(payload)))
                break
            except StorageError as error:
                if not is_told:
                    log.warning("syslog_waits", error=str(error))
                is_told = True
            await asyncio.sleep(_PAUSE_S)
        size = sum(len(message.raw) for message in messages)
        self._meters.taken(accepted=batch.lines.height, rejected=len(batch.rejected), size=size)


def _address(writer: asyncio.StreamWriter) -> str:
    peer = writer.get_extra_info("peername")
    return str(peer[0]) if peer else ""


async def _readable(at: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(at, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(at)


def _received(at: socket.socket, size_max: int) -> list[Message]:
    found = []
    for _ in range(_DATAGRAMS):
        try:
            raw, peer = at.recvfrom(_DATAGRAM_BYTES)
        except OSError:  # there is nothing more, or a sender of before is gone
            break
        if raw:
            found.append(Message(raw[:size_max], str(peer[0]), len(raw) > size_max))
    return found
