"""What people do and see: every read and change is confined to their tenant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from alerts.incident import Change, Incident, Status
from alerts.silence import Matcher, Silence
from storage.rows import KeyRow
from storage.store import Store, StoreSettings
from tocsin.errors import InputError
from tocsin.finding import Finding

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store(database_url, StoreSettings())
    store.open()
    yield store
    store.close()


def an_incident(number: int = 1, **fields: object) -> Incident:
    incident = Incident(
        incident_id=f"inc_{number}",
        tenant="acme",
        status=Status.OPEN,
        severity=number % 100,
        title="Something new",
        opened_at=NOW + timedelta(minutes=number // 2),  # two share each time
        last_at=NOW + timedelta(minutes=number // 2),
        closed_at=None,
        finding_count=1,
        entities={"user:eve": 1.0, f"user:{number}": 0.5},
        streams=("auth",),
        detectors=("novelty",),
    )
    return replace(incident, **fields)  # type: ignore[arg-type]


def a_finding(number: int, detector: str = "novelty") -> Finding:
    at = NOW + timedelta(minutes=number // 2)
    return Finding(
        finding_id=f"{number:032x}",
        tenant="acme",
        stream="auth",
        detector=detector,
        start_at=at,
        end_at=at,
        score=1.0,
        p_value=0.001,
        severity=number % 100,
        summary="new",
        expected=None,
        actual=None,
        entities=(f"user:{number % 3}",),
        trace_ids=(),
        template_ids=(),
        event_ids=(),
        reasons=(),
    )


def fill(store: Store, count: int) -> None:
    with store.begin() as transaction:
        changes = [
            Change(kind="opened", incident=an_incident(number), findings=(a_finding(number),))
            for number in range(count)
        ]
        transaction.put_changes(changes, at=NOW, lines={}, base_url="")
        transaction.set_clock("acme", NOW + timedelta(minutes=count // 2))


def test_pages_show_every_incident_once_the_latest_first(store: Store) -> None:
    fill(store, 25)
    seen, cursor = [], None
    while True:
        page = store.reads.incidents("acme", limit=4, cursor=cursor)
        seen += page.rows
        cursor = page.next_cursor
        if cursor is None:
            break
    assert [row.last_at for row in seen] == sorted((row.last_at for row in seen), reverse=True)
    assert len({row.incident_id for row in seen}) == len(seen) == 25
    assert store.reads.incidents("other", limit=4).rows == []


def test_incidents_are_found_by_status_severity_entity_and_time(store: Store) -> None:
    fill(store, 10)
    store.desk.change_incident("acme", "inc_3", at=NOW, status=Status.RESOLVED)

    def found(**asked: object) -> set[str]:
        return {row.incident_id for row in store.reads.incidents("acme", limit=100, **asked).rows}  # type: ignore[arg-type]

    assert found(statuses=["resolved"]) == {"inc_3"}
    assert found(statuses=["open", "acknowledged"], severity_min=7) == {"inc_7", "inc_8", "inc_9"}
    assert found(entity="user:4") == {"inc_4"}
    assert found(since=NOW + timedelta(minutes=4)) == {"inc_8", "inc_9"}
    assert found(entity="user:eve", severity_min=9) == {"inc_9"}


def test_pages_of_findings_follow_their_filters(store: Store) -> None:
    fill(store, 12)
    page = store.reads.findings("acme", entity="user:1", severity_min=2, limit=2)
    rest = store.reads.findings("acme", entity="user:1", severity_min=2, limit=9, cursor=page.next_cursor)
    assert [row.severity for row in [*page.rows, *rest.rows]] == [10, 7, 4]
    assert [row.severity for row in store.reads.findings("acme", incident_id="inc_5", limit=9).rows] == [5]
    assert store.reads.findings("acme", detector="volume", limit=9).rows == []


@pytest.mark.parametrize(
    "cursor", ["", "x", "bnVsbA", "WzFd", "WyJhIiwiYiJd", "A" * 2000, "é", "WyIyMDI2LTAzLTAxVDAwOjAwOjAwIiwieCJd"]
)
def test_a_cursor_that_was_not_given_out_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(InputError, match="cursor"):
        store.reads.incidents("acme", limit=4, cursor=cursor)


def test_a_person_moves_an_incident_and_it_is_told(store: Store) -> None:
    fill(store, 2)
    store.desk.add_webhook("acme", url="https://example.com/", secret="whsec_" + "A" * 32, at=NOW)
    row = store.desk.change_incident(
        "acme", "inc_1", at=NOW, status=Status.ACKNOWLEDGED, assignee="kim", by="kim", base_url=""
    )
    assert row is not None
    assert (row.status, row.assignee, row.sequence) == ("acknowledged", "kim", 2)
    (delivery,) = store.outbox.claim(limit=5, now=NOW)
    assert (delivery.incident_id, delivery.event) == ("inc_1", "incident.updated")
    assert store.desk.change_incident("acme", "inc_1", at=NOW, status=Status.ACKNOWLEDGED) == row
    assert store.desk.change_incident("other", "inc_1", at=NOW, status=Status.RESOLVED) is None


def test_a_move_that_makes_no_sense_is_refused(store: Store) -> None:
    fill(store, 1)
    store.desk.change_incident("acme", "inc_0", at=NOW, status=Status.RESOLVED)
    with pytest.raises(InputError, match="cannot become"):
        store.desk.change_incident("acme", "inc_0", at=NOW, status=Status.ACKNOWLEDGED)


def test_a_verdict_is_kept_with_its_incident(store: Store) -> None:
    fill(store, 1)
    given = {"label": "benign", "reason": "a drill", "scope": "incident", "author": "kim", "at": NOW}
    row = store.desk.add_feedback("acme", "inc_0", **given)  # type: ignore[arg-type]
    assert store.reads.feedback("acme", "inc_0") == [row]
    assert store.reads.feedback("other", "inc_0") == []
    assert store.desk.add_feedback("other", "inc_0", **given) is None  # type: ignore[arg-type]


def test_a_silence_ends_when_it_is_told_to(store: Store) -> None:
    silence = Silence(
        silence_id="sil_1",
        tenant="acme",
        matcher=Matcher(entity="user:backup", severity_below=80),
        starts_at=NOW,
        ends_at=NOW + timedelta(hours=8),
        author="kim",
        reason="the nightly backup",
    )
    store.desk.add_silence(silence)
    (row,) = store.reads.silences("acme", NOW)
    assert (row.matcher, row.value, row.severity_below) == ("entity", "user:backup", 80)
    with store.begin() as transaction:
        assert transaction.silences("acme", NOW) == [silence]
        assert transaction.silences("other", NOW) == []
    assert not store.desk.end_silence("other", "sil_1", NOW + timedelta(hours=1))
    assert store.desk.end_silence("acme", "sil_1", NOW + timedelta(hours=1))
    assert store.reads.silences("acme", NOW + timedelta(hours=1)) == []
    assert not store.desk.end_silence("acme", "sil_1", NOW + timedelta(hours=2))


def test_a_silence_that_is_called_off_before_it_begins_is_gone(store: Store) -> None:
    silence = Silence(
        silence_id="sil_1",
        tenant="acme",
        matcher=Matcher(stream="web*"),
        starts_at=NOW + timedelta(hours=1),
        ends_at=NOW + timedelta(hours=2),
        author="kim",
        reason="maintenance",
    )
    store.desk.add_silence(silence)
    assert store.desk.end_silence("acme", "sil_1", NOW)
    assert store.reads.silences("acme", NOW) == []


def test_the_budget_is_the_default_until_somebody_sets_it(store: Store) -> None:
    fill(store, 6)
    assert store.reads.budget("acme", default=7.0).incidents_per_day == 7.0
    store.desk.set_budget("acme", 2.5)
    row = store.reads.budget("acme")
    assert (row.incidents_per_day, row.opened_last_day) == (2.5, 6)
    with store.begin() as transaction:
        assert transaction.budget_per_day("acme") == 2.5
        assert transaction.budget_per_day("other") is None
        assert sorted(transaction.opened_since("acme", NOW)) == [2, 3, 4, 5]


def test_a_detector_says_how_far_it_is_and_what_it_found_in_a_day(store: Store) -> None:
    fill(store, 4)
    status = SimpleNamespace(detector="novelty", state="watching", detail="watching", units=2000.0)
    with store.begin() as transaction:
        transaction.put_detectors("acme", [status], NOW)
    (row,) = store.reads.detectors("acme")
    assert (row.state, row.findings_last_day, row.updated_at) == ("watching", 4, NOW)


def test_a_key_counts_until_it_is_revoked(store: Store) -> None:
    assert not store.keys.has_keys()
    key = KeyRow(
        key_id="abc123",
        tenant="acme",
        name="shipper",
        secret_sha256="0" * 64,
        scopes=frozenset({"ingest", "read"}),
        created_at=NOW,
    )
    store.keys.add(key)
    assert store.keys.key("abc123") == key
    assert store.keys.has_keys()
    assert store.keys.revoke("abc123", NOW)
    assert not store.keys.revoke("abc123", NOW)
    assert store.keys.all() == [replace(key, revoked_at=NOW)]
    assert store.keys.key("nobody") is None


def test_the_worker_is_seen_by_its_beat(store: Store) -> None:
    assert store.reads.worker().beat_at is None
    store.desk.beat(NOW)
    store.desk.beat(NOW + timedelta(seconds=5))
    assert store.reads.worker().beat_at == NOW + timedelta(seconds=5)
