"""The thread that delivers: it empties the outbox while the worker fills it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import structlog

from alerts.deliver import Channel, Courier, DeliverySettings, Outbox, deliver, settle
from tocsin.errors import StorageError

log = structlog.get_logger(__name__)

_PAUSE_S_MAX = 30.0  # between attempts to reach a database that does not answer


class Post:
    """Delivers until it is closed. The outbox is used by its thread alone."""

    def __init__(
        self,
        outbox: Outbox,
        channel: Channel,
        settings: DeliverySettings,
        *,
        clock: Callable[[], datetime],
        poll_s: float,
    ) -> None:
        """Prepare.

        Args:
            outbox: where messages wait.
            channel: how they are sent.
            settings: limits.
            clock: the time on the wall; receivers compare it with theirs.
            poll_s: how often the outbox is looked at when nobody says that it has something new.
        """
        self._outbox = outbox
        # Jitter keeps crowds apart, it hides nothing, so it needs no cryptographic chance.
        self._courier = Courier(channel, settings, jitter=random.random)
        self._clock = clock
        self._poll_s = poll_s
        self._news = threading.Event()
        self._closing = threading.Event()

    def nudge(self) -> None:
        """Say that there is something new."""
        self._news.set()

    @contextmanager
    def running(self, settle_s: float) -> Iterator[None]:
        """Deliver in a thread while the block lasts, then give what is under way `settle_s` to end."""
        thread = threading.Thread(target=self._run, args=(settle_s,), name="post", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._closing.set()
            self._news.set()
            thread.join(settle_s + 1.0)

    def _run(self, settle_s: float) -> None:
        pause_s = self._poll_s
        while not self._closing.is_set():
            self._news.clear()
            try:
                ended = deliver(self._outbox, self._courier, self._clock())
                pause_s = self._poll_s
            except StorageError as error:
                log.warning("outbox_unreachable", error=str(error))
                ended, pause_s = 0, min(2 * pause_s, _PAUSE_S_MAX)
            if ended == 0:
                self._wait(pause_s)
        try:
            settle(self._outbox, self._courier, self._clock(), settle_s)
        except StorageError as error:  # what was sent is sent again after the lease; receivers know it by its id
            log.warning("outbox_unreachable", error=str(error))
        self._courier.close()

    def _wait(self, pause_s: float) -> None:
        if self._courier.is_idle:
            self._news.wait(pause_s)
        else:
            self._courier.wait(pause_s)
