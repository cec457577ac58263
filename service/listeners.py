"""Listens over TCP, TLS and UDP to protocols that are not HTTP; what comes is journalled in batches.

While the journal has no room, nothing is read, and TCP makes the senders wait. What a protocol brings is a `Language`:
how a connection is read, and what becomes of its messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Generic, Protocol

import structlog

from api.intake import IntakeMeters, JournalWriter
from ingest.batch import Batch, Rejected, encode_all
from ingest.limits import Limits
from service.doors import OPEN_TENANT, Bound, DoorSettings
from service.gather import Gather, GatherLimits, M
from tocsin.errors import InputError, StorageError, TooLargeError
from tocsin.record import empty_lines

log = structlog.get_logger(__name__)

_DATAGRAM_BYTES = 65_535
_DATAGRAMS = 1_000  # read before others get their turn
_PAUSE_S = 0.25  # between two looks whether the journal has room again
_KEEP_ALIVE_S = 60
_HANDSHAKE_S = 10.0  # of TLS; a slower sender is hung up on
_TELL_S = 60.0  # between two lines about too many connections
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


class Language(Protocol[M]):
    """What a protocol brings."""

    @property
    def name(self) -> str:
        """Of its settings."""

    @property
    def udp_buffer_bytes(self) -> int:
        """What is asked of the kernel."""

    async def converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener: Listener[M], peer: str
    ) -> None:
        """Read one connection until it ends, and give what comes to `listener`.

        Raises:
            InputError: the sender speaks something else.
        """

    def heard(self, datagrams: Sequence[tuple[bytes, str]], now: float) -> list[M]:
        """The messages of datagrams, each with the address of its sender; `now` in seconds of the loop's clock."""

    def batches(self, messages: Sequence[M], tenant: str, observed_time: datetime) -> list[Batch]:
        """Messages as batches."""


