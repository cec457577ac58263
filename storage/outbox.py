"""The outbox: a message exists from the transaction that caused it until it is sent or dead.

A lease is on the webhook, not on the message: one webhook has one message under way. A lease that ran out needs no
clean-up, its message is simply due again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection, and_, exists, func, insert, or_, select, update

from alerts.deliver import Delivery
from alerts.formats import Format
from alerts.incident import Change
from alerts.notice import BodySettings, Notice, ping
from alerts.webhook import body, message_id
from storage import tables
from storage.database import Database
from storage.statements import RowLike, insert_new
from tocsin.errors import InputError

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=90)  # an attempt ends within 15 s; the rest is for a step that keeps the database busy

_webhooks, _deliveries = tables.webhooks, tables.deliveries


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A change that webhooks are told of."""

    change: Change
    at: datetime
    base_url: str


def post(connection: Connection, posts: Sequence[Post], lines: Mapping[str, str], settings: BodySettings) -> None:
    """Queue a message for every enabled webhook that wants it; one that was queued before is not queued again."""
    tenants = sorted({each.change.incident.tenant for each in posts})
    if not tenants:
        return
    query = select(_webhooks).where(_webhooks.c.tenant.in_(tenants), _webhooks.c.enabled)
    hooks = connection.execute(query.order_by(_webhooks.c.webhook_id)).mappings().all()
    rows = [
        row
        for each in posts
        for hook in hooks
        if _wants(hook, each.change) and (row := _row_of(each, hook, lines, settings)) is not None
    ]
    insert_new(connection, _deliveries, rows)


def _wants(hook: RowLike, change: Change) -> bool:
    return (
        hook["tenant"] == change.incident.tenant
        and f"incident.{change.kind}" in hook["events"]
        and change.incident.severity >= hook["severity_min"]
    )


def _row_of(each: Post, hook: RowLike, lines: Mapping[str, str], settings: BodySettings) -> dict[str, Any] | None:
    incident = each.change.incident
    notice = Notice(
        event=f"incident.{each.change.kind}",
        message_id=message_id(hook["webhook_id"], incident.incident_id, incident.sequence),
        change=each.change,
        at=each.at,
        base_url=each.base_url,
        lines=lines,
    )
    try:
        content = body(notice, Format(hook["format"]), settings, routing_key=hook["routing_key"] or "")
    except InputError as error:  # one webhook that cannot be told must not stop the step
        log.warning("message_unmade", webhook=hook["webhook_id"], incident=incident.incident_id, reason=str(error))
        return None
    return message(hook, notice, content) | {"incident_id": incident.incident_id}


def message(hook: RowLike, notice: Notice, content: bytes) -> dict[str, Any]:
    """The row of a new message, due at once."""
    return {
        "tenant": hook["tenant"],
        "webhook_id": hook["webhook_id"],
        "incident_id": None,
        "event": notice.event,
        "message_id": notice.message_id,
        "replay": 0,
        "body": content,
        "status": "pending",
        "attempts": 0,
        "created_at": notice.at,
        "next_at": notice.at,
    }


def post_test(connection: Connection, hook: RowLike, at: datetime, base_url: str, settings: BodySettings) -> int:
    """Queue a test message; returns its delivery id."""
    name = message_id(hook["webhook_id"], "test.ping", int(at.timestamp() * 1_000_000))
    notice = ping(tenant=hook["tenant"], message_id=name, at=at, base_url=base_url)
    content = body(notice, Format(hook["format"]), settings, routing_key=hook["routing_key"] or "")
    insert_new(connection, _deliveries, [message(hook, notice, content)])
    found = select(_deliveries.c.delivery_id).where(_deliveries.c.message_id == name, _deliveries.c.replay == 0)
    return int(connection.execute(found).scalar_one())


def replay(connection: Connection, tenant: str, delivery_id: int, at: datetime) -> int | None:
    """Queue a message that was sent or given up once more, with the same id; None when there is no such message.

    One that is still pending is made due at once instead.
    """
    table = _deliveries
    mine = (table.c.delivery_id == delivery_id, table.c.tenant == tenant)
    row = connection.execute(select(table).where(*mine)).mappings().one_or_none()
    if row is None:
        return None
    if row["status"] == "pending":
        connection.execute(update(table).where(*mine).values(next_at=at))
        return delivery_id
    last = select(func.max(table.c.replay)).where(table.c.message_id == row["message_id"])
    again = {name: row[name] for name in ("tenant", "webhook_id", "incident_id", "event", "message_id", "body")}
    again |= {"replay": int(connection.execute(last).scalar_one()) + 1, "status": "pending", "attempts": 0}
    queued = insert(table).values(**again, created_at=at, next_at=at).returning(table.c.delivery_id)
    return int(connection.execute(queued).scalar_one())


