"""A webhook receiver of our own, for the demo and the benchmarks: checks every signature as a customer's would."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import orjson
from standardwebhooks import Webhook, WebhookVerificationError

_BODY_BYTES_MAX = 1 << 20  # messages stay below 20 kB
_KEPT_MAX = 100_000  # messages that nobody has taken yet, and ids that are remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One message with a good signature."""

    message_id: str
    at: float  # seconds of the monotonic clock
    body: Mapping[str, Any]


class Receiver:
    """Listens on a free port of the loopback. Messages without a good signature get 401 and are counted.

    Each message is given once, however often it is sent.
    """

    def __init__(self) -> None:
        self.refused = 0
        self._secret: str | None = None
        self._messages: queue.Queue[Received] = queue.Queue(_KEPT_MAX)
        self._seen: dict[str, None] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        # A short interval, since it is also how long the end takes.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="receiver", daemon=True)

    @property
    def url(self) -> str:
        """Where to send messages."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/alerts"

    def trust(self, secret: str) -> None:
        """Take messages signed with `secret`, which is known only after the webhook was made for our URL."""
        self._secret = secret

    def take(self, timeout_s: float) -> Received | None:
        """The next message, or None when there is none within `timeout_s`."""
        try:
            return self._messages.get(timeout=timeout_s) if timeout_s > 0 else self._messages.get_nowait()
        except queue.Empty:
            return None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _accept(self, headers: Mapping[str, str], body: bytes) -> int:
        """Status to answer with."""
        at = time.monotonic()
        if not self._is_signed(headers, body):
            with self._lock:
                self.refused += 1
            return 401
        name = {key.lower(): value for key, value in headers.items()}["webhook-id"]
        with self._lock:
            if name not in self._seen:
                self._seen[name] = None
                self._messages.put_nowait(Received(message_id=name, at=at, body=orjson.loads(body)))
            if len(self._seen) > _KEPT_MAX:
                del self._seen[next(iter(self._seen))]
        return 204

    def _is_signed(self, headers: Mapping[str, str], body: bytes) -> bool:
        if self._secret is None:
            return False
        try:
            Webhook(self._secret).verify(body, dict(headers))
        except WebhookVerificationError:
            return False
        return True

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", "0"))
                if length > _BODY_BYTES_MAX:
                    self.send_error(413)
                    return
                self.send_response(receiver._accept(dict(self.headers), self.rfile.read(length)))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing; the demo has a page to draw."""

        return Handler
