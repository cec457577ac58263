"""Bodies of any length, kept piece by piece while they come: for senders that name their lines.

Such a sender may put all it has into one request. One that fails in the middle comes again with all of it, and the
names tell what was taken before. While there is no room it is not read, for as long as it may be silent itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from fastapi import Request
from starlette.requests import ClientDisconnect

from api.intake import Intake, PartsDecoder, TakenParts
from api.problems import ProblemError
from api.settings import ApiSettings
from ingest.limits import Limits
from tocsin.errors import FullError, TooLargeError

_PIECE_BYTES = 2**20  # kept at once: a few thousand lines, so that one sync serves many and little is held
_PAUSE_S = 0.25  # between two looks whether there is room again

#: How many bytes at the beginning are whole lines of the protocol.
Cutter = Callable[[bytes], int]


class Flow:
    """One body of any length.

    Args:
        intake: keeps the pieces.
        settings: how long a sender may be silent, and may take for one piece.
        limits: of one piece.
    """

    def __init__(self, intake: Intake, settings: ApiSettings, limits: Limits) -> None:
        self._intake = intake
        self._idle_s = settings.body_idle_s
        self._piece_s_max = settings.body_s_max
        self._piece_ends_at = 0.0  # by the clock of the loop
        self._limits = limits

    async def take(self, request: Request, tenant: str, cut: Cutter, decoder: PartsDecoder) -> int:
        """Keep the body of `request`; return how many lines were taken. All of them are durable then.

        Raises:
            ProblemError, InputError, TooLargeError, FullError: as `Intake.take`.
        """
        accepted = held = 0
        pending: list[bytes] = []
        wanted = _PIECE_BYTES
        self._expect_piece()
        try:
            async for chunk in self._chunks(request):
                self._intake.hold(len(chunk))
                held += len(chunk)
                pending.append(chunk)
                if held < wanted:
                    continue
                body = b"".join(pending)
                end = await asyncio.to_thread(cut, body)
                if end == 0 and held > self._limits.decompressed_bytes_max:
                    raise TooLargeError(f"body: one entry is larger than {self._limits.decompressed_bytes_max} bytes")
                if end:
                    accepted += (await self._keep(tenant, body[:end], decoder)).accepted
                    self._intake.hold(-end)
                    held -= end
                # What is not whole yet is looked at again only when it has doubled.
                wanted = max(_PIECE_BYTES, 2 * held)
                self._expect_piece()
                pending = [body[end:]]
            if held:
                accepted += (await self._keep(tenant, b"".join(pending), decoder)).accepted
        finally:
            self._intake.hold(-held)
        return accepted

    def _expect_piece(self) -> None:
        self._piece_ends_at = asyncio.get_running_loop().time() + self._piece_s_max

    async def _chunks(self, request: Request) -> AsyncIterator[bytes]:
        stream = request.stream()
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout_at(min(loop.time() + self._idle_s, self._piece_ends_at)):
                    chunk = await anext(stream)
            except StopAsyncIteration:
                return
            except TimeoutError:
                problem = "body: nothing more came for too long"
                raise ProblemError(408, problem, headers={"Connection": "close"}) from None
            except ClientDisconnect:
                raise ProblemError(400, "body: the sender hung up") from None
            yield chunk

    async def _keep(self, tenant: str, body: bytes, decoder: PartsDecoder) -> TakenParts:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._idle_s
        while True:
            try:
                return await self._intake.keep_parts(tenant, body, "", decoder)
            except (FullError, ProblemError) as error:
                is_busy = isinstance(error, FullError) or error.status == 503
                if not is_busy or loop.time() > deadline:
                    raise
            await asyncio.sleep(_PAUSE_S)
