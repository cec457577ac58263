"""One step of the worker is kept whole or not at all, and keeping it twice changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pytest

from alerts.incident import Change, Incident, Join, Status, Why
from storage.rows import LineRow
from storage.store import Store, StoreSettings
from storage.views import VIEWS
from tocsin.errors import StorageError
from tocsin.finding import Finding, Reason
from tocsin.record import TIME

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store(database_url, StoreSettings())
    store.open()
    yield store
    store.close()


def a_finding(number: int = 1, **fields: object) -> Finding:
    defaults: dict[str, object] = {
        "finding_id": f"{number:032x}",
        "tenant": "acme",
        "stream": "auth",
        "detector": "novelty",
        "start_at": NOW + timedelta(seconds=number),
        "end_at": NOW + timedelta(seconds=number + 1),
        "score": 7.5,
        "p_value": 1e-6,
        "severity": 60,
        "summary": "a user never seen before",
        "expected": None,
        "actual": "eve",
        "entities": ("ip:192.0.2.7", "user:eve"),
        "trace_ids": (),
        "template_ids": ("t" * 16,),
        "event_ids": ("e1", "e2"),
        "reasons": (
            Reason(kind="line", summary="the line", event_id="e2", payload={"count": 3}),
            Reason(kind="pair", summary="the pair", expected="bob", actual="eve"),
        ),
    }
    return Finding(**(defaults | fields))  # type: ignore[arg-type]


def an_incident(**fields: object) -> Incident:
    defaults: dict[str, object] = {
        "incident_id": "inc_1",
        "tenant": "acme",
        "status": Status.OPEN,
        "severity": 60,
        "title": "A user never seen before",
        "opened_at": NOW,
        "last_at": NOW + timedelta(seconds=2),
        "closed_at": None,
        "finding_count": 1,
        "entities": {"user:eve": 1.0, "ip:192.0.2.7": 0.5},
        "streams": ("auth",),
        "detectors": ("novelty",),
        "trace_ids": ("trace",),
        "template_ids": ("t" * 16,),
    }
    return Incident(**(defaults | fields))  # type: ignore[arg-type]


def an_opening(incident: Incident | None = None, finding: Finding | None = None) -> Change:
    finding = finding or a_finding()
    join = Join(finding_id=finding.finding_id, why=Why.FIRST, what="", weight=1.0)
    return Change(kind="opened", incident=incident or an_incident(), findings=(finding,), reason="first", joins=(join,))


def a_line(event_id: str) -> LineRow:
    return LineRow(event_id=event_id, stream="auth", time=NOW, body=f"line {event_id}", template_id="t" * 16)


def keep(store: Store, *changes: Change, at: datetime = NOW) -> None:
    with store.begin() as transaction:
        lines = {"e1": a_line("e1"), "e2": a_line("e2")}
        transaction.put_changes(changes, at=at, lines=lines, base_url="https://tocsin.example")


def counts(key: str, values: dict[str, int], first: datetime = NOW, last: datetime = NOW) -> pl.DataFrame:
    columns = {"count": list(values.values()), "first": [first] * len(values), "last": [last] * len(values)}
    return pl.DataFrame({key: list(values), **columns}, schema_overrides={"first": TIME, "last": TIME})


def everything(store: Store) -> dict[str, list[str]]:
    with store.database.read() as connection:
        found = {}
        for view in VIEWS:
            rows = connection.exec_driver_sql(f"SELECT * FROM {view}")
            found[view] = sorted(str(row) for row in rows)
        return found


def test_an_incident_comes_back_as_it_was_kept(store: Store) -> None:
    keep(store, an_opening())
    with store.begin() as transaction:
        assert transaction.open_incidents("acme") == [an_incident()]
        assert transaction.open_incidents("other") == []
        assert transaction.known_findings([a_finding().finding_id, "f" * 32]) == {a_finding().finding_id}


def test_an_incident_shows_its_findings_reasons_entities_and_lines(store: Store) -> None:
    keep(store, an_opening())
    row = store.reads.incident("acme", "inc_1")
    assert row is not None
    assert (row.entities, row.streams, row.detectors) == (["user:eve", "ip:192.0.2.7"], ["auth"], ["novelty"])
    (finding,) = store.reads.incident_findings("acme", "inc_1", 10)
    assert [reason.payload for reason in finding.evidence] == [{"count": 3}, {"expected": "bob", "actual": "eve"}]
    assert store.reads.entity_weights("acme", "inc_1") == [("user:eve", 1.0), ("ip:192.0.2.7", 0.5)]
    assert [line.body for line in store.reads.incident_lines("acme", "inc_1", 10)] == ["line e1", "line e2"]


def test_the_same_change_twice_changes_nothing(store: Store) -> None:
    store.desk.add_webhook("acme", url="https://example.com/", secret="whsec_" + "A" * 32, at=NOW)
    keep(store, an_opening())
    once = everything(store)
    keep(store, an_opening())
    assert everything(store) == once


def test_an_older_change_does_not_undo_a_newer_one(store: Store) -> None:
    keep(store, an_opening(an_incident(sequence=3, severity=80)))
    keep(store, an_opening(an_incident(sequence=2, severity=60)))
    row = store.reads.incident("acme", "inc_1")
    assert row is not None
    assert (row.sequence, row.severity) == (3, 80)


def test_a_step_that_fails_leaves_nothing(store: Store) -> None:
    before = everything(store)

    def failing_step() -> None:
        with store.begin() as transaction:
            transaction.advance(0, 5)
            transaction.put_changes([an_opening()], at=NOW, lines={}, base_url="")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing_step()
    assert everything(store) == before
    assert store.reads.worker().offset == 0


def test_a_worker_that_is_not_where_the_database_is_cannot_advance(store: Store) -> None:
    with store.begin() as transaction:
        transaction.advance(0, 5)
    with pytest.raises(StorageError, match="entries from 3"), store.begin() as transaction:
        transaction.advance(3, 8)
    assert store.reads.worker().offset == 5


def test_the_bounds_of_steps_are_remembered_until_they_are_forgotten(store: Store) -> None:
    for first, after in ((0, 3), (3, 4), (4, 9)):
        with store.begin() as transaction:
            transaction.advance(first, after)
    with store.begin() as transaction:
        assert transaction.steps_since(3) == [(3, 4), (4, 9)]
        transaction.forget_steps(4)
        assert transaction.steps_since(0) == [(4, 9)]


def test_a_batch_with_an_identity_is_recognised(store: Store) -> None:
    long = "x" * 5_000
    with store.begin() as transaction:
        transaction.put_batch("acme", "auth", "key-1", "abc", NOW)
        transaction.put_batch("acme", "auth", long, "def", NOW)
    keys = [("acme", "auth", "key-1"), ("acme", "auth", "key-2"), ("other", "auth", "key-1")]
    with store.begin() as transaction:
        assert transaction.seen_batches(keys) == {("acme", "auth", "key-1"): NOW}
        assert transaction.seen_batches([("acme", "auth", long)]) == {("acme", "auth", long): NOW}
    assert store.reads.batch_fingerprint("acme", "auth", "key-1") == "abc"
    assert store.reads.batch_fingerprint("acme", "auth", long) == "def"
    assert store.reads.batch_fingerprint("acme", "auth", long + "y") is None


def test_counts_add_up_and_times_widen(store: Store) -> None:
    for shift in (0, -60, 60):
        at = NOW + timedelta(seconds=shift)
        with store.begin() as transaction:
            transaction.put_entities("acme", counts("entity", {"user:eve": 2, "host:web": 1}, at, at))
            transaction.put_streams("acme", counts("stream", {"auth": 3}, at, at))
    row = store.reads.entity("acme", "user:eve")
    assert row is not None
    assert (row.kind, row.value, row.event_count) == ("user", "eve", 6)
    assert (row.first_seen, row.last_seen) == (NOW - timedelta(seconds=60), NOW + timedelta(seconds=60))
    with store.begin() as transaction:
        assert transaction.event_count("acme") == 9
        assert transaction.began_at("acme") == NOW - timedelta(seconds=60)
        assert transaction.entities("acme", ["user:eve", "user:bob"]) == {"user:eve": (6, NOW - timedelta(seconds=60))}
    assert store.reads.entity("other", "user:eve") is None


def test_names_no_database_keeps_are_counted_as_one(store: Store) -> None:
    with store.begin() as transaction:
        transaction.put_entities(
            "acme", counts("entity", {"user:a\x00": 1, "user:a\ufffd": 2, "user:" + "x" * 9_000: 1})
        )
    row = store.reads.entity("acme", "user:a\x00")
    assert row is not None
    assert row.event_count == 3


def test_a_template_keeps_its_text_until_it_changes(store: Store) -> None:
    template = SimpleNamespace(template_id="1" * 16, stream="auth", text="user <*> logged in")
    frame = counts("template_id", {"1" * 16: 5}).with_columns(stream=pl.lit("auth"))
    with store.begin() as transaction:
        transaction.put_templates("acme", [template], frame)
        transaction.put_templates("acme", [], frame)
    (row,) = store.reads.templates("acme", limit=5).rows
    assert (row.template, row.event_count) == ("user <*> logged in", 10)
    changed = SimpleNamespace(template_id="1" * 16, stream="auth", text="user <*> logged <*>")
    with store.begin() as transaction:
        transaction.put_templates("acme", [changed], frame.head(0))
    (row,) = store.reads.templates("acme", limit=5).rows
    assert row.template == "user <*> logged <*>"


def test_a_poison_line_is_kept_once_as_text(store: Store) -> None:
    rejected = [SimpleNamespace(line=7, detail="line 7: not JSON", raw=b"\xff\x00{")]
    for _ in range(2):
        with store.begin() as transaction:
            transaction.put_dead_letters("acme", "auth", rejected, NOW)
    (row,) = store.reads.dead_letters("acme", limit=5).rows
    assert (row.line, row.raw, row.received_at) == (7, "\ufffd\ufffd{", NOW)


def test_a_finding_that_is_held_back_is_in_no_incident(store: Store) -> None:
    with store.begin() as transaction:
        transaction.put_findings([a_finding(9)], at=NOW, held_by="budget", lines={})
    (row,) = store.reads.findings("acme", limit=5).rows
    assert (row.incident_id, row.held_by) == (None, "budget")


def test_text_that_no_database_keeps_does_not_stop_a_step(store: Store) -> None:
    finding = a_finding(
        summary="nul \x00 and \udcff",
        entities=("user:\x00",),
        reasons=(Reason(kind="line", summary="\x00", payload={"\x00": ["\udcff", float("nan"), float("inf")]}),),
    )
    keep(store, an_opening(an_incident(title="\x00", entities={"user:\x00": 1.0}), finding))
    (row,) = store.reads.findings("acme", limit=5).rows
    assert row.summary == "nul \ufffd and \ufffd"
    assert row.evidence[0].payload == {"\ufffd": ["\ufffd", None, None]}
    assert store.reads.findings("acme", entity="user:\x00", limit=5).rows == [row]


def test_a_live_page_is_told_of_what_is_new_to_its_tenant_only(store: Store) -> None:
    before, others = store.reads.marker("acme"), store.reads.marker("other")
    keep(store, an_opening())
    assert store.reads.marker("acme") > before
    assert store.reads.marker("other") == others


def test_entities_that_became_too_light_leave_the_incident(store: Store) -> None:
    keep(store, an_opening())
    keep(
        store,
        replace(an_opening(an_incident(sequence=2, entities={"user:eve": 1.0})), kind="updated", findings=(), joins=()),
    )
    assert store.reads.entity_weights("acme", "inc_1") == [("user:eve", 1.0)]
    assert store.reads.incidents("acme", entity="ip:192.0.2.7", limit=5).rows == []
