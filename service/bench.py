"""`tocsin bench e2e`: how fast a real service takes lines, finds, and tells, on this machine."""

from __future__ import annotations

import http.client
import math
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from service.load import append_and_sync, bodies, drain3_rate, memory_mb, next_day, percentile, post, send_all
from service.receiver import Receiver
from service.stages import stages
from service.trial import Trial, running
from tocsin.errors import StorageError

#: The service as a user has it, but for: our receiver may be reached, and the budget does not hold back the probes.
_SETTINGS = ("[address]", 'allow_networks = ["127.0.0.1/32"]', "[panel]", "budget_per_day = 1000.0")

_TAUGHT = 300  # normal lines of each probe stream over the day; enough for a first error to be news
_PROBE_S_MAX = 60.0  # a message that takes longer did not come


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured."""

    lines: int = 1_000_000
    body_lines: int = 1000
    senders: int = 8
    latency_s: int = 60  # one probe a second
    staged_lines: int = 100_000  # gone through in this process, to see where the time goes
    peer_lines: int = 20_000  # drain3 gets slower with every template, and these lines bring it many
    drain_s_max: float = 600.0


_QUICK = Sizes(lines=100_000, latency_s=10, staged_lines=20_000, peer_lines=20_000, drain_s_max=40.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A line that should raise an alert, when its request was answered, and when the message came."""

    stream: str
    acknowledged_at: float
    told_at: float | None


