from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from ingest.stamps import read_times

DAY = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
HALF = DAY.replace(microsecond=500_000)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-01-02T03:04:05Z", DAY),
        ("2024-01-02t03:04:05z", DAY),
        ("2024-01-02 03:04:05", DAY),
        ("2024-01-02 03:04:05 UTC", DAY),
        (" 2024-01-02T03:04:05 ", DAY),
        ("2024-01-02T03:04:05.5Z", HALF),
        ("2024-01-02 03:04:05,500", HALF),
        ("2024-01-02T03:04:05.500000000000Z", HALF),
        ("2024-01-02T05:04:05+02:00", DAY),
        ("2024-01-01T23:34:05-0330", DAY),
        ("2024-01-02T05:04:05+02", DAY),
        ("2024/01/02 03:04:05", DAY),
        ("Tue, 02 Jan 2024 03:04:05 +0000", DAY),
        ("2 Jan 2024 03:04:05", DAY),
        ("02/Jan/2024:05:04:05 +0200", DAY),
        ("Tue Jan  2 03:04:05 2024", DAY),
        ("Tue Jan 2 03:04:05.5 2024", HALF),
        ("Tue Jan  2 03:04:05 UTC 2024", DAY),
        ("20240102T030405Z", DAY),
        ("20240102030405", DAY),
        ("2024-01-02 03:04", DAY.replace(second=0)),
        ("2024-01-02", datetime(2024, 1, 2, tzinfo=UTC)),
        ("1/2/2024 3:04:05 AM", DAY),
        ("1704164645", DAY),
        ("1704164645.5", HALF),
        ("1704164645500", HALF),
        (1704164645, DAY),
        (1704164645.5, HALF),
        (1704164645500, HALF),
        (1704164645500000, HALF),
        (1704164645500000000, HALF),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (4102444800, datetime(2100, 1, 1, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2024-02-30 00:00:00", None),
        ("2024-01-02T03:04:05+02:00Z", None),
        ("9999-12-31T23:59:59Z", None),  # nanoseconds end in 2262
        ("0001-01-01 00:00:00", None),
        ("soon", None),
        ("", None),
        ("12345", None),
        (None, None),
        (True, None),
        ([1], None),
        ({"a": 1}, None),
        (2**63, None),
        (20240102030405, None),
        (1e300, None),
        (float("nan"), None),
    ],
)
def test_times(value: object, expected: datetime | None) -> None:
    assert read_times([value]).to_list() == [expected]
    # In company of others the same is read, by the slower and the faster way.
    assert read_times([value, "x", None, 1.5, 7])[0] == expected
    assert read_times([value, value])[1] == expected


def test_nanoseconds_are_kept() -> None:
    assert read_times(["2024-01-02T03:04:05.123456789Z"]).cast(pl.Int64).item() % 10**9 == 123456789
    assert read_times([1704164645123456789]).cast(pl.Int64).item() % 10**9 == 123456789
    assert read_times(["1704164645.123456789"]).cast(pl.Int64).item() % 10**9 == 123456789


def test_microseconds_are_exact() -> None:
    texts = [f"2024-01-02T03:04:05.{number:06d}Z" for number in range(0, 10**6, 997)]
    assert (read_times(texts).cast(pl.Int64) % 10**9).to_list() == [number * 1000 for number in range(0, 10**6, 997)]


def test_units_may_be_mixed() -> None:
    assert read_times([1704164645, 1704164645500, 1704164645500000]).to_list() == [DAY, HALF, HALF]


def test_the_last_time_there_is_does_not_depend_on_its_neighbours() -> None:
    last = 2**63 - 1
    assert read_times([last]).to_list() == read_times([last, 0.5]).to_list()[:1]


def test_no_values_are_no_times() -> None:
    assert read_times([]).to_list() == []
