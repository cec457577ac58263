"""What reads give back: one frozen row a thing, with the names the HTTP answers use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Row]):
    """Some rows and where the next begin."""

    rows: list[Row]
    next_cursor: str | None  # None on the last page


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentRow:
    """An incident as people see it."""

    incident_id: str
    tenant: str
    status: str
    severity: int
    title: str
    opened_at: datetime
    last_at: datetime
    closed_at: datetime | None
    finding_count: int
    entities: list[str]  # the most telling first
    streams: list[str]
    detectors: list[str]
    assignee: str | None
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRow:
    """One reason of a finding; `payload` also holds `expected` and `actual` where the reason has them."""

    rank: int
    kind: str
    summary: str
    event_id: str | None
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRow:
    """A finding with its evidence."""

    finding_id: str
    incident_id: str | None
    tenant: str
    stream: str
    detector: str
    start_at: datetime
    end_at: datetime
    score: float
    p_value: float
    severity: int
    summary: str
    expected: str | None
    actual: str | None
    entities: list[str]
    held_by: str | None  # `budget` or `silence` when it is in no incident
    evidence: list[EvidenceRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRow:
    """A raw line that a finding rests on."""

    event_id: str
    stream: str
    time: datetime
    body: str
    template_id: str
    template: str | None = None  # known to reads only


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityRow:
    """A user, a host, an address and how often it was seen."""

    entity: str
    kind: str
    value: str
    first_seen: datetime
    last_seen: datetime
    event_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRow:
    """A stream of lines."""

    stream: str
    first_seen: datetime
    last_seen: datetime
    event_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateRow:
    """A kind of line."""

    template_id: str
    stream: str
    template: str
    first_seen: datetime
    last_seen: datetime
    event_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorRow:
    """A detector and how far it is."""

    detector: str
    state: str
    detail: str
    units: float
    findings_last_day: int  # up to the tenant's event time
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterRow:
    """A line that could not be read."""

    dead_letter_id: int
    stream: str
    line: int | None
    detail: str
    raw: str
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackRow:
    """A person's verdict."""

    feedback_id: int
    incident_id: str
    label: str
    reason: str | None
    scope: str | None
    author: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """One notification to one webhook, without its body."""

    delivery_id: int
    webhook_id: str
    incident_id: str | None
    event: str
    status: str  # pending, sent or dead
    attempts: int
    response_status: int | None
    reason: str | None
    created_at: datetime
    next_at: datetime | None
    sent_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRow:
    """A receiver, without its secrets."""

    webhook_id: str
    tenant: str
    url: str
    format: str
    events: list[str]
    severity_min: int
    description: str | None
    enabled: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceRow:
    """A silence; `matcher` and `value` are the first thing it matches."""

    silence_id: str
    matcher: str  # entity, template_id, detector or stream
    value: str
    severity_below: int | None
    starts_at: datetime
    ends_at: datetime
    author: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRow:
    """How many incidents a day people want to hear of."""

    incidents_per_day: float
    opened_last_day: int  # up to the tenant's event time


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """An API key; its secret is not kept, only the hash."""

    key_id: str
    tenant: str
    name: str
    secret_sha256: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingRow:
    """Where a tenant stands: how many incidents and notifications there are in each status."""

    incidents: Mapping[str, int]
    deliveries: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """How far the worker is and when it was last alive."""

    offset: int
    beat_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One Parquet file of events; `path` is relative to the events folder."""

    tenant: str
    path: str
    first_offset: int  # of the journal
    last_offset: int
    rows: int
    bytes: int
    start_at: datetime  # the earliest event; microseconds, rounded down
    end_at: datetime  # the latest event, rounded up
