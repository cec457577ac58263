"""The outbox hands out each message to one worker, one at a time for a webhook, in order for an incident."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from alerts.incident import Change, Incident, Status
from storage.outbox import LEASE
from storage.rows import WebhookRow
from storage.store import Store, StoreSettings
from storage.views import VIEWS
from tocsin.errors import InputError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECRET = "whsec_" + "A" * 32


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store(database_url, StoreSettings())
    store.open()
    yield store
    store.close()


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def a_change(incident_id: str = "inc_1", sequence: int = 1, severity: int = 60, *, notable: bool = True) -> Change:
    incident = Incident(
        incident_id=incident_id,
        tenant="acme",
        status=Status.OPEN,
        severity=severity,
        title="Something new",
        opened_at=NOW,
        last_at=NOW,
        closed_at=None,
        finding_count=1,
        entities={},
        streams=("auth",),
        detectors=("novelty",),
        sequence=sequence,
    )
    return Change(kind="opened" if sequence == 1 else "updated", incident=incident, notable=notable)


def a_webhook(store: Store, number: int = 1, **fields: object) -> WebhookRow:
    url = f"https://example.com/{number}"
    return store.desk.add_webhook("acme", url=url, secret=SECRET, at=NOW, **fields)  # type: ignore[arg-type]


def happen(store: Store, *changes: Change) -> None:
    with store.begin() as transaction:
        transaction.put_changes(changes, at=NOW, lines={}, base_url="")


def claimed(store: Store, at: datetime = NOW, limit: int = 16) -> list[tuple[str, int | str]]:
    return [(each.webhook_id, each.delivery_id) for each in store.outbox.claim(limit=limit, now=at)]


def test_every_webhook_that_wants_it_is_told_once(store: Store) -> None:
    wanting = a_webhook(store, 1)
    a_webhook(store, 2, severity_min=90)
    a_webhook(store, 3, events=["incident.resolved"])
    happen(store, a_change())
    happen(store, a_change())
    deliveries = store.outbox.claim(limit=16, now=NOW)
    assert [(each.webhook_id, each.event, each.secrets) for each in deliveries] == [
        (wanting.webhook_id, "incident.opened", (SECRET,))
    ]


def test_what_is_not_notable_is_kept_in_silence(store: Store) -> None:
    a_webhook(store)
    happen(store, a_change(notable=False))
    assert claimed(store) == []
    assert store.reads.incident("acme", "inc_1") is not None


def test_another_tenants_webhook_hears_nothing(store: Store) -> None:
    store.desk.add_webhook("other", url="https://example.com/", secret=SECRET, at=NOW)
    happen(store, a_change())
    assert claimed(store) == []


def test_a_webhook_has_one_message_under_way(store: Store) -> None:
    a_webhook(store)
    happen(store, a_change("inc_1"), a_change("inc_2"))
    (first,) = claimed(store)
    assert claimed(store) == []
    store.outbox.sent(first[1], at=later(1), status=200, ms=5)
    (second,) = claimed(store, later(1))
    assert second[1] != first[1]


def test_a_lease_that_ran_out_is_due_again(store: Store) -> None:
    a_webhook(store)
    happen(store, a_change())
    (first,) = claimed(store)
    assert claimed(store, later(60)) == []
    assert claimed(store, NOW + LEASE) == [first]


def test_a_later_message_of_an_incident_never_overtakes(store: Store) -> None:
    a_webhook(store)
    happen(store, a_change("inc_1"))
    happen(store, a_change("inc_1", sequence=2), a_change("inc_2"))
    (first,) = store.outbox.claim(limit=16, now=NOW)
    store.outbox.retry(first.delivery_id, at=later(1), next_at=later(300), status=503, reason="HTTP 503", ms=5)
    (second,) = store.outbox.claim(limit=16, now=later(2))
    assert second.incident_id == "inc_2"
    store.outbox.sent(second.delivery_id, at=later(3), status=200, ms=5)
    assert claimed(store, later(4)) == []
    (again,) = store.outbox.claim(limit=16, now=later(300))
    assert (again.delivery_id, again.attempts, again.body) == (first.delivery_id, 1, first.body)
    store.outbox.dead(again.delivery_id, at=later(301), status=400, reason="HTTP 400", ms=5, disable=False)
    (third,) = store.outbox.claim(limit=16, now=later(302))
    assert (third.incident_id, third.event) == ("inc_1", "incident.updated")


def test_a_webhook_that_is_gone_gets_nothing_until_it_is_enabled(store: Store) -> None:
    hook = a_webhook(store)
    happen(store, a_change("inc_1"), a_change("inc_2"))
    (first,) = claimed(store)
    store.outbox.dead(first[1], at=later(1), status=410, reason="HTTP 410", ms=5, disable=True)
    happen(store, a_change("inc_3"))
    assert claimed(store, later(2)) == []
    store.desk.change_webhook("acme", hook.webhook_id, enabled=True)
    assert len(claimed(store, later(3))) == 1
    assert store.outbox.pending() == 1


def test_a_message_that_was_sent_stays_sent_whatever_a_late_attempt_says(store: Store) -> None:
    a_webhook(store)
    happen(store, a_change())
    (first,) = claimed(store)
    store.outbox.sent(first[1], at=later(1), status=200, ms=5)
    store.outbox.retry(first[1], at=later(2), next_at=later(3), status=None, reason="timeout", ms=5)
    (row,) = store.reads.deliveries("acme", limit=5).rows
    assert (row.status, row.attempts, row.sent_at) == ("sent", 1, later(1))
    assert claimed(store, later(1000)) == []


def test_a_message_is_replayed_with_its_id_and_without_its_history(store: Store) -> None:
    a_webhook(store)
    happen(store, a_change())
    (first,) = store.outbox.claim(limit=1, now=NOW)
    store.outbox.dead(first.delivery_id, at=later(1), status=400, reason="HTTP 400", ms=5, disable=False)
    again = store.desk.replay_delivery("acme", first.delivery_id, later(2))
    assert again not in {None, first.delivery_id}
    (second,) = store.outbox.claim(limit=1, now=later(2))
    assert (second.delivery_id, second.message_id, second.body) == (again, first.message_id, first.body)
    assert second.attempts == 0
    assert store.desk.replay_delivery("other", first.delivery_id, later(3)) is None
    assert store.desk.replay_delivery("acme", "nonsense", later(3)) is None


def test_a_test_message_is_no_incident(store: Store) -> None:
    hook = a_webhook(store)
    delivery_id = store.desk.queue_test("acme", hook.webhook_id, at=NOW)
    (delivery,) = store.outbox.claim(limit=1, now=NOW)
    assert (delivery.delivery_id, delivery.event, delivery.incident_id) == (delivery_id, "test.ping", "")
    (row,) = store.reads.deliveries("acme", webhook_id=hook.webhook_id, limit=5).rows
    assert row.incident_id is None
    assert store.desk.queue_test("other", hook.webhook_id, at=NOW) is None


def test_what_waits_for_a_deleted_webhook_is_given_up(store: Store) -> None:
    hook = a_webhook(store)
    happen(store, a_change())
    assert not store.desk.delete_webhook("other", hook.webhook_id)
    assert store.desk.delete_webhook("acme", hook.webhook_id)
    (row,) = store.reads.deliveries("acme", limit=5).rows
    assert (row.status, row.reason) == ("dead", "the webhook was deleted")
    assert claimed(store, later(1)) == []


def test_two_workers_never_hold_the_same_message(database_url: str) -> None:
    stores = [Store(database_url, StoreSettings()) for _ in range(4)]
    stores[0].open()
    for number in range(8):
        a_webhook(stores[0], number)
    happen(stores[0], *(a_change(f"inc_{number}") for number in range(5)))

    def work(store: Store) -> list[int | str]:
        sent = []
        for _ in range(40):
            for delivery in store.outbox.claim(limit=3, now=NOW):
                sent.append(delivery.delivery_id)
                store.outbox.sent(delivery.delivery_id, at=NOW, status=200, ms=1)
        return sent

    with ThreadPoolExecutor(4) as pool:
        sent = [delivery_id for found in pool.map(work, stores) for delivery_id in found]
    assert len(sent) == len(set(sent)) == 40
    for store in stores:
        store.close()


def test_no_read_and_no_view_shows_a_secret(store: Store) -> None:
    hook = a_webhook(store, routing_key="routing-key-0123456789", format="pagerduty")
    happen(store, a_change())
    shown: list[object] = [store.reads.webhook("acme", hook.webhook_id), store.reads.deliveries("acme", limit=5), hook]
    with store.database.read() as connection:
        for view in VIEWS:
            shown += [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {view}")]
    assert SECRET not in repr(shown)
    assert "routing-key" not in repr(shown)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": "ftp://example.com/"}, "scheme"),
        ({"format": "carrier-pigeon"}, "format"),
        ({"format": "pagerduty"}, "routing key"),
        ({"events": ["incident.closed"]}, "incident.closed"),
        ({"secret": "whsec_AAAA"}, "secret"),
    ],
)
def test_a_webhook_that_cannot_work_is_refused(store: Store, fields: dict[str, object], words: str) -> None:
    given = {"url": "https://example.com/", "secret": SECRET} | fields
    with pytest.raises(InputError, match=words):
        store.desk.add_webhook("acme", at=NOW, **given)  # type: ignore[arg-type]
    assert store.reads.webhooks("acme") == []
