"""Fluentd's forward protocol: a handshake, messages, and an answer for each chunk when it is durable."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from ingest.batch import Batch
from ingest.fluent import Message, batches_of, read_message
from ingest.fluent_handshake import NONCE_BYTES, helo, pong, read_ping, refusal
from ingest.limits import Limits
from ingest.msgpack import Values
from service.forward import ForwardSettings
from service.listeners import Listener
from tocsin.errors import InputError

_READ_BYTES = 64 * 1024
_INLINE_BYTES = 16 * 1024  # larger messages are read in a thread: they may be compressed
_PING_BYTES_MAX = 4096  # host, salt and two digests of 128 digits


class Forward:
    """The protocol, version 1."""

    name = "forward"
    udp_buffer_bytes = 0  # the old heartbeats over UDP are not answered

    def __init__(self, settings: ForwardSettings, limits: Limits) -> None:
        self._settings = settings
        # A message that is compressed is held to the same size when it no longer is.
        self._limits = replace(limits, decompressed_bytes_max=settings.message_bytes_max)
        self._large = asyncio.Semaphore(settings.large_max)

    async def converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener: Listener[Message], peer: str
    ) -> None:
        """Read messages until the sender ends.

        Raises:
            InputError: it speaks something else, does not know the key, or stopped within a message.
        """
        conversation = _Conversation(self._settings, self._limits, reader, writer, peer)
        if not self._settings.shared_key or await conversation.is_let_in():
            await conversation.listen(listener, self._large)

    def heard(self, _datagrams: Sequence[tuple[bytes, str]], _now: float) -> list[Message]:
        """Nothing: there is no UDP."""
        return []

    def batches(self, messages: Sequence[Message], tenant: str, observed_time: datetime) -> list[Batch]:
        """A batch for each chunk, and one for each stream of the others."""
        return batches_of(messages, tenant, observed_time, self._limits)


class _Conversation:
    """One connection."""

    def __init__(
        self,
        settings: ForwardSettings,
        limits: Limits,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        peer: str,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._reader = reader
        self._writer = writer
        self._peer = peer
        self._values = Values(settings.message_bytes_max)
        self._waited_s = 0.0  # for the message that is not whole

    async def is_let_in(self) -> bool:
        """Shake hands; false where the sender left without a word, as those do that look whether somebody is here.

        Raises:
            InputError: it does not know the key.
        """
        key, nonce = self._settings.shared_key, secrets.token_bytes(NONCE_BYTES)
        try:
            async with asyncio.timeout(self._settings.idle_s):
                await self._send(helo(nonce))
                answer = await self._answer()
                if answer is None:
                    return False
                ping = read_ping(answer)
                if not ping.is_of(key, nonce):
                    await self._send(refusal("shared_key mismatch"))
                    raise InputError("it does not know the shared_key")
                await self._send(pong(ping, key, nonce))
        except TimeoutError as error:
            raise InputError(f"no ping within {self._settings.idle_s:g} s: it knows of no shared_key") from error
        return True

    async def listen(self, listener: Listener[Message], large: asyncio.Semaphore) -> None:
        """Take messages.

        Args:
            listener: takes them.
            large: of those that take more than a read, only so many arrive at once.

        Raises:
            InputError: what comes is no message, too large, or stops within one.
        """
        is_large = False
        try:
            while data := await self._read():
                await self._take(self._values.feed(data), listener)
                if self._values.broken is not None:
                    self._bury(self._values.beginning, self._values.broken, listener)
                    raise self._values.broken
                was_large, is_large = is_large, self._values.held > _READ_BYTES
                if was_large and not is_large:
                    large.release()
                elif is_large and not was_large:
                    is_large = False  # until it is its turn
                    is_large = await large.acquire()
        finally:
            if is_large:
                large.release()
        if self._values.held:
            raise InputError(f"it hung up within a message, after {self._values.held} bytes")

    async def _take(self, values: Sequence[bytes], listener: Listener[Message]) -> None:
        messages: list[Message] = []
        try:
            for value in values:
                self._waited_s = 0.0
                message = await self._message(value)
                if message is not None:
                    messages.append(message)
        except InputError as error:
            await self._keep(messages, listener)
            self._bury(value, error, listener)
            raise
        await self._keep(messages, listener)

    async def _message(self, value: bytes) -> Message | None:
        if len(value) <= _INLINE_BYTES:
            return read_message(value, self._peer, self._limits)
        return await asyncio.to_thread(read_message, value, self._peer, self._limits)

    async def _keep(self, messages: Sequence[Message], listener: Listener[Message]) -> None:
        """Hand messages on, and answer those that ask for it when they are durable."""
        answers = b"".join(message.ack for message in messages if message.chunk)
        try:
            kept = await listener.take(messages, at_once=bool(answers))
        except asyncio.CancelledError:
            listener.take_last(messages)
            raise
        if answers:
            await kept.wait()
            async with asyncio.timeout(self._settings.idle_s):
                await self._send(answers)

    def _bury(self, beginning: bytes, error: InputError, listener: Listener[Message]) -> None:
        raw = beginning[: self._limits.rejected_bytes_max]
        listener.take_last([Message(raw=raw, peer=self._peer, why_refused=str(error))])

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def _answer(self) -> bytes | None:
        values = Values(_PING_BYTES_MAX)
        while data := await self._reader.read(_READ_BYTES):
            found = values.feed(data)
            if values.broken is not None:
                raise values.broken
            if found:
                return found[0]
        return None

    async def _read(self) -> bytes:
        """What comes next; between messages it may take for ever.

        A connection that is closed loses the next message of senders that do not look, as Docker does not.
        """
        if not self._values.held:
            return await self._reader.read(_READ_BYTES)
        loop, settings = asyncio.get_running_loop(), self._settings
        begun_at = loop.time()
        try:
            async with asyncio.timeout(min(settings.idle_s, settings.message_s_max - self._waited_s)):
                return await self._reader.read(_READ_BYTES)
        except TimeoutError as error:
            raise InputError(f"a message did not go on, after {self._values.held} bytes") from error
        finally:
            self._waited_s += loop.time() - begun_at
