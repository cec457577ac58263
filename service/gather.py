"""Gathers messages of many senders into batches: a sync of the disk serves thousands of them.

There is one batch that fills and one that is being kept; while both are full, `room` waits, and whoever reads a socket
does not read it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from ingest.syslog import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherLimits:
    """When a batch is kept."""

    lines: int
    size: int  # bytes
    wait_s: float


class Gather:
    """Messages on their way to `keep`, in the order they came.

    Args:
        keep: makes a batch durable; waits while there is no room.
        limits: when it is called.
    """

    def __init__(self, keep: Callable[[list[Message]], Awaitable[None]], limits: GatherLimits) -> None:
        self._keep = keep
        self._limits = limits
        self._pending: list[Message] = []
        self._size = 0
        self._closing = False
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def has_room(self) -> bool:
        """Whether messages may be added now."""
        return self._room.is_set()

    async def room(self) -> None:
        """Wait until messages may be added."""
        while not self._room.is_set():
            await self._room.wait()

    def add(self, messages: Sequence[Message]) -> None:
        """Add messages, also where there is no room: what was read has to go somewhere."""
        if not messages:
            return
        self._pending += messages
        self._size += sum(len(message.raw) for message in messages)
        self._arrived.set()
        if len(self._pending) >= self._limits.lines or self._size >= self._limits.size:
            self._room.clear()
            self._full.set()

    def close(self) -> None:
        """Let `run` end when all that was added is kept."""
        self._closing = True
        self._arrived.set()
        self._full.set()

    async def run(self) -> None:
        """Keep batches until closed."""
        while True:
            await self._arrived.wait()
            if not self._closing:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._full.wait(), self._limits.wait_s)
            batch, self._pending, self._size = self._pending, [], 0
            if not batch:
                return
            if not self._closing:
                self._arrived.clear()
                self._full.clear()
            self._room.set()
            await self._keep(batch)
