"""The composition root of the HTTP process: what it needs, opened in order and closed in reverse."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from api.app import create_app
from api.guard import is_loopback
from api.services import Services
from ingest.journal import Journal
from service.settings import Settings
from storage.events import EventStore
from storage.sql import SqlResult, run_sql
from storage.store import Store, database_url
from tocsin.errors import SettingsError, StorageError
from tocsin.state import sync_folder

log = structlog.get_logger(__name__)

_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What the HTTP process holds."""

    services: Services
    journal: Journal
    is_open: bool  # on loopback without a key: everyone on this machine is let in


def now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)


def data_folder(settings: Settings) -> Path:
    """Make sure that the data folder is there and can be written.

    Raises:
        StorageError: it cannot.
    """
    folder = settings.data
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: the data folder cannot be made: {error.strerror}") from error
    probe = folder / f".probe-{os.getpid()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StorageError(f"{folder}: the data folder cannot be written: {error.strerror}") from error
    return folder


@contextmanager
def opened_store(settings: Settings) -> Iterator[Store]:
    """The database of `settings`, brought to this version."""
    store = Store(database_url(settings.store, settings.data), settings.store, settings.body)
    try:
        store.open()
        yield store
    finally:
        store.close()


@contextmanager
def opened(settings: Settings, stopping: threading.Event) -> Iterator[Opened]:
    """Open everything that the HTTP process needs.

    Args:
        settings: all of them; `api.port` is the port listened on. The caller owns the `api` part of the data folder.
        stopping: set when the service is about to stop.

    Raises:
        StorageError: the journal or the database cannot be used.
        SettingsError: without a key the service would be open to a network.
    """
    with ExitStack() as stack:
        folder = settings.data
        store = stack.enter_context(opened_store(settings))
        has_keys = store.keys.has_keys()
        if not has_keys and not is_loopback(settings.api.host):
            raise SettingsError(
                f"api.host: {settings.api.host} can be reached from the network and there is no key yet; "
                f"make one with: tocsin key create --data {folder}"
            )
        journal = Journal(folder / "journal", settings.journal, processed=store.reads.worker().offset)
        stack.callback(journal.close)
        events = EventStore(folder / "events", settings.events)

        def sql(tenant: str, query: str, limit: int) -> SqlResult:
            return run_sql(store, events, tenant, query, limit=limit, settings=settings.sql)

        services = Services(
            settings=settings.api,
            limits=settings.limits,
            journal=journal,
            store=store,
            run_sql=sql,
            clock=now,
            random_bytes=secrets.token_bytes,
            session_secret=session_secret(folder),
            address=settings.address,
            budget_per_day=settings.panel.budget_per_day,
            stopping=stopping,
        )
        yield Opened(services=services, journal=journal, is_open=not has_keys)


def openapi(folder: Path) -> dict[str, Any]:
    """The reference of the HTTP interface as data; `folder` is empty and may be thrown away afterwards."""
    with opened(Settings(data=folder), threading.Event()) as parts:
        return create_app(parts.services).openapi()


def session_secret(folder: Path) -> bytes:
    """The secret that signs sessions, made at the first start, so that sessions survive a restart.

    Raises:
        StorageError: it cannot be kept.
    """
    path = folder / "secret"
    try:
        if path.exists():
            secret = path.read_bytes()
            if len(secret) >= _SECRET_BYTES:
                return secret
            log.warning("session_secret_renewed", path=str(path))
        secret = secrets.token_bytes(_SECRET_BYTES)
        temporary = path.with_name("secret.tmp")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(folder)
    except OSError as error:
        raise StorageError(f"{path}: cannot be kept: {error.strerror}") from error
    return secret
