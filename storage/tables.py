"""The tables. Names begin with `t_`, because the plain names are those of the promised views (`storage.views`).

Every table but those of the worker has the tenant, so that a read confined to one needs no join.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from storage.columns import Instant, Json, Name, Words

metadata = MetaData()

#: Grows by itself; SQLite does so for INTEGER keys only.
_SERIAL = BigInteger().with_variant(Integer, "sqlite")
_PENDING = text("status = 'pending'")

incidents = Table(
    "t_incidents",
    metadata,
    Column("incident_id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("title", Words, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Column("finding_count", Integer, nullable=False),
    Column("entities", Json, nullable=False),  # names, heaviest first
    Column("weights", Json, nullable=False),  # one a name
    Column("streams", Json, nullable=False),
    Column("detectors", Json, nullable=False),
    Column("trace_ids", Json, nullable=False),
    Column("template_ids", Json, nullable=False),
    Column("assignee", Words),
    Column("sequence", Integer, nullable=False),
    Index("i_incidents_last", "tenant", "last_at", "incident_id"),
    Index("i_incidents_status", "tenant", "status", "last_at", "incident_id"),
    Index("i_incidents_opened", "tenant", "opened_at", "severity"),
)

incident_changes = Table(  # what people were told, and who did what
    "t_incident_changes",
    metadata,
    Column("incident_id", Text, primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("reason", Words, nullable=False),
    Column("author", Words),  # null: the service itself
    Column("changed_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)

incident_entities = Table(
    "t_incident_entities",
    metadata,
    Column("incident_id", Text, primary_key=True),
    Column("entity", Name, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("weight", Float, nullable=False),
    Index("i_incident_entities_entity", "tenant", "entity", "incident_id"),
    sqlite_with_rowid=False,
)

findings = Table(
    "t_findings",
    metadata,
    Column("finding_id", Text, primary_key=True),
    Column("incident_id", Text),
    Column("tenant", Text, nullable=False),
    Column("stream", Name, nullable=False),
    Column("detector", Text, nullable=False),
    Column("start_at", Instant, nullable=False),
    Column("end_at", Instant, nullable=False),
    Column("score", Float, nullable=False),
    Column("p_value", Float, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("summary", Words, nullable=False),
    Column("expected", Words),
    Column("actual", Words),
    Column("entities", Json, nullable=False),
    Column("event_ids", Json, nullable=False),  # the first of them, bounded
    Column("held_by", Text),  # budget or silence, when it is in no incident
    Column("why", Text),  # why it joined its incident: `alerts.incident.Why`
    Column("what", Words),  # what they share
    Index("i_findings_start", "tenant", "start_at", "finding_id"),
    Index("i_findings_incident", "incident_id", "severity", "finding_id"),
    Index("i_findings_detector", "tenant", "detector", "start_at", "finding_id"),
)

finding_entities = Table(  # the index of findings by entity
    "t_finding_entities",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("entity", Name, primary_key=True),
    Column("start_at", Instant, primary_key=True),
    Column("finding_id", Text, primary_key=True),
    Index("i_finding_entities_finding", "finding_id"),
    sqlite_with_rowid=False,
)

evidence = Table(
    "t_evidence",
    metadata,
    Column("finding_id", Text, primary_key=True),
    Column("rank", Integer, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("summary", Words, nullable=False),
    Column("event_id", Text),
    Column("payload", Json, nullable=False),
    sqlite_with_rowid=False,
)

lines = Table(  # raw lines findings rest on, kept longer than the events are
    "t_lines",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("stream", Name, nullable=False),
    Column("time", Instant, nullable=False),
    Column("body", Words, nullable=False),
    Column("template_id", Text, nullable=False),
    Column("kept_at", Instant, nullable=False),
    Index("i_lines_kept", "tenant", "kept_at"),
)

feedback = Table(
    "t_feedback",
    metadata,
    Column("feedback_id", _SERIAL, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("incident_id", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("reason", Words),
    Column("scope", Words),
    Column("author", Words),
    Column("created_at", Instant, nullable=False),
    Index("i_feedback_incident", "tenant", "incident_id"),
)

silences = Table(
    "t_silences",
    metadata,
    Column("silence_id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("entity", Name),
    Column("detector", Words),
    Column("stream", Name),
    Column("template_id", Words),
    Column("severity_below", Integer),
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    Column("author", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Index("i_silences_ends", "tenant", "ends_at"),
)

budgets = Table(
    "t_budgets",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("incidents_per_day", Float, nullable=False),
)

keys = Table(
    "t_keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("name", Words, nullable=False),
    Column("secret_sha256", Text, nullable=False),
    Column("scopes", Json, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("revoked_at", Instant),
)

webhooks = Table(
    "t_webhooks",
    metadata,
    Column("webhook_id", Text, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("url", Words, nullable=False),
    Column("format", Text, nullable=False),
    Column("events", Json, nullable=False),
    Column("severity_min", Integer, nullable=False),
    Column("description", Words),
    Column("routing_key", Words),  # PagerDuty's; secret
    Column("secrets", Json, nullable=False),  # newest first; secret
    Column("enabled", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("leased_until", Instant),  # one message at a time: its delivery is under way until then
    Column("leased_delivery", _SERIAL),
    Index("i_webhooks_tenant", "tenant"),
)

deliveries = Table(  # the outbox, and the log of what became of it
    "t_deliveries",
    metadata,
    Column("delivery_id", _SERIAL, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("webhook_id", Text, nullable=False),
    Column("incident_id", Text),  # null: a test
    Column("event", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("replay", Integer, nullable=False),  # 0, or the how-manieth replay of the message
    Column("body", LargeBinary, nullable=False),
    Column("status", Text, nullable=False),  # pending, sent, dead
    Column("attempts", Integer, nullable=False),
    Column("response_status", Integer),
    Column("reason", Words),
    Column("took_ms", Integer),
    Column("created_at", Instant, nullable=False),
    Column("next_at", Instant),
    Column("attempted_at", Instant),
    Column("sent_at", Instant),
    UniqueConstraint("message_id", "replay", name="u_deliveries_message"),
    Index(
        "i_deliveries_pending",
        "webhook_id",
        "incident_id",
        "delivery_id",
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    ),
    Index("i_deliveries_tenant", "tenant", "delivery_id"),
    Index("i_deliveries_incident", "tenant", "incident_id", "delivery_id"),
    Index("i_deliveries_webhook", "tenant", "webhook_id", "delivery_id"),
)

streams = Table(
    "t_streams",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("stream", Name, primary_key=True),
    Column("first_seen", Instant, nullable=False),
    Column("last_seen", Instant, nullable=False),
    Column("event_count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

templates = Table(
    "t_templates",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("template_id", Text, primary_key=True),
    Column("stream", Name, nullable=False),
    Column("template", Words, nullable=False),
    Column("first_seen", Instant, nullable=False),
    Column("last_seen", Instant, nullable=False),
    Column("event_count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

entities = Table(
    "t_entities",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("entity", Name, primary_key=True),
    Column("first_seen", Instant, nullable=False),
    Column("last_seen", Instant, nullable=False),
    Column("event_count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

detectors = Table(
    "t_detectors",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("detector", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("detail", Words, nullable=False),
    Column("units", Float, nullable=False),
    Column("updated_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)

models = Table(  # snapshots of what a detector knew
    "t_models",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("detector", Text, primary_key=True),
    Column("journal_offset", BigInteger, primary_key=True),
    Column("state", Text, nullable=False),
    Column("units", Float, nullable=False),
    Column("created_at", Instant, nullable=False),
    sqlite_with_rowid=False,
)

dead_letters = Table(
    "t_dead_letters",
    metadata,
    Column("dead_letter_id", _SERIAL, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("digest", Text, nullable=False, unique=True),  # the same line of the same batch is kept once
    Column("stream", Name, nullable=False),
    Column("line", Integer),
    Column("detail", Words, nullable=False),
    Column("raw", Words, nullable=False),
    Column("received_at", Instant, nullable=False),
    Index("i_dead_letters_tenant", "tenant", "dead_letter_id"),
)

segments = Table(  # the Parquet files of events that count
    "t_segments",
    metadata,
    Column("path", Text, primary_key=True),  # relative to the events folder
    Column("tenant", Text, nullable=False),
    Column("first_offset", BigInteger, nullable=False),
    Column("last_offset", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("start_at", Instant, nullable=False),
    Column("end_at", Instant, nullable=False),
    Column("dropped_at", Instant),  # no longer part of events; its file goes after a grace period
    Index("i_segments_tenant", "tenant", "start_at"),
)

batches = Table(  # batches with an identity, so that one sent again is taken once
    "t_batches",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("stream", Name, primary_key=True),
    Column("identity", Name, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Index("i_batches_seen", "seen_at"),
    sqlite_with_rowid=False,
)

clocks = Table(
    "t_clocks",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("event_at", Instant, nullable=False),
)

markers = Table(  # grows whenever a live page of the tenant has something new to show
    "t_markers",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
)

progress = Table(  # one row: the next journal entry to process
    "t_progress",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False),
)

beats = Table(  # one row: the worker's sign of life, apart from `progress` so that it never waits for a step
    "t_beats",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("beat_at", Instant, nullable=False),
)

steps = Table(  # the bounds of the worker's steps, so that a replay cuts the journal at the same places
    "t_steps",
    metadata,
    Column("first_offset", BigInteger, primary_key=True, autoincrement=False),
    Column("after_offset", BigInteger, nullable=False),
)
