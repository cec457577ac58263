"""From a socket to a durable batch: bounded reading, decoding off the event loop, idempotency, the journal.

Every ingest protocol of the HTTP surface goes through `Intake.take`; a protocol brings only its decoder.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Protocol, TypeVar

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from api.problems import ProblemError, busy
from api.settings import ApiSettings
from ingest.batch import Batch, Part, Rejected, encode, encode_all
from ingest.limits import Limits, decompress

T = TypeVar("T")

ENCODINGS = ("", "identity", "gzip", "zstd", "deflate", "snappy")
_IDENTITY = re.compile(r"[\x21-\x7e]{1,128}\Z")

#: What a protocol brings: the decompressed body to what is in it.
Decoder = Callable[[bytes], Part]


#: The same for a protocol that brings lines of several streams at once.
PartsDecoder = Callable[[bytes], tuple[Part, ...]]


class JournalWriter(Protocol):
    """What is asked of the journal."""

    @property
    def next_offset(self) -> int:
        """The offset the next entry will get."""

    def append(self, payload: bytes) -> Future[int]:
        """Take one entry; the future gives its offset once it is durable."""


class SeenBatches(Protocol):
    """What is asked of storage: the batches that were taken with an identity."""

    def batch_fingerprint(self, tenant: str, stream: str, identity: str) -> str | None:
        """Fingerprint of the batch that came with `identity`; None when none did."""


class IntakeMeters(Protocol):
    """What is counted."""

    def taken(self, *, accepted: int, rejected: int, size: int) -> None:
        """Count one durable batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What became of one request."""

    batch_id: str
    fingerprint: str
    accepted: int
    rejected: tuple[Rejected, ...]
    rejected_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenParts:
    """What became of one request with lines of several streams."""

    parts: tuple[Part, ...]
    accepted: int
    rejected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Whose batch it is."""

    tenant: str
    stream: str
    identity: str | None


