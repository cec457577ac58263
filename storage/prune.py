"""Removes what is too old or too much, a bounded number of rows in one transaction, so that no step waits long."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import ColumnElement, Table, and_, delete, exists, func, or_, select, tuple_

from storage import tables
from storage.database import Database, StoreSettings
from storage.statements import chunks

log = structlog.get_logger(__name__)

_TRANSACTIONS_MAX = 1000  # of one table in one call: a clock that jumped back must not keep the worker here for ever


def prune(database: Database, settings: StoreSettings, now: datetime) -> dict[str, int]:
    """Remove it; returns how many rows of each table went.

    Results age in event time, up to the tenant's latest event, so that a history that is loaded today stays. What
    people and messages did ages by the clock on the wall, which is `now`.
    """
    removed = {
        "t_batches": _remove(
            database,
            settings,
            tables.batches,
            tables.batches.c.seen_at < now - timedelta(hours=settings.batches_hours),
        ),
        "t_deliveries": _remove(
            database, settings, tables.deliveries, _old_messages(now - timedelta(days=settings.deliveries_days))
        ),
        "t_silences": _remove(
            database,
            settings,
            tables.silences,
            tables.silences.c.ends_at < now - timedelta(days=settings.silences_days),
        ),
    }
    with database.read() as connection:
        clocks = [(row.tenant, min(row.event_at, now)) for row in connection.execute(select(tables.clocks))]
    for tenant, at in clocks:
        for name, count in _prune_tenant(database, settings, tenant, at).items():
            removed[name] = removed.get(name, 0) + count
    removed = {name: count for name, count in removed.items() if count}
    if removed:
        log.info("rows_pruned", **removed)
    return removed


def _prune_tenant(database: Database, settings: StoreSettings, tenant: str, at: datetime) -> dict[str, int]:
    incidents, findings = tables.incidents, tables.findings
    closed_before = _days_before(at, settings.incidents_days)
    over = and_(incidents.c.tenant == tenant, incidents.c.closed_at < closed_before)
    held_back = and_(
        findings.c.tenant == tenant,
        findings.c.incident_id.is_(None),
        findings.c.start_at < _days_before(at, settings.findings_days),
    )
    return {
        "t_incidents": _remove_incidents(database, settings, over),
        "t_findings": _remove_findings(database, settings, held_back),
        "t_entities": _remove_excess(
            database, settings, tables.entities, tenant, (tables.entities.c.last_seen,), settings.entities_max
        ),
        "t_templates": _remove_excess(
            database, settings, tables.templates, tenant, (tables.templates.c.last_seen,), settings.templates_max
        ),
        "t_streams": _remove_excess(
            database, settings, tables.streams, tenant, (tables.streams.c.last_seen,), settings.streams_max
        ),
        "t_dead_letters": _remove_excess(
            database,
            settings,
            tables.dead_letters,
            tenant,
            (tables.dead_letters.c.dead_letter_id,),
            settings.dead_letters_max,
        ),
        "t_lines": _remove_excess(
            database, settings, tables.lines, tenant, (tables.lines.c.kept_at, tables.lines.c.time), settings.lines_max
        ),
    }


def _old_messages(before: datetime) -> ColumnElement[bool]:
    """Sent, given up, or waiting for a webhook that was switched off and not on again."""
    hooks, table = tables.webhooks, tables.deliveries
    listening = exists().where(hooks.c.webhook_id == table.c.webhook_id, hooks.c.enabled)
    return and_(table.c.created_at < before, or_(table.c.status != "pending", ~listening))


def _remove_incidents(database: Database, settings: StoreSettings, condition: ColumnElement[bool]) -> int:
    """Incidents with everything that belongs to them."""
    column = tables.incidents.c.incident_id
    of_incident = (tables.incident_entities, tables.incident_changes, tables.feedback, tables.incidents)
    removed = 0
    for _ in range(_TRANSACTIONS_MAX):
        with database.read() as connection:
            ids = list(connection.execute(select(column).where(condition).limit(100)).scalars())
        if not ids:
            break
        _remove_findings(database, settings, tables.findings.c.incident_id.in_(ids))
        with database.write() as connection:
            for table in of_incident:
                connection.execute(delete(table).where(table.c.incident_id.in_(ids)))
        removed += len(ids)
    return removed


def _remove_findings(database: Database, settings: StoreSettings, condition: ColumnElement[bool]) -> int:
    """Findings with their evidence."""
    column = tables.findings.c.finding_id
    removed = 0
    for _ in range(_TRANSACTIONS_MAX):
        with database.write() as connection:
            query = select(column).where(condition).limit(settings.prune_rows // 5)  # each has a handful of others
            ids = list(connection.execute(query).scalars())
            for some in chunks(ids):
                for table in (tables.evidence, tables.finding_entities, tables.findings):
                    connection.execute(delete(table).where(table.c.finding_id.in_(some)))
        if not ids:
            break
        removed += len(ids)
    return removed


def _remove(database: Database, settings: StoreSettings, table: Table, condition: ColumnElement[bool]) -> int:
    keys = list(table.primary_key)
    some = select(*keys).where(condition).limit(settings.prune_rows)
    removed = 0
    for _ in range(_TRANSACTIONS_MAX):
        with database.write() as connection:
            count = connection.execute(delete(table).where(tuple_(*keys).in_(some))).rowcount
        removed += count
        if count < settings.prune_rows:
            break
    return removed


def _remove_excess(  # noqa: PLR0913, PLR0917 -- which rows of which table, and how many may stay
    database: Database,
    settings: StoreSettings,
    table: Table,
    tenant: str,
    oldest_first: Sequence[ColumnElement[Any]],
    rows_max: int,
) -> int:
    """Remove the first rows in this order until `rows_max` are left. What is sorted is only read, not locked."""
    keys = list(table.primary_key)
    removed = 0
    for _ in range(_TRANSACTIONS_MAX):
        with database.read() as connection:
            counted = select(func.count()).select_from(table).where(table.c.tenant == tenant)
            excess = int(connection.execute(counted).scalar_one()) - rows_max
            if excess <= 0:
                break
            query = select(*keys).where(table.c.tenant == tenant).order_by(*oldest_first, *keys)
            found = [tuple(row) for row in connection.execute(query.limit(min(excess, 10 * settings.prune_rows)))]
        for some in chunks(found, settings.prune_rows):
            with database.write() as connection:
                for few in chunks(some):
                    connection.execute(delete(table).where(tuple_(*keys).in_(few)))
        removed += len(found)
    return removed


def _days_before(at: datetime, days: float) -> datetime:
    return at - min(timedelta(days=days), at - datetime.min.replace(tzinfo=at.tzinfo))
