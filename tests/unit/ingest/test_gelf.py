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
from ingest.gelf import decode_gelf
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
