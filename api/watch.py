"""Notices that a tenant has something new to show, with one question to storage for all its live pages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool

from api.problems import busy


class Watch:
    """Asks storage for each tenant's state at most once per `poll_s`, however many pages look.

    Args:
        ask: gives a value that differs whenever there is something new to show.
        poll_s: how old an answer may be.
        connections_max: live pages at once.
    """

    def __init__(self, ask: Callable[[str], object], *, poll_s: float, connections_max: int) -> None:
        self._ask = ask
        self._connections_max = connections_max
        self._known: dict[str, tuple[float, object]] = {}
        self._asking: dict[str, asyncio.Lock] = {}
        self._pages: dict[str, int] = {}
        self.poll_s = poll_s

    @property
    def pages(self) -> int:
        """Open live pages."""
        return sum(self._pages.values())

    def enter(self, tenant: str) -> None:
        """Count a page in, or refuse it."""
        if self.pages >= self._connections_max:
            raise busy("more live pages are open than this service has room for")
        self._pages[tenant] = self._pages.get(tenant, 0) + 1

    def leave(self, tenant: str) -> None:
        """Count a page out; a tenant nobody looks at is forgotten."""
        self._pages[tenant] -= 1
        if self._pages[tenant] == 0:
            for kept in (self._pages, self._known, self._asking):
                kept.pop(tenant, None)

    async def state(self, tenant: str) -> object:
        """The tenant's state, at most `poll_s` old."""
        async with self._asking.setdefault(tenant, asyncio.Lock()):
            known = self._known.get(tenant)
            if known is None or time.monotonic() - known[0] >= self.poll_s:
                known = (time.monotonic(), await run_in_threadpool(self._ask, tenant))
                self._known[tenant] = known
            return known[1]
