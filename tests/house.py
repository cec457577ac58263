"""What tests of the HTTP surface stand on: a real store and journal, the application over both, incidents in them."""

from __future__ import annotations

import secrets
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient

from alerts.correlate import correlate
from alerts.incident import Change
from alerts.linking import Policy
from api.app import create_app
from api.auth import mint_key
from api.services import Services
from api.settings import ApiSettings
from ingest.journal import Journal, JournalSettings
from ingest.limits import Limits
from storage.events import EventStore
from storage.rows import KeyRow, LineRow
from storage.sql import SqlResult, SqlSettings, run_sql
from storage.store import Store, StoreSettings
from tocsin.finding import Finding, Reason
from tocsin.identity import event_ids, finding_id, template_id

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


@dataclass
class Clock:
    """Stands still until a test moves it."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, **span: float) -> None:
        self.now += timedelta(**span)


@dataclass(kw_only=True)
class House:
    """The HTTP application over a real store and a real journal, in one temporary folder."""

    folder: Path
    clock: Clock
    store: Store
    journal: Journal
    events: EventStore
    settings: ApiSettings = field(default_factory=ApiSettings)
    stopping: threading.Event = field(default_factory=threading.Event)

    def app(self, **settings: Any) -> Any:
        """A new application, with further settings."""

        def sql(tenant: str, query: str, limit: int) -> SqlResult:
            return run_sql(self.store, self.events, tenant, query, limit=limit, settings=SqlSettings())

        return create_app(
            Services(
                settings=replace(self.settings, **settings),
                limits=Limits(),
                journal=self.journal,
                store=self.store,
                run_sql=sql,
                clock=self.clock,
                random_bytes=secrets.token_bytes,
                session_secret=b"s" * 32,
                stopping=self.stopping,
            )
        )

    def client(self, key: str | None = None, *, app: Any = None, **settings: Any) -> TestClient:
        """Somebody on this machine, with a key or without."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return TestClient(
            app or self.app(**settings),
            base_url="http://127.0.0.1:8780",
            headers=headers,
            raise_server_exceptions=False,
            follow_redirects=False,
        )

    def key(self, *scopes: str, tenant: str = "default") -> str:
        """A new key; without scopes it holds all."""
        minted = mint_key(secrets.token_bytes)
        self.store.keys.add(
            KeyRow(
                key_id=minted.key_id,
                tenant=tenant,
                name="a test",
                secret_sha256=minted.secret_sha256,
                scopes=frozenset(scopes or ("admin",)),
                created_at=self.clock(),
            )
        )
        return minted.text

    def tell(self, *stories: Story, tenant: str = "default") -> list[str]:
        """Put stories into the store as the worker does; returns the ids of their incidents, in the same order."""
        ids = []
        with self.store.begin() as transaction:
            for story in stories:
                change, lines = story.change(tenant)
                transaction.put_changes([change], at=self.clock(), lines=lines, base_url="http://127.0.0.1:8780")
                ids.append(change.incident.incident_id)
        return ids

    @contextmanager
    def served(self, **settings: Any) -> Iterator[str]:
        """Serve on a free port; gives the address."""
        with socket.create_server(("127.0.0.1", 0)) as bound:
            port = bound.getsockname()[1]
            server = uvicorn.Server(
                uvicorn.Config(self.app(port=port, **settings), log_config=None, timeout_graceful_shutdown=2)
            )
            thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
            thread.start()
            try:
                yield f"http://127.0.0.1:{port}"
            finally:
                self.stopping.set()
                server.should_exit = True
                thread.join(10)