class Intake:
    """Takes bodies. One per process; every wait and every byte has a limit in the settings."""

    def __init__(  # noqa: PLR0913, PLR0917 -- everything it depends on is an argument
        self,
        settings: ApiSettings,
        limits: Limits,
        journal: JournalWriter,
        seen: SeenBatches,
        clock: Callable[[], datetime],
        meters: IntakeMeters,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._journal = journal
        self._seen = seen
        self._clock = clock
        self._meters = meters
        self._threads = ThreadPoolExecutor(settings.decode_threads, thread_name_prefix="decode")
        self._decoding = 0
        self._inflight_bytes = 0
        self._answers: OrderedDict[tuple[str, str, str], Kept] = OrderedDict()
        self._locks: dict[tuple[str, str, str], asyncio.Lock] = {}

    async def take(self, request: Request, sender: Sender, decoder: Decoder) -> Kept:
        """Read, decode and keep the body of `request`; return once it is durable.

        Raises:
            ProblemError: the request as a whole cannot be taken.
            InputError: the body is not what it claims to be; TooLargeError: it is over a limit.
            FullError: there is no room.
        """
        encoding = encoding_of(request)
        async with self._body(request) as body:
            if sender.identity is None:
                return await self._keep(sender, body, encoding, decoder)
            async with self._alone((sender.tenant, sender.stream, sender.identity)):
                return await self._keep_once(sender, body, encoding, decoder)

    async def take_parts(
        self, request: Request, tenant: str, decoder: PartsDecoder, *, encoding: str | None = None
    ) -> TakenParts:
        """Read, decode and keep a body with lines of several streams, all or none; return once it is durable.

        Args:
            request: its body and headers.
            tenant: of the key.
            decoder: of the protocol.
            encoding: of the body; None for what the header says.

        Raises:
            ProblemError, InputError, TooLargeError, FullError: as `take`.
        """
        encoding = encoding_of(request) if encoding is None else encoding
        async with self._body(request) as body:
            return await self.keep_parts(tenant, body, encoding, decoder)

    async def keep_parts(self, tenant: str, body: bytes, encoding: str, decoder: PartsDecoder) -> TakenParts:
        """Decode and keep what `take_parts` has read.

        Raises:
            ProblemError, InputError, TooLargeError, FullError: as `take`.
        """
        observed_time = self._clock()
        fingerprint = _fingerprint(body)

        def decode() -> tuple[tuple[Part, ...], bytes]:
            parts = tuple(
                part for part in decoder(decompress(body, encoding, self._limits)) if part.lines.height or part.rejected
            )
            batches = [part.batch(tenant, observed_time, fingerprint) for part in parts]
            return parts, encode_all(batches) if batches else b""

        parts, payload = await self._in_thread(decode)
        taken = TakenParts(
            parts=parts,
            accepted=sum(part.lines.height for part in parts),
            rejected=sum(len(part.rejected) for part in parts),
        )
        if parts:
            await asyncio.shield(asyncio.wrap_future(self._journal.append(payload)))
            self._meters.taken(accepted=taken.accepted, rejected=taken.rejected, size=len(body))
        return taken

    def hold(self, size: int) -> None:
        """Count bytes against all bodies in flight; fewer than none when they are let go.

        Raises:
            ProblemError: there is no room for them.
        """
        if size > 0 and self._inflight_bytes + size > self._settings.inflight_bytes_max:
            raise busy("more bodies are in flight than this service has memory for")
        self._inflight_bytes += size

    def close(self) -> None:
        """Let the decoding threads end."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _keep_once(self, sender: Sender, body: bytes, encoding: str, decoder: Decoder) -> Kept:
        assert sender.identity is not None, "only a batch with an identity can be recognised"
        key = (sender.tenant, sender.stream, sender.identity)
        fingerprint = _fingerprint(body)
        taken = self._answers.get(key)
        before = taken.fingerprint if taken else await run_in_threadpool(self._seen.batch_fingerprint, *key)
        if before is not None and before != fingerprint:
            raise ProblemError(409, "Idempotency-Key header: this key came before with another body")
        if taken is None:
            # A batch that storage knows is decoded again only to give the first answer again.
            taken = await self._keep(sender, body, encoding, decoder, journal=before is None)
        self._answers[key] = taken
        self._answers.move_to_end(key)
        while len(self._answers) > self._settings.answers_remembered_max:
            self._answers.popitem(last=False)
        return taken

    async def _keep(
        self, sender: Sender, body: bytes, encoding: str, decoder: Decoder, *, journal: bool = True
    ) -> Kept:
        observed_time = self._clock()
        fingerprint = _fingerprint(body)

        def decode() -> tuple[Batch, bytes]:
            part = decoder(decompress(body, encoding, self._limits))
            batch = part.batch(sender.tenant, observed_time, fingerprint, sender.identity)
            return batch, encode(batch)

        # A small compressed body may hold a large one, so only the others are decoded in place.
        inline = encoding in {"", "identity"} and len(body) <= self._settings.decode_inline_bytes_max
        batch, payload = decode() if inline else await self._in_thread(decode)
        offset: int | None = None
        if journal:
            # Shielded: the journal sets the result even when the sender hung up meanwhile.
            offset = await asyncio.shield(asyncio.wrap_future(self._journal.append(payload)))
            self._meters.taken(accepted=batch.lines.height, rejected=len(batch.rejected), size=len(body))
        return Kept(
            batch_id=_batch_id(sender, offset),
            fingerprint=fingerprint,
            accepted=batch.lines.height,
            rejected=batch.rejected[: self._limits.errors_max],
            rejected_count=len(batch.rejected),
        )

    async def _in_thread(self, decode: Callable[[], T]) -> T:
        if self._decoding >= self._settings.decode_threads + self._settings.decode_waiting_max:
            raise busy("more bodies are being decoded than this service has room for")
        self._decoding += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, decode)
        finally:
            self._decoding -= 1

    @asynccontextmanager
    async def _alone(self, key: tuple[str, str, str]) -> AsyncIterator[None]:
        # The same key twice at once: the second waits and gets the first one's answer.
        lock = self._locks.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._locks.pop(key, None)

    @asynccontextmanager
    async def _body(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body, counted against all bodies in flight until it is journalled."""
        received: list[int] = [0]
        try:
            yield await self._read(request, received)
        finally:
            self._inflight_bytes -= received[0]

    async def _read(self, request: Request, received: list[int]) -> bytes:
        settings, size_max = self._settings, self._limits.compressed_bytes_max
        announced = request.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > size_max:
            raise _too_large(size_max)
        chunks: list[bytes] = []
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + settings.body_s_max
        try:
            async with asyncio.timeout(settings.body_idle_s) as idle:
                async for chunk in request.stream():
                    if received[0] + len(chunk) > size_max:
                        raise _too_large(size_max)
                    self.hold(len(chunk))
                    received[0] += len(chunk)
                    chunks.append(chunk)
                    idle.reschedule(min(loop.time() + settings.body_idle_s, ends_at))
        except TimeoutError:
            detail = f"body, position {received[0]}: nothing more came for too long"
            raise ProblemError(408, detail, headers={"Connection": "close"}) from None
        except ClientDisconnect:
            raise ProblemError(400, f"body, position {received[0]}: the sender hung up") from None
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def encoding_of(request: Request) -> str:
    """How the body is compressed, by its header."""
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ENCODINGS:
        raise ProblemError(
            415,
            f"Content-Encoding header: {encoding[:40]!r} is not supported; send gzip, zstd, deflate or snappy",
            headers={"Accept-Encoding": "gzip, zstd, deflate"},
        )
    return encoding


def _too_large(size_max: int) -> ProblemError:
    # The rest of the body is not read, so the connection cannot be used again.
    return ProblemError(413, f"body: larger than {size_max} bytes; send it in parts", headers={"Connection": "close"})


def identity_of(request: Request) -> str | None:
    """The sender's own name of the batch, from its `Idempotency-Key` header."""
    text = request.headers.get("idempotency-key")
    if text is None:
        return None
    if _IDENTITY.match(text) is None:
        raise ProblemError(400, "Idempotency-Key header: 1 to 128 visible ASCII characters without spaces")
    return text


def _fingerprint(body: bytes) -> str:
    return blake2b(body, digest_size=16).hexdigest()


def _batch_id(sender: Sender, offset: int | None) -> str:
    # A batch with a key is named by its key, so that it has one name however often and wherever it is sent again.
    if sender.identity is None:
        return f"b_{offset}"
    digest = blake2b(f"{sender.tenant}\x1f{sender.stream}\x1f{sender.identity}".encode(), digest_size=12)
    return f"b_{digest.hexdigest()}"
