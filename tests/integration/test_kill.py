"""kill -9 of the real worker process, at every named point and at random ones, on both databases.

What must hold: every acknowledged line is in the events exactly once, no incident and no message is told twice, and
what was found is what a run without crashes finds.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import select

from alerts.webhook import secret_of
from ingest.batch import Batch, Rejected, encode, tick
from ingest.journal import Journal, JournalSettings
from service.settings import load_settings
from service.step import POINTS
from service.worker import run_worker
from storage import tables
from storage.events import EventStore
from storage.store import Store, StoreSettings
from tocsin.identity import event_ids
from tocsin.record import LINES

CRASHING = Path(__file__).parents[1] / "crashing.py"  # not by its name: some libraries bring a `tests` of their own
START = datetime(2026, 3, 2, 8, tzinfo=UTC)
USERS = ("ann", "bob", "cid", "dee")
ENTRIES = 48
WAIT_S_MAX = 120.0

OVERRIDES: dict[str, object] = {
    "worker.poll_s": 0.01,
    "worker.pace_s": 0.0,
    "worker.snapshot_entries_max": 3,
    "worker.attempts_max": 100,  # it is we who kill it, not the batch
    "address.allow_networks": ["127.0.0.0/8"],
    "panel.detectors": ["novelty"],  # speed; the volume detector keeps its state the same way
}


def batches() -> Iterator[Batch]:
    """Hours of logins: some strange things, a batch that comes twice, poison lines, two tenants, silence in the end."""
    for number in range(ENTRIES - 3):
        at = START + timedelta(minutes=20 * number)
        tenant = "acme" if number % 6 == 5 else "default"
        bodies = [f"session opened for user {USERS[i % 4]} from 10.0.0.{i % 4 + 1}" for i in range(60)]
        if number in {28, 34, 35, 40}:
            bodies[30] = f"kernel module rootkit{number} loaded by user mallory from 203.0.113.{number}"
        identity = f"key-{number - number % 2}" if number in {6, 7, 30} else None
        poison = (Rejected(line=61, detail="line 61: not JSON", raw=b"{oops"),) if number % 10 == 3 else ()
        yield a_batch(tenant, at, bodies, identity, poison)
    end = START + timedelta(minutes=20 * (ENTRIES - 3))
    for minutes in (10, 40, 70):
        yield tick(end + timedelta(minutes=minutes))


def a_batch(tenant: str, at: datetime, bodies: list[str], identity: str | None, poison: tuple[Rejected, ...]) -> Batch:
    columns = {name: [None] * len(bodies) for name in LINES} | {
        "position": list(range(len(bodies))),
        "time": [at + timedelta(seconds=20 * place) for place in range(len(bodies))],
        "body": bodies,
    }
    return Batch(
        tenant=tenant,
        stream="auth",
        observed_time=at + timedelta(minutes=20),
        identity=identity,
        fingerprint="f",
        lines=pl.DataFrame(columns, schema=LINES),
        rejected=poison,
    )


def expected_events() -> list[str]:
    """One id for every line that was acknowledged as new."""
    ids: list[str] = []
    seen: set[str] = set()
    for offset, batch in enumerate(batches()):
        if batch.identity is None or batch.identity not in seen:
            ids += event_ids(batch.tenant, batch.stream, batch.identity or str(offset), range(batch.lines.height))
        seen |= {batch.identity} if batch.identity else set()
    return sorted(ids)


class Receiver:
    """Takes messages and remembers every body that came under an id."""

    def __init__(self) -> None:
        self.bodies: defaultdict[str, set[bytes]] = defaultdict(set)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.bodies[self.headers["webhook-id"]].add(body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 -- the base's name
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"

    @contextmanager
    def running(self) -> Iterator[Receiver]:
        thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield self
        self.server.shutdown()
        self.server.server_close()
        thread.join()


@dataclass
class Site:
    """A data folder with a journal, a database, and a webhook."""

    data: Path
    url: str
    receiver: Receiver
    entries_max: int  # of a step
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.data.mkdir()
        self.store = Store(self.url, StoreSettings())
        self.store.open()
        for tenant in ("default", "acme"):
            self.store.desk.add_webhook(tenant, url=self.receiver.url, secret=secret_of(b"k" * 32), at=START)

    @property
    def overrides(self) -> dict[str, object]:
        return OVERRIDES | {"store.url": self.url, "worker.step.entries_max": self.entries_max}

    def journal(self) -> Journal:
        return Journal(self.data / "journal", JournalSettings(segment_bytes_max=16_000))

    def offset(self) -> int:
        return self.store.reads.worker().offset

    def start(self, point: str = "", nth: int = 1) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(CRASHING), str(self.data), json.dumps(self.overrides), point, str(nth)]
        log = (self.data / "worker.log").open("ab")
        with log:
            return subprocess.Popen(command, stderr=log)

    def finish(self) -> None:
        """Run to the end without a crash and stop in order."""
        process = self.start()
        try:
            self.wait_for_all(process)
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(WAIT_S_MAX)
        assert status == 0, self.log()

    def wait_for_all(self, process: subprocess.Popen[bytes] | None = None) -> None:
        deadline = time.monotonic() + WAIT_S_MAX
        while self.offset() < ENTRIES or self.pending():
            assert time.monotonic() < deadline, self.log()
            assert process is None or process.poll() is None, self.log()
            time.sleep(0.02)

    def pending(self) -> int:
        rows = [
            row
            for tenant in ("default", "acme")
            for row in self.store.reads.deliveries(tenant, limit=1000).rows
            if row.status == "pending"
        ]
        return len(rows)

    def log(self) -> str:
        file = self.data / "worker.log"
        return file.read_text()[-4000:] if file.exists() else ""

    def events(self) -> list[str]:
        far = timedelta(days=365)
        found = EventStore(self.data / "events").read(self.store.reads.segments(), START - far, START + far)
        return sorted(found["event_id"])

    def results(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that must not depend on crashes."""
        wanted = {
            tables.findings: "finding_id incident_id tenant detector start_at end_at score p_value severity summary "
            "expected actual entities event_ids held_by why what",
            tables.evidence: "finding_id rank kind summary event_id payload",
            tables.incidents: "incident_id tenant status severity title opened_at last_at closed_at finding_count "
            "entities weights streams detectors sequence",
            tables.incident_changes: "incident_id sequence kind status severity reason",
            tables.lines: "tenant event_id stream time body template_id",
            tables.templates: "tenant template_id stream template first_seen last_seen event_count",
            tables.entities: "tenant entity first_seen last_seen event_count",
            tables.streams: "tenant stream first_seen last_seen event_count",
            tables.dead_letters: "tenant stream line detail raw",
            tables.batches: "tenant stream identity fingerprint seen_at",
            tables.clocks: "tenant event_at",
        }
        with self.store.database.read() as connection:
            return {
                table.name: sorted(
                    (tuple(row) for row in connection.execute(select(*(table.c[name] for name in names.split())))),
                    key=repr,
                )
                for table, names in wanted.items()
            }

    def messages(self) -> list[tuple[str, str]]:
        """Incident and event of every message, in the order of the outbox."""
        with self.store.database.read() as connection:
            table = tables.deliveries
            return [
                (row.incident_id, row.event)
                for row in connection.execute(select(table).order_by(table.c.tenant, table.c.delivery_id))
            ]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().running() as running:
        yield running


