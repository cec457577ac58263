"""The handshake of Fluentd's forward protocol: both sides show that they know the shared key, and neither says it."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import sha512

import msgspec

from ingest.lines import text_of
from ingest.msgpack import bytes_of
from tocsin.errors import InputError

_raws = msgspec.msgpack.Decoder(list[msgspec.Raw])
_encode = msgspec.msgpack.Encoder().encode

NONCE_BYTES = 16
SERVER_NAME = "tocsin"  # not the host's: Fluentd refuses a server of its own name


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """What a sender says to be let in."""

    host: bytes
    salt: bytes
    digest: bytes  # hex

    def is_of(self, key: str, nonce: bytes) -> bool:
        """Whether its sender knows the key."""
        return hmac.compare_digest(_digest(self.salt, self.host, nonce, key), self.digest)


def helo(nonce: bytes) -> bytes:
    """What the server says first. It has no salt for passwords: there are no users."""
    return _encode(["HELO", {"nonce": nonce, "auth": "", "keepalive": True}])


def read_ping(value: bytes) -> Ping:
    """The ping that `value` is. Its salt may be any bytes, also as a text.

    Raises:
        InputError: it is none.
    """
    try:
        members = [bytes_of(bytes(member)) for member in _raws.decode(value)]
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InputError(f"a ping was expected: {str(error)[:200]}") from error
    word, host, salt, digest = [*members, None, None, None, None][:4]
    if word != b"PING" or host is None or salt is None or digest is None:
        raise InputError("a ping was expected: the sender has to know a shared_key")
    return Ping(host=host, salt=salt, digest=digest)


def pong(ping: Ping, key: str, nonce: bytes) -> bytes:
    """The answer to a sender that knows the key."""
    digest = _digest(ping.salt, SERVER_NAME.encode(), nonce, key)
    return _encode(["PONG", True, "", SERVER_NAME, text_of(digest)])


def refusal(why: str) -> bytes:
    """The answer to one that does not."""
    return _encode(["PONG", False, why, "", ""])


def _digest(salt: bytes, host: bytes, nonce: bytes, key: str) -> bytes:
    return sha512(salt + host + nonce + key.encode()).hexdigest().encode()
