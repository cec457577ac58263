"""Load for the benchmarks: bodies of realistic lines, senders that time each answer, and the plainest peer."""

from __future__ import annotations

import http.client
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import polars as pl

from evaluation.drain import drain, masked
from service.simulate import simulate
from tocsin.errors import UnreachableError

_BEGIN = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday; the lines of every run are the same
_SEED = 11
_LINES_A_DAY = 55_000  # of the simulated shop at rate 1, rounded down
_TIMEOUT_S = 60.0
_BUSY_S = 0.05  # pause before a body is sent again to a service that is full


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """One request."""

    stream: str
    content: bytes
    lines: int
    at: datetime  # event time of its last line
    kind: str  # Content-Type
    path: str

    def over(self, content: bytes, kind: str, path: str | None = None) -> Body:
        """The same lines as another protocol has them."""
        return replace(self, content=content, kind=kind, path=path or self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of many requests."""

    lines: int
    seconds: float
    waits_ms: Sequence[float]  # from the first byte to the answer, each request
    busy: int  # answers that said "later"

    @property
    def lines_per_second(self) -> float:
        """Acknowledged lines a second."""
        return self.lines / self.seconds


def bodies(lines: int, body_lines: int) -> list[Body]:
    """A day of the simulated shop, as busy as it takes for about `lines` lines, as requests in time order."""
    day = simulate(_SEED, _BEGIN, 24.0, (), rate=max(1.0, lines / _LINES_A_DAY)).streams
    made = [_body(stream, part) for stream, frame in day.items() for part in frame.iter_slices(body_lines)]
    made.sort(key=lambda body: body.at)
    counted = itertools.accumulate(body.lines for body in made)
    return [body for body, before in zip(made, counted, strict=True) if before - body.lines < lines]


def next_day(lines_per_second: float, seconds: float, body_lines: int) -> Iterator[Body]:
    """Requests of the day after, in time order, enough for `seconds` at a rate."""
    rate = max(1.0, lines_per_second * seconds / _LINES_A_DAY)
    day = simulate(_SEED, _BEGIN + timedelta(days=1), 24.0, (), rate=rate).streams
    made = [_body(stream, part) for stream, frame in day.items() for part in frame.iter_slices(body_lines)]
    yield from sorted(made, key=lambda body: body.at)


def send_all(url: str, requests: Sequence[Body], senders: int) -> Sent:
    """Send requests from several threads at once, each with a connection of its own that is kept."""
    waiting = iter(requests)  # next() of a list's iterator is atomic
    began = time.perf_counter()
    with ThreadPoolExecutor(senders, thread_name_prefix="send") as pool:
        parts = list(pool.map(lambda _: _sender(url, waiting), range(senders)))
    seconds = time.perf_counter() - began
    return Sent(
        lines=sum(body.lines for body in requests),
        seconds=seconds,
        waits_ms=[wait for waits, _ in parts for wait in waits],
        busy=sum(busy for _, busy in parts),
    )


def append_and_sync(path: Path, requests: Sequence[Body]) -> float:
    """Lines a second of the plainest durable thing: append each body to a file, then fdatasync."""
    began = time.perf_counter()
    with path.open("ab", buffering=0) as file:
        for body in requests:
            file.write(body.content)
            os.fdatasync(file.fileno())
    seconds = time.perf_counter() - began
    path.unlink()
    return sum(body.lines for body in requests) / seconds


def drain3_rate(requests: Sequence[Body]) -> float:
    """Lines a second of drain3 behind the masks of its examples, one line after the other as it is used."""
    lines = [line for body in requests for line in body.content.decode().splitlines()]
    began = time.perf_counter()
    drain(map(masked, lines))
    return len(lines) / (time.perf_counter() - began)


def memory_mb(pid: int | str) -> tuple[float, float]:
    """Resident memory of a process in MB: now, and the most it ever was."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    fields = {name: value for name, _, value in (line.partition(":") for line in lines)}
    now, most = (int(fields[name].split()[0]) / 1000 for name in ("VmRSS", "VmHWM"))
    return now, most


def percentile(values: Sequence[float], percent: float) -> float:
    """A percentile, NaN of nothing."""
    return float(np.percentile(np.array(values), percent)) if len(values) else float("nan")


def _body(stream: str, part: pl.DataFrame) -> Body:
    last = part["time"][-1]
    assert isinstance(last, datetime)
    content = "\n".join(part["line"]).encode()
    kind = "application/x-ndjson" if content.startswith(b"{") else "text/plain"
    return Body(stream=stream, content=content, lines=len(part), at=last, kind=kind, path=f"/v1/ingest/{stream}")


def _sender(url: str, waiting: Iterator[Body]) -> tuple[list[float], int]:
    """Send what is waiting until nothing is; return the milliseconds of each request and how often it was too early."""
    waits: list[float] = []
    busy = 0
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT_S)
    try:
        for body in waiting:
            began = time.perf_counter()
            while post(connection, body) in {429, 503}:
                busy += 1
                time.sleep(_BUSY_S)
            waits.append((time.perf_counter() - began) * 1000)
    finally:
        connection.close()
    return waits, busy


def post(connection: http.client.HTTPConnection, body: Body) -> int:
    """Send one request and return the status.

    Raises:
        UnreachableError: the answer is neither "taken" nor "later".
    """
    connection.request("POST", body.path, body.content, {"Content-Type": body.kind})
    answer = connection.getresponse()
    said = answer.read()
    if answer.status not in {200, 204, 429, 503}:
        raise UnreachableError(f"HTTP {answer.status}: {said[:200].decode('utf-8', 'replace')}")
    return answer.status
