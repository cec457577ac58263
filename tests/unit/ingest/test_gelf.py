"""GELF messages."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.batch import Part
from ingest.gelf import Message, decode_gelf, lines_of, opened
from ingest.gelf_wire import Chunks, NulFraming
from ingest.limits import Limits
from tocsin.errors import InputError

LIMITS = Limits()
MESSAGE: dict[str, Any] = {
    "version": "1.1",
    "host": "web-1",
    "short_message": "payment declined",
    "full_message": "payment declined\n  at Pay.java:7",
    "timestamp": 1772186462.243,
    "level": 3,
    "_service": "shop",
    "_user_id": 9,
}


def decoded(*messages: dict[str, Any]) -> tuple[Part, ...]:
    return decode_gelf("\n".join(map(json.dumps, messages)).encode(), LIMITS)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zlib.compress])
def test_a_message_is_a_line_of_its_service_however_it_is_compressed(compress: Callable[[bytes], bytes]) -> None:
    (part,) = decode_gelf(compress(json.dumps(MESSAGE).encode()), LIMITS)
    (line,) = part.lines.to_dicts()
    assert part.stream == "shop"
    assert line["time"] == datetime(2026, 2, 27, 10, 1, 2, 243000, tzinfo=UTC)
    assert (line["body"], line["severity_number"]) == ("payment declined", 17)
    assert json.loads(line["attributes"]) == {
        "host.name": "web-1",
        "full_message": "payment declined\n  at Pay.java:7",
        "service.name": "shop",
        "user_id": 9,
    }


@pytest.mark.parametrize(
    ("fields", "stream"),
    [
        ({"_application_name": "my app"}, "my-app"),
        ({"facility": "billing"}, "billing"),
        ({"_container_name": "web_1", "_tag": "x"}, "web_1"),
        ({"_tag": "build 7"}, "build-7"),
        ({"_service": 7}, "gelf"),
        ({}, "gelf"),
    ],
)
def test_the_stream_is_what_the_sender_calls_itself(fields: dict[str, Any], stream: str) -> None:
    (part,) = decoded({"short_message": "x", **fields})
    assert part.stream == stream


def test_several_messages_come_one_a_line() -> None:
    parts = decoded(MESSAGE, {"short_message": "two"}, {"host": "h"}, MESSAGE)
    assert [(part.stream, part.lines["position"].to_list()) for part in parts] == [("shop", [0, 3]), ("gelf", [1])]
    assert [(line.line, line.detail) for line in parts[1].rejected] == [
        (3, "field 'short_message': missing, or no text")
    ]


def test_a_message_with_only_the_long_text_is_taken() -> None:
    (part,) = decoded({"full_message": "all of it"})
    assert part.lines["body"].to_list() == ["all of it"]


@pytest.mark.parametrize("body", [b"", b" ", b"[]x", b"{", b'"text"x', b"\x1f\x8bxx", b"\x78\x9cxx"])
def test_what_is_no_message_is_refused(body: bytes) -> None:
    with pytest.raises(InputError, match="body"):
        decode_gelf(body, LIMITS)


@given(st.binary(max_size=200))
def test_no_bytes_crash_it(body: bytes) -> None:
    for sent in (body, zlib.compress(body)):
        try:
            decode_gelf(sent, LIMITS)
        except InputError as error:
            assert str(error)  # noqa: PT017 -- most bytes are refused, and none may do anything else


def test_messages_that_came_one_by_one_are_lines_of_their_services_and_what_is_none_is_refused_alone() -> None:
    sent = [json.dumps(MESSAGE, indent=1).encode(), b'{"short_message": "x"}', b"{", b"cut"]
    messages = [Message(raw, "192.0.2.1", "longer than 3 bytes" if raw == b"cut" else None) for raw in sent]
    parts = {part.stream: part for part in lines_of(messages, LIMITS)}
    assert parts["shop"].lines["body"].to_list() == ["payment declined"]
    assert json.loads(parts["gelf"].lines["attributes"].item()) == {"host.ip": "192.0.2.1"}
    assert [(line.line, line.detail) for line in parts["gelf"].rejected] == [
        (4, "longer than 3 bytes"),
        (3, "not valid JSON: it ends too early"),
    ]


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zlib.compress])
def test_a_datagram_may_be_compressed_and_a_bomb_is_refused(compress: Callable[[bytes], bytes]) -> None:
    assert opened(compress(b"{}"), "", 10, LIMITS) == Message(b"{}", "")
    assert "more than 10 bytes" in str(opened(compress(b"0" * 11), "", 10, LIMITS).why_refused).replace(
        "larger", "more"
    )


def chunks(text: bytes, size: int, name: bytes = b"12345678") -> list[bytes]:
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return [b"\x1e\x0f" + name + bytes([number, len(pieces)]) + piece for number, piece in enumerate(pieces)]


def test_chunks_are_put_together_in_whatever_order_and_however_often_they_come() -> None:
    made = Chunks(bytes_max=10_000, wait_s=5)
    first, second, third = chunks(b"abcdefgh", 3)
    other = chunks(b"ABC", 2)
    assert made.feed(third, "a", 0) == made.feed(first, "a", 0) == made.feed(first, "a", 1) == []
    assert made.feed(other[0], "b", 1) == []  # the same name of another sender
    assert made.feed(second, "a", 2) == [(b"abcdefgh", None)]
    assert made.feed(other[1], "b", 2) == [(b"ABC", None)]
    assert made.feed(b"{}", "a", 3) == [(b"{}", None)]


def test_a_message_has_up_to_128_chunks() -> None:
    made = Chunks(bytes_max=10_000, wait_s=5)
    *others, last = chunks(b"x" * 128, 1)
    assert not any(made.feed(chunk, "a", 0) for chunk in others)
    assert made.feed(last, "a", 0) == [(b"x" * 128, None)]
    for head in (b"\x00\x81", b"\x02\x02", b"\x00\x00"):
        ((_, why),) = made.feed(b"\x1e\x0f12345678" + head + b"x", "a", 0)
        assert "1 to 128 are allowed" in str(why)
    assert made.feed(b"\x1e\x0f1", "a", 0) == [(b"\x1e\x0f1", "a chunk without its head of 12 bytes")]


def test_a_message_that_stays_incomplete_is_given_up_after_a_while_or_for_room() -> None:
    made = Chunks(bytes_max=2_500, wait_s=5)
    first, _, third = chunks(b"abcdefgh", 3)
    made.feed(third, "a", 0)
    made.feed(first, "a", 0)
    assert made.feed(b"x", "a", 5.1) == [(b"abcgh", "2 of 3 chunks had come after 5 s"), (b"x", None)]
    for peer in "abc":
        assert made.feed(first, peer, 6) == []
    assert made.feed(b"x", "d", 6) == [
        (b"abc", "1 of 3 chunks had come when too many others were incomplete"),
        (b"x", None),
    ]


@given(st.lists(st.binary(max_size=30)), st.integers(1, 40))
def test_messages_end_with_nul(sent: list[bytes], step: int) -> None:
    framing, found = NulFraming(1000), []
    data = b"".join(piece.replace(b"\0", b"x") + b"\0" for piece in sent)
    for at in range(0, len(data), step):
        found += framing.feed(data[at : at + step])
    assert found == [(text, False) for text in (piece.replace(b"\0", b"x") for piece in sent) if text.strip(b" \t\r\n")]
    assert framing.finish() == []


def test_a_message_that_is_too_long_is_cut_and_the_next_one_read() -> None:
    framing = NulFraming(4)
    assert framing.feed(b"abc") + framing.feed(b"defgh") + framing.feed(b"ij\0kl") == [(b"abcd", True)]
    assert framing.feed(b"\0mn") == [(b"kl", False)]
    assert framing.finish() == [(b"mn", False)]