@contextmanager
def a_site(data: Path, url: str, receiver: Receiver, entries_max: int) -> Iterator[Site]:
    made = Site(data, url, receiver, entries_max)
    yield made
    made.store.close()


@contextmanager
def untroubled(folder: Path, entries_max: int) -> Iterator[Site]:
    """The same journal, processed without a crash."""
    url = f"sqlite:///{folder / 'untroubled.sqlite'}"
    with Receiver().running() as receiver, a_site(folder / "untroubled", url, receiver, entries_max) as site:
        write_all(site)
        stopping = threading.Event()
        settings = load_settings(None, {}, {"data": site.data, **site.overrides})
        worker = threading.Thread(target=run_worker, args=(settings, stopping))
        worker.start()
        try:
            site.wait_for_all()
        finally:
            stopping.set()
            worker.join()
        yield site


def write_all(site: Site) -> None:
    journal = site.journal()
    for future in [journal.append(encode(batch)) for batch in batches()]:
        future.result()
    journal.close()


def check(site: Site, untroubled: Site) -> None:
    assert site.events() == expected_events(), "every acknowledged line once"
    for name, rows in untroubled.results().items():
        assert site.results()[name] == rows, name
    assert site.messages() == untroubled.messages()
    opened = [incident for incident, event in site.messages() if event == "incident.opened"]
    assert opened, "the strange things were found"
    assert len(set(opened)) == len(opened), "no incident twice"
    assert {len(bodies) for bodies in site.receiver.bodies.values()} == {1}, "one id, one content"
    assert len(site.receiver.bodies) == len(site.messages()), "every message arrived"


@pytest.mark.slow
@pytest.mark.timeout(900)  # 30 s on two idle cores; tests share theirs
def test_a_worker_killed_at_every_point_finds_what_one_finds_that_lives(
    tmp_path: Path, database_url: str, receiver: Receiver
) -> None:
    with a_site(tmp_path / "data", database_url, receiver, entries_max=2) as site:
        write_all(site)
        for point in POINTS:
            process = site.start(point, nth=2)
            assert process.wait(WAIT_S_MAX) == -signal.SIGKILL, f"{point}: {site.log()}"
        assert 0 < site.offset() < ENTRIES
        site.finish()
        with untroubled(tmp_path, entries_max=2) as other:
            check(site, other)


@pytest.mark.slow
@pytest.mark.timeout(900)  # 30 s on two idle cores; tests share theirs
def test_a_worker_killed_at_random_while_lines_arrive_finds_what_one_finds_that_lives(
    tmp_path: Path, database_url: str, receiver: Receiver
) -> None:
    chance = random.Random(7)
    left = [encode(batch) for batch in batches()]
    # One entry a step: how many are there when the worker looks depends on the moment.
    with a_site(tmp_path / "data", database_url, receiver, entries_max=1) as site:
        journal = site.journal()
        for _ in range(6):
            process = site.start()
            some, left = left[:7], left[7:]
            target = min(site.offset() + 3, ENTRIES - len(left) - len(some) + 1)
            for future in [journal.append(payload) for payload in some]:
                future.result()
            wait_until(lambda: site.offset() >= target, process, site)  # noqa: B023 -- called at once
            time.sleep(chance.uniform(0.0, 0.3))
            process.kill()
            process.wait()
        for future in [journal.append(payload) for payload in left]:
            future.result()
        journal.close()
        site.finish()
        with untroubled(tmp_path, entries_max=1) as other:
            check(site, other)


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes], site: Site) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline, site.log()
        assert process.poll() is None, site.log()
        time.sleep(0.01)
