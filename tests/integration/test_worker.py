"""The worker over a real journal, database and files: what it promises, and what it does when something is broken."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

import polars as pl
import pytest
import structlog

from ingest.batch import Batch, encode
from ingest.journal import Journal, JournalSettings
from service.settings import Settings, load_settings
from service.step import POINTS
from service.worker import run_worker
from storage.database import database_url as url_of
from storage.events import EventStore
from storage.store import Store
from tocsin.errors import LockedError, StorageError
from tocsin.record import LINES

CRASHING = Path(__file__).parents[1] / "crashing.py"  # not by its name: some libraries bring a `tests` of their own
START = datetime(2026, 3, 2, 8, tzinfo=UTC)
WAIT_S_MAX = 60.0


def payload(number: int = 0, lines: int = 20) -> bytes:
    at = START + timedelta(minutes=number)
    columns = {name: [None] * lines for name in LINES} | {
        "position": list(range(lines)),
        "time": [at + timedelta(seconds=place) for place in range(lines)],
        "body": [f"session opened for user u{place % 4}" for place in range(lines)],
    }
    return encode(
        Batch(
            tenant="default",
            stream="auth",
            observed_time=at + timedelta(minutes=1),
            identity=None,
            fingerprint="f",
            lines=pl.DataFrame(columns, schema=LINES),
        )
    )


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S_MAX
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@dataclass
class Site:
    """A data folder with an open journal."""

    data: Path
    overrides: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settings = self.settled()
        self.store = Store(url_of(self.settings.store, self.data), self.settings.store)
        self.store.open()
        self.journal = Journal(self.data / "journal", JournalSettings(segment_bytes_max=4000))

    def settled(self, **further: object) -> Settings:
        quick = {"worker.poll_s": 0.01, "worker.pace_s": 0.0, "worker.retry_s": 0.02, "store.busy_timeout_s": 0.3}
        changed = {name.replace("__", "."): value for name, value in further.items()}
        return load_settings(None, {}, {"data": self.data, **quick, **self.overrides, **changed})

    def append(self, *payloads: bytes) -> None:
        for future in [self.journal.append(each) for each in payloads]:
            future.result()

    def offset(self) -> int:
        return self.store.reads.worker().offset

    def events(self) -> int:
        far = timedelta(days=365)
        events = EventStore(self.data / "events")
        return events.read(self.store.reads.segments(), START - far, START + far).height

    @contextmanager
    def working(self, passing: Callable[[str], None] = lambda _point: None, **further: object) -> Iterator[None]:
        stopping = threading.Event()
        failed: list[BaseException] = []

        def work() -> None:
            try:
                run_worker(self.settled(**further), stopping, passing=passing)
            except BaseException as error:  # noqa: BLE001 -- told to the test
                failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()
        if failed:
            raise failed[0]

    def work_until(self, offset: int) -> None:
        with self.working():
            wait_for(lambda: self.offset() >= offset)

    def close(self) -> None:
        self.journal.close()
        self.store.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "data").mkdir()
    made = Site(tmp_path / "data")
    yield made
    made.close()


def letters(site: Site) -> list[tuple[str, str]]:
    return [(row.raw, row.detail) for row in site.store.reads.dead_letters("default", limit=100).rows]


def test_an_acknowledged_line_is_in_the_events_within_two_seconds_also_while_snapshots_are_taken(site: Site) -> None:
    with site.working(worker__snapshot_entries_max=1):
        site.append(payload(0))
        wait_for(lambda: site.offset() == 1)  # the first step imports and compiles
        took_s = []
        for number in range(1, 8):
            site.append(payload(number))
            acknowledged = time.monotonic()
            wait_for(lambda number=number: site.events() == 20 * (number + 1))  # type: ignore[misc]
            took_s.append(time.monotonic() - acknowledged)
    assert median(took_s) < 2.0  # the median, because tests share their cores


def test_what_came_while_the_worker_was_away_is_processed_when_it_comes_back(site: Site) -> None:
    site.work_until(0)
    site.append(*(payload(number) for number in range(3)))
    site.work_until(3)
    assert site.events() == 60


def test_sigterm_ends_the_process_with_a_snapshot_and_status_0(site: Site) -> None:
    site.append(payload(0), payload(1))
    process = worker_process(site)
    wait_for(lambda: site.offset() == 2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_S_MAX) == 0
    passed: list[str] = []
    with site.working(passed.append), structlog.testing.capture_logs() as logs:
        wait_for(lambda: any(entry["event"] == "worker_ready" for entry in logs))
    assert not any(entry["event"] == "replay_started" for entry in logs)


def test_a_second_worker_on_the_same_data_folder_is_refused_by_the_process_id_of_the_first(site: Site) -> None:
    site.append(payload())
    with site.working():
        wait_for(lambda: site.offset() == 1)
        with pytest.raises(LockedError, match=r"process \d+ runs the worker"):
            run_worker(site.settled(), threading.Event())


def test_every_point_is_passed_in_order(site: Site) -> None:
    site.append(payload())
    passed: list[str] = []
    with site.working(passed.append, worker__snapshot_entries_max=1):
        wait_for(lambda: "forgotten" in passed)
    assert passed[: len(POINTS)] == list(POINTS)


def test_a_batch_that_cannot_be_processed_is_put_aside_after_some_attempts_and_the_rest_goes_on(site: Site) -> None:
    site.append(payload(0), b"garbage", payload(2))
    site.work_until(3)
    [(raw, detail)] = letters(site)
    assert raw == "garbage"
    assert "journal entry 1 could not be processed in 3 attempts" in detail
    assert site.events() == 40
    site.append(payload(3))
    site.work_until(4)
    assert site.events() == 60


def test_where_nothing_can_be_processed_few_batches_are_put_aside_and_the_others_wait(site: Site) -> None:
    site.append(*(payload(number) for number in range(6)))

    def broken(point: str) -> None:
        if point == "asked":
            raise RuntimeError("a version that cannot work")

    with structlog.testing.capture_logs() as logs, site.working(broken, worker__retry_s_max=0.05):
        wait_for(lambda: any(entry["event"] == "nothing_can_be_processed" for entry in logs))
    assert len(letters(site)) == 60
    site.work_until(6)
    assert site.events() == 60


def test_a_batch_that_kills_the_process_is_put_aside_after_as_many_starts(site: Site) -> None:
    site.append(payload(0))
    for _ in range(3):
        assert worker_process(site, "asked").wait(WAIT_S_MAX) == -signal.SIGKILL
        assert site.offset() == 0
    site.work_until(1)
    assert len(letters(site)) == 20
    site.append(payload(1))
    site.work_until(2)
    assert site.events() == 20


def test_a_database_that_is_locked_for_a_while_holds_the_worker_up_and_costs_nothing(site: Site) -> None:
    site.append(payload(0))
    lock = sqlite3.connect(site.data / "tocsin.sqlite", isolation_level=None)
    with structlog.testing.capture_logs() as logs, site.working():
        wait_for(lambda: site.offset() == 1)
        lock.execute("BEGIN IMMEDIATE")
        site.append(payload(1))
        wait_for(lambda: sum(entry["event"] in {"step_not_kept", "database_away"} for entry in logs) > 3)
        assert site.offset() == 1
        lock.execute("ROLLBACK")
        wait_for(lambda: site.offset() == 2)
    lock.close()
    assert site.events() == 40
    assert letters(site) == []


def test_a_damaged_snapshot_is_set_aside_and_the_worker_goes_on(site: Site) -> None:
    site.append(payload(0))
    site.work_until(1)
    (site.data / "state" / "pipeline" / "state.json").write_text("{}")
    site.append(payload(1))
    site.work_until(2)
    assert (site.data / "state" / "pipeline.unusable").exists()
    assert site.events() == 40


def test_without_its_state_folder_the_worker_learns_again_what_the_journal_has(site: Site) -> None:
    site.append(*(payload(number) for number in range(4)))
    site.work_until(4)
    shutil.rmtree(site.data / "state")
    site.append(payload(4))
    site.work_until(5)
    assert site.events() == 100


def test_a_journal_that_does_not_belong_to_the_database_is_refused(site: Site) -> None:
    site.append(payload(0), payload(1))
    site.work_until(2)
    site.journal.close()
    shutil.rmtree(site.data / "journal")
    Journal(site.data / "journal", JournalSettings()).append(payload(0)).result()
    with pytest.raises(StorageError, match="do not belong together"):
        run_worker(site.settled(), threading.Event())


def test_the_journal_is_forgotten_behind_the_snapshot(site: Site) -> None:
    with site.working(worker__snapshot_entries_max=1):
        for number in range(12):
            site.append(payload(number, lines=60))
        wait_for(lambda: site.offset() == 12)
        wait_for(lambda: min(int(path.stem) for path in (site.data / "journal").glob("*.seg")) > 0)
    site.append(payload(12))
    site.work_until(13)
    assert site.events() == 12 * 60 + 20


def test_the_worker_gives_signs_of_life_and_lists_its_models(site: Site) -> None:
    site.append(payload())
    with site.working(worker__schedule__beat_s=0.05):
        wait_for(lambda: site.store.reads.worker().beat_at)
        wait_for(lambda: site.offset() == 1)
    connection = sqlite3.connect(site.data / "tocsin.sqlite")
    models = connection.execute("SELECT tenant, detector FROM models ORDER BY detector").fetchall()
    connection.close()
    assert models == [("default", "novelty"), ("default", "volume")]


def worker_process(site: Site, point: str = "") -> subprocess.Popen[bytes]:
    overrides = {"worker.poll_s": 0.01, "worker.pace_s": 0.0}
    command = [sys.executable, str(CRASHING), str(site.data), json.dumps(overrides), point, "1"]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)
