"""The handshake of Fluentd's forward protocol, byte for byte."""

from __future__ import annotations

from hashlib import sha512

import pytest

from ingest.fluent_handshake import helo, pong, read_ping, refusal
from tocsin.errors import InputError

NONCE = bytes(range(16))
KEY = "open sesame"
SALT = b"\xff\x00salt-of-16-bytes"[:16]
DIGEST = sha512(SALT + b"web-1" + NONCE + KEY.encode()).hexdigest().encode()


def ping(digest: bytes = DIGEST, salt: bytes = b"\xb0" + SALT) -> bytes:
    return b"\x96\xa4PING\xa5web-1" + salt + b"\xd9\x80" + digest + b"\xa0\xa0"


def test_the_server_speaks_first() -> None:
    assert helo(NONCE) == b"\x92\xa4HELO\x83\xa5nonce\xc4\x10" + NONCE + b"\xa4auth\xa0\xa9keepalive\xc3"


@pytest.mark.parametrize("salt", [b"\xb0" + SALT, b"\xc4\x10" + SALT], ids=["a text of any bytes", "binary"])
def test_a_sender_that_knows_the_key_is_told_that_the_server_does_too(salt: bytes) -> None:
    told = read_ping(ping(salt=salt))
    assert told.is_of(KEY, NONCE)
    proof = sha512(SALT + b"tocsin" + NONCE + KEY.encode()).hexdigest().encode()
    assert pong(told, KEY, NONCE) == b"\x95\xa4PONG\xc3\xa0\xa6tocsin\xd9\x80" + proof


def test_one_that_knows_another_key_is_refused() -> None:
    assert not read_ping(ping()).is_of("another", NONCE)
    assert not read_ping(ping()).is_of(KEY, b"x" * 16)
    assert refusal("shared_key mismatch") == b"\x95\xa4PONG\xc2\xb3shared_key mismatch\xa0\xa0"


@pytest.mark.parametrize(
    "value", [b"\x93\xa1t\x01\x80", b"\x91\xa4PING", b"\xc0", b"\x01", b"\x94\xa4PING\x01\x02\x03"]
)
def test_what_is_no_ping_is_refused(value: bytes) -> None:
    with pytest.raises(InputError, match="a ping was expected"):
        read_ping(value)
