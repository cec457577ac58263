"""The usual beginnings of log lines."""

from __future__ import annotations

import csv
import gzip
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ingest.header import HEADER, headers

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LOGHUB = Path(os.environ.get("TOCSIN_DATA", Path(__file__).parents[4] / "shared" / "data")) / "logs" / "loghub_2k"
SYSTEMS = [
    "Android",
    "Apache",
    "BGL",
    "HDFS",
    "HPC",
    "Hadoop",
    "HealthApp",
    "Linux",
    "Mac",
    "OpenSSH",
    "OpenStack",
    "Proxifier",
    "Spark",
    "Thunderbird",
    "Windows",
    "Zookeeper",
]


def header(line: str, now: datetime = NOW) -> dict[str, Any]:
    """What is found at the beginning of one line, with the message it leaves."""
    (row,) = headers(pl.Series([line], dtype=pl.String), observed_time=now).to_dicts()
    return {**row, "message": line.encode()[row["start"] :].decode()}


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]  # tzinfo is always by name here


LINES: list[tuple[str, dict[str, Any]]] = [
    (
        "Feb 27 10:01:02 web-1 sshd[811]: Accepted publickey for deploy",
        {
            "time": at(2026, 2, 27, 10, 1, 2),
            "host": "web-1",
            "process": "sshd",
            "pid": "811",
            "message": "Accepted publickey for deploy",
        },
    ),
    (
        "<134>Feb  7 10:01:02 web-1 cron: ran",
        {"severity_number": 9, "host": "web-1", "process": "cron", "message": "ran"},
    ),
    (
        '<165>1 2026-02-27T10:01:02.003+02:00 web-1 shop 42 ID47 [x@1 a="b\\]"] paid',
        {
            "time": at(2026, 2, 27, 8, 1, 2, 3000),
            "severity_number": 10,
            "host": "web-1",
            "process": "shop",
            "pid": "42",
            "message": "paid",
        },
    ),
    (
        "<14>1 2026-02-27T10:01:02Z web-1 shop - - - paid",
        {"severity_number": 9, "process": "shop", "pid": None, "message": "paid"},
    ),
    (
        "<11>1 - web-1 shop 42 - - \ufeffpäid",
        {"time": None, "severity_number": 17, "host": "web-1", "process": "shop", "pid": "42", "message": "päid"},
    ),
    (
        '<165>1 2026-02-27T10:01:02Z web-1 shop - ID47 [x@1 a="' + "b" * 2000 + '"][y c="d"] paid',
        {"host": "web-1", "process": "shop", "message": "paid"},
    ),
    (
        "<13>2026-02-27T10:01:02.123456+00:00 web-1 shop[7]: paid",
        {"time": at(2026, 2, 27, 10, 1, 2, 123456), "host": "web-1", "process": "shop", "pid": "7", "message": "paid"},
    ),
    (
        "<86>Feb 27 10:01:02 sshd[811]: Accepted publickey",
        {"severity_number": 9, "host": None, "process": "sshd", "pid": "811", "message": "Accepted publickey"},
    ),
    ("<11>shop[7]: declined", {"severity_number": 17, "process": "shop", "pid": "7", "message": "declined"}),
    ("<11>declined: no money", {"severity_number": 17, "process": "declined", "message": "no money"}),
    ("<15>what a day", {"time": None, "severity_number": 5, "process": None, "message": "what a day"}),
    (
        "<12>2026-02-27 10:01:02,123 - shop.pay - ERROR - declined",
        {"time": at(2026, 2, 27, 10, 1, 2, 123000), "severity_number": 13, "process": "shop.pay"},
    ),
    (
        "<189>45: *Feb 27 10:01:02.123: %SYS-5-CONFIG_I: Configured from console",
        {"time": at(2026, 2, 27, 10, 1, 2, 123000), "message": "%SYS-5-CONFIG_I: Configured from console"},
    ),
    (
        "<189>45: sw-1: Feb 27 10:01:02 UTC: %LINK-3-UPDOWN: down",
        {"time": at(2026, 2, 27, 10, 1, 2), "host": "sw-1", "message": "%LINK-3-UPDOWN: down"},
    ),
    (
        "<166>Feb 27 2026 10:01:02 asa-1 : %ASA-6-302013: Built outbound",
        {"time": at(2026, 2, 27, 10, 1, 2), "host": "asa-1", "message": "%ASA-6-302013: Built outbound"},
    ),
    ("<999>1", {"message": "1"}),
    ("<html> is no priority", {"severity_number": None, "start": 0}),
    (
        "2026-02-27T10:01:02.123456+00:00 web-1 kernel: eth0 up",
        {"time": at(2026, 2, 27, 10, 1, 2, 123456), "host": "web-1", "process": "kernel", "message": "eth0 up"},
    ),
    (
        "2026-02-27 10:01:02,123 INFO [main] org.shop.Cart: created",
        {
            "time": at(2026, 2, 27, 10, 1, 2, 123000),
            "severity_number": 9,
            "process": "org.shop.Cart",
            "message": "created",
        },
    ),
    (
        "2026-02-27 10:01:02.123  WARN 7 --- [nio-1] c.s.Pay : slow",
        {"severity_number": 13, "pid": "7", "process": "c.s.Pay", "message": "slow"},
    ),
    (
        "2026-02-27 10:01:02,123 - shop.pay - ERROR - declined",
        {"severity_number": 17, "process": "shop.pay", "message": "declined"},
    ),
    ("2026-02-27T10:01:02Z ERROR boom", {"time": at(2026, 2, 27, 10, 1, 2), "severity_number": 17, "message": "boom"}),
    ("[2026-02-27 10:01:02] app.INFO: Starting server", {"time": at(2026, 2, 27, 10, 1, 2)}),
    ("2026-02-27 10:01:02 Starting server", {"host": None, "process": None, "message": "Starting server"}),
    (
        "2026/02/27 10:01:02 [error] 123#0: *1 open() failed",
        {"severity_number": 17, "pid": "123", "message": "*1 open() failed"},
    ),
    (
        "[Fri Feb 27 10:01:02.123456 2026] [core:error] [pid 9:tid 1] denied",
        {"time": at(2026, 2, 27, 10, 1, 2, 123456), "severity_number": 17, "pid": "9", "message": "denied"},
    ),
    (
        '9.9.9.9 - eve [27/Feb/2026:10:01:02 +0100] "GET / HTTP/1.1" 200 5',
        {"time": at(2026, 2, 27, 9, 1, 2), "start": 0, "host": None},
    ),
    (
        "I0227 10:01:02.000123   12 main.go:10] listening",
        {
            "time": at(2026, 2, 27, 10, 1, 2, 123),
            "severity_number": 9,
            "pid": "12",
            "process": "main.go",
            "message": "listening",
        },
    ),
    (
        'level=warn ts=2026-02-27T10:01:02.5Z caller=x.go:1 msg="slow"',
        {"time": at(2026, 2, 27, 10, 1, 2, 500000), "severity_number": 13, "start": 0},
    ),
    (
        "type=USER_AUTH msg=audit(1772186462.243:24287): pid=1 uid=0",
        {"time": at(2026, 2, 27, 10, 1, 2, 243000), "start": 0},
    ),
    ("1772186462.5 cpu hot", {"time": at(2026, 2, 27, 10, 1, 2, 500000), "message": "cpu hot"}),
    ("1772186462500 cpu hot", {"time": at(2026, 2, 27, 10, 1, 2, 500000), "message": "cpu hot"}),
    ("ERROR: disk full", {"time": None, "severity_number": 17, "message": "disk full"}),
    ("WARNING:shop.pay:declined", {"severity_number": 13, "process": "shop.pay", "message": "declined"}),
    ("[DEBUG] x", {"severity_number": 5, "message": "x"}),
    ("    at org.shop.Cart.add(Cart.java:7)", {"time": None, "severity_number": None, "start": 0}),
    ("Information wants to be free", {"severity_number": None, "start": 0}),
    ("", {"time": None, "start": 0}),
    ("日本 2026-02-27 10:01:02", {"time": None, "start": 0}),
]


