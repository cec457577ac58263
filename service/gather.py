"""Gathers messages of many senders into batches: a sync of the disk serves thousands of them.

There is one batch that fills and one that is being kept; while both are full, `room` waits, and whoever reads a socket
does not read it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Heard(Protocol):
    """A message as it came."""

    @property
    def raw(self) -> bytes:
        """Its bytes."""


M = TypeVar("M", bound=Heard)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatherLimits:
    """When a batch is kept."""

    lines: int
    size: int  # bytes
    wait_s: float


class Gather(Generic[M]):
    """Messages on their way to `keep`, in the order they came.

    Args:
        keep: makes a batch durable; waits while there is no room.
        limits: when it is called.
    """

    def __init__(self, keep: Callable[[list[M]], Awaitable[None]], limits: GatherLimits) -> None:
        self._keep = keep
        self._limits = limits
        self._pending: list[M] = []
        self._size = 0
        self._kept = asyncio.Event()  # of what is pending
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

    def add(self, messages: Sequence[M], *, at_once: bool = False) -> asyncio.Event:
        """Add messages, also where there is no room: what was read has to go somewhere.

        Args:
            messages: maybe none.
            at_once: somebody waits for an answer, so the batch does not wait for others.

        Returns:
            What is set when they are durable.
        """
        if not messages:
            return self._kept
        self._pending += messages
        self._size += sum(len(message.raw) for message in messages)
        self._arrived.set()
        if len(self._pending) >= self._limits.lines or self._size >= self._limits.size:
            self._room.clear()
            self._full.set()
        if at_once:
            self._full.set()
        return self._kept

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
            kept, self._kept = self._kept, asyncio.Event()
            if not batch:
                return
            if not self._closing:
                self._arrived.clear()
                self._full.clear()
            self._room.set()
            await self._keep(batch)
            kept.set()
