"""Everything that is shown: each read is confined to one tenant and sees one moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, func, select

from alerts.budget import Budget
from storage import tables
from storage.cursors import after
from storage.database import Database
from storage.making import interleaved, lines_of, made, page, with_evidence
from storage.rows import (
    BudgetRow,
    DeadLetterRow,
    DeliveryRow,
    DetectorRow,
    EntityRow,
    FeedbackRow,
    FindingRow,
    IncidentRow,
    LineRow,
    Page,
    Segment,
    SilenceRow,
    StandingRow,
    StreamRow,
    TemplateRow,
    WebhookRow,
    WorkerRow,
)
from storage.segments import find_segments
from storage.silences import silence_row
from storage.statements import chunks
from storage.transaction import day_before

_CITING_MAX = 200  # findings of an incident, the gravest, whose raw lines are looked for


class Reads:
    """What the HTTP answers and the page are made of."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # Incidents

    def incidents(  # noqa: PLR0913 -- the filters of the endpoint
        self,
        tenant: str,
        *,
        statuses: Sequence[str] = (),
        severity_min: int = 0,
        entity: str | None = None,
        since: datetime | None = None,
        limit: int,
        cursor: str | None = None,
    ) -> Page[IncidentRow]:
        """Incidents, the one with the latest finding first; `since` is the earliest `last_at`."""
        table = tables.incidents
        query = select(table).where(table.c.tenant == tenant)
        if statuses:
            query = query.where(table.c.status.in_(list(statuses)))
        if severity_min > 0:
            query = query.where(table.c.severity >= severity_min)
        if since is not None:
            query = query.where(table.c.last_at >= since)
        if entity is not None:
            named = tables.incident_entities
            ids = select(named.c.incident_id).where(named.c.tenant == tenant, named.c.entity == entity)
            query = query.where(table.c.incident_id.in_(ids))
        query = after(query, (table.c.last_at, table.c.incident_id), cursor).limit(limit + 1)
        with self._database.read() as connection:
            rows = [made(IncidentRow, row) for row in connection.execute(query).mappings()]
        return page(rows, limit, lambda row: (row.last_at, row.incident_id))

    def incident(self, tenant: str, incident_id: str) -> IncidentRow | None:
        """One incident."""
        table = tables.incidents
        query = select(table).where(table.c.incident_id == incident_id, table.c.tenant == tenant)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else made(IncidentRow, row)

    def entity_weights(self, tenant: str, incident_id: str) -> list[tuple[str, float]]:
        """The entities of an incident, the heaviest first."""
        table = tables.incident_entities
        query = select(table.c.entity, table.c.weight).where(
            table.c.incident_id == incident_id, table.c.tenant == tenant
        )
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.c.weight.desc(), table.c.entity)).all()
        return [(row.entity, row.weight) for row in rows]

    def incident_lines(self, tenant: str, incident_id: str, limit: int) -> list[LineRow]:
        """Raw lines the findings of an incident rest on, by time; those of the gravest findings when there are more."""
        table = tables.findings
        query = select(table.c.event_ids).where(table.c.incident_id == incident_id, table.c.tenant == tenant)
        query = query.order_by(table.c.severity.desc(), table.c.finding_id).limit(_CITING_MAX)
        found: dict[str, LineRow] = {}
        with self._database.read() as connection:
            cited = [list(ids) for ids in connection.execute(query).scalars()]
            for wanted in chunks(interleaved(cited)):
                if len(found) >= limit:
                    break
                found |= lines_of(connection, tenant, wanted)
            kept = [found[event_id] for event_id in interleaved(cited) if event_id in found]
        return sorted(kept[:limit], key=lambda line: (line.time, line.event_id))

    def feedback(self, tenant: str, incident_id: str) -> list[FeedbackRow]:
        """What people said of an incident, the latest first."""
        table = tables.feedback
        query = select(table).where(table.c.tenant == tenant, table.c.incident_id == incident_id)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.c.feedback_id.desc())).mappings()
            return [made(FeedbackRow, row) for row in rows]

    # Findings

    def findings(  # noqa: PLR0913 -- the filters of the endpoint
        self,
        tenant: str,
        *,
        incident_id: str | None = None,
        detector: str | None = None,
        entity: str | None = None,
        since: datetime | None = None,
        severity_min: int = 0,
        limit: int,
        cursor: str | None = None,
    ) -> Page[FindingRow]:
        """Findings with their evidence, the latest start first."""
        table = tables.findings
        query = select(table).where(table.c.tenant == tenant)
        keys = (table.c.start_at, table.c.finding_id)
        if incident_id is not None:
            query = query.where(table.c.incident_id == incident_id)
        if detector is not None:
            query = query.where(table.c.detector == detector)
        if severity_min > 0:
            query = query.where(table.c.severity >= severity_min)
        if since is not None:
            query = query.where(table.c.start_at >= since)
        if entity is not None:
            named = tables.finding_entities  # in the order of the page: a rare entity is found without a scan
            query = query.join(named, named.c.finding_id == table.c.finding_id)
            query = query.where(named.c.tenant == tenant, named.c.entity == entity)
            keys = (named.c.start_at, named.c.finding_id)
        query = after(query, keys, cursor).limit(limit + 1)
        with self._database.read() as connection:
            rows = with_evidence(connection, connection.execute(query).mappings().all())
        return page(rows, limit, lambda row: (row.start_at, row.finding_id))

    def incident_findings(self, tenant: str, incident_id: str, limit: int) -> list[FindingRow]:
        """The gravest findings of an incident, with their evidence."""
        table = tables.findings
        query = select(table).where(table.c.incident_id == incident_id, table.c.tenant == tenant)
        query = query.order_by(table.c.severity.desc(), table.c.p_value, table.c.start_at, table.c.finding_id)
        with self._database.read() as connection:
            return with_evidence(connection, connection.execute(query.limit(limit)).mappings().all())

    # What was counted

    def streams(self, tenant: str) -> list[StreamRow]:
        """Every stream, by name."""
        table = tables.streams
        query = select(table).where(table.c.tenant == tenant).order_by(table.c.stream)
        with self._database.read() as connection:
            return [made(StreamRow, row) for row in connection.execute(query).mappings()]

    def templates(
        self, tenant: str, *, stream: str | None = None, limit: int, cursor: str | None = None
    ) -> Page[TemplateRow]:
        """Templates, the most frequent first."""
        table = tables.templates
        query = select(table).where(table.c.tenant == tenant)
        if stream is not None:
            query = query.where(table.c.stream == stream)
        query = after(query, (table.c.event_count, table.c.template_id), cursor).limit(limit + 1)
        with self._database.read() as connection:
            rows = [made(TemplateRow, row) for row in connection.execute(query).mappings()]
        return page(rows, limit, lambda row: (row.event_count, row.template_id))

    def entity(self, tenant: str, entity: str) -> EntityRow | None:
        """One entity, as `kind:value`."""
        table = tables.entities
        query = select(table).where(table.c.tenant == tenant, table.c.entity == entity)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            return None
        kind, _, value = row["entity"].partition(":")
        return made(EntityRow, {**row, "kind": kind, "value": value})

    def detectors(self, tenant: str) -> list[DetectorRow]:
        """Every detector and what it found in the last 24 hours of event time."""
        table, found = tables.detectors, tables.findings
        with self._database.read() as connection:
            counts: dict[str, int] = {}
            if (now := _clock(connection, tenant)) is not None:
                query = select(found.c.detector, func.count()).where(
                    found.c.tenant == tenant, found.c.start_at > day_before(now)
                )
                counts = {row[0]: row[1] for row in connection.execute(query.group_by(found.c.detector))}
            rows = connection.execute(
                select(table).where(table.c.tenant == tenant).order_by(table.c.detector)
            ).mappings()
            return [made(DetectorRow, {**row, "findings_last_day": counts.get(row["detector"], 0)}) for row in rows]

    def dead_letters(self, tenant: str, *, limit: int, cursor: str | None = None) -> Page[DeadLetterRow]:
        """Lines that could not be read, the latest first."""
        table = tables.dead_letters
        query = after(select(table).where(table.c.tenant == tenant), (table.c.dead_letter_id,), cursor)
        with self._database.read() as connection:
            rows = [made(DeadLetterRow, row) for row in connection.execute(query.limit(limit + 1)).mappings()]
        return page(rows, limit, lambda row: (row.dead_letter_id,))

    # What people set

    def silences(self, tenant: str, now: datetime) -> list[SilenceRow]:
        """Silences that are not over, the one that ends first first."""
        table = tables.silences
        query = select(table).where(table.c.tenant == tenant, table.c.ends_at > now)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.c.ends_at, table.c.silence_id)).mappings()
            return [silence_row(row) for row in rows]

    def webhooks(self, tenant: str) -> list[WebhookRow]:
        """Every webhook, the oldest first."""
        table = tables.webhooks
        query = select(table).where(table.c.tenant == tenant).order_by(table.c.created_at, table.c.webhook_id)
        with self._database.read() as connection:
            return [made(WebhookRow, row) for row in connection.execute(query).mappings()]

    def webhook(self, tenant: str, webhook_id: str) -> WebhookRow | None:
        """One webhook."""
        table = tables.webhooks
        query = select(table).where(table.c.webhook_id == webhook_id, table.c.tenant == tenant)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else made(WebhookRow, row)

    def deliveries(
        self,
        tenant: str,
        *,
        webhook_id: str | None = None,
        incident_id: str | None = None,
        limit: int,
        cursor: str | None = None,
    ) -> Page[DeliveryRow]:
        """Notifications, the latest first, without what they said."""
        table = tables.deliveries
        query = select(*(column for column in table.c if column.name != "body")).where(table.c.tenant == tenant)
        if webhook_id is not None:
            query = query.where(table.c.webhook_id == webhook_id)
        if incident_id is not None:
            query = query.where(table.c.incident_id == incident_id)
        query = after(query, (table.c.delivery_id,), cursor).limit(limit + 1)
        with self._database.read() as connection:
            rows = [made(DeliveryRow, row) for row in connection.execute(query).mappings()]
        return page(rows, limit, lambda row: (row.delivery_id,))

    def budget(self, tenant: str, default: float = Budget().incidents_per_day) -> BudgetRow:
        """The alert budget, `default` when nobody set one, and what the last 24 hours of event time spent of it."""
        table, opened = tables.budgets, tables.incidents
        with self._database.read() as connection:
            query = select(table.c.incidents_per_day).where(table.c.tenant == tenant)
            per_day = connection.execute(query).scalar_one_or_none()
            count = 0
            if (now := _clock(connection, tenant)) is not None:
                since = select(func.count()).select_from(opened).where(opened.c.tenant == tenant)
                count = int(connection.execute(since.where(opened.c.opened_at > day_before(now))).scalar_one())
        return BudgetRow(incidents_per_day=default if per_day is None else per_day, opened_last_day=count)

    # The machinery

    def batch_fingerprint(self, tenant: str, stream: str, identity: str) -> str | None:
        """The fingerprint of a batch with this identity; None when it was not seen (lately)."""
        table = tables.batches
        query = select(table.c.fingerprint).where(
            table.c.tenant == tenant, table.c.stream == stream, table.c.identity == identity
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar_one_or_none()

    def marker(self, tenant: str) -> int:
        """A number that grows when a live page of the tenant has something new to show."""
        query = select(tables.markers.c.number).where(tables.markers.c.tenant == tenant)
        with self._database.read() as connection:
            return connection.execute(query).scalar_one_or_none() or 0

    def worker(self) -> WorkerRow:
        """How far the worker is and when it was last alive."""
        with self._database.read() as connection:
            offset = connection.execute(select(tables.progress.c.next_offset)).scalar_one_or_none()
            beat_at = connection.execute(select(tables.beats.c.beat_at)).scalar_one_or_none()
        return WorkerRow(offset=offset or 0, beat_at=beat_at)

    def standing(self, tenant: str) -> StandingRow:
        """How many incidents and notifications there are in each status."""
        with self._database.read() as connection:
            counts: list[dict[str, int]] = []
            for table in (tables.incidents, tables.deliveries):
                query = select(table.c.status, func.count()).where(table.c.tenant == tenant)
                counts.append({row[0]: row[1] for row in connection.execute(query.group_by(table.c.status))})
        return StandingRow(incidents=counts[0], deliveries=counts[1])

    def tenants(self) -> list[str]:
        """Every tenant that ever sent an event."""
        query = select(tables.clocks.c.tenant).order_by(tables.clocks.c.tenant)
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())

    def segments(
        self, tenant: str | None = None, *, start: datetime | None = None, end: datetime | None = None
    ) -> list[Segment]:
        """The files of events that count, by time; with `start` or `end`, those that may hold events in between."""
        with self._database.read() as connection:
            return find_segments(connection, tenant, start, end)


def _clock(connection: Connection, tenant: str) -> datetime | None:
    query = select(tables.clocks.c.event_at).where(tables.clocks.c.tenant == tenant)
    return connection.execute(query).scalar_one_or_none()
