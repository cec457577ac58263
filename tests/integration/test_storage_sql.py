"""Users' SQL: the promised views, the tenant's rows alone, JSON values out, and an end to everything."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from alerts.incident import Change, Incident, Join, Status, Why
from storage.events import EventStore
from storage.sql import SqlResult, SqlSettings, run_sql
from storage.store import Store, StoreSettings
from storage.views import EVENTS, VIEWS
from tocsin.errors import QueryError
from tocsin.finding import Finding, Reason
from tocsin.record import RECORDS, TIME

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
Ask = Callable[..., SqlResult]


def an_event(number: int, tenant: str) -> dict[str, object]:
    return {
        "event_id": f"{tenant}-{number}",
        "tenant": tenant,
        "stream": "auth",
        "time": NOW + timedelta(seconds=number),
        "observed_time": NOW,
        "severity_number": 9,
        "body": f"it's line {number} of {tenant}",
        "attributes": '{"status": 200}',
        "trace_id": None,
        "span_id": None,
        "template_id": "1" * 16,
        "parameters": ["eve"],
        "entities": ["user:eve"],
    }


def fill(store: Store, events: EventStore, tenant: str) -> None:
    frame = pl.DataFrame([an_event(number, tenant) for number in range(10)], schema=RECORDS)
    finding = Finding(
        finding_id=f"{tenant}-finding",
        tenant=tenant,
        stream="auth",
        detector="novelty",
        start_at=NOW,
        end_at=NOW,
        score=1.5,
        p_value=1e-6,
        severity=70,
        summary="a user never seen before",
        expected=None,
        actual="eve",
        entities=("user:eve",),
        trace_ids=(),
        template_ids=("1" * 16,),
        event_ids=(f"{tenant}-3",),
        reasons=(Reason(kind="line", summary="the line", event_id=f"{tenant}-3", payload={"count": 3}),),
    )
    incident = Incident(
        incident_id=f"inc_{tenant}",
        tenant=tenant,
        status=Status.OPEN,
        severity=70,
        title="Something new",
        opened_at=NOW,
        last_at=NOW,
        closed_at=None,
        finding_count=1,
        entities={"user:eve": 1.0, "host:web": 0.5},
        streams=("auth",),
        detectors=("novelty",),
    )
    join = Join(finding_id=finding.finding_id, why=Why.FIRST, what="", weight=1.0)
    counted = {"count": [10], "first": [NOW], "last": [NOW]}
    types = {"first": TIME, "last": TIME}
    with store.begin() as transaction:
        for segment in events.write(tenant, frame, 0, 0):
            transaction.put_segment(segment)
        change = Change(kind="opened", incident=incident, findings=(finding,), joins=(join,))
        transaction.put_changes([change], at=NOW, lines={}, base_url="")
        template = SimpleNamespace(template_id="1" * 16, stream="auth", text="it's line <*>")
        of_template = pl.DataFrame({"template_id": ["1" * 16], "stream": ["auth"], **counted}, schema_overrides=types)
        transaction.put_templates(tenant, [template], of_template)
        of_entity = pl.DataFrame({"entity": ["url:http://x/"], **counted}, schema_overrides=types)
        transaction.put_entities(tenant, of_entity)
        transaction.set_clock(tenant, NOW)


@pytest.fixture
def ask(database_url: str, tmp_path: Path) -> Iterator[Ask]:
    store = Store(database_url, StoreSettings())
    store.open()
    events = EventStore(tmp_path / "events")
    for tenant in ("acme", "other"):
        fill(store, events, tenant)

    def run(query: str, *, limit: int = 100, tenant: str = "acme", **settings: object) -> SqlResult:
        return run_sql(store, events, tenant, query, limit=limit, settings=replace(SqlSettings(), **settings))  # type: ignore[arg-type]

    yield run
    store.close()


def test_every_view_has_its_columns_also_without_rows(ask: Ask) -> None:
    for view, columns in {**VIEWS, "events": EVENTS}.items():
        for tenant in ("acme", "nobody"):
            assert ask(f"SELECT * FROM {view}", tenant=tenant).columns == list(columns), view


def test_events_join_with_what_was_found_in_them(ask: Ask) -> None:
    result = ask(
        "SELECT i.title, i.entities, e.body, e.time, t.template, v.payload->>'$.count' AS n FROM incidents i "
        "JOIN findings f USING (incident_id) JOIN evidence v USING (finding_id) JOIN events e USING (event_id) "
        "JOIN templates t ON t.template_id = e.template_id"
    )
    assert result.rows == [
        [
            "Something new",
            ["user:eve", "host:web"],
            "it's line 3 of acme",
            "2026-03-01T12:00:03Z",
            "it's line <*>",
            "3",
        ]
    ]


def test_an_entity_is_taken_apart_at_its_first_colon(ask: Ask) -> None:
    assert ask("SELECT kind, value FROM entities").rows == [["url", "http://x/"]]


def test_values_are_what_json_has_a_word_for(ask: Ask) -> None:
    result = ask(
        "SELECT timestamptz '2026-03-01 12:00:00+00' AS a, date '2026-03-01' AS b, 2.50::DECIMAL(9,2) AS c, "
        "170141183460469231731687303715884105727::HUGEINT AS d, 'nan'::DOUBLE AS e, 'inf'::DOUBLE AS f, "
        "'\\x00\\xFF'::BLOB AS g, [timestamptz '2026-03-01 12:00:00.5+00'] AS h, {'x': 1.5::DOUBLE, 'y': NULL} AS i, "
        "MAP {'k': [1, 2]} AS j, true AS k, timestamp '2026-03-01 12:00:00' AS l, 7::DECIMAL(9,0) AS m"
    )
    assert result.rows == [
        [
            "2026-03-01T12:00:00Z",
            "2026-03-01",
            2.5,
            170141183460469231731687303715884105727,
            None,
            None,
            "00ff",
            ["2026-03-01T12:00:00.500000Z"],
            {"x": 1.5, "y": None},
            {"k": [1, 2]},
            True,
            "2026-03-01T12:00:00",
            7,
        ]
    ]
    assert result.types[0] == "TIMESTAMP WITH TIME ZONE"


def test_a_query_may_end_in_semicolons_and_comments(ask: Ask) -> None:
    query = "-- é\nSELECT ';' AS x /* ; */ ; ; -- é; the end"
    assert ask(query).rows == [[";"]]


def test_the_limit_cuts_and_says_so(ask: Ask) -> None:
    result = ask("SELECT * FROM events ORDER BY time DESC", limit=3)
    assert [row[0] for row in result.rows] == ["acme-9", "acme-8", "acme-7"]
    assert result.truncated
    assert not ask("SELECT * FROM events", limit=10).truncated


def test_a_huge_answer_is_cut(ask: Ask) -> None:
    result = ask("SELECT repeat('x', 1000) FROM range(100000)", limit=100_000, bytes_max=50_000)
    assert result.truncated
    assert 40 <= len(result.rows) <= 50


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("DESCRIBE events", "event_id"),
        ("DESCRIBE SELECT 1 AS one", "one"),
        ("SHOW TABLES", "dead_letters"),
        ("SUMMARIZE incidents", "incident_id"),
        ("EXPLAIN SELECT * FROM events", "physical_plan"),
        ("/* a plan */ explain\nSELECT 1;", "physical_plan"),
        ("SELECT column_name FROM information_schema.columns WHERE table_name = 'events'", "event_id"),
        ("FROM incidents SELECT incident_id", "inc_acme"),
        ("VALUES ('x')", "x"),
        ("WITH events AS (SELECT 'mine' AS x) SELECT * FROM events", "mine"),
        ("WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT sum(n)::INT FROM t", 15),
        ("SELECT count(*) FROM (PIVOT events ON stream IN ('auth') USING count(*))", 10),
        ("SELECT count(*) FROM range(7), unnest([1, 2])", 14),
        ("SELECT 1 BETWEEN 0 AND 2 AND 'a' SIMILAR TO 'a' AND 1::VARCHAR LIKE '1%'", True),
        ('SELECT "incident_id" FROM "main"."Incidents"', "inc_acme"),
    ],
)
def test_this_works(ask: Ask, query: str, first: object) -> None:
    assert ask(query).rows[0][0] == first


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT * FROM evnts", "the views are dead_letters, deliveries, entities, events"),
        ("SELEC 1", "syntax error"),
        ("", "expected one statement"),
        ("-- nothing", "expected one statement"),
        ("SELECT nope FROM events", '"nope"'),
        ("SELECT 1 / 'x'", "Conversion Error"),
        ("PIVOT events ON stream", "IN"),
        ("SELECT $1", "parameter"),
        ("SELECT '" + "x" * 100_001 + "'", "characters"),
    ],
)
def test_a_mistake_is_explained_in_one_line(ask: Ask, query: str, words: str) -> None:
    with pytest.raises(QueryError) as raised:
        ask(query)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_query_that_never_ends_is_ended(ask: Ask) -> None:
    started = time.monotonic()
    with pytest.raises(QueryError, match="longer than 2 s"):
        ask("SELECT sum(i * j * k) FROM range(99999) a(i), range(99999) b(j), range(99999) c(k)", timeout_s=2.0)
    assert time.monotonic() - started < 10


def test_only_so_many_queries_run_at_once(ask: Ask) -> None:
    with pytest.raises(QueryError, match="running already"):
        ask("SELECT 1", parallel_max=0, wait_s=0.0)


def test_a_view_with_too_many_rows_is_refused_rather_than_cut(ask: Ask) -> None:
    with pytest.raises(QueryError, match="entities: more than 0 rows"):
        ask("SELECT * FROM entities", snapshot_rows_max=0)


def test_nothing_is_left_behind(ask: Ask, tmp_path: Path) -> None:
    ask("SELECT * FROM incidents")
    with pytest.raises(QueryError):
        ask("SELECT * FROM nowhere")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_numbers_stay_exact(ask: Ask) -> None:
    ((score, p_value),) = ask("SELECT score, p_value FROM findings").rows
    assert math.isclose(score, 1.5)
    assert p_value == 1e-6
