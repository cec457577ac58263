"""A client of Fluentd's forward protocol that does what the protocol says: it resends what was not acknowledged."""

from __future__ import annotations

import hashlib
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgpack


class Client:
    """One sender; it connects when it has something to send.

    Args:
        port: of the service on this machine.
        key: shared key, where there is a handshake.
        context: for TLS.
    """

    def __init__(self, port: int, *, key: str | None = None, context: ssl.SSLContext | None = None) -> None:
        self._port = port
        self._key = key
        self._context = context
        self._socket: socket.socket | None = None
        self._unpacker = msgpack.Unpacker()

    def send(self, *message: Any) -> None:
        """Send one message."""
        self._connected().sendall(msgpack.packb(message))

    def answer(self, timeout_s: float = 20.0) -> Any:
        """The next answer; raises OSError when there is none."""
        connection = self._connected()
        connection.settimeout(timeout_s)
        while True:
            for answer in self._unpacker:
                return answer
            data = connection.recv(4096)
            if not data:
                raise ConnectionError("hung up")
            self._unpacker.feed(data)

    def deliver(self, tag: str, events: Any, chunk: str, **options: Any) -> None:
        """Send a chunk until it is acknowledged."""
        while True:
            try:
                self.send(tag, events, {"chunk": chunk, **options})
                assert self.answer() == {"ack": chunk}
            except OSError:
                self.close()
                time.sleep(0.05)
            else:
                return

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._unpacker = None, msgpack.Unpacker()

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=20)
            if self._context is not None:
                self._socket = self._context.wrap_socket(self._socket)
            if self._key is not None:
                self._shake_hands(self._key)
        return self._socket

    def _shake_hands(self, key: str) -> None:
        assert self._socket is not None
        word, options = self.answer()
        assert (word, options["auth"]) == ("HELO", "")
        nonce, salt = options["nonce"], b"0123456789abcdef"
        proof = hashlib.sha512(salt + b"web-1" + nonce + key.encode()).hexdigest()
        self._socket.sendall(msgpack.packb(["PING", "web-1", salt, proof, "", ""]))
        word, is_in, reason, name, digest = self.answer()
        if not is_in:
            raise PermissionError(reason)
        assert digest == hashlib.sha512(salt + name.encode() + nonce + key.encode()).hexdigest()


@contextmanager
def client(port: int, **how: Any) -> Iterator[Client]:
    made = Client(port, **how)
    yield made
    made.close()


def packed(*records: dict[str, Any], at: int = 1_772_186_414) -> bytes:
    """A stream of events."""
    return b"".join(msgpack.packb([at, record]) for record in records)
