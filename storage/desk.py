"""What people do: each is one transaction, and what follows from it is in the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, TypedDict, Unpack

from sqlalchemy import Connection, delete, select, update

from alerts.address import parse_url
from alerts.formats import Format
from alerts.incident import Status, change_by_person
from alerts.notice import BodySettings
from alerts.silence import Silence
from alerts.webhook import secret_key
from storage import outbox, tables
from storage.changes import Kept, incident_of, keep_changes
from storage.database import Database, StoreSettings
from storage.making import made
from storage.rows import FeedbackRow, IncidentRow, WebhookRow
from storage.silences import silence_values
from storage.statements import insert, insert_new, upsert
from storage.transaction import mark
from tocsin.errors import InputError

EVENTS = ("incident.opened", "incident.updated", "incident.resolved")


class WebhookFields(TypedDict, total=False):
    """What may change about a webhook."""

    url: str
    format: str
    events: Sequence[str]
    severity_min: int
    description: str | None
    routing_key: str | None
    enabled: bool
    secrets: Sequence[str]  # newest first; several while a secret is being replaced


class Desk:
    """Changes that people make."""

    def __init__(self, database: Database, settings: StoreSettings, body: BodySettings) -> None:
        self._database = database
        self._settings = settings
        self._body = body

    # Incidents

    def change_incident(  # noqa: PLR0913 -- what a person may change
        self,
        tenant: str,
        incident_id: str,
        *,
        at: datetime,
        status: Status | None = None,
        assignee: str | None = None,
        by: str | None = None,
        base_url: str = "",
    ) -> IncidentRow | None:
        """Change an incident and queue the messages about it; None when the tenant has no such incident.

        Args:
            tenant: whose.
            incident_id: which.
            at: wall-clock time; the incident closes at its own event time when that is later.
            status: the new status; None leaves it.
            assignee: who looks at it, "" for nobody; None leaves it.
            by: who did it.
            base_url: where the web page is reached.

        Raises:
            InputError: the status cannot follow the present one, or the assignee is too long.
        """
        table = tables.incidents
        mine = select(table).where(table.c.incident_id == incident_id, table.c.tenant == tenant)
        with self._database.write() as connection:
            row = connection.execute(mine.with_for_update()).mappings().one_or_none()
            if row is None:
                return None
            change = change_by_person(incident_of(row), at=at, status=status, assignee=assignee)
            if change is not None:
                kept = Kept(at=at, lines={}, base_url=base_url, author=by or "")
                mark(connection, keep_changes(connection, [change], kept, self._settings, self._body))
            return made(IncidentRow, connection.execute(mine).mappings().one())

    def add_feedback(  # noqa: PLR0913 -- the fields of a verdict
        self,
        tenant: str,
        incident_id: str,
        *,
        label: str,
        reason: str | None,
        scope: str | None,
        author: str | None,
        at: datetime,
    ) -> FeedbackRow | None:
        """Keep a verdict; None when the tenant has no such incident."""
        table, incidents = tables.feedback, tables.incidents
        known = select(incidents.c.incident_id).where(
            incidents.c.incident_id == incident_id, incidents.c.tenant == tenant
        )
        values = {"label": label, "reason": reason, "scope": scope, "author": author, "created_at": at}
        with self._database.write() as connection:
            if connection.execute(known).one_or_none() is None:
                return None
            statement = insert(connection, table).values(tenant=tenant, incident_id=incident_id, **values)
            row = connection.execute(statement.returning(table)).mappings().one()
            mark(connection, [tenant])
            return made(FeedbackRow, row)

    # Silences and the budget

    def add_silence(self, silence: Silence) -> None:
        """Keep a silence; the same again changes nothing."""
        with self._database.write() as connection:
            insert_new(connection, tables.silences, [silence_values(silence)])
            mark(connection, [silence.tenant])

    def end_silence(self, tenant: str, silence_id: str, at: datetime) -> bool:
        """End a silence at `at`; False when the tenant has none of this id that lasts longer."""
        table = tables.silences
        mine = (table.c.silence_id == silence_id, table.c.tenant == tenant)
        with self._database.write() as connection:
            row = connection.execute(select(table.c.starts_at).where(*mine, table.c.ends_at > at)).one_or_none()
            if row is None:
                return False
            if row.starts_at >= at:  # it never began; an end before its start would be no silence
                connection.execute(delete(table).where(*mine))
            else:
                connection.execute(update(table).where(*mine).values(ends_at=at))
            mark(connection, [tenant])
            return True

    def set_budget(self, tenant: str, per_day: float) -> None:
        """How many incidents a day the tenant wants to hear of."""
        with self._database.write() as connection:
            upsert(connection, tables.budgets, [{"tenant": tenant, "incidents_per_day": per_day}])

    # Webhooks

    def add_webhook(  # noqa: PLR0913 -- the fields of a webhook
        self,
        tenant: str,
        *,
        url: str,
        format: str = "standard",  # noqa: A002 -- the field's name
        events: Sequence[str] = EVENTS,
        severity_min: int = 0,
        description: str | None = None,
        routing_key: str | None = None,
        secret: str,
        at: datetime,
    ) -> WebhookRow:
        """Keep a receiver; it hears of what changes from now on.

        Raises:
            InputError: the URL, the format, an event or the secret is none, or the routing key is missing.
        """
        row = {
            "webhook_id": _webhook_id(tenant, url, secret, at),
            "tenant": tenant,
            "url": url,
            "format": format,
            "events": list(events),
            "severity_min": severity_min,
            "description": description,
            "routing_key": routing_key,
            "secrets": [secret],
            "enabled": True,
            "created_at": at,
        }
        _check_webhook(row)
        with self._database.write() as connection:
            connection.execute(insert(connection, tables.webhooks), [row])
        return made(WebhookRow, row)

    def change_webhook(self, tenant: str, webhook_id: str, **fields: Unpack[WebhookFields]) -> WebhookRow | None:
        """Change the fields given; None when the tenant has no such webhook.

        Raises:
            InputError: as `add_webhook`.
        """
        table = tables.webhooks
        with self._database.write() as connection:
            row = _webhook(connection, tenant, webhook_id)
            if row is None:
                return None
            after = {**row, **fields}
            _check_webhook(after)
            if fields:
                mine = update(table).where(table.c.webhook_id == webhook_id, table.c.tenant == tenant)
                connection.execute(mine.values(**fields))
            return made(WebhookRow, after)

    def delete_webhook(self, tenant: str, webhook_id: str) -> bool:
        """Forget a webhook with its secrets; what was still to be sent is given up. False when there is none."""
        hooks, table = tables.webhooks, tables.deliveries
        with self._database.write() as connection:
            gone = connection.execute(delete(hooks).where(hooks.c.webhook_id == webhook_id, hooks.c.tenant == tenant))
            if gone.rowcount == 0:
                return False
            waiting = update(table).where(table.c.webhook_id == webhook_id, table.c.status == "pending")
            connection.execute(waiting.values(status="dead", next_at=None, reason="the webhook was deleted"))
            return True

    def queue_test(self, tenant: str, webhook_id: str, *, at: datetime, base_url: str = "") -> int | None:
        """Queue a test message; its delivery id, or None when the tenant has no such webhook."""
        with self._database.write() as connection:
            row = _webhook(connection, tenant, webhook_id)
            return None if row is None else outbox.post_test(connection, row, at, base_url, self._body)

    def replay_delivery(self, tenant: str, delivery_id: int | str, at: datetime) -> int | None:
        """Queue a message once more, with the same message id; None when there is none, or its webhook is gone."""
        if not str(delivery_id).isascii() or not str(delivery_id).isdigit():
            return None
        with self._database.write() as connection:
            return outbox.replay(connection, tenant, int(delivery_id), at)

    # The machinery

    def beat(self, at: datetime) -> None:
        """The worker is alive."""
        with self._database.write() as connection:
            upsert(connection, tables.beats, [{"one": 1, "beat_at": at}])


def _webhook(connection: Connection, tenant: str, webhook_id: str) -> dict[str, Any] | None:
    table = tables.webhooks
    query = select(table).where(table.c.webhook_id == webhook_id, table.c.tenant == tenant)
    row = connection.execute(query.with_for_update()).mappings().one_or_none()
    return None if row is None else dict(row)


def _webhook_id(tenant: str, url: str, secret: str, at: datetime) -> str:
    parts = f"{tenant}\x1f{url}\x1f{secret}\x1f{at.isoformat()}"
    return f"wh_{blake2b(parts.encode(), digest_size=12).hexdigest()}"


def _check_webhook(row: dict[str, Any]) -> None:
    parse_url(row["url"])
    if row["format"] not in set(Format):
        raise InputError(f"webhook: format must be one of {', '.join(Format)}, got {row['format']!r}")
    if row["format"] == Format.PAGERDUTY and not row["routing_key"]:
        raise InputError("webhook: the pagerduty format needs a routing key")
    unknown = [event for event in row["events"] if event not in EVENTS]
    if unknown:
        raise InputError(f"webhook: events are {', '.join(EVENTS)}; got {unknown[0]!r}")
    for secret in row["secrets"]:
        secret_key(secret)
