"""One connection of the HTTP server: how long it may be without a request, how large a request's head may be.

The server's own protocol waits for ever for the end of a head, and takes one of any size. While there are as many
connections as there may be, a new one takes the place of the one that has been without a request for longest.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.problems import problem_response
from api.settings import ApiSettings

log = structlog.get_logger(__name__)

_OTHER_FILES = 400  # journal, database, queries, webhooks, and what libraries open
_TELL_S = 60.0  # between two lines about the same trouble


def connections(settings: ApiSettings, connections_max: int) -> Callable[..., asyncio.Protocol]:
    """Makes the connections of one server.

    Args:
        settings: limits of each.
        connections_max: how many there may be at once.
    """
    return partial(_Connection, settings=settings, lobby=_Lobby(connections_max))


def granted(connections_max: int, others: int) -> int:
    """As many connections as there may be, after the system was asked for as many open files as they need.

    Args:
        connections_max: how many are wanted.
        others: connections of other listeners of this process.
    """
    others += _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return connections_max
    wanted = connections_max + others if hard == resource.RLIM_INFINITY else min(connections_max + others, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    count = max(min(soft - others, connections_max), 1)
    if count < connections_max:
        log.warning("few_open_files", connections_max=count, open_files_max=soft)
    return count


class _Lobby:
    """Counts connections, and knows which have no request, the longest without one first."""

    def __init__(self, connections_max: int) -> None:
        self._connections_max = connections_max
        self._count = 0
        self._idle: dict[_Connection, None] = {}
        self._told_at = float("-inf")

    def enter(self, connection: _Connection) -> bool:
        """Let a connection in; False where there is no place."""
        self._count += 1
        if self._count > self._connections_max:
            longest = next(iter(self._idle), None)
            self._tell()
            if longest is None:
                return False
            del self._idle[longest]
            longest.transport.close()
        self._idle[connection] = None
        return True

    def leave(self, connection: _Connection) -> None:
        self._count -= 1
        self._idle.pop(connection, None)

    def has_request(self, connection: _Connection) -> None:
        self._idle.pop(connection, None)

    def has_none(self, connection: _Connection) -> None:
        self._idle[connection] = None

    def _tell(self) -> None:
        if time.monotonic() - self._told_at > _TELL_S:
            self._told_at = time.monotonic()
            log.warning("connections_full", connections_max=self._connections_max)


class _HeadTooLargeError(Exception):
    """Ends the parser."""


class _Connection(HttpToolsProtocol):
    def __init__(self, *arguments: Any, settings: ApiSettings, lobby: _Lobby, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._settings = settings
        self._lobby = lobby
        self._head_bytes = 0  # of the request being read, trailers included
        self._unread_bytes = 0  # since the parser last got to the end of something
        self._waiting: asyncio.TimerHandle | None = None

    @property
    def _has_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as its own base does
        super().connection_made(transport)
        if self._lobby.enter(self):
            self._wait_for_head()
        else:
            transport.close()  # without an answer: that is what every sender comes again for

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._lobby.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unread_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._unread_bytes > self._settings.head_bytes_max:
            self._refuse(431, f"headers: longer than {self._settings.head_bytes_max} bytes")
        elif not self._has_request:
            self._wait_for_head()

    def on_message_begin(self) -> None:
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._unread_bytes = 0
        self._stop_waiting()
        self._lobby.has_request(self)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread_bytes = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._has_request and not self.transport.is_closing():
            self._lobby.has_none(self)

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be parsed."""
        if self._head_bytes > self._settings.head_bytes_max:
            self._refuse(431, f"headers: longer than {self._settings.head_bytes_max} bytes")
        else:
            super().send_400_response(msg)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._settings.head_bytes_max:
            raise _HeadTooLargeError

    def _wait_for_head(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(self._settings.head_s_max, self._came_to_nothing)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _came_to_nothing(self) -> None:
        self._waiting = None
        if self._unread_bytes:
            self._refuse(408, f"headers: not complete after {self._settings.head_s_max:g} seconds")
        else:
            self.transport.close()

    def _refuse(self, status: int, detail: str) -> None:
        """Answer without the application, unless it is answering already, and hang up."""
        if not self._has_request:
            answer = problem_response(status, detail, headers={"Connection": "close"})
            head = b"".join(b"%s: %s\r\n" % header for header in answer.raw_headers)
            self.transport.write(b"HTTP/1.1 %d \r\n%s\r\n%s" % (status, head, answer.body))
        self.transport.close()
