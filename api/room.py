"""Room for a bounded number of costly things at once, with a bounded number that wait at the door for a moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from api.problems import busy


class Room:
    """Called from the thread pool.

    Args:
        inside_max: how many may be inside at once.
        waiting_max: how many may wait; each holds a thread of the pool.
        wait_s: how long each waits before it is told to come back.
    """

    def __init__(self, *, inside_max: int, waiting_max: int, wait_s: float) -> None:
        self._places = threading.BoundedSemaphore(inside_max)
        self._chairs = threading.BoundedSemaphore(waiting_max)
        self._wait_s = wait_s

    @contextmanager
    def enter(self, what: str) -> Iterator[None]:
        """Hold a place inside.

        Args:
            what: what there is too much of, for the one who is refused.

        Raises:
            ProblemError: 503, there was no place in time.
        """
        if not self._places.acquire(blocking=False):
            self._wait(what)
        try:
            yield
        finally:
            self._places.release()

    def _wait(self, what: str) -> None:
        if not self._chairs.acquire(blocking=False):
            raise busy(f"more {what} are waiting than this service has room for")
        try:
            entered = self._places.acquire(timeout=self._wait_s)
        finally:
            self._chairs.release()
        if not entered:
            raise busy(f"more {what} are running than this service has room for")