class OutboxTable:
    """The messages, as `alerts.deliver` asks for them. Safe for several workers at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, *, limit: int, now: datetime) -> list[Delivery]:
        """Lease messages that are due, oldest first: see `alerts.deliver.Outbox`."""
        with self._database.read() as connection:  # most of the time nothing is due, and then nobody is kept waiting
            due = connection.execute(self._due(now).limit(limit)).all()
        if not due:
            return []
        with self._database.write() as connection:
            free = select(_webhooks.c.webhook_id).where(
                _webhooks.c.webhook_id.in_([row.webhook_id for row in due]), self._is_free(now)
            )
            # Another worker's claim of the same webhook is passed by; who comes later sees its lease.
            mine = connection.execute(free.with_for_update(skip_locked=True)).scalars().all()
            rows = connection.execute(self._due(now).where(_webhooks.c.webhook_id.in_(mine)).limit(limit)).all()
            for row in rows:
                lease = update(_webhooks).where(_webhooks.c.webhook_id == row.webhook_id)
                connection.execute(lease.values(leased_until=now + LEASE, leased_delivery=row.delivery_id))
            found = select(_deliveries, _webhooks.c.url, _webhooks.c.secrets, _webhooks.c.format).join_from(
                _deliveries, _webhooks, _deliveries.c.webhook_id == _webhooks.c.webhook_id
            )
            ids = [row.delivery_id for row in rows]
            by_id = {
                row["delivery_id"]: _delivery(row)
                for row in connection.execute(found.where(_deliveries.c.delivery_id.in_(ids))).mappings()
            }
        return [by_id[delivery_id] for delivery_id in ids]

    def sent(self, delivery_id: int | str, *, at: datetime, status: int, ms: int) -> None:
        """The receiver has it."""
        values = {"status": "sent", "response_status": status, "reason": None, "sent_at": at, "next_at": None}
        with self._database.write() as connection:
            self._write_down(connection, int(delivery_id), at, ms, values)

    def retry(  # noqa: PLR0913 -- a row of the log of deliveries
        self, delivery_id: int | str, *, at: datetime, next_at: datetime, status: int | None, reason: str, ms: int
    ) -> None:
        """Count an attempt, end the lease, and make it due at `next_at`."""
        values = {"response_status": status, "reason": reason, "next_at": next_at}
        with self._database.write() as connection:
            self._write_down(connection, int(delivery_id), at, ms, values)

    def dead(  # noqa: PLR0913 -- a row of the log of deliveries
        self, delivery_id: int | str, *, at: datetime, status: int | None, reason: str, ms: int, disable: bool
    ) -> None:
        """Give up; it stays for replay. With `disable` the webhook gets no further messages until it is enabled."""
        values = {"status": "dead", "response_status": status, "reason": reason, "next_at": None}
        with self._database.write() as connection:
            webhook_id = self._write_down(connection, int(delivery_id), at, ms, values)
            if disable and webhook_id is not None:
                off = update(_webhooks).where(_webhooks.c.webhook_id == webhook_id)
                connection.execute(off.values(enabled=False))

    def pending(self) -> int:
        """How many messages are neither sent nor dead."""
        query = select(func.count()).select_from(_deliveries).where(_deliveries.c.status == "pending")
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    @staticmethod
    def _is_free(now: datetime) -> Any:
        return and_(_webhooks.c.enabled, or_(_webhooks.c.leased_until.is_(None), _webhooks.c.leased_until <= now))

    def _due(self, now: datetime) -> Any:
        """One message for each free webhook, oldest first, none that an earlier one of its incident stands before."""
        earlier = _deliveries.alias("earlier")
        blocked = exists().where(
            earlier.c.status == "pending",
            earlier.c.webhook_id == _deliveries.c.webhook_id,
            earlier.c.incident_id == _deliveries.c.incident_id,
            earlier.c.delivery_id < _deliveries.c.delivery_id,
        )
        rank = func.row_number().over(
            partition_by=_deliveries.c.webhook_id, order_by=(_deliveries.c.next_at, _deliveries.c.delivery_id)
        )
        ready = (
            select(_deliveries.c.delivery_id, _deliveries.c.webhook_id, _deliveries.c.next_at, rank.label("place"))
            .where(_deliveries.c.status == "pending", _deliveries.c.next_at <= now, ~blocked)
            .subquery()
        )
        return (
            select(ready.c.delivery_id, ready.c.webhook_id)
            .join_from(ready, _webhooks, ready.c.webhook_id == _webhooks.c.webhook_id)
            .where(ready.c.place == 1, self._is_free(now))
            .order_by(ready.c.next_at, ready.c.delivery_id)
        )

    @staticmethod
    def _write_down(
        connection: Connection, delivery_id: int, at: datetime, ms: int, values: Mapping[str, Any]
    ) -> str | None:
        """Count the attempt and end the lease; returns the webhook.

        A message that is sent stays so, whatever an attempt whose lease ran out says later.
        """
        table = _deliveries
        row = connection.execute(select(table.c.webhook_id).where(table.c.delivery_id == delivery_id)).one_or_none()
        if row is None:
            return None
        # The webhook first, as everybody does: PostgreSQL ends one of two that wait for each other.
        lease = update(_webhooks).where(
            _webhooks.c.webhook_id == row.webhook_id, _webhooks.c.leased_delivery == delivery_id
        )
        connection.execute(lease.values(leased_until=None, leased_delivery=None))
        mine = update(table).where(table.c.delivery_id == delivery_id, table.c.status != "sent")
        connection.execute(mine.values(**values, attempts=table.c.attempts + 1, attempted_at=at, took_ms=ms))
        return str(row.webhook_id)


def _delivery(row: RowLike) -> Delivery:
    return Delivery(
        delivery_id=row["delivery_id"],
        webhook_id=row["webhook_id"],
        incident_id=row["incident_id"] or "",
        event=row["event"],
        message_id=row["message_id"],
        body=bytes(row["body"]),
        url=row["url"],
        secrets=tuple(row["secrets"]),
        format=row["format"],
        attempts=row["attempts"],
    )
