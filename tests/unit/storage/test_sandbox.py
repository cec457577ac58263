"""The sandbox's judgement of queries and its values, without its process."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import duckdb
import pytest

from storage.sandbox import RefusedError, plain, taken_apart

VIEWS = ("incidents", "events", "findings")


def judged(query: str) -> dict[str, Any]:
    with duckdb.connect(":memory:") as connection:
        return taken_apart(connection, query, VIEWS)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("SELECT 1", []),
        ("SELECT * FROM Incidents", ["incidents"]),
        ("SELECT (SELECT count(*) FROM events) FROM incidents WHERE EXISTS (FROM findings)", sorted(VIEWS)),
        ("WITH x AS (SELECT * FROM findings) SELECT * FROM x JOIN x y USING (finding_id)", ["findings"]),
        ("SUMMARIZE events", ["events"]),
        ("EXPLAIN SELECT * FROM events", ["events"]),
        ("SELECT * FROM events UNION SELECT * FROM findings", ["events", "findings"]),
        ("SELECT * FROM incidents ORDER BY (SELECT max(time) FROM events)", ["events", "incidents"]),
        (
            "SELECT list_transform([1], lambda x: x + (SELECT count(*) FROM events)) FROM incidents",
            ["events", "incidents"],
        ),
    ],
)
def test_a_query_names_the_views_it_reads(query: str, names: list[str]) -> None:
    assert judged(query) == {"names": names, "all": False}


@pytest.mark.parametrize("query", ["SHOW TABLES", "DESCRIBE", "SELECT * FROM information_schema.tables"])
def test_a_query_about_the_views_sees_them_all(query: str) -> None:
    assert judged(query) == {"names": [], "all": True}


def test_a_query_that_nests_without_end_is_refused() -> None:
    with pytest.raises((RefusedError, RecursionError, duckdb.Error)):
        judged("SELECT " + "(" * 5_000 + "1" + ")" * 5_000)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**70, 2**70),
        (float("nan"), None),
        (float("-inf"), None),
        (decimal.Decimal("2.50"), 2.5),
        (decimal.Decimal(7), 7),
        (decimal.Decimal("NaN"), None),
        (dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC), "2026-03-01T12:00:00Z"),
        (dt.datetime(2026, 3, 1, 12), "2026-03-01T12:00:00"),  # noqa: DTZ001 -- a column without a zone
        (dt.date(2026, 3, 1), "2026-03-01"),
        (dt.time(12, 30), "12:30:00"),
        (b"\x00\xff", "00ff"),
        ([1, (2, {3})], [1, [2, [3]]]),
        ({1: dt.date(2026, 3, 1)}, {"1": "2026-03-01"}),
        (dt.timedelta(days=1), "1 day, 0:00:00"),
    ],
)
def test_a_value_becomes_what_json_has(value: object, expected: object) -> None:
    assert plain(value) == expected


def test_a_value_in_a_value_in_a_value_has_an_end() -> None:
    nested: list[object] = []
    for _ in range(1_000):
        nested = [nested]
    with pytest.raises(RefusedError, match="nested"):
        plain(nested)