@dataclass(frozen=True, kw_only=True)
class Story:
    """What one incident is made of."""

    summary: str = "203.0.113.9 signed in as root, a pair never seen before"
    expected: str | None = "root signs in from 10.0.0.4 or 10.0.0.7"
    actual: str | None = "203.0.113.9, first seen 12:00:04"
    stream: str = "auth"
    entities: tuple[str, ...] = ("user:root", "ip:203.0.113.9", "host:web-1")
    detectors: tuple[str, ...] = ("novelty", "volume")
    lines: tuple[str, ...] = (
        "Nov 25 12:00:03 web-1 sshd[4242]: Failed password for root from 203.0.113.9 port 40312 ssh2",
        "Nov 25 12:00:04 web-1 sshd[4242]: Accepted password for root from 203.0.113.9 port 40312 ssh2",
    )
    severity: int = 78
    start_at: datetime = NOW - timedelta(minutes=4)
    lasts: timedelta = timedelta(seconds=150)
    findings: int = 4

    def change(self, tenant: str = "default") -> tuple[Change, dict[str, LineRow]]:
        """The opening of the incident, and its raw lines."""
        template = template_id(tenant, self.stream, self.summary)
        name = f"{self.stream}{self.summary}{self.start_at.isoformat()}"
        ids = event_ids(tenant, self.stream, name, range(len(self.lines)))
        lines = {
            event: LineRow(
                event_id=event,
                stream=self.stream,
                time=self.start_at + timedelta(seconds=place),
                body=body,
                template_id=template,
            )
            for place, (event, body) in enumerate(zip(ids, self.lines, strict=True))
        }
        found = [self._finding(tenant, number, tuple(ids), template) for number in range(self.findings)]
        (change,) = correlate(found, [], {}, self.start_at, Policy())
        return change, lines

    def _finding(self, tenant: str, number: int, ids: tuple[str, ...], template: str) -> Finding:
        detector = self.detectors[number % len(self.detectors)]
        start_at = self.start_at + self.lasts * (number / self.findings)
        wide = self.lasts / 4 if detector == "volume" else timedelta(0)
        summary = self.summary if number == 0 else f"{self.summary} (sign {number + 1})"
        return Finding(
            finding_id=finding_id(detector, tenant, self.stream, f"{self.summary}{number}", int(start_at.timestamp())),
            tenant=tenant,
            stream=self.stream,
            detector=detector,
            start_at=start_at,
            end_at=start_at + wide,
            score=9.5 - number,
            p_value=10.0 ** -(4 - 0.2 * (number % 10)),
            severity=max(40, self.severity - 3 * number),
            summary=summary,
            expected=self.expected,
            actual=self.actual,
            entities=self.entities,
            trace_ids=("4bf92f3577b34da6a3ce929d0e0e4736",),
            template_ids=(template,),
            event_ids=ids,
            reasons=(
                Reason(
                    kind="line",
                    summary=summary,
                    expected=self.expected,
                    actual=self.actual,
                    event_id=next(iter(ids), None),
                ),
                Reason(
                    kind="pair",
                    summary=f"{self.entities[0]} was never seen with {self.entities[-1]}",
                    payload={"seen": 0},
                ),
            ),
        )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database; copying it is faster than making one for each test."""
    path = tmp_path_factory.mktemp("empty") / "tocsin.sqlite"
    store = Store(f"sqlite:///{path}", StoreSettings())
    store.open()
    store.close()
    return path


@pytest.fixture
def store(tmp_path: Path, empty_database: Path) -> Iterator[Store]:
    """An empty database in a file of its own."""
    shutil.copy(empty_database, tmp_path / "tocsin.sqlite")
    store = Store(f"sqlite:///{tmp_path / 'tocsin.sqlite'}", StoreSettings())
    store.open()
    yield store
    store.close()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty journal."""
    journal = Journal(tmp_path / "journal", JournalSettings(disk_free_bytes_min=0))
    yield journal
    journal.close()


@pytest.fixture
def house(tmp_path: Path, clock: Clock, store: Store, journal: Journal) -> House:
    """An empty service."""
    return House(
        folder=tmp_path,
        clock=clock,
        store=store,
        journal=journal,
        events=EventStore(tmp_path / "events"),
    )


@pytest.fixture
def story() -> type[Story]:
    """Makes what an incident is made of."""
    return Story
