"""The store: one database with everything but the events, opened by every process on its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from alerts.notice import BodySettings
from storage.database import Database, StoreSettings, database_url
from storage.desk import Desk
from storage.keys import Keys
from storage.outbox import OutboxTable
from storage.prune import prune
from storage.reads import Reads
from storage.schema import bring_up_to_date
from storage.transaction import Transaction
from tocsin.errors import StorageError

__all__ = ["Store", "StoreSettings", "database_url"]


class Store:
    """Everything that is kept, by who asks: the worker begins transactions, people read and change.

    Attributes:
        reads: what is shown.
        desk: what people change.
        keys: API keys.
        outbox: messages to be sent.
    """

    def __init__(self, url: str, settings: StoreSettings, body: BodySettings | None = None) -> None:
        """Prepare; nothing is opened yet.

        Args:
            url: `database_url(settings, data folder)`.
            settings: limits.
            body: limits of the messages to webhooks.

        Raises:
            SettingsError: the URL names no database we speak.
        """
        self.settings = settings
        self.database = Database(url, settings)
        self._body = body or BodySettings()
        self.reads = Reads(self.database)
        self.desk = Desk(self.database, settings, self._body)
        self.keys = Keys(self.database)
        self.outbox = OutboxTable(self.database)

    def open(self) -> None:
        """Bring the schema up to date.

        Raises:
            StorageError: the database is of a newer version, or it cannot be used; one line says which.
        """
        try:
            bring_up_to_date(self.database)
        except StorageError:
            self.close()
            raise

    def close(self) -> None:
        """Close every connection."""
        self.database.close()

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """One transaction of the worker: one step. It is kept when the block ends, and undone when it raises."""
        with self.database.write() as connection:
            transaction = Transaction(connection, self.settings, self._body)
            yield transaction
            transaction.finish()

    def prune(self, now: datetime) -> dict[str, int]:
        """Remove what is too old or too much; returns how many rows of each table went. For the worker's schedule."""
        return prune(self.database, self.settings, now)
