"""Takes messages out of the outbox, has them sent in parallel, and writes down what became of each.

At least once, in order for each incident and webhook. One webhook has one message under way at a time, so a slow
receiver holds one thread and nobody else's messages. The outbox is only called by the thread that calls `deliver`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from tocsin.errors import DeliveryError, RejectedError, UnreachableError

log = structlog.get_logger(__name__)

#: Pauses before attempts 2 to 10 of Standard Webhooks 1.0.0: with the first at once, ten attempts in 75.6 hours.
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400))
_JITTER = 0.2  # a pause is up to 20 % shorter or longer, so that messages of one outage do not come back as one crowd
_GONE = 410
#: The receiver has understood and does not want these bytes; the same bytes will get the same answer. Every other
#: status but 2xx is tried again: 401, 403, 404 and redirects are what a receiver shows while it is being deployed.
_PERMANENT = frozenset({400, 413, 414, 415, 422, 431})


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to one webhook, as the outbox keeps it."""

    delivery_id: int | str
    webhook_id: str
    incident_id: str
    event: str  # `incident.opened` ...
    message_id: str  # header `webhook-id`, the same for all attempts
    body: bytes  # as it is sent, the same for all attempts
    url: str
    secrets: tuple[str, ...]  # each signs; several while a secret is being replaced
    format: str  # `alerts.formats.Format`
    attempts: int  # made before this one


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a receiver said."""

    status: int
    excerpt: str = ""  # the beginning of its body, neutralised, for the log of deliveries
    retry_after_s: float | None = None


class Channel(Protocol):
    """A way to a receiver. Called from several threads at once."""

    def send(self, delivery: Delivery, at: datetime) -> Answer:
        """Send once, within a bounded time.

        Raises:
            UnreachableError: there was no answer.
            RejectedError: it may not be sent there.
        """
        ...


class Outbox(Protocol):
    """Messages that are to be sent. A row exists from the transaction that caused it until it is sent or dead."""

    def claim(self, *, limit: int, now: datetime) -> Sequence[Delivery]:
        """Lease messages that are due at `now`, oldest first, for at least 60 seconds.

        Never more than one for a webhook, none while the webhook is leased already or disabled, and none while an
        earlier message of the same webhook and incident is neither sent nor dead. A lease that ran out is due again.
        """
        ...

    def sent(self, delivery_id: int | str, *, at: datetime, status: int, ms: int) -> None:
        """The receiver has it."""
        ...

    def retry(  # noqa: PLR0913 -- a row of the log of deliveries
        self, delivery_id: int | str, *, at: datetime, next_at: datetime, status: int | None, reason: str, ms: int
    ) -> None:
        """Count an attempt, end the lease, and make it due at `next_at`."""
        ...

    def dead(  # noqa: PLR0913 -- a row of the log of deliveries
        self, delivery_id: int | str, *, at: datetime, status: int | None, reason: str, ms: int, disable: bool
    ) -> None:
        """Give up; it stays for replay. With `disable` the webhook gets no further messages until it is enabled."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """It arrived."""

    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Try again."""

    next_at: datetime
    status: int | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """Give up."""

    status: int | None
    reason: str
    disable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """How messages are sent."""

    parallel_max: int = 16  # webhooks served at the same time; a hanging one costs 1 thread for 15 s
    retry_after_s_max: float = 21_600.0  # a receiver may ask for 6 hours of rest, not for eternity
    reason_chars_max: int = 1200  # of the text kept for a failed attempt: 1 KiB of its answer and ours


def backoff(attempts: int, jitter: float) -> timedelta | None:
    """How long to wait after a number of failed attempts; None to give up.

    Args:
        attempts: made so far, at least 1.
        jitter: in [0, 1); 0.5 is the plain schedule.

    >>> backoff(1, 0.5), backoff(9, 0.5), backoff(10, 0.5)
    (datetime.timedelta(seconds=5), datetime.timedelta(days=1), None)
    """
    if attempts > len(PAUSES):
        return None
    return PAUSES[max(attempts, 1) - 1] * (1.0 + _JITTER * (2.0 * jitter - 1.0))


def decide(
    outcome: Answer | DeliveryError, *, attempts: int, jitter: float, now: datetime, settings: DeliverySettings
) -> Sent | Retry | Dead:
    """What to do after an attempt.

    Args:
        outcome: the answer, or why there was none.
        attempts: made so far, with this one.
        jitter: in [0, 1).
        now: end of the attempt.
        settings: limits.
    """
    status = outcome.status if isinstance(outcome, Answer) else None
    if status is not None and 200 <= status < 300:
        return Sent(status=status)
    reason = _reason(outcome)[: settings.reason_chars_max]
    if status == _GONE:
        return Dead(status=status, reason=reason, disable=True)
    if status in _PERMANENT or isinstance(outcome, RejectedError):
        return Dead(status=status, reason=reason)
    pause = backoff(attempts, jitter)
    if pause is None:
        return Dead(status=status, reason=f"gave up after {attempts} attempts; {reason}"[: settings.reason_chars_max])
    asked_s = outcome.retry_after_s if isinstance(outcome, Answer | UnreachableError) else None
    # Never sooner than the schedule: "Retry-After: 0" must not use up all attempts within a second.
    rest = timedelta(seconds=min(asked_s or 0.0, settings.retry_after_s_max))
    return Retry(next_at=now + max(pause, rest), status=status, reason=reason)