def e2e(*, quick: bool = False, sizes: Sizes | None = None) -> dict[str, Any]:
    """Measure the whole line on a fresh service.

    Args:
        quick: finish within 60 s.
        sizes: what to measure; chosen by `quick` when None.
    """
    sizes = sizes or (_QUICK if quick else Sizes())
    requests = bodies(sizes.lines, sizes.body_lines)
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as name, Receiver() as receiver:
        folder = Path(name)
        with running(folder / "data", settings=_SETTINGS) as trial:
            receiver.trust(trial.add_webhook(receiver.url))
            taught = _teach(trial, sizes)
            began = time.perf_counter()
            sent = send_all(trial.url, requests, sizes.senders)
            _drain(trial, sizes)
            found_per_s = sent.lines / (time.perf_counter() - began)
            probes = _probe(trial, receiver, found_per_s / 10, taught, sizes)
            memory = {role: memory_mb(pid) for role, pid in trial.processes().items()}
        synced_per_s = append_and_sync(folder / "peer", requests)
        few = requests[: max(1, sizes.peer_lines // sizes.body_lines)]
        rival_per_s = drain3_rate(few)
        where = stages(requests[: max(1, sizes.staged_lines // sizes.body_lines)], folder / "stages")
    waits_ms = [(probe.told_at - probe.acknowledged_at) * 1000 for probe in probes if probe.told_at is not None]
    rows = [
        row("acknowledged", sent.lines_per_second, "lines/s"),
        row("acknowledged", synced_per_s, "lines/s", peer="append + fdatasync a body"),
        row("one request, p50", percentile(sent.waits_ms, 50), "ms"),
        row("one request, p99", percentile(sent.waits_ms, 99), "ms"),
        row("to findings", found_per_s, "lines/s"),
        row("to findings", rival_per_s, "lines/s", peer="drain3 with its example masks, parsing alone"),
        row("2xx to webhook, p50", percentile(waits_ms, 50), "ms"),
        row("2xx to webhook, p99", percentile(waits_ms, 99), "ms"),
        row("probes told", 100 * len(waits_ms) / max(len(probes), 1), "%"),
        *(row(f"memory of {role}", now, "MB") for role, (now, _) in memory.items()),
        *(row(f"memory of {role}, most", most, "MB") for role, (_, most) in memory.items()),
        *(row(f"time: {stage}", microseconds, "us/line") for stage, microseconds in where.items()),
    ]
    ratios = [
        ratio("acknowledged", "append + fdatasync a body", sent.lines_per_second / synced_per_s),
        ratio("to findings", "drain3 with its example masks, parsing alone", found_per_s / rival_per_s),
    ]
    return {"rows": rows, "ratios": ratios}


def _teach(trial: Trial, sizes: Sizes) -> list[str]:
    """Make streams that only ever say one thing; return their names."""
    streams = [f"probe-{number:03d}" for number in range(sizes.latency_s)]
    first = bodies(1, 1)[0].at
    for stream in streams:
        times = [first + timedelta(days=place / _TAUGHT) for place in range(_TAUGHT)]
        lines = [f"{_iso(at)} INFO cycle {place} finished in {place % 7} ms" for place, at in enumerate(times)]
        trial.send(stream, "\n".join(lines).encode())
    _drain(trial, sizes)
    return streams


def _probe(
    trial: Trial, receiver: Receiver, lines_per_second: float, streams: Sequence[str], sizes: Sizes
) -> list[Probe]:
    """Send a steady load and every second a line that was never seen; return what became of those."""
    acknowledged: dict[str, float] = {}
    sent: dict[str, float] = {}
    told: dict[str, float] = {}
    background = _Background(trial.url, lines_per_second, sizes)
    background.start()
    began = time.monotonic()
    for number, stream in enumerate(streams):
        while (wait_s := began + number + 1 - time.monotonic()) > 0:
            time.sleep(min(wait_s, 0.2))
        words = [word[number % len(word)] for word in _WORDS]
        text = f"{_iso(background.at)} FATAL unexpected {words[0]} {words[1]}, giving up on the {words[2]}"
        sent[stream] = time.monotonic()
        trial.send(stream, text.encode())
        acknowledged[stream] = time.monotonic()
    deadline = time.monotonic() + min(_PROBE_S_MAX, sizes.drain_s_max)
    while len(told) < len(streams) and time.monotonic() < deadline and background.is_alive():
        message = receiver.take(0.1)
        for finding in message.body["data"]["findings"] if message else ():
            # What was told before its line was sent told of something else
            if message and message.at >= sent.get(finding["stream"], math.inf):
                told.setdefault(finding["stream"], message.at)
    background.stop()
    return [Probe(stream=name, acknowledged_at=at, told_at=told.get(name)) for name, at in acknowledged.items()]


class _Background(threading.Thread):
    """Sends lines at a steady rate."""

    def __init__(self, url: str, lines_per_second: float, sizes: Sizes) -> None:
        super().__init__(name="background", daemon=True)
        body_lines = max(1, min(sizes.body_lines, int(lines_per_second / 5)))
        seconds = sizes.latency_s + min(_PROBE_S_MAX, sizes.drain_s_max)
        self._bodies = list(next_day(lines_per_second, seconds, body_lines))
        self._url = url
        self._lines_per_second = lines_per_second
        self._stopping = threading.Event()
        self.at = self._bodies[0].at  # event time of what was sent last

    def run(self) -> None:
        connection = http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=60.0)
        began, lines = time.monotonic(), 0
        for body in self._bodies:
            if self._stopping.wait(max(0.0, began + lines / self._lines_per_second - time.monotonic())):
                break
            post(connection, body)
            lines += body.lines
            self.at = body.at
        self._stopping.wait()
        connection.close()

    def stop(self) -> None:
        self._stopping.set()
        self.join()


def _drain(trial: Trial, sizes: Sizes) -> None:
    if not trial.wait(lambda standing: standing.behind == 0, sizes.drain_s_max):
        raise StorageError(f"the worker is not done after {sizes.drain_s_max:.0f} s")


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def row(case: str, value: float, unit: str, *, peer: str | None = None) -> dict[str, Any]:
    """A row of a result, of ours or of a peer."""
    method = peer or "tocsin"
    return {"case": case, "method": method, "peer": peer is not None, "value": round(value, 3), "unit": unit}


def ratio(case: str, against: str, times: float) -> dict[str, Any]:
    """How many times as good as a peer."""
    return {"case": case, "against": against, "ratio": round(times, 4)}


_WORDS = (
    ("checksum", "parity", "quorum", "lease", "fence", "epoch", "cursor", "shard", "replica", "token", "header"),
    ("mismatch", "loss", "overflow", "corruption", "stall", "reversal", "underrun", "conflict", "rupture"),
    ("volume", "ledger", "partition", "mirror", "spindle", "tablet", "extent"),
)
