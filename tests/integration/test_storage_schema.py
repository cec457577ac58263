"""The schema is what the code says, on both databases; a database that cannot be used is reported in one line."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from storage.store import Store, StoreSettings
from storage.store import database_url as url_of
from storage.tables import metadata
from storage.views import VIEWS
from tocsin.errors import SettingsError, StorageError

PROMISED = {
    "incidents": "incident_id tenant status severity title opened_at last_at closed_at finding_count entities streams "
    "detectors assignee",
    "findings": "finding_id incident_id tenant stream detector start_at end_at score p_value severity summary expected "
    "actual",
    "evidence": "finding_id rank kind summary event_id payload",
    "entities": "entity kind value first_seen last_seen event_count",
    "incident_entities": "incident_id entity weight",
    "templates": "template_id stream template first_seen last_seen event_count",
}


def opened(url: str) -> Store:
    store = Store(url, StoreSettings())
    store.open()
    return store


def test_the_migrations_make_the_tables_the_code_speaks_of(database_url: str) -> None:
    store = opened(database_url)
    with store.database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    store.close()


def test_every_view_has_the_columns_that_are_promised(database_url: str) -> None:
    store = opened(database_url)
    with store.database.read() as connection:
        for view, columns in VIEWS.items():
            assert list(connection.execute(text(f"SELECT * FROM {view}")).keys()) == list(columns)
    assert {view: " ".join(VIEWS[view]) for view in PROMISED} == PROMISED
    assert {"feedback", "deliveries", "models", "streams", "dead_letters"} < set(VIEWS)
    store.close()


def test_opening_again_changes_nothing(database_url: str) -> None:
    opened(database_url).close()
    opened(database_url).close()


def test_two_processes_that_open_an_empty_database_at_once_both_succeed(database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(opened, [database_url] * 4))
    for store in stores:
        assert store.reads.worker().offset == 0
        store.close()


def test_a_database_of_a_newer_version_is_left_alone(database_url: str) -> None:
    store = opened(database_url)
    with store.database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(StorageError, match="newer Tocsin") as raised:
        opened(database_url)
    assert "\n" not in str(raised.value)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"tocsin\.sqlite") as raised:
        opened("sqlite:////proc/nowhere/tocsin.sqlite")
    assert "\n" not in str(raised.value)


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may write what nobody may, so be nobody."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    opened(f"sqlite:///{tmp_path / 'tocsin.sqlite'}").close()  # imports what only root may read
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        with without_privileges(), pytest.raises(StorageError, match="Permission denied"):
            opened(f"sqlite:///{folder}/tocsin.sqlite")


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "tocsin.sqlite"
    file.write_bytes(b"this is not a database, it is a letter" * 100)
    with pytest.raises(StorageError, match="not a database"):
        opened(f"sqlite:///{file}")


def test_a_database_that_does_not_answer_is_named_without_its_password() -> None:
    with pytest.raises(StorageError, match=r"127\.0\.0\.1") as raised:
        opened("postgresql://tocsin:hunter2@127.0.0.1:1/tocsin")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("url", ["mysql://localhost/x", "nonsense", "mssql+pyodbc://x"])
def test_a_database_we_do_not_speak_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match=r"store\.url"):
        Store(url, StoreSettings())


def test_the_file_with_the_secrets_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    store = opened(url_of(StoreSettings(), tmp_path))
    store.reads.worker()
    for file in tmp_path.glob("tocsin.sqlite*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    store.close()


def test_a_commit_on_sqlite_survives_power_loss(tmp_path: Path) -> None:
    store = opened(url_of(StoreSettings(), tmp_path))
    with store.database.write() as connection:
        pragmas = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert pragmas == ["wal", 2]
    store.close()
