"""What the worker reads and writes in the one transaction of a step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from hashlib import blake2b
from math import ceil
from typing import Literal, Protocol

import polars as pl
from sqlalchemy import Connection, delete, func, select, tuple_, update

from alerts.budget import Budget
from alerts.incident import Change, Incident, Status
from alerts.notice import BodySettings
from alerts.silence import Silence
from storage import tables
from storage.changes import Kept, finding_values, incident_of, keep_changes, keep_findings
from storage.columns import kept_name
from storage.counts import add_counts
from storage.database import StoreSettings
from storage.rows import LineRow, Segment
from storage.segments import find_segments, put_segments
from storage.silences import silence_of
from storage.statements import chunks, insert, insert_new, upsert
from tocsin.errors import StorageError
from tocsin.finding import Finding

BatchKey = tuple[str, str, str]  # tenant, stream, identity


class TemplateLike(Protocol):
    """A template as the parser gives it."""

    @property
    def template_id(self) -> str:
        """Hash."""
        ...

    @property
    def stream(self) -> str:
        """Where such lines come from."""
        ...

    @property
    def text(self) -> str:
        """With `<*>` where it varies."""
        ...


class StatusLike(Protocol):
    """How far a detector is, as a panel says."""

    @property
    def detector(self) -> str:
        """Its name."""
        ...

    @property
    def state(self) -> str:
        """learning, watching or failed."""
        ...

    @property
    def detail(self) -> str:
        """In words."""
        ...

    @property
    def units(self) -> float:
        """How many its calibration has seen."""
        ...


class RejectedLike(Protocol):
    """A line that could not be read."""

    @property
    def line(self) -> int:
        """1-based."""
        ...

    @property
    def detail(self) -> str:
        """In words."""
        ...

    @property
    def raw(self) -> bytes:
        """The line."""
        ...


class Transaction:
    """One step: everything it writes is kept together with the journal offset, or not at all."""

    def __init__(self, connection: Connection, settings: StoreSettings, body: BodySettings) -> None:
        self._connection = connection
        self._settings = settings
        self._body = body
        self._touched: set[str] = set()

    # The journal

    def offset(self) -> int:
        """The next journal entry to process."""
        query = select(tables.progress.c.next_offset).where(tables.progress.c.one == 1).with_for_update()
        return int(self._connection.execute(query).scalar_one_or_none() or 0)

    def advance(self, first: int, after: int) -> None:
        """The entries from `first` up to, without, `after` are done.

        Raises:
            StorageError: `first` is not the offset: another worker did them.
        """
        assert first < after
        if (present := self.offset()) != first:
            raise StorageError(f"journal entries from {first} were to be kept, but the database is at {present}")
        upsert(self._connection, tables.progress, [{"one": 1, "next_offset": after}])
        upsert(self._connection, tables.steps, [{"first_offset": first, "after_offset": after}])

    def steps_since(self, offset: int) -> list[tuple[int, int]]:
        """The bounds of the steps that begin at `offset` or later, in order."""
        table = tables.steps
        query = select(table).where(table.c.first_offset >= offset).order_by(table.c.first_offset)
        return [(row.first_offset, row.after_offset) for row in self._connection.execute(query)]

    def forget_steps(self, before: int) -> None:
        """Forget the steps that begin before an offset no replay goes back to."""
        self._connection.execute(delete(tables.steps).where(tables.steps.c.first_offset < before))

    def seen_batches(self, keys: Sequence[BatchKey]) -> dict[BatchKey, datetime]:
        """Which of these batches were taken before, and when they arrived."""
        table = tables.batches
        column = tuple_(table.c.tenant, table.c.stream, table.c.identity)
        found: dict[BatchKey, datetime] = {}
        asked = {
            (tenant, kept_name(stream), kept_name(identity)): (tenant, stream, identity)
            for tenant, stream, identity in keys
        }
        for some in chunks(list(asked), 200):
            query = select(table.c.tenant, table.c.stream, table.c.identity, table.c.seen_at)
            rows = self._connection.execute(query.where(column.in_(some)))
            found |= {asked[row.tenant, row.stream, row.identity]: row.seen_at for row in rows}
        return found

    def put_batch(self, tenant: str, stream: str, identity: str, fingerprint: str, at: datetime) -> None:
        """Remember a batch that has an identity."""
        row = {"tenant": tenant, "stream": stream, "identity": identity, "fingerprint": fingerprint, "seen_at": at}
        insert_new(self._connection, tables.batches, [row])

    def clock(self, tenant: str) -> datetime | None:
        """The tenant's event time; None before its first event."""
        query = select(tables.clocks.c.event_at).where(tables.clocks.c.tenant == tenant)
        return self._connection.execute(query).scalar_one_or_none()

    def set_clock(self, tenant: str, event_time: datetime) -> None:
        """Set the tenant's event time."""
        upsert(self._connection, tables.clocks, [{"tenant": tenant, "event_at": event_time}])

    # What the step needs to know

    def open_incidents(self, tenant: str) -> list[Incident]:
        """Open and acknowledged incidents. Nobody else changes them before the transaction ends."""
        table = tables.incidents
        query = (
            select(table)
            .where(table.c.tenant == tenant, table.c.status.in_([str(Status.OPEN), str(Status.ACKNOWLEDGED)]))
            .order_by(table.c.opened_at, table.c.incident_id)
            .with_for_update()
        )
        return [incident_of(row) for row in self._connection.execute(query).mappings()]

    def known_findings(self, ids: Iterable[str]) -> set[str]:
        """Which of these findings are kept already."""
        column = tables.findings.c.finding_id
        found: set[str] = set()
        for some in chunks(list(ids)):
            found |= set(self._connection.execute(select(column).where(column.in_(some))).scalars())
        return found

    def opened_since(self, tenant: str, at: datetime) -> list[int]:
        """The severity of each incident opened after `at`, in event time."""
        table = tables.incidents
        query = select(table.c.severity).where(table.c.tenant == tenant, table.c.opened_at > at)
        return list(self._connection.execute(query.order_by(table.c.opened_at, table.c.incident_id)).scalars())

    def entities(self, tenant: str, entities: Iterable[str]) -> dict[str, tuple[int, datetime]]:
        """How many events name each of these entities and the time of the first; one that was never seen is missing."""
        table = tables.entities
        found: dict[str, tuple[int, datetime]] = {}
        for some in chunks(list(entities)):
            query = select(table.c.entity, table.c.event_count, table.c.first_seen)
            query = query.where(table.c.tenant == tenant, table.c.entity.in_(some))
            rows = self._connection.execute(query)
            found |= {row.entity: (row.event_count, row.first_seen) for row in rows}
        return found

    def began_at(self, tenant: str) -> datetime | None:
        """Event time of the tenant's first event; None before it."""
        query = select(func.min(tables.streams.c.first_seen)).where(tables.streams.c.tenant == tenant)
        return self._connection.execute(query).scalar_one_or_none()

    def event_count(self, tenant: str) -> int:
        """How many events the tenant has sent."""
        query = select(func.coalesce(func.sum(tables.streams.c.event_count), 0))
        return int(self._connection.execute(query.where(tables.streams.c.tenant == tenant)).scalar_one())

    def silences(self, tenant: str, now: datetime) -> list[Silence]:
        """The silences that are not over."""
        table = tables.silences
        query = select(table).where(table.c.tenant == tenant, table.c.ends_at > now).order_by(table.c.silence_id)
        return [silence_of(row) for row in self._connection.execute(query).mappings()]

    def budget_per_day(self, tenant: str) -> float | None:
        """How many incidents a day people asked for; None when nobody did."""
        table = tables.budgets
        query = select(table.c.incidents_per_day).where(table.c.tenant == tenant)
        return self._connection.execute(query).scalar_one_or_none()

    def budget(self, tenant: str) -> Budget | None:
        """The same as the alert budget: a part of an incident counts as one."""
        per_day = self.budget_per_day(tenant)
        return None if per_day is None else Budget(incidents_per_day=ceil(per_day))

    def segments(self, tenant: str, start: datetime, end: datetime) -> list[Segment]:
        """The files that may hold the tenant's events from `start` to `end`."""
        return find_segments(self._connection, tenant, start, end)

    # What the step found

    def put_changes(
        self, changes: Sequence[Change], *, at: datetime, lines: Mapping[str, LineRow], base_url: str
    ) -> None:
        """Keep incidents with their findings and queue the messages about them.

        A change that was kept before, or an older one, changes nothing.
        """
        kept = Kept(at=at, lines=lines, base_url=base_url)
        self._touched |= keep_changes(self._connection, changes, kept, self._settings, self._body)

    def put_findings(
        self,
        findings: Sequence[Finding],
        *,
        at: datetime,
        held_by: Literal["budget", "silence"],
        lines: Mapping[str, LineRow],
    ) -> None:
        """Keep findings that are in no incident, and why."""
        rows = [finding_values(finding, self._settings) | {"held_by": held_by} for finding in findings]
        kept = Kept(at=at, lines=lines, base_url="")
        keep_findings(self._connection, findings, rows, kept, self._settings)
        self._touched |= {finding.tenant for finding in findings}

    # What the step counted

    def put_templates(self, tenant: str, templates: Iterable[TemplateLike], counts: pl.DataFrame) -> None:
        """Keep the text of new and changed templates and add counts: `template_id, stream, count, first, last`.

        A template without events of its own in `counts` must have been counted before.
        """
        texts = {template.template_id: template.text for template in templates}
        add_counts(self._connection, tables.templates, tenant, counts, texts)
        change = update(tables.templates).where(tables.templates.c.tenant == tenant)
        counted = set(counts["template_id"].to_list())
        for template_id, text in texts.items():
            if template_id not in counted:
                mine = change.where(tables.templates.c.template_id == template_id)
                self._connection.execute(mine.values(template=text))

    def put_streams(self, tenant: str, counts: pl.DataFrame) -> None:
        """Add counts: `stream, count, first, last`."""
        add_counts(self._connection, tables.streams, tenant, counts)
        self._touched.add(tenant)

    def put_entities(self, tenant: str, counts: pl.DataFrame) -> None:
        """Add counts: `entity, count, first, last`."""
        add_counts(self._connection, tables.entities, tenant, counts)

    def put_dead_letters(self, tenant: str, stream: str, rejected: Sequence[RejectedLike], at: datetime) -> None:
        """Keep lines that could not be read, once."""
        rows = [
            {
                "tenant": tenant,
                "digest": _digest(tenant, stream, at, each),
                "stream": stream,
                "line": each.line,
                "detail": each.detail,
                "raw": each.raw.decode("utf-8", "replace"),
                "received_at": at,
            }
            for each in rejected
        ]
        insert_new(self._connection, tables.dead_letters, rows)
        self._touched.add(tenant)

    def put_segment(self, segment: Segment) -> None:
        """A file of events counts from now on."""
        put_segments(self._connection, [segment])

    def put_detectors(self, tenant: str, statuses: Iterable[StatusLike], at: datetime) -> None:
        """How far each detector is."""
        rows = [
            {
                "tenant": tenant,
                "detector": each.detector,
                "state": each.state,
                "detail": each.detail,
                "units": each.units,
                "updated_at": at,
            }
            for each in statuses
        ]
        upsert(self._connection, tables.detectors, rows)

    def put_model(self, tenant: str, status: StatusLike, *, journal_offset: int, at: datetime) -> None:
        """A snapshot of what a detector knows was taken; only the latest are remembered."""
        table = tables.models
        row = {
            "tenant": tenant,
            "detector": status.detector,
            "journal_offset": journal_offset,
            "state": status.state,
            "units": status.units,
            "created_at": at,
        }
        upsert(self._connection, table, [row])
        mine = (table.c.tenant == tenant, table.c.detector == status.detector)
        latest = select(table.c.journal_offset).where(*mine).order_by(table.c.journal_offset.desc())
        oldest_kept = self._connection.execute(latest.offset(self._settings.models_max - 1).limit(1)).scalar()
        if oldest_kept is not None:
            self._connection.execute(delete(table).where(*mine, table.c.journal_offset < oldest_kept))

    def finish(self) -> None:
        """Called before the commit: live pages of the tenants that have something new are told."""
        mark(self._connection, self._touched)


def mark(connection: Connection, tenants: Iterable[str]) -> None:
    """Make live pages of these tenants look again."""
    table = tables.markers
    rows = [{"tenant": tenant, "number": 1} for tenant in sorted(tenants)]
    if rows:
        statement = insert(connection, table)
        further = {"number": table.c.number + 1}
        connection.execute(statement.on_conflict_do_update(index_elements=["tenant"], set_=further), rows)


def day_before(at: datetime) -> datetime:
    """24 hours before, also at the beginning of time."""
    return at - min(timedelta(days=1), at - datetime.min.replace(tzinfo=at.tzinfo))


def _digest(tenant: str, stream: str, at: datetime, rejected: RejectedLike) -> str:
    words = "\x1f".join((tenant, stream, at.isoformat(), str(rejected.line), rejected.detail))
    return blake2b(words.encode("utf-8", "surrogatepass") + b"\x1f" + rejected.raw, digest_size=16).hexdigest()
