"""The numbers of this process, for Prometheus: counted while requests are served, read at `/metrics`."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# From a batch in memory (1 ms) to a query at its limit (30 s).
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Meters:
    """Counters of one application; a registry of its own, so that two applications do not add up."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.lines = Counter(
            "tocsin_ingest_lines", "Lines that arrived, by what became of them.", ["outcome"], registry=self.registry
        )
        self.bytes = Counter("tocsin_ingest_bytes", "Bytes of the bodies that were taken.", registry=self.registry)
        self.batches = Counter("tocsin_ingest_batches", "Bodies that were taken.", registry=self.registry)
        self.stale_markers = Counter(
            "tocsin_ingest_stale_markers", "Ends of series that Prometheus reported.", registry=self.registry
        )
        self.seconds = Histogram(
            "tocsin_http_request_seconds",
            "Time from the first byte of a request to the last of its answer.",
            ["method", "route", "status"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.live_pages = Gauge("tocsin_live_pages", "Open live pages.", registry=self.registry)
        self._accepted = self.lines.labels("accepted")
        self._rejected = self.lines.labels("rejected")

    def taken(self, *, accepted: int, rejected: int, size: int) -> None:
        """Count one durable batch.

        Args:
            accepted: its lines.
            rejected: the lines that could not be read.
            size: bytes of the body as it was sent.
        """
        self._accepted.inc(accepted)
        self._rejected.inc(rejected)
        self.bytes.inc(size)
        self.batches.inc()


class Timed:
    """ASGI middleware that times every request under its route's pattern, never under the path that was asked."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self._app = app
        self._meters = meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = time.perf_counter()
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            seconds = time.perf_counter() - started_at
            self._meters.seconds.labels(method, route, str(status)).observe(seconds)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
