"""Nothing grows without a limit: what is too old or too much goes, the rest stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from sqlalchemy import func, select

from alerts.incident import Change, Incident, Status
from storage import tables
from storage.rows import LineRow
from storage.store import Store, StoreSettings
from tocsin.finding import Finding, Reason
from tocsin.record import TIME

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
Open = Callable[..., Store]


@pytest.fixture
def opened(database_url: str) -> Iterator[Open]:
    stores: list[Store] = []

    def open_with(**settings: Any) -> Store:
        store = Store(database_url, StoreSettings(**settings))
        store.open()
        stores.append(store)
        return store

    yield open_with
    for store in stores:
        store.close()


def a_finding(number: int, at: datetime) -> Finding:
    return Finding(
        finding_id=f"{number:032x}",
        tenant="acme",
        stream="auth",
        detector="novelty",
        start_at=at,
        end_at=at,
        score=1.0,
        p_value=0.001,
        severity=50,
        summary="new",
        expected=None,
        actual=None,
        entities=("user:eve",),
        trace_ids=(),
        template_ids=(),
        event_ids=(f"e{number}",),
        reasons=(Reason(kind="line", summary="the line"),),
    )


def an_incident(number: int, closed_at: datetime | None) -> Incident:
    return Incident(
        incident_id=f"inc_{number}",
        tenant="acme",
        status=Status.RESOLVED if closed_at else Status.OPEN,
        severity=50,
        title="Something new",
        opened_at=NOW - 400 * DAY,
        last_at=NOW - 400 * DAY,
        closed_at=closed_at,
        finding_count=1,
        entities={"user:eve": 1.0},
        streams=("auth",),
        detectors=("novelty",),
    )


def rows_of(store: Store, name: str) -> int:
    table = tables.metadata.tables[f"t_{name}"]
    with store.database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_an_old_incident_goes_with_all_that_belongs_to_it(opened: Open) -> None:
    store = opened()
    with store.begin() as transaction:
        for number, closed_at in ((1, NOW - 366 * DAY), (2, NOW - 364 * DAY), (3, None)):
            finding = a_finding(number, NOW - 400 * DAY)
            change = Change(kind="opened", incident=an_incident(number, closed_at), findings=(finding,))
            transaction.put_changes([change], at=NOW, lines={}, base_url="")
        transaction.set_clock("acme", NOW)
    store.desk.add_feedback("acme", "inc_1", label="benign", reason=None, scope=None, author=None, at=NOW)
    assert store.prune(NOW) == {"t_incidents": 1}
    assert {row.incident_id for row in store.reads.incidents("acme", limit=9).rows} == {"inc_2", "inc_3"}
    for name in ("findings", "evidence", "finding_entities", "incident_entities", "incident_changes"):
        assert rows_of(store, name) == 2, name
    assert rows_of(store, "feedback") == 0


def test_findings_held_back_age_by_the_tenants_own_time(opened: Open) -> None:
    store = opened()
    with store.begin() as transaction:
        findings = [a_finding(1, NOW - 3000 * DAY), a_finding(2, NOW - 3029 * DAY), a_finding(3, NOW - 3031 * DAY)]
        transaction.put_findings(findings, at=NOW, held_by="budget", lines={})
        transaction.set_clock("acme", NOW - 3000 * DAY)  # a history of years ago, loaded today
    assert store.prune(NOW) == {"t_findings": 1}
    assert [row.finding_id[-1] for row in store.reads.findings("acme", limit=9).rows] == ["1", "2"]


def test_the_entities_seen_last_stay(opened: Open) -> None:
    store = opened(entities_max=10, prune_rows=7)
    seen = [NOW + timedelta(seconds=number) for number in range(50)]
    frame = pl.DataFrame(
        {"entity": [f"user:{number}" for number in range(50)], "count": [1] * 50, "first": seen, "last": seen},
        schema_overrides={"first": TIME, "last": TIME},
    )
    with store.begin() as transaction:
        transaction.put_entities("acme", frame)
        transaction.put_entities("other", frame.head(5))
        transaction.set_clock("acme", NOW)
        transaction.set_clock("other", NOW)
    assert store.prune(NOW) == {"t_entities": 40}
    assert rows_of(store, "entities") == 15
    assert store.reads.entity("acme", "user:39") is None
    assert store.reads.entity("acme", "user:40") is not None
    assert store.reads.entity("other", "user:0") is not None


def test_entities_seen_at_one_moment_do_not_all_go(opened: Open) -> None:
    store = opened(entities_max=10)
    frame = pl.DataFrame(
        {"entity": [f"user:{number}" for number in range(15)], "count": 1, "first": NOW, "last": NOW},
        schema_overrides={"first": TIME, "last": TIME},
    )
    with store.begin() as transaction:
        transaction.put_entities("acme", frame)
        transaction.set_clock("acme", NOW)
    store.prune(NOW)
    assert rows_of(store, "entities") == 10


def test_dead_letters_and_raw_lines_are_bounded(opened: Open) -> None:
    store = opened(dead_letters_max=3, lines_max=2)
    lines = {
        f"e{number}": LineRow(event_id=f"e{number}", stream="auth", time=NOW, body="line", template_id="0" * 16)
        for number in range(6)
    }
    with store.begin() as transaction:
        rejected = [SimpleNamespace(line=number, detail="bad", raw=b"{") for number in range(8)]
        transaction.put_dead_letters("acme", "auth", rejected, NOW)
        findings = [a_finding(number, NOW) for number in range(6)]
        transaction.put_findings(findings, at=NOW, held_by="budget", lines=lines)
        transaction.set_clock("acme", NOW)
    assert store.prune(NOW) == {"t_dead_letters": 5, "t_lines": 4}
    assert [row.line for row in store.reads.dead_letters("acme", limit=9).rows] == [7, 6, 5]


def test_batches_are_remembered_for_a_day(opened: Open) -> None:
    store = opened(prune_rows=2)
    with store.begin() as transaction:
        for hours in range(0, 50, 10):
            transaction.put_batch("acme", "auth", f"key-{hours}", "abc", NOW - timedelta(hours=hours))
    assert store.prune(NOW) == {"t_batches": 2}
    assert store.reads.batch_fingerprint("acme", "auth", "key-20") == "abc"
    assert store.reads.batch_fingerprint("acme", "auth", "key-30") is None


def test_a_message_that_still_waits_is_not_forgotten(opened: Open) -> None:
    store = opened()
    hook = store.desk.add_webhook("acme", url="https://example.com/", secret="whsec_" + "A" * 32, at=NOW - 40 * DAY)
    for day in (40, 39, 10):
        store.desk.queue_test("acme", hook.webhook_id, at=NOW - day * DAY)
    (first,) = store.outbox.claim(limit=1, now=NOW - 40 * DAY)
    store.outbox.sent(first.delivery_id, at=NOW - 40 * DAY, status=200, ms=1)
    assert store.prune(NOW) == {"t_deliveries": 1}
    store.desk.change_webhook("acme", hook.webhook_id, enabled=False)
    assert store.prune(NOW) == {"t_deliveries": 1}  # nobody will ever want it
    assert len(store.reads.deliveries("acme", limit=9).rows) == 1


def test_a_snapshot_of_a_model_is_remembered_among_the_latest(opened: Open) -> None:
    store = opened(models_max=3)
    status = SimpleNamespace(detector="novelty", state="watching", detail="watching", units=5.0)
    for offset in (10, 20, 30, 40, 50):
        with store.begin() as transaction:
            transaction.put_model("acme", status, journal_offset=offset, at=NOW)
    assert rows_of(store, "models") == 3
