"""What goes over the wire: every field named and explained, nothing inside is serialised as it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

IncidentStatus = Literal["open", "acknowledged", "resolved"]
FeedbackLabel = Literal["true_positive", "false_positive", "benign"]
WebhookFormat = Literal["standard", "alertmanager", "cloudevents", "pagerduty"]
WebhookEvent = Literal["incident.opened", "incident.updated", "incident.resolved"]


def in_utc(value: datetime) -> datetime:
    """The same moment in UTC; a value without a zone is taken as UTC.

    Raises:
        ValueError: it is before the year 1 or after 9999 there.
    """
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError("out of range") from None


Moment = Annotated[AwareDatetime, AfterValidator(in_utc)]
Severity = Annotated[int, Field(ge=0, le=100)]
#: Text that is kept. PostgreSQL cannot hold a NUL.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]


class Answer(BaseModel):
    """Something the service answers with."""

    model_config = ConfigDict(from_attributes=True)


class Asked(BaseModel):
    """Something the service is sent; unknown fields are refused, so that a misspelt one is noticed."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """RFC 9457: what went wrong."""

    type: str = Field(description="Always `about:blank`: the status says it all.")
    title: str = Field(description="The phrase of the HTTP status.")
    status: int
    detail: str = Field(description="One sentence that names the field, line or position.")
    errors: list[dict[str, str]] | None = Field(None, description="Every field that is wrong, with its own detail.")


class Health(BaseModel):
    """How the service is."""

    status: str = Field(description="`ok` or `ready`.")


class IngestError(Answer):
    """One line that could not be read."""

    line: int = Field(description="1-based line, or number of the element, in the request.")
    detail: str = Field(description="What is wrong, with field or position.")


class IngestAnswer(Answer):
    """What became of a batch. It is on disk."""

    accepted: int = Field(description="Lines taken.")
    rejected: int = Field(description="Lines that could not be read; they are kept as dead letters.")
    errors: list[IngestError] = Field(description="The first 100 of the rejected lines.")
    batch_id: str = Field(description="Names the batch; the same again when it is sent again with its key.")


class Incident(Answer):
    """A group of findings that belong together."""

    incident_id: str
    tenant: str
    status: IncidentStatus
    severity: Severity = Field(description="40 is the line between quiet and noticed; 10 more is ten times rarer.")
    title: str = Field(description="What happened, in words.")
    opened_at: datetime
    last_at: datetime = Field(description="The end of the latest finding.")
    closed_at: datetime | None
    finding_count: int
    entities: list[str] = Field(description="`kind:value`, the most telling first.")
    streams: list[str]
    detectors: list[str]
    assignee: str | None


class Incidents(Answer):
    """A page of incidents, the latest first."""

    incidents: list[Incident]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last.")


class Evidence(Answer):
    """One reason of a finding."""

    rank: int = Field(description="0 is the strongest reason.")
    kind: Literal["line", "edge", "pair", "series", "cluster", "rule"]
    summary: str
    event_id: str | None = Field(description="The raw line it rests on.")
    payload: dict[str, Any] = Field(description="The same as data.")


class Finding(Answer):
    """One unit that a detector found abnormal."""

    finding_id: str
    incident_id: str | None = Field(description="Null when it was held back by the alert budget or a silence.")
    tenant: str
    stream: str
    detector: str
    start_at: datetime
    end_at: datetime
    score: float = Field(description="On the detector's own scale; higher is more abnormal.")
    p_value: float = Field(description="The chance of such a score in normal times.")
    severity: Severity
    summary: str
    expected: str | None = Field(description="What would have been normal here.")
    actual: str | None = Field(description="What was seen instead.")
    entities: list[str] = Field(description="`kind:value`, what it is about.")
    held_by: str | None = Field(description="`budget` or `silence` when it is in no incident for that reason.")
    evidence: list[Evidence]


class Findings(Answer):
    """A page of findings, the latest first."""

    findings: list[Finding]
    next_cursor: str | None


class EntityWeight(Answer):
    """How much one entity has to do with an incident."""

    entity: str
    weight: float = Field(description="From 0 to 1; rarer entities weigh more.")


class Feedback(Answer):
    """A person's verdict on an incident."""

    label: FeedbackLabel
    reason: str | None
    scope: str | None = Field(description="How far the verdict reaches, for example `incident` or an entity.")
    author: str | None
    created_at: datetime


class Delivery(Answer):
    """One notification to one webhook."""

    delivery_id: int
    webhook_id: str
    incident_id: str | None
    event: str
    status: str = Field(description="pending, sent or dead.")
    attempts: int
    response_status: int | None = Field(description="HTTP status of the last attempt.")
    reason: str | None = Field(description="Why the last attempt failed.")
    created_at: datetime
    next_at: datetime | None
    sent_at: datetime | None