@pytest.mark.parametrize(("line", "expected"), LINES, ids=[line[:40] for line, _ in LINES])
def test_a_line_is_taken_apart(line: str, expected: dict[str, Any]) -> None:
    found = header(line)
    assert {name: found[name] for name in expected} == expected


def test_lines_of_many_kinds_are_each_taken_apart_as_alone() -> None:
    lines = [line for line, _ in LINES]
    together = headers(pl.Series(lines, dtype=pl.String), observed_time=NOW).to_dicts()
    alone = [headers(pl.Series([line], dtype=pl.String), observed_time=NOW).to_dicts()[0] for line in lines]
    assert together == alone


def test_a_date_without_a_year_is_the_latest_that_has_passed() -> None:
    assert header("Dec 31 23:59:59 h p: x", at(2026, 1, 1, 0, 0, 5))["time"] == at(2025, 12, 31, 23, 59, 59)
    assert header("Jan  1 00:00:01 h p: x", at(2025, 12, 31, 23, 59, 59))["time"] == at(2026, 1, 1, 0, 0, 1)
    assert header("Mar  5 00:00:00 h p: x", at(2026, 3, 1))["time"] == at(2025, 3, 5)
    assert header("Feb 29 00:00:00 h p: x", at(2026, 3, 1))["time"] == at(2024, 2, 29)


def test_the_start_counts_bytes_of_utf8() -> None:
    found = header("Feb 27 10:01:02 wéb-ü prög[1]: naïve 日本")
    assert (found["host"], found["process"], found["message"]) == ("wéb-ü", "prög", "naïve 日本")


def test_an_empty_series_has_the_columns() -> None:
    found = headers(pl.Series([], dtype=pl.String), observed_time=NOW)
    assert dict(found.schema) == HEADER


def test_dates_that_do_not_exist_are_no_times() -> None:
    assert header("2026-02-31 10:01:02 INFO x")["time"] is None
    assert header("Feb 31 10:01:02 h p: x")["time"] is None
    assert header("2026-02-27 25:61:61 INFO x")["time"] is None


@pytest.mark.real_data
@pytest.mark.parametrize("system", SYSTEMS)
def test_real_lines_are_taken_apart_as_their_curators_did(system: str) -> None:
    folder = LOGHUB / system
    if not folder.exists():
        pytest.skip(f"the labelled data sets are missing: {LOGHUB} (TOCSIN_DATA)")
    text = (folder / f"{system}_2k.log").read_text(errors="replace")
    lines = [line for line in text.splitlines() if line.strip()]
    with gzip.open(folder / f"{system}_2k.log_structured.csv.gz", "rt") as file:
        truth = [row["Content"].strip() for row in csv.DictReader(file)]
    found = headers(pl.Series(lines, dtype=pl.String), observed_time=NOW)
    messages = [line.encode()[start:].decode().strip() for line, start in zip(lines, found["start"], strict=True)]
    right = sum(message == content for message, content in zip(messages, truth, strict=True))
    assert right >= 0.99 * len(lines)
    assert found["time"].null_count() <= 0.01 * len(lines)