class Listener(Generic[M]):
    """Listens to one protocol.

    Args:
        language: the protocol.
        settings: where and how.
        sockets: bound already.
        services: journal, clock and limits.
        meters: what is counted.
    """

    def __init__(
        self,
        language: Language[M],
        settings: DoorSettings,
        sockets: Bound,
        services: Surroundings,
        meters: IntakeMeters,
    ) -> None:
        self._language = language
        self._settings = settings
        self._sockets = sockets
        self._services = services
        self._meters = meters
        self._log = log.bind(protocol=language.name)
        limits = GatherLimits(lines=settings.batch_lines, size=settings.batch_bytes, wait_s=settings.batch_ms / 1000)
        self._gather: Gather[M] = Gather(self._keep, limits)
        self._servers: list[asyncio.Server] = []
        self._readers: set[asyncio.Task[None]] = set()
        self._silent: dict[
            asyncio.Task[None], float
        ] = {}  # when each connection last brought something, first the oldest
        self._told_at = float("-inf")  # that there are too many connections
        self._keeping: asyncio.Task[None] | None = None
        self._read_at = 0.0  # when something was last read, by the clock of the loop

    async def start(self) -> None:
        """Listen."""
        self._keeping = asyncio.create_task(self._gather.run())
        for at, context in ((self._sockets.tcp, None), (self._sockets.tls, self._sockets.context)):
            if at is not None:
                _notice_dead_peers(at)
                handshake_s = _HANDSHAKE_S if context else None
                self._servers.append(
                    await asyncio.start_server(self._connected, sock=at, ssl=context, ssl_handshake_timeout=handshake_s)
                )
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
            self._log.error("messages_lost", reason="the journal had no room when the service stopped")

    async def take(self, messages: Sequence[M], *, at_once: bool = False) -> asyncio.Event:
        """Take messages when there is room for them; see `Gather.add`."""
        self._read_at = asyncio.get_running_loop().time()
        self._spoke(asyncio.current_task())
        await self._gather.room()
        return self._gather.add(messages, at_once=at_once)

    def take_last(self, messages: Sequence[M]) -> None:
        """Take what was read when a connection ended, also where there is no room."""
        self._gather.add(messages)

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
        peer = _address(writer)
        if len(self._silent) >= self._settings.connections_max and not self._make_room():
            self._refuse(peer)
            writer.close()
            return
        self._readers.add(task)
        self._silent[task] = asyncio.get_running_loop().time()
        try:
            await self._language.converse(reader, writer, self, peer)
        except InputError as error:
            self._log.warning("sender_not_understood", peer=peer, error=str(error))
        except (OSError, asyncio.CancelledError):  # the sender is gone, or we are going
            pass
        finally:
            self._readers.discard(task)
            self._silent.pop(task, None)
            writer.close()

    def _spoke(self, connection: asyncio.Task[None] | None) -> None:
        if connection is not None and self._silent.pop(connection, None) is not None:
            self._silent[connection] = self._read_at

    def _make_room(self) -> bool:
        """End the connection that was silent for longest; False where none was for long enough."""
        if not self._gather.has_room:  # those that wait are not silent, they are not read
            return False
        longest, spoke_at = next(iter(self._silent.items()))
        if asyncio.get_running_loop().time() - spoke_at < self._settings.silent_s:
            return False
        del self._silent[longest]
        longest.cancel()
        return True

    def _refuse(self, peer: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._told_at > _TELL_S:
            self._told_at = now
            self._log.warning("sender_refused", reason="connections_max", peer=peer)

    async def _datagrams(self, at: socket.socket) -> None:
        at.setblocking(False)
        with contextlib.suppress(OSError):
            at.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._language.udp_buffer_bytes)
        waiting: list[M] = []
        try:
            while True:
                await _readable(at)
                waiting = self._heard(at)
                await self.take(waiting)
                waiting = []
        except asyncio.CancelledError:
            self.take_last([*waiting, *self._heard(at)])

    def _heard(self, at: socket.socket) -> list[M]:
        return self._language.heard(_received(at), asyncio.get_running_loop().time())

    async def _keep(self, messages: list[M]) -> None:
        """Make messages durable, all at once where the journal takes them so."""
        observed_time = self._services.clock()
        batches, payload = await asyncio.to_thread(self._made, messages, observed_time)
        try:
            await self._append(payload)
        except TooLargeError as error:
            if len(messages) > 1:
                for half in (messages[: len(messages) // 2], messages[len(messages) // 2 :]):
                    await self._keep(half)
                return
            batches = [self._refused(batch, messages[0], str(error)) for batch in batches]
            await self._append(encode_all(batches))
        self._meters.taken(
            accepted=sum(batch.lines.height for batch in batches),
            rejected=sum(len(batch.rejected) for batch in batches),
            size=sum(len(message.raw) for message in messages),
        )

    def _made(self, messages: Sequence[M], observed_time: datetime) -> tuple[list[Batch], bytes]:
        batches = self._language.batches(messages, self._settings.tenant or OPEN_TENANT, observed_time)
        return batches, encode_all(batches) if batches else b""

    def _refused(self, batch: Batch, message: M, why: str) -> Batch:
        raw = message.raw[: self._services.limits.rejected_bytes_max]
        return replace(batch, lines=empty_lines(), rejected=(Rejected(line=1, detail=why, raw=raw),))

    async def _append(self, payload: bytes) -> None:
        """Wait until the journal holds `payload`, however long it has no room.

        Raises:
            TooLargeError: it never will.
        """
        is_told = False
        while payload:
            try:
                await asyncio.shield(asyncio.wrap_future(self._services.journal.append(payload)))
            except StorageError as error:
                if not is_told:
                    self._log.warning("senders_wait", error=str(error))
                is_told = True
            else:
                return
            await asyncio.sleep(_PAUSE_S)


def _notice_dead_peers(at: socket.socket) -> None:
    """Let the kernel ask senders that are silent whether they are there; connections inherit it from the listener."""
    at.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):  # else it asks after two hours
        at.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEP_ALIVE_S)


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


def _received(at: socket.socket) -> list[tuple[bytes, str]]:
    found = []
    for _ in range(_DATAGRAMS):
        try:
            raw, peer = at.recvfrom(_DATAGRAM_BYTES)
        except OSError:  # there is nothing more, or a sender of before is gone
            break
        if raw:
            found.append((raw, str(peer[0])))
    return found
