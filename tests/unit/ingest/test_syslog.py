"""Syslog's framing, and what of a message becomes an attribute."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.limits import Limits
from ingest.syslog import Framing, Message, lines_of, structured_data
from tocsin.errors import InputError
from tocsin.record import LINES

FRAME_MAX = 100


def messages(*chunks: bytes) -> list[tuple[bytes, bool]]:
    """What comes out of a connection that brings these bytes and ends."""
    framing = Framing(FRAME_MAX)
    return [found for chunk in chunks for found in framing.feed(chunk)] + framing.finish()


def counted(*texts: bytes) -> bytes:
    return b"".join(b"%d %s" % (len(text), text) for text in texts)


WHOLE = False
CUT = True


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (counted(b"<13>one", b"<13>two\nlines\n"), [(b"<13>one", WHOLE), (b"<13>two\nlines\n", WHOLE)]),
        (b"7 <13>one\n7 <13>two\n", [(b"<13>one", WHOLE), (b"<13>two", WHOLE)]),
        (b"<13>one\n<13>two\r\n\n<13>three", [(b"<13>one", WHOLE), (b"<13>two\r", WHOLE), (b"<13>three", WHOLE)]),
        (b"<13>one\0<13>two\nlines\0", [(b"<13>one", WHOLE), (b"<13>two\nlines", WHOLE)]),
        (b"189: Nov 25 x\n190: Nov 25 y\n", [(b"189: Nov 25 x", WHOLE), (b"190: Nov 25 y", WHOLE)]),
        (b"12 monkeys\n", [(b"12 monkeys", WHOLE)]),
        (b"7\n8\n", [(b"7", WHOLE), (b"8", WHOLE)]),
        (b"7", [(b"7", WHOLE)]),
        (b"", []),
        (b"\n\n\r\n", []),
        (b"200 <" + b"x" * 199 + counted(b"<13>next"), [(b"<" + b"x" * 99, CUT), (b"<13>next", WHOLE)]),
        (b"<" + b"x" * 199 + b"\n<13>next\n", [(b"<" + b"x" * 99, CUT), (b"<13>next", WHOLE)]),
        (b"<" + b"x" * 99 + b"\n", [(b"<" + b"x" * 99, WHOLE)]),
        (b"50 <13>not all", [(b"<13>not all", CUT)]),
    ],
)
def test_bytes_are_taken_apart_however_they_arrive(sent: bytes, found: list[tuple[bytes, bool]]) -> None:
    assert messages(sent) == found
    if b"\0" not in sent:  # of lines that end in NUL the first has to come with it
        assert messages(*(sent[at : at + 1] for at in range(len(sent)))) == found
    assert messages(sent[:5], sent[5:]) == found or b"\0" in sent


def test_a_frame_without_a_size_ends_the_connection() -> None:
    framing = Framing(FRAME_MAX)
    framing.feed(counted(b"<13>one"))
    with pytest.raises(InputError, match="does not begin with its size"):
        framing.feed(b"<13>two\n")


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_no_bytes_crash_it_and_nothing_is_held_beyond_the_frame(chunks: list[bytes]) -> None:
    framing = Framing(FRAME_MAX)
    try:
        found = [message for chunk in chunks for message in framing.feed(chunk)] + framing.finish()
    except InputError:
        return
    assert all(len(raw) <= FRAME_MAX for raw, _ in found)
    lines_of([Message(raw, "192.0.2.1", is_cut) for raw, is_cut in found], "syslog", Limits())


@given(st.lists(st.binary(min_size=1, max_size=60).map(lambda raw: b"<" + raw), min_size=1, max_size=8), st.data())
def test_counted_frames_come_out_as_they_went_in(sent: list[bytes], data: st.DataObject) -> None:
    body = counted(*sent)
    at = data.draw(st.integers(0, len(body)))
    assert messages(body[:at], body[at:]) == [(raw, WHOLE) for raw in sent]


def attributes(text: str) -> dict[str, Any]:
    part = lines_of([Message(text.encode(), "192.0.2.1")], "syslog", Limits())
    found: dict[str, Any] = json.loads(part.lines["attributes"][0])
    return found


def test_a_message_stays_as_it_is() -> None:
    sent = [Message(b"<13>one\r\n", "192.0.2.1"), Message(b"\n", "192.0.2.1"), Message(b"<13>t\xffwo", "192.0.2.1")]
    part = lines_of(sent, "edge", Limits())
    assert part.stream == "edge"
    assert dict(part.lines.schema) == LINES
    assert part.lines["body"].to_list() == ["<13>one", "<13>t\ufffdwo"]
    assert part.lines["position"].to_list() == [0, 2]


def test_a_message_that_was_cut_is_a_dead_letter() -> None:
    part = lines_of([Message(b"<13>begun", "192.0.2.1", is_cut=True)], "syslog", Limits())
    assert part.lines.height == 0
    assert [(line.line, line.raw) for line in part.rejected] == [(1, b"<13>begun")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("<34>Nov 25 10:00:00 web-1 sshd[1]: x", {"syslog.facility": "auth"}),
        ("<165>1 2026-11-25T10:00:00Z web-1 shop 42 - - x", {"syslog.facility": "local4"}),
        ("<165>1 2026-11-25T10:00:00Z web-1 shop 42 ID47 - x", {"syslog.facility": "local4", "syslog.msg_id": "ID47"}),
        ("<14>shop: x", {"syslog.facility": "user", "host.ip": "192.0.2.1"}),
        ("plain", {"host.ip": "192.0.2.1"}),
        ("<192>x", {"host.ip": "192.0.2.1"}),
    ],
)
def test_what_the_header_would_lose_is_an_attribute(text: str, found: dict[str, str]) -> None:
    assert attributes(text) == found


def test_structured_data_is_read_with_its_escapes() -> None:
    data = r'[shop@32473 user="eve" note="a \"b\" \\ \] c"][origin ip="192.0.2.7"]'
    assert attributes(f"<165>1 2026-11-25T10:00:00Z web-1 shop 42 - {data} x")["syslog.structured_data"] == {
        "shop@32473": {"user": "eve", "note": 'a "b" \\ ] c'},
        "origin": {"ip": "192.0.2.7"},
    }


@pytest.mark.parametrize("text", ["[", "[x", '[x a="', '[x a="b"', "[x a=b]", "[]", "x"])
def test_structured_data_that_is_none_is_left_in_the_message(text: str) -> None:
    assert structured_data(text, 0) == {}
