from __future__ import annotations

import pytest

from ingest.severity import SYSLOG, of_level, of_number, of_python_level


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("TRACE", 1),
        ("Debug", 5),
        ("info", 9),
        ("Notice", 10),
        ("WARN", 13),
        ("Warning", 13),
        ("E", 17),
        ("SEVERE", 17),
        ("CRITICAL", 18),
        ("alert", 19),
        ("EMERG", 21),
        (" fatal ", 21),
        ("Level.INFO", 9),
        ("SEVERITY_NUMBER_WARN2", 13),
        ("3", 17),
        ("30", 9),
        (0, 21),
        (7, 5),
        (60, 21),
        (40.0, 13),
        (8, None),
        (-1, None),
        (40.5, None),
        ("gold", None),
        ("", None),
        (True, None),
        (None, None),
        ([1], None),
        (float("nan"), None),
        (float("inf"), None),
        ("9" * 5000, None),
    ],
)
def test_levels(value: object, expected: int | None) -> None:
    assert of_level(value) == expected


def test_syslog_goes_from_emergency_to_debug() -> None:
    assert SYSLOG == (21, 19, 18, 17, 13, 10, 9, 5)


def test_python_and_opentelemetry_have_numbers_of_their_own() -> None:
    assert [of_python_level(number) for number in (10, 20, 30, 40, 50, 60)] == [5, 9, 13, 17, 21, None]
    assert [of_number(number) for number in (0, 1, 24, 25, "9")] == [None, 1, 24, None, 9]