def _reason(outcome: Answer | DeliveryError) -> str:
    if isinstance(outcome, DeliveryError):
        return str(outcome)
    note = " (redirects are not followed)" if 300 <= outcome.status < 400 else ""
    return f"HTTP {outcome.status}{note}" + (f": {outcome.excerpt}" if outcome.excerpt else "")


@dataclass(frozen=True, slots=True)
class _Attempt:
    delivery: Delivery
    future: Future[tuple[Answer | DeliveryError, int]]


class Courier:
    """A channel with a bounded number of threads and the attempts under way."""

    def __init__(self, channel: Channel, settings: DeliverySettings, *, jitter: Callable[[], float]) -> None:
        self.settings = settings
        self.jitter = jitter
        self._channel = channel
        self._pool = ThreadPoolExecutor(settings.parallel_max, thread_name_prefix="courier")
        self._attempts: dict[str, _Attempt] = {}  # by webhook
        self._waiting: list[Delivery] = []  # claimed, but their webhook is busy

    @property
    def room(self) -> int:
        """How many deliveries can be taken on."""
        return max(0, self.settings.parallel_max - len(self._attempts) - len(self._waiting))

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._attempts

    def take(self, deliveries: Sequence[Delivery], now: datetime) -> None:
        """Start what can be started; the rest waits for its webhook."""
        queue, self._waiting = [*self._waiting, *deliveries], []
        for delivery in queue:
            if delivery.webhook_id in self._attempts:
                self._waiting.append(delivery)
                continue
            future = self._pool.submit(self._send, delivery, now)
            self._attempts[delivery.webhook_id] = _Attempt(delivery, future)

    def finished(self) -> list[_Attempt]:
        """Attempts that have ended and were not forgotten."""
        return [attempt for attempt in self._attempts.values() if attempt.future.done()]

    def forget(self, delivery: Delivery, *, stop: bool) -> None:
        """Drop an attempt that is written down.

        With `stop`, after a failure, what waits for the same webhook is dropped as well: a later message must not
        overtake, and the receiver is not asked again at once. Its lease runs out and the outbox hands it out in time.
        """
        del self._attempts[delivery.webhook_id]
        if stop:
            self._waiting = [each for each in self._waiting if each.webhook_id != delivery.webhook_id]

    def wait(self, timeout_s: float) -> None:
        """Sleep until an attempt ends, at most `timeout_s`."""
        wait([attempt.future for attempt in self._attempts.values()], timeout_s, return_when=FIRST_COMPLETED)

    def close(self) -> None:
        """Start nothing more; attempts under way end by themselves within the channel's time."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _send(self, delivery: Delivery, at: datetime) -> tuple[Answer | DeliveryError, int]:
        started = time.monotonic()
        outcome: Answer | DeliveryError
        try:
            outcome = self._channel.send(delivery, at)
        except DeliveryError as error:
            outcome = error
        except Exception as error:  # the delivery loop: one message that trips us must not stop the others
            log.exception("delivery_crashed", delivery=delivery.delivery_id, webhook=delivery.webhook_id)
            outcome = UnreachableError(f"internal error: {type(error).__name__}")
        return outcome, round(1000 * (time.monotonic() - started))


def deliver(outbox: Outbox, courier: Courier, now: datetime) -> int:
    """One step: write down the attempts that ended, then start as many as there is room for. Does not wait.

    Args:
        outbox: where messages are; only called from here.
        courier: what sends them.
        now: wall-clock time, aware UTC: receivers compare it with theirs.

    Returns:
        How many attempts ended. When it is not 0 there may be more to do at once; else see `Courier.wait`.
    """
    ended = _write_down(outbox, courier, now)
    courier.take(outbox.claim(limit=courier.room, now=now) if courier.room else (), now)
    return ended


def settle(outbox: Outbox, courier: Courier, now: datetime, timeout_s: float) -> int:
    """Wait for the attempts under way and write them down; start nothing. For a shutdown.

    Returns:
        How many attempts ended.
    """
    deadline = time.monotonic() + timeout_s
    ended = 0
    while not courier.is_idle and (left_s := deadline - time.monotonic()) > 0:
        courier.wait(left_s)
        ended += _write_down(outbox, courier, now)
    return ended


def _write_down(outbox: Outbox, courier: Courier, now: datetime) -> int:
    finished = courier.finished()
    for attempt in finished:
        delivery = attempt.delivery
        outcome, ms = attempt.future.result()
        verdict = decide(
            outcome,
            attempts=delivery.attempts + 1,
            jitter=courier.jitter(),
            now=now,
            settings=courier.settings,
        )
        _carry_out(outbox, delivery, verdict, now, ms)
        stop = isinstance(verdict, Retry) or (isinstance(verdict, Dead) and verdict.disable)
        courier.forget(delivery, stop=stop)
    return len(finished)


def _carry_out(outbox: Outbox, delivery: Delivery, verdict: Sent | Retry | Dead, now: datetime, ms: int) -> None:
    said = log.bind(webhook=delivery.webhook_id, message=delivery.message_id, delivery_event=delivery.event, ms=ms)
    key = delivery.delivery_id
    match verdict:
        case Sent(status=status):
            outbox.sent(key, at=now, status=status, ms=ms)
            said.info("delivery_sent", status=status)
        case Retry(next_at=next_at, status=status, reason=reason):
            outbox.retry(key, at=now, next_at=next_at, status=status, reason=reason, ms=ms)
            said.warning("delivery_failed", status=status, next_at=next_at.isoformat())
        case Dead(status=status, reason=reason, disable=disable):
            outbox.dead(key, at=now, status=status, reason=reason, ms=ms, disable=disable)
            said.error("delivery_dead", status=status, disabled=disable)
