"""The export format of systemd's journal."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.journald import decode_journald, whole_entries
from ingest.limits import Limits
from tocsin.errors import InputError, TooLargeError
from tocsin.record import LINES

LIMITS = Limits()


def entry(**fields: str | bytes) -> bytes:
    """One entry; values that are no line of text are written with their size."""
    body = b""
    for name, value in fields.items():
        raw = value.encode() if isinstance(value, str) else value
        if b"\n" in raw or not raw.isascii():
            body += name.encode() + b"\n" + len(raw).to_bytes(8, "little") + raw + b"\n"
        else:
            body += name.encode() + b"=" + raw + b"\n"
    return body + b"\n"


def rows(body: bytes) -> dict[str, list[dict[str, Any]]]:
    return {part.stream: part.lines.to_dicts() for part in decode_journald(body, LIMITS)}


SSHD = {
    "__CURSOR": "s=1;i=2;b=3",
    "__REALTIME_TIMESTAMP": "1772186462300000",
    "_SOURCE_REALTIME_TIMESTAMP": "1772186462243000",
    "_HOSTNAME": "web-1",
    "PRIORITY": "3",
    "_SYSTEMD_UNIT": "ssh.service",
    "SYSLOG_IDENTIFIER": "sshd",
    "_COMM": "sshd",
    "_PID": "4242",
    "MESSAGE": "Failed password for root",
}


def test_an_entry_is_a_line_of_its_service() -> None:
    (line,) = rows(entry(**SSHD))["ssh"]
    assert line["time"] == datetime(2026, 2, 27, 10, 1, 2, 243000, tzinfo=UTC)
    assert (line["body"], line["severity_number"]) == ("Failed password for root", 17)
    assert line["identity"] == "s=1;i=2;b=3"
    assert json.loads(line["attributes"]) == {
        "service.name": "ssh",
        "host.name": "web-1",
        "syslog.identifier": "sshd",
        "process.executable.name": "sshd",
        "process.pid": "4242",
    }


def test_the_columns_are_those_of_lines() -> None:
    (part,) = decode_journald(entry(**SSHD), LIMITS)
    assert dict(part.lines.schema) == LINES


@pytest.mark.parametrize(
    ("fields", "stream"),
    [
        ({"_SYSTEMD_UNIT": "getty@tty1.service"}, "getty"),
        ({"_SYSTEMD_UNIT": "session-7.scope", "SYSLOG_IDENTIFIER": "sudo"}, "sudo"),
        ({"SYSLOG_IDENTIFIER": "kernel"}, "kernel"),
        ({"SYSLOG_IDENTIFIER": "(my job)"}, "my-job"),
        ({"_COMM": "cron"}, "cron"),
        ({}, "journald"),
    ],
)
def test_the_stream_is_the_service_else_the_program(fields: dict[str, str], stream: str) -> None:
    assert list(rows(entry(MESSAGE="x", **fields))) == [stream]


def test_a_message_of_several_lines_and_bytes_that_are_no_text_are_kept() -> None:
    (line,) = rows(entry(MESSAGE="Traceback:\n  File x\n\nend", OTHER=b"\xff\x00\n"))["journald"]
    assert line["body"] == "Traceback:\n  File x\n\nend"
    assert json.loads(line["attributes"]) == {"OTHER": "\ufffd\ufffd\n"}


def test_a_field_that_comes_twice_is_a_list() -> None:
    (line,) = rows(b"MESSAGE=x\nTAG=a\nTAG=b\n\n")["journald"]
    assert json.loads(line["attributes"]) == {"TAG": ["a", "b"]}


def test_an_entry_without_a_message_is_its_fields() -> None:
    (line,) = rows(entry(JOB="7"))["journald"]
    assert line["body"] == '{"JOB":"7"}'


def test_a_stored_core_dump_is_no_attribute() -> None:
    (line,) = rows(entry(MESSAGE="dumped core", COREDUMP=b"\x7fELF\n" + bytes(100_000)))["journald"]
    assert json.loads(line["attributes"]) == {"COREDUMP": "(100005 bytes)"}


def test_a_message_that_is_too_long_is_refused_alone() -> None:
    limits = Limits(line_bytes_max=100)
    (part,) = decode_journald(entry(MESSAGE="x" * 101) + entry(MESSAGE="fine"), limits)
    assert part.lines["position"].to_list() == [1]
    assert [(line.line, line.detail) for line in part.rejected] == [(1, "field 'MESSAGE': longer than 100 bytes")]


def test_more_entries_than_allowed_are_refused() -> None:
    with pytest.raises(TooLargeError, match="more than 2 entries"):
        decode_journald(entry(MESSAGE="x") * 3, Limits(lines_max=2))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"MESSAGE=x", "position 0: cut short"),
        (b"MESSAGE\n\x05\0\0", "cut short in the middle of field 'MESSAGE'"),
        (b"MESSAGE\n" + (2**63).to_bytes(8, "little") + b"x\n", "cut short"),
        (b"MESSAGE\n" + (1).to_bytes(8, "little") + b"xy\n", "does not end where its size says"),
    ],
)
def test_what_is_no_journal_is_refused_with_its_position(body: bytes, says: str) -> None:
    with pytest.raises(InputError, match="position") as raised:
        decode_journald(body, LIMITS)
    assert says in str(raised.value)


def test_a_body_may_be_cut_anywhere() -> None:
    one, two = entry(MESSAGE="a\n\nb\n", N="1"), entry(MESSAGE="c", N="2")
    body = one + two
    for end in range(len(body) + 1):
        whole = whole_entries(body[:end])
        assert whole == (len(body) if end == len(body) else len(one) if end >= len(one) else 0)


@given(st.binary(max_size=300))
def test_no_bytes_crash_it(body: bytes) -> None:
    for read in (lambda: decode_journald(body, LIMITS), lambda: whole_entries(body)):
        try:
            read()
        except InputError as error:
            assert "position" in str(error)  # noqa: PT017 -- most bytes are refused, and none may do anything else
