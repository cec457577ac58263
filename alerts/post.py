"""The HTTP channel: one signed POST to a vetted address, with an end to everything.

Written on sockets, because the promises are about them: the connection goes to the address that was vetted, under the
name of the URL; no proxy, no redirect, no cookie; and one deadline holds over look-up, connection, handshake, request
and answer, however slowly bytes drip.
"""

from __future__ import annotations

import http.client
import io
import queue
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any, cast

from alerts.address import Address, AddressSettings, Resolve, Target, parse_url, vet
from alerts.deliver import Answer, Delivery
from alerts.formats import Format
from alerts.untrusted import neutralised
from alerts.webhook import headers
from tocsin.errors import InputError, RejectedError, UnreachableError


@dataclass(frozen=True, slots=True, kw_only=True)
class PostSettings:
    """How long and how much."""

    timeout_s: float = 15.0  # for everything together; Standard Webhooks recommends 15 to 30 s
    addresses_tried_max: int = 3  # of one name, so that a dead IPv6 route does not lose the message
    answer_bytes_max: int = 65_536  # status line, headers and what is read of the body
    excerpt_bytes: int = 1024  # kept of the body, for the log of deliveries
    excerpt_wait_s: float = 1.0  # the status decides; nobody waits long for the body behind it


class HttpChannel:
    """Posts deliveries over HTTP/1.1. Safe to be called from several threads."""

    def __init__(
        self,
        post: PostSettings,
        address: AddressSettings,
        *,
        resolve: Resolve | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare.

        Args:
            post: limits.
            address: what may be reached.
            resolve: look-up of names; the system's when None.
            trust: certificates to believe; the system's when None.
        """
        self._post = post
        self._address = address
        self._resolve = resolve or _system_resolve
        self._trust = trust or ssl.create_default_context()

    def send(self, delivery: Delivery, at: datetime) -> Answer:
        """Send once; returns within `timeout_s`.

        Raises:
            UnreachableError: no answer in time, or one that is not HTTP.
            RejectedError: the URL, an address or a secret is not allowed.
        """
        deadline = time.monotonic() + self._post.timeout_s
        try:
            target = parse_url(delivery.url)
            named = headers(
                message=delivery.message_id,
                content=delivery.body,
                shape=Format(delivery.format),
                secrets=delivery.secrets,
                at=at,
            )
        except InputError as error:
            raise RejectedError(str(error)) from error
        addresses = vet(target, _within(self._resolve, target, deadline), self._address)
        try:
            with self._connect(target, addresses, deadline) as connection:
                _send_all(connection, _request(target, named, delivery.body), deadline)
                return self._answer(connection, deadline, at)
        except TimeoutError:
            raise UnreachableError(f"{target.host}: no answer within {self._post.timeout_s:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(f"{target.host}: {_words(error)}") from error

    def _connect(self, target: Target, addresses: Sequence[Address], deadline: float) -> socket.socket:
        tried = addresses[: self._post.addresses_tried_max]
        for position, address in enumerate(tried):
            try:
                return self._connect_to(target, address, deadline, shares=len(tried) - position)
            except OSError:
                if position == len(tried) - 1:
                    raise
        raise UnreachableError(f"{target.host}: no address")

    def _connect_to(self, target: Target, address: Address, deadline: float, *, shares: int) -> socket.socket:
        # A literal address: nothing is looked up again. Each address gets its share of the time that is left.
        connection = socket.create_connection((str(address), target.port), timeout=_left_s(deadline) / shares)
        try:
            _check_peer(connection, address)
            if not target.secure:
                return connection
            connection.settimeout(_left_s(deadline) / shares)
            return self._trust.wrap_socket(connection, server_hostname=target.host)
        except BaseException:
            connection.close()
            raise

    def _answer(self, connection: socket.socket, deadline: float, at: datetime) -> Answer:
        source = _BoundedReader(connection, deadline, self._post.answer_bytes_max)
        # HTTPResponse only asks a socket for its file.
        response = http.client.HTTPResponse(cast("socket.socket", source), method="POST")
        with response:
            response.begin()
            source.deadline = min(deadline, time.monotonic() + self._post.excerpt_wait_s)
            try:
                excerpt = response.read1(self._post.excerpt_bytes)
            except (OSError, http.client.HTTPException):
                excerpt = b""  # the status has been said; what is behind it does not change it
            return Answer(
                status=response.status,
                excerpt=neutralised(excerpt.decode("utf-8", "replace"), self._post.excerpt_bytes),
                retry_after_s=_retry_after_s(response.headers.get("retry-after"), at),
            )


def _check_peer(connection: socket.socket, address: Address) -> None:
    """The last word on where we are: what the system says it is connected to."""
    peer = ip_address(connection.getpeername()[0])
    if peer != address:
        raise RejectedError(f"connected to {peer} instead of {address}")


class _BoundedReader(io.RawIOBase):
    """Bytes of a socket until a deadline and up to a number."""

    def __init__(self, connection: socket.socket, deadline: float, bytes_max: int) -> None:
        super().__init__()
        self.deadline = deadline
        self._connection = connection
        self._left = bytes_max

    def makefile(self, mode: str) -> io.BufferedReader:
        """What HTTPResponse takes a socket for."""
        assert mode == "rb"
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left <= 0:
            raise OSError("the answer is too long")
        self._connection.settimeout(_left_s(self.deadline))
        count = self._connection.recv_into(buffer, min(len(buffer), self._left))
        self._left -= count
        return count


def _request(target: Target, named: Mapping[str, str], body: bytes) -> bytes:
    lines = [f"POST {target.path} HTTP/1.1", f"host: {target.host_header}"]
    lines += [f"{name}: {value}" for name, value in named.items()]
    lines += ["accept: */*", "connection: close", f"content-length: {len(body)}"]
    assert not any("\r" in line or "\n" in line for line in lines)
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def _send_all(connection: socket.socket, content: bytes, deadline: float) -> None:
    """Like `sendall`, with one deadline for a receiver that takes a byte at a time."""
    rest = memoryview(content)
    while rest:
        connection.settimeout(_left_s(deadline))
        rest = rest[connection.send(rest) :]


def _left_s(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _within(resolve: Resolve, target: Target, deadline: float) -> Sequence[str]:
    """Look a name up; the system's look-up knows no deadline, and the receiver runs the name server."""
    answers: queue.SimpleQueue[Sequence[str] | OSError | UnicodeError] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(resolve(target.host, target.port))
        except (OSError, UnicodeError) as error:
            answers.put(error)

    # Left behind when it is late; the system gives up on a name after some 30 s, and there is one for each attempt.
    threading.Thread(target=look_up, name="resolve", daemon=True).start()
    try:
        answer = answers.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise UnreachableError(f"{target.host}: the name did not resolve in time") from None
    if isinstance(answer, Exception):
        raise UnreachableError(f"{target.host}: {_words(answer)}") from answer
    return answer


def _system_resolve(host: str, port: int) -> Sequence[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def _retry_after_s(text: str | None, at: datetime) -> float | None:
    """Seconds or an HTTP date, as seconds; None when it is absent or neither."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - at).total_seconds())


def _words(error: Exception) -> str:
    return neutralised(str(error) or type(error).__name__, 200)
