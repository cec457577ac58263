"""Brings a database to the present schema, once, whoever comes first."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from storage.database import Database
from storage.views import Dialect, create_sql, drop_sql
from tocsin.errors import StorageError

_LOCK = 0x746F6373696E  # "tocsin"; PostgreSQL's advisory lock while a schema is changed


def bring_up_to_date(database: Database) -> None:
    """Migrate to the newest revision and make the views anew; does nothing when they are there already.

    Raises:
        StorageError: the database cannot be written, or it is of a newer version.
    """
    database.create_file()
    config = _config()
    head = ScriptDirectory.from_config(config).get_current_head()
    with database.write() as connection:
        dialect: Dialect = "sqlite" if database.is_sqlite else "postgresql"
        if not database.is_sqlite:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        present = MigrationContext.configure(connection).get_current_revision()
        if present == head:
            return
        _refuse_newer(config, database, present)
        config.attributes["connection"] = connection
        for statement in drop_sql():  # a view in the way would stop a change of its table
            connection.exec_driver_sql(statement)
        command.upgrade(config, "head")
        for statement in create_sql(dialect):
            connection.exec_driver_sql(statement)


def version_of(database: Database) -> str:
    """The revision of a database, which is only looked at; "none" while it is empty.

    Raises:
        StorageError: it is of a newer version, or it cannot be read.
    """
    with database.read() as connection:
        present = MigrationContext.configure(connection).get_current_revision()
    _refuse_newer(_config(), database, present)
    return present or "none"


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _refuse_newer(config: Config, database: Database, present: str | None) -> None:
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if present is not None and present not in known:
        raise StorageError(
            f"database {database.name}: it is of a newer Tocsin (schema {present}); this one knows up to {max(known)}"
        )
