"""The connection to SQLite or PostgreSQL: short reads, one writer at a time, and errors in our own words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tocsin.errors import FullError, SettingsError, StorageError


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Where results are kept, how much of them, and for how long."""

    url: str = ""  # "": a SQLite file in the data folder; else postgresql://user:password@host/database
    busy_timeout_s: float = 30.0  # a writer waits this long for another; the longest step measured took 3 s
    connections_max: int = 10  # of a process; more threads wait
    connect_timeout_s: float = 10.0  # a database that does not answer by then is reported as down
    statement_timeout_s: float = 60.0  # PostgreSQL; nothing this program asks takes longer
    event_ids_max: int = 200  # kept of a finding; a burst may consist of a million lines
    reasons_max: int = 50  # kept of a finding
    entities_max: int = 200_000  # of a tenant, the latest seen; 200 bytes each
    templates_max: int = 100_000  # of a tenant, the latest seen; the parser forgets old ones and makes new ones
    streams_max: int = 10_000  # of a tenant, the latest seen; a sender chooses their names
    dead_letters_max: int = 10_000  # of a tenant, the latest; up to 64 KiB each
    lines_max: int = 200_000  # raw lines kept for findings of a tenant, the latest
    line_chars_max: int = 65_536  # of a raw line kept for findings
    models_max: int = 20  # remembered snapshots of a detector and tenant
    deliveries_days: float = 30.0  # what was sent or given up; longer than any dispute about a message
    batches_hours: float = 24.0  # a batch sent again after that is new; senders retry for minutes
    incidents_days: float = 365.0  # after they were closed; a year shows what comes back every year
    findings_days: float = 30.0  # that are in no incident
    silences_days: float = 90.0  # after they ended
    prune_rows: int = 5_000  # removed in one transaction, so that a step waits for a tenth of a second at most


def database_url(settings: StoreSettings, data: Path) -> str:
    """The database's URL; `data` is the data folder."""
    return settings.url or f"sqlite:///{data / 'tocsin.sqlite'}"


class Database:
    """One database. `write` is serialised by the database itself; `read` sees one moment.

    Raises:
        SettingsError: the URL names no database we speak.
    """

    def __init__(self, url: str, settings: StoreSettings) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise SettingsError("store.url: not a database URL") from None
        if parsed.drivername in {"postgresql", "postgres"}:
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
            raise SettingsError(f"store.url: expected sqlite or postgresql, got {parsed.drivername!r}")
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.name = parsed.render_as_string(hide_password=True)
        self.path = Path(parsed.database or "") if self.is_sqlite else None
        try:
            self._writer, self._reader = _engines(parsed, settings, is_sqlite=self.is_sqlite)
        except (NoSuchModuleError, ModuleNotFoundError):
            raise SettingsError("store.url: PostgreSQL needs the extra `tocsin[postgres]`") from None

    def create_file(self) -> None:
        """Make the SQLite file readable by its owner alone before anything is in it: it holds webhook secrets."""
        if self.path is None or self.path.exists():
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as error:
            raise StorageError(f"database {self.path}: {error.strerror or error}") from error

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that may change things: all of it is kept, or nothing."""
        with self._in_our_words(), self._writer.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only looks; everything in it sees the same moment."""
        with self._in_our_words(), self._reader.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._writer.dispose()
        self._reader.dispose()

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._error(str(error.orig).strip().splitlines()[0] if error.orig else "failed") from error
        except (PoolTimeoutError, SQLAlchemyError) as error:
            raise self._error(str(error).splitlines()[0]) from error

    def _error(self, words: str) -> StorageError:
        is_full = "disk is full" in words or "No space left" in words or "could not extend file" in words
        return (FullError if is_full else StorageError)(f"database {self.name}: {words}")


def _engines(url: Any, settings: StoreSettings, *, is_sqlite: bool) -> tuple[Engine, Engine]:
    if not is_sqlite:
        timeout_ms = round(1000 * settings.statement_timeout_s)
        engine = create_engine(
            url,
            pool_size=settings.connections_max,
            max_overflow=0,
            pool_timeout=settings.busy_timeout_s,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": max(2, round(settings.connect_timeout_s)),
                "application_name": "tocsin",
                "options": f"-c statement_timeout={timeout_ms} -c timezone=UTC -c synchronous_commit=on",
            },
        )
        looking = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        return engine, looking
    connect = {"timeout": settings.busy_timeout_s, "check_same_thread": False}
    pool: dict[str, Any] = {"pool_size": settings.connections_max, "max_overflow": 0, "connect_args": connect}
    writer, reader = create_engine(url, **pool), create_engine(url, **pool)
    event.listen(writer, "connect", _tune)
    event.listen(reader, "connect", _tune_reader)
    event.listen(writer, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    event.listen(reader, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return writer, reader


def _tune(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are ours: sqlite3 would begin them late and not immediately
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",  # a commit survives power loss: the journal is cut back on its word
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-32768",  # 32 MiB
        "wal_autocheckpoint=4000",  # 16 MiB
        "journal_size_limit=67108864",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _tune_reader(connection: sqlite3.Connection, record: object) -> None:
    _tune(connection, record)
    connection.execute("PRAGMA query_only=ON")
