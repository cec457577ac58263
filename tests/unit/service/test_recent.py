from datetime import UTC, datetime, timedelta

import polars as pl

from service.recent import COLUMNS, RecentLines
from tocsin.record import RECORDS

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def records(first: int, count: int) -> pl.DataFrame:
    numbers = range(first, first + count)
    columns = {name: [None] * count for name in RECORDS} | {
        "event_id": [f"event {number}" for number in numbers],
        "stream": ["web"] * count,
        "time": [NOON + timedelta(seconds=number) for number in numbers],
        "body": [f"line {number}" for number in numbers],
        "template_id": ["t"] * count,
    }
    return pl.DataFrame(columns, schema=RECORDS)


def test_lines_are_found_by_their_events_in_time_order() -> None:
    recent = RecentLines(rows_max=100, bytes_max=10**6)
    recent.add(records(0, 5))
    recent.add(records(5, 5))
    found = recent.find(["event 7", "event 2", "event 99"])
    assert found["body"].to_list() == ["line 2", "line 7"]
    assert found.columns == list(COLUMNS)


def test_the_oldest_go_when_there_are_too_many_rows() -> None:
    recent = RecentLines(rows_max=10, bytes_max=10**6)
    for begin in (0, 5, 10):
        recent.add(records(begin, 5))
    assert recent.find(["event 0", "event 5", "event 14"])["body"].to_list() == ["line 5", "line 14"]


def test_the_oldest_go_when_there_are_too_many_bytes() -> None:
    recent = RecentLines(rows_max=1000, bytes_max=1)
    recent.add(records(0, 5))
    recent.add(records(5, 5))
    assert recent.find(["event 0", "event 5"])["body"].to_list() == ["line 5"]


def test_nothing_asked_is_nothing_found() -> None:
    assert RecentLines(rows_max=10, bytes_max=10).find([]).is_empty()
