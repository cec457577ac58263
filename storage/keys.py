"""API keys: the hashes of their secrets, what they may do, and whether they still count."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import func, select, update

from storage import tables
from storage.database import Database
from storage.rows import KeyRow
from storage.statements import RowLike, insert


class Keys:
    """The keys of every tenant."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def key(self, key_id: str) -> KeyRow | None:
        """The key with this id, also when it is revoked."""
        query = select(tables.keys).where(tables.keys.c.key_id == key_id)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else _key(row)

    def has_keys(self) -> bool:
        """Whether a key was ever created, which closes the service to everyone without one."""
        with self._database.read() as connection:
            return bool(connection.execute(select(func.count()).select_from(tables.keys)).scalar_one())

    def add(self, key: KeyRow) -> None:
        """Keep a new key."""
        row = {
            "key_id": key.key_id,
            "tenant": key.tenant,
            "name": key.name,
            "secret_sha256": key.secret_sha256,
            "scopes": sorted(key.scopes),
            "created_at": key.created_at,
            "expires_at": key.expires_at,
            "revoked_at": key.revoked_at,
        }
        with self._database.write() as connection:
            connection.execute(insert(connection, tables.keys), [row])

    def all(self) -> list[KeyRow]:
        """Every key, the oldest first."""
        query = select(tables.keys).order_by(tables.keys.c.created_at, tables.keys.c.key_id)
        with self._database.read() as connection:
            return [_key(row) for row in connection.execute(query).mappings()]

    def revoke(self, key_id: str, at: datetime) -> bool:
        """End a key; False when there is none that still counts."""
        table = tables.keys
        mine = update(table).where(table.c.key_id == key_id, table.c.revoked_at.is_(None))
        with self._database.write() as connection:
            return connection.execute(mine.values(revoked_at=at)).rowcount == 1


def _key(row: RowLike) -> KeyRow:
    return KeyRow(**{**row, "scopes": frozenset(row["scopes"])})