class RawLine(Answer):
    """A line as it was received."""

    event_id: str
    stream: str
    time: datetime
    body: str
    template_id: str
    template: str | None


class IncidentDetail(Incident):
    """An incident with everything that explains it."""

    why: str = Field(description="One sentence: the strongest reason.")
    entity_weights: list[EntityWeight]
    findings: list[Finding] = Field(description="The gravest 100, with their evidence.")
    lines: list[RawLine] = Field(description="The raw lines the findings rest on, 50 at most.")
    feedback: list[Feedback]
    deliveries: list[Delivery]


class IncidentPatch(Asked):
    """What a person changes about an incident; a field that is absent stays as it is."""

    status: IncidentStatus | None = None
    assignee: Text | None = Field(None, max_length=200, description="Null or empty: nobody.")


class FeedbackAsked(Asked):
    """A verdict."""

    label: FeedbackLabel
    reason: Text | None = Field(None, max_length=2000)
    scope: Text | None = Field(
        None, max_length=300, description="How far the verdict reaches, for example `incident` or an entity."
    )


class Stream(Answer):
    """A stream of lines."""

    stream: str
    first_seen: datetime
    last_seen: datetime
    event_count: int


class Streams(Answer):
    """Every stream of the tenant."""

    streams: list[Stream]


class Template(Answer):
    """A kind of line."""

    template_id: str
    stream: str
    template: str
    first_seen: datetime
    last_seen: datetime
    event_count: int


class Templates(Answer):
    """A page of templates, the most frequent first."""

    templates: list[Template]
    next_cursor: str | None


class Entity(Answer):
    """A user, a host, an address ... and what is known of it."""

    entity: str
    kind: str
    value: str
    first_seen: datetime
    last_seen: datetime
    event_count: int
    incidents: list[Incident] = Field(description="The latest 20 it takes part in.")


class Detector(Answer):
    """A detector and how far it is."""

    detector: str
    state: str = Field(description="learning, watching or failed.")
    detail: str = Field(description="The same in words.")
    findings_last_day: int


class Detectors(Answer):
    """Every detector of the tenant."""

    detectors: list[Detector]


class SqlAsked(Asked):
    """A read-only query over the views, in DuckDB's dialect."""

    query: str = Field(min_length=1, max_length=100_000, examples=["SELECT title, severity FROM incidents"])
    limit: int = Field(1000, ge=1, le=100_000, description="Rows at most.")


class SqlAnswer(Answer):
    """The rows of a query."""

    columns: list[str]
    types: list[str] = Field(description="DuckDB's type of each column.")
    rows: list[list[Any]]
    truncated: bool = Field(description="Whether there was more than `limit`.")


class DeadLetter(Answer):
    """A line that could not be read."""

    dead_letter_id: int
    stream: str
    line: int | None
    detail: str
    raw: str = Field(description="The line, bytes that are no text replaced.")
    received_at: datetime


class DeadLetters(Answer):
    """A page of dead letters, the latest first."""

    dead_letters: list[DeadLetter]
    next_cursor: str | None


class WebhookAsked(Asked):
    """A receiver of notifications."""

    url: str = Field(max_length=2000, examples=["https://example.com/tocsin"])
    format: WebhookFormat = "standard"
    events: list[WebhookEvent] = Field(
        ["incident.opened", "incident.updated", "incident.resolved"], min_length=1, max_length=3
    )
    severity_min: Severity = 0
    description: Text | None = Field(None, max_length=300)
    routing_key: Text | None = Field(
        None, min_length=1, max_length=200, description="PagerDuty's integration key; that format needs it."
    )


class WebhookPatch(Asked):
    """What changes about a webhook; a field that is absent stays as it is."""

    url: str | None = Field(None, max_length=2000)
    format: WebhookFormat | None = None
    events: list[WebhookEvent] | None = Field(None, min_length=1, max_length=3)
    severity_min: Severity | None = None
    description: Text | None = Field(None, max_length=300)
    routing_key: Text | None = Field(None, min_length=1, max_length=200)
    enabled: bool | None = None


class Webhook(Answer):
    """A receiver of notifications; its secret is not shown again."""

    webhook_id: str
    url: str
    format: WebhookFormat
    events: list[str]
    severity_min: Severity
    description: str | None
    enabled: bool
    created_at: datetime


class WebhookCreated(Webhook):
    """A new receiver, with the secret that signs what it is sent. It is shown this once."""

    secret: str = Field(description="`whsec_...`, as the Standard Webhooks libraries take it.")


class Webhooks(Answer):
    """Every webhook of the tenant."""

    webhooks: list[Webhook]


class Deliveries(Answer):
    """A page of deliveries, the latest first."""

    deliveries: list[Delivery]
    next_cursor: str | None


class Queued(Answer):
    """A delivery that is on its way."""

    delivery_id: int
