"""What becomes of a message after an attempt, and who is served when."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from alerts.deliver import (
    PAUSES,
    Answer,
    Courier,
    Dead,
    Delivery,
    DeliverySettings,
    Retry,
    Sent,
    backoff,
    decide,
    deliver,
    settle,
)
from tocsin.errors import DeliveryError, RejectedError, UnreachableError

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SETTINGS = DeliverySettings()


def verdict(outcome: Answer | DeliveryError, attempts: int = 1) -> Sent | Retry | Dead:
    return decide(outcome, attempts=attempts, jitter=0.5, now=NOW, settings=SETTINGS)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_an_arrival(status: int) -> None:
    assert verdict(Answer(status=status)) == Sent(status=status)


@pytest.mark.parametrize("status", [301, 302, 307, 401, 403, 404, 408, 409, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(status: int) -> None:
    after = verdict(Answer(status=status))
    assert isinstance(after, Retry)
    assert after.next_at == NOW + timedelta(seconds=5)


@pytest.mark.parametrize("status", [400, 413, 414, 415, 422, 431])
def test_what_the_receiver_understood_and_refused_is_not_sent_again(status: int) -> None:
    assert verdict(Answer(status=status)) == Dead(status=status, reason=f"HTTP {status}")


def test_gone_disables_the_webhook() -> None:
    assert verdict(Answer(status=410)) == Dead(status=410, reason="HTTP 410", disable=True)


def test_a_receiver_that_does_not_answer_is_tried_again_and_a_forbidden_one_is_not() -> None:
    assert isinstance(verdict(UnreachableError("no answer")), Retry)
    assert verdict(RejectedError("private address")) == Dead(status=None, reason="private address")


def test_after_three_days_it_is_over() -> None:
    assert isinstance(verdict(Answer(status=500), attempts=9), Retry)
    last = verdict(Answer(status=500), attempts=10)
    assert isinstance(last, Dead)
    assert last.reason.startswith("gave up after 10 attempts")
    assert timedelta(days=3) < sum(PAUSES, timedelta()) < timedelta(days=3, hours=6)


def test_a_pause_is_jittered_by_a_fifth() -> None:
    assert backoff(1, 0.0) == timedelta(seconds=4)
    assert backoff(1, 0.999999) == pytest.approx(timedelta(seconds=6), abs=timedelta(milliseconds=1))


def test_retry_after_lengthens_a_pause_within_reason_and_never_shortens_it() -> None:
    for asked_s, waits_s in ((0.0, 5), (60.0, 60), (1e9, SETTINGS.retry_after_s_max)):
        after = verdict(Answer(status=503, retry_after_s=asked_s))
        assert isinstance(after, Retry)
        assert after.next_at == NOW + timedelta(seconds=waits_s)


def test_a_redirect_says_that_it_is_not_followed() -> None:
    after = verdict(Answer(status=302, excerpt="moved"))
    assert isinstance(after, Retry)
    assert after.reason == "HTTP 302 (redirects are not followed): moved"


def a_delivery(number: int, webhook: str = "w") -> Delivery:
    return Delivery(
        delivery_id=number,
        webhook_id=webhook,
        incident_id=f"inc{number}",
        event="incident.opened",
        message_id=f"msg{number}",
        body=b"{}",
        url="https://hooks.example.com/",
        secrets=(),
        format="standard",
        attempts=0,
    )


@dataclass
class Ledger:
    """An outbox that hands out what it was given and remembers what it was told."""

    waiting: list[Delivery] = field(default_factory=list)
    said: list[tuple[str, int | str]] = field(default_factory=list)

    def claim(self, *, limit: int, now: datetime) -> Sequence[Delivery]:
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return taken

    def sent(self, delivery_id: int | str, *, at: datetime, status: int, ms: int) -> None:
        self.said.append(("sent", delivery_id))

    def retry(
        self, delivery_id: int | str, *, at: datetime, next_at: datetime, status: int | None, reason: str, ms: int
    ) -> None:
        self.said.append(("retry", delivery_id))

    def dead(
        self, delivery_id: int | str, *, at: datetime, status: int | None, reason: str, ms: int, disable: bool
    ) -> None:
        self.said.append(("dead", delivery_id))


class Gate:
    """A channel that answers when it is opened."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.sending: list[int | str] = []
        self.outcome: Answer | Exception = Answer(status=204)

    def send(self, delivery: Delivery, at: datetime) -> Answer:
        self.sending.append(delivery.delivery_id)
        assert self.open.wait(10)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


def a_courier(gate: Gate, parallel: int = 4) -> Courier:
    return Courier(gate, DeliverySettings(parallel_max=parallel), jitter=lambda: 0.5)


def test_a_slow_receiver_holds_one_thread_and_nobody_elses_messages(gate: Gate) -> None:
    outbox, courier = Ledger([a_delivery(1, "slow"), a_delivery(2, "slow"), a_delivery(3, "quick")]), a_courier(gate)
    deliver(outbox, courier, NOW)
    while len(gate.sending) < 2:
        threading.Event().wait(0.001)
    assert sorted(map(str, gate.sending)) == ["1", "3"]
    gate.open.set()
    settle(outbox, courier, NOW, 5)
    assert sorted(outbox.said) == [("sent", 1), ("sent", 3)]
    deliver(outbox, courier, NOW)
    settle(outbox, courier, NOW, 5)
    assert ("sent", 2) in outbox.said
    courier.close()


def test_no_more_is_claimed_than_there_is_room_for(gate: Gate) -> None:
    outbox, courier = Ledger([a_delivery(number, f"w{number}") for number in range(9)]), a_courier(gate, parallel=3)
    deliver(outbox, courier, NOW)
    assert len(outbox.waiting) == 6
    assert courier.room == 0
    gate.open.set()
    settle(outbox, courier, NOW, 5)
    courier.close()


def test_a_failure_lets_nothing_of_the_same_webhook_overtake(gate: Gate) -> None:
    outbox, courier = Ledger([a_delivery(1), a_delivery(2)]), a_courier(gate)
    gate.outcome = UnreachableError("no answer")
    gate.open.set()
    deliver(outbox, courier, NOW)
    settle(outbox, courier, NOW, 5)
    deliver(outbox, courier, NOW)
    assert outbox.said == [("retry", 1)]
    assert gate.sending == [1]
    courier.close()


def test_a_message_that_trips_the_channel_is_tried_again_and_stops_nobody(gate: Gate) -> None:
    outbox, courier = Ledger([a_delivery(1, "a"), a_delivery(2, "b")]), a_courier(gate)
    gate.outcome = ZeroDivisionError()
    gate.open.set()
    deliver(outbox, courier, NOW)
    settle(outbox, courier, NOW, 5)
    assert sorted(outbox.said) == [("retry", 1), ("retry", 2)]
    courier.close()
