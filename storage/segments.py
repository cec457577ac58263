"""The rows that say which files of events count."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, update

from storage import tables
from storage.making import made
from storage.rows import Segment
from storage.statements import chunks, upsert

_table = tables.segments


def put_segments(connection: Connection, segments: Sequence[Segment]) -> None:
    """These files count from now on."""
    upsert(connection, _table, [_values(segment) for segment in segments])


def find_segments(
    connection: Connection, tenant: str | None = None, start: datetime | None = None, end: datetime | None = None
) -> list[Segment]:
    """The files that count, by time; with `start` or `end`, those that may hold events from one to the other."""
    query = select(_table).where(_table.c.dropped_at.is_(None))
    if tenant is not None:
        query = query.where(_table.c.tenant == tenant)
    if start is not None:
        query = query.where(_table.c.end_at >= start)
    if end is not None:
        query = query.where(_table.c.start_at <= end)
    query = query.order_by(_table.c.tenant, _table.c.start_at, _table.c.path)
    return [made(Segment, row) for row in connection.execute(query).mappings()]


def drop_segments(connection: Connection, paths: Sequence[str], at: datetime) -> int:
    """These files count no more; returns how many still did. Whoever reads one now has time to end."""
    dropped = 0
    for some in chunks(paths):
        mine = update(_table).where(_table.c.path.in_(some), _table.c.dropped_at.is_(None))
        dropped += connection.execute(mine.values(dropped_at=at)).rowcount
    return dropped


def dropped_before(connection: Connection, at: datetime) -> list[str]:
    """Files that stopped to count before `at`."""
    query = select(_table.c.path).where(_table.c.dropped_at < at).order_by(_table.c.path)
    return list(connection.execute(query).scalars())


def forget_segments(connection: Connection, paths: Sequence[str]) -> None:
    """These files are gone."""
    for some in chunks(paths):
        connection.execute(delete(_table).where(_table.c.path.in_(some), _table.c.dropped_at.is_not(None)))


def known_paths(connection: Connection) -> set[str]:
    """Every file that counts or did."""
    return set(connection.execute(select(_table.c.path)).scalars())


def _values(segment: Segment) -> dict[str, Any]:
    return {
        "path": segment.path,
        "tenant": segment.tenant,
        "first_offset": segment.first_offset,
        "last_offset": segment.last_offset,
        "rows": segment.rows,
        "bytes": segment.bytes,
        "start_at": segment.start_at,
        "end_at": segment.end_at,
        "dropped_at": None,
    }
