"""Nobody leaves the sandbox: every escape that worked on a lesser recipe, and every other we could think of.

Each query is tried from the tenant `acme`, while a row, an event and a file hold a word that must not come out.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from alerts.incident import Change, Incident, Status
from storage.events import EventStore
from storage.sql import SqlResult, SqlSettings, run_sql
from storage.store import Store, StoreSettings
from tocsin.errors import QueryError
from tocsin.record import RECORDS

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CANARY = "canary-7f3a"


def fill(store: Store, events: EventStore, tenant: str, word: str) -> Path:
    row = {
        "event_id": f"{tenant}-1",
        "tenant": tenant,
        "stream": "auth",
        "time": NOW,
        "observed_time": NOW,
        "severity_number": 9,
        "body": word,
        "attributes": "{}",
        "trace_id": None,
        "span_id": None,
        "template_id": "1" * 16,
        "parameters": [word],
        "entities": [f"user:{word}"],
    }
    incident = Incident(
        incident_id=f"inc_{tenant}",
        tenant=tenant,
        status=Status.OPEN,
        severity=70,
        title=word,
        opened_at=NOW,
        last_at=NOW,
        closed_at=None,
        finding_count=1,
        entities={f"user:{word}": 1.0},
        streams=("auth",),
        detectors=("novelty",),
    )
    (segment,) = events.write(tenant, pl.DataFrame([row], schema=RECORDS), 0, 0)
    with store.begin() as transaction:
        transaction.put_segment(segment)
        change = Change(kind="opened", incident=incident)
        transaction.put_changes([change], at=NOW, lines={}, base_url="")
    return events.path_of(segment)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def ask(data: Path) -> Iterator[Callable[..., SqlResult]]:
    store = Store(f"sqlite:///{data / 'tocsin.sqlite'}", StoreSettings())
    store.open()
    events = EventStore(data / "events")
    own = fill(store, events, "acme", "ours")
    others = fill(store, events, "other", CANARY)
    store.desk.add_webhook("acme", url="https://example.com/", secret="whsec_" + "B" * 32, at=NOW)
    (data / "canary.txt").write_text(CANARY)
    (data / "canary.csv").write_text(f"word\n{CANARY}\n")
    (data / "canary.json").write_text(f'{{"word": "{CANARY}"}}')
    names = {"DATA": str(data), "OWN": str(own), "OTHERS": str(others)}

    def run(query: str, **settings: object) -> SqlResult:
        for name, value in names.items():
            query = query.replace(name, value)
        given = replace(SqlSettings(timeout_s=20.0), **settings)  # type: ignore[arg-type]
        return run_sql(store, events, "acme", query, limit=1000, settings=given)

    yield run
    store.close()


def files_in(folder: Path) -> dict[str, int]:
    kept = (path for path in folder.rglob("*") if path.is_file() and "sqlite" not in path.name)
    return {str(path): path.stat().st_size for path in kept}


READING = [
    "SELECT * FROM read_text('DATA/canary.txt')",
    "SELECT * FROM read_blob('DATA/canary.txt')",
    "SELECT * FROM read_csv('DATA/canary.csv')",
    "SELECT * FROM read_csv_auto('DATA/canary.csv')",
    "SELECT * FROM read_json('DATA/canary.json')",
    "SELECT * FROM read_json_auto('DATA/canary.json')",
    "SELECT * FROM read_ndjson('DATA/canary.json')",
    "SELECT * FROM read_parquet('OTHERS')",
    "SELECT * FROM read_parquet('DATA/events/*/*/*.parquet')",
    "SELECT * FROM read_parquet(['OWN', 'OTHERS'])",
    "SELECT * FROM parquet_scan('OTHERS')",
    "SELECT * FROM parquet_metadata('OTHERS')",
    "SELECT * FROM parquet_schema('OWN')",
    "SELECT * FROM parquet_file_metadata('OWN')",
    "SELECT * FROM parquet_kv_metadata('OWN')",
    "SELECT * FROM 'OTHERS'",
    'SELECT * FROM "OTHERS"',
    "FROM 'DATA/canary.csv'",
    "TABLE 'DATA/canary.json'",
    "SELECT * FROM 'OWN/../../../other/2026-03-01/000000000000-000000000000.parquet'",
    "SELECT (SELECT content FROM read_text('DATA/canary.txt'))",
    "WITH x AS (SELECT * FROM read_text('DATA/canary.txt')) SELECT * FROM x",
    'WITH "OTHERS" AS (SELECT 1) SELECT * FROM "OTHERS" UNION ALL BY NAME SELECT * FROM \'DATA/canary.csv\'',
    'SELECT * FROM (WITH "DATA/canary.csv" AS (SELECT 1 AS x) SELECT 1), "DATA/canary.csv"',
    "SELECT * FROM glob('DATA/*')",
    "SELECT * FROM sniff_csv('DATA/canary.csv')",
    "SELECT * FROM query('SELECT * FROM read_text(''DATA/canary.txt'')')",
    "SELECT * FROM query_table('OTHERS')",
    "SELECT * FROM query_table(['incidents', 'OTHERS'])",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM read_text(''DATA/canary.txt'')'))",
    "PRAGMA json_execute_serialized_sql('x')",
    "SELECT * FROM sqlite_scan('DATA/tocsin.sqlite', 't_incidents')",
    "SELECT * FROM postgres_scan('host=127.0.0.1', 'public', 't_incidents')",
    "SELECT * FROM read_duckdb('DATA/tocsin.sqlite')",
    "SELECT * FROM pandas_scan(0)",
    "SELECT * FROM arrow_scan(0, 0, 0)",
    "SELECT * FROM python_map_function()",
    "SELECT * FROM seq_scan()",
    "SELECT * FROM t_incidents",
    "SELECT * FROM t_webhooks",
    "SELECT * FROM main.t_incidents",
    "SELECT * FROM other.main.incidents",
    "SELECT * FROM memory.main.nowhere",
    "DESCRIBE 'OTHERS'",
    "DESCRIBE SELECT * FROM 'OTHERS'",
    "SUMMARIZE 'OTHERS'",
    "SUMMARIZE SELECT * FROM read_text('DATA/canary.txt')",
    "EXPLAIN SELECT * FROM read_text('DATA/canary.txt')",
    "EXPLAIN ANALYZE SELECT * FROM events",
    "EXPLAIN (ANALYZE) SELECT * FROM events",
    "EXPLAIN ANALYSE SELECT * FROM read_text('DATA/canary.txt')",
    "SELECT filename FROM events",
    "SELECT file_row_number FROM events",
]

WRITING = [
    "COPY (SELECT 1) TO 'DATA/evil.csv'",
    "COPY events TO 'DATA/evil.parquet'",
    "COPY (SELECT 1) TO 'OWN'",
    "COPY incidents FROM 'DATA/canary.csv'",
    "EXPORT DATABASE 'DATA/evil'",
    "IMPORT DATABASE 'DATA/evil'",
    "ATTACH 'DATA/evil.duckdb'",
    "ATTACH 'DATA/tocsin.sqlite' AS s (TYPE sqlite)",
    "ATTACH ':memory:' AS m",
    "DETACH memory",
    "USE memory",
    "CREATE TABLE evil AS SELECT 1",
    "CREATE TEMP TABLE evil AS SELECT 1",
    "CREATE OR REPLACE VIEW incidents AS SELECT 1",
    "CREATE MACRO evil() AS TABLE SELECT * FROM read_text('DATA/canary.txt')",
    "CREATE FUNCTION evil() AS 1",
    "CREATE SECRET (TYPE s3, KEY_ID 'x', SECRET 'y')",
    "CREATE SEQUENCE evil",
    "CREATE TYPE evil AS ENUM ('x')",
    "CREATE SCHEMA evil",
    "INSERT INTO incidents SELECT * FROM incidents",
    "UPDATE incidents SET title = 'x'",
    "DELETE FROM incidents",
    "MERGE INTO incidents USING incidents i ON true WHEN MATCHED THEN DELETE",
    "TRUNCATE incidents",
    "DROP VIEW incidents",
    "DROP TABLE incidents",
    "ALTER VIEW incidents RENAME TO evil",
    "COMMENT ON VIEW incidents IS 'x'",
    "VACUUM",
    "ANALYZE",
    "CHECKPOINT",
    "FORCE CHECKPOINT",
    "BEGIN",
    "COMMIT",
    "INSTALL httpfs",
    "INSTALL httpfs FROM 'https://example.com'",
    "LOAD httpfs",
    "LOAD 'DATA/evil.duckdb_extension'",
    "UPDATE EXTENSIONS",
    "SET memory_limit = '100GB'",
    "SET enable_external_access = true",
    "SET allowed_directories = ['/']",
    "SET allowed_paths = ['OTHERS']",
    "SET lock_configuration = false",
    "SET temp_directory = 'DATA'",
    "SET log_query_path = 'DATA/evil.log'",
    "SET VARIABLE x = 1",
    "SET SESSION x = 1",
    "SET GLOBAL threads = 64",
    "RESET lock_configuration",
    "RESET ALL",
    "PRAGMA enable_profiling",
    "PRAGMA database_list",
    "PRAGMA version",
    "PRAGMA profiling_output = 'DATA/evil.json'",
    "CALL pragma_version()",
    "CALL force_checkpoint()",
    "CALL enable_logging()",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    "SELECT nextval('x')",
    "SELECT write_log('x')",
    "SELECT set_config('x', 'y', false)",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW incidents",
    "SELECT 1; COPY (SELECT 1) TO 'DATA/evil.csv'",
    "SELECT 1) TO 'DATA/evil.csv' --",
    "SELECT 1) AS x; COPY (SELECT 1) TO 'DATA/evil.csv'; SELECT * FROM (SELECT 1",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'DATA/evil.csv'",
    "EXPLAIN COPY (SELECT 1) TO 'DATA/evil.csv'",
    "EXPLAIN CREATE TABLE evil AS SELECT 1",
    "WITH x AS (DELETE FROM incidents RETURNING *) SELECT * FROM x",
    "PIVOT incidents ON title",
    "SELECT * INTO evil FROM incidents",
]

TELLING = [
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_settings",
    "SELECT value FROM main.duckdb_settings()",
    "SELECT * FROM system.main.duckdb_settings()",
    'SELECT * FROM "duckdb_settings"()',
    "SELECT * FROM duckdb_databases()",
    "SELECT * FROM duckdb_databases",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_views()",
    "SELECT sql FROM duckdb_views",
    "SELECT sql FROM sqlite_master",
    "SELECT * FROM pg_catalog.pg_views",
    "SELECT * FROM duckdb_tables()",
    "SELECT * FROM duckdb_functions()",
    "SELECT * FROM duckdb_extensions()",
    "SELECT * FROM duckdb_temporary_files()",
    "SELECT * FROM duckdb_external_file_cache()",
    "SELECT * FROM duckdb_logs()",
    "SELECT * FROM duckdb_memory()",
    "SELECT * FROM duckdb_variables()",
    "SELECT * FROM duckdb_prepared_statements()",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM pragma_platform()",
    "SELECT * FROM pragma_user_agent()",
    "SELECT * FROM pragma_storage_info('incidents')",
    "SELECT * FROM pragma_show('incidents')",
    "SELECT * FROM which_secret('x', 's3')",
    "SELECT * FROM test_all_types()",
    "SELECT * FROM information_schema.views",
    "SELECT * FROM information_schema.schemata",
    "SELECT current_setting('allowed_paths')",
    "SELECT current_setting('temp_directory')",
    "SELECT CURRENT_SETTING('home_directory')",
    "SELECT system.main.current_setting('allowed_paths')",
    "SELECT \"current_setting\"('allowed_paths')",
    "SELECT list_transform(['allowed_paths'], lambda x: current_setting(x))",
    "SELECT list_transform(['allowed_paths'], x -> current_setting(x))",
    "SELECT 1 ORDER BY current_setting('allowed_paths')",
    "SELECT count(*) FILTER (current_setting('allowed_paths') IS NULL)",
    "SELECT sum(1) OVER (ORDER BY current_setting('allowed_paths'))",
    "SELECT * FROM range(len(current_setting('allowed_paths')))",
    "SELECT 'allowed_paths'.current_setting()",
    "SELECT getenv('HOME')",
    "SELECT getvariable('x')",
    "SELECT current_query()",
    "SELECT pg_sleep(1)",
    "SELECT sleep_ms(1)",
    "SELECT pg_get_viewdef('events')",
    "SHOW ALL SETTINGS",
    "SHOW allowed_paths",
    "SHOW DATABASES",
    "SHOW VARIABLES",
]


@pytest.mark.parametrize("query", READING + WRITING + TELLING)
def test_this_is_refused_and_nothing_comes_out(ask: Callable[..., SqlResult], data: Path, query: str) -> None:
    before = files_in(data)
    with pytest.raises(QueryError) as raised:
        ask(query)
    said = str(raised.value)
    assert CANARY not in said
    assert "/events/" not in said, "an answer to a person names no folder of ours"
    assert "\n" not in said
    assert files_in(data) == before


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM incidents",
        "SELECT * FROM events",
        "SELECT * FROM events UNION ALL BY NAME SELECT * FROM incidents",
        "SELECT * FROM incidents WHERE tenant = 'other' OR 1 = 1",
        "SELECT * FROM entities",
        "SELECT * FROM incident_entities",
        "SELECT * FROM evidence",
        "SELECT * FROM deliveries",
        "SUMMARIZE events",
        "SUMMARIZE incidents",
        "SELECT histogram(body) FROM events",
        "SELECT * FROM events POSITIONAL JOIN incidents",
        "SELECT COLUMNS(*) FROM events",
        "SELECT e FROM events e",
        "SELECT * FROM information_schema.tables",
        "SELECT json_serialize_sql('SELECT 1')",
    ],
)
def test_no_row_of_another_tenant_is_seen(ask: Callable[..., SqlResult], query: str) -> None:
    result = ask(query)
    assert CANARY not in repr(result)
    assert "inc_other" not in repr(result)
    assert "whsec_" not in repr(result)


def test_a_plan_names_no_file(ask: Callable[..., SqlResult], data: Path) -> None:
    for query in ("EXPLAIN SELECT * FROM events", "EXPLAIN SELECT * FROM incidents JOIN events USING (tenant)"):
        assert str(data) not in repr(ask(query))


BOMBS = [
    "SELECT sum(length(repeat('x', 100000000 + i::INT))) FROM range(1000000) t(i)",
    "SELECT repeat('x', 2000000000)",
    "SELECT repeat(repeat('x', 100000), 100000)",
    "SELECT list(i) FROM range(1000000000) t(i)",
    "SELECT string_agg(i::VARCHAR, repeat('x', 1000)) FROM range(100000000) t(i)",
    "SELECT * FROM range(100000000) a(i), range(100000000) b(j) ORDER BY hash(i * j) LIMIT 1",
    "WITH RECURSIVE t(x) AS (SELECT repeat('x', 1000) UNION ALL SELECT x || x FROM t) SELECT max(length(x)) FROM t",
    "SELECT count(DISTINCT a.i * 1000000007 + b.i) FROM range(100000) a(i), range(100000) b(i)",
    "SELECT generate_series(1, 100000000000)",
    "SELECT range(0, 9000000000000000000)",
    "SELECT regexp_matches(repeat('a', 1000000) || i::VARCHAR, '(a*)*b(a*)*c') FROM range(1000000000) t(i)",
    "SELECT " + "+".join(["1"] * 40_000),
    "SELECT " + "(" * 4_000 + "1" + ")" * 4_000,
    "SELECT " + "[" * 3_000 + "1" + "]" * 3_000,
    "SELECT * FROM " + ", ".join(f"range(1000000) t{number}" for number in range(400)),
]


@pytest.mark.parametrize("query", BOMBS, ids=range(len(BOMBS)))
def test_a_bomb_ends_in_an_answer_in_time_and_harms_nobody(ask: Callable[..., SqlResult], query: str) -> None:
    started = time.monotonic()
    with contextlib.suppress(QueryError):
        assert len(ask(query, timeout_s=5.0).rows) <= 1000
    assert time.monotonic() - started < 20
    assert ask("SELECT 1").rows == [[1]]


def test_a_child_never_holds_more_memory_than_it_may(ask: Callable[..., SqlResult]) -> None:
    with pytest.raises(QueryError):
        ask("SELECT list(i) FROM range(1000000000) t(i)", address_bytes=1 << 30)
    peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert peak_kib * 1024 < 4 << 30


def test_a_query_that_is_killed_leaves_no_process(ask: Callable[..., SqlResult]) -> None:
    with pytest.raises(QueryError):
        ask("SELECT sum(i * j) FROM range(1000000000) a(i), range(1000000000) b(j)", timeout_s=1.0)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_the_child_has_no_environment_and_no_open_files_of_ours(
    ask: Callable[..., SqlResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN__SECRET", CANARY)
    with pytest.raises(QueryError):
        ask("SELECT * FROM read_text('/proc/self/environ')")
    assert CANARY not in repr(ask("SELECT 1"))
