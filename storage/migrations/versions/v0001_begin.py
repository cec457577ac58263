"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.columns import Instant, Json, Name, Words

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

#: Grows by itself; SQLite does so for INTEGER keys only.
_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_PENDING = sa.text("status = 'pending'")


def upgrade() -> None:
    """Make every table."""
    _incidents()
    _around_incidents()
    _findings()
    _around_findings()
    _people()
    _messages()
    _counts()
    _detection()
    _journal()


def _incidents() -> None:
    """Incidents."""
    op.create_table(
        "t_incidents",
        sa.Column("incident_id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("title", Words(), nullable=False),
        sa.Column("opened_at", Instant(), nullable=False),
        sa.Column("last_at", Instant(), nullable=False),
        sa.Column("closed_at", Instant()),
        sa.Column("finding_count", sa.Integer(), nullable=False),
        sa.Column("entities", Json(), nullable=False),
        sa.Column("weights", Json(), nullable=False),
        sa.Column("streams", Json(), nullable=False),
        sa.Column("detectors", Json(), nullable=False),
        sa.Column("trace_ids", Json(), nullable=False),
        sa.Column("template_ids", Json(), nullable=False),
        sa.Column("assignee", Words()),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("incident_id"),
    )
    op.create_index("i_incidents_last", "t_incidents", ["tenant", "last_at", "incident_id"])
    op.create_index("i_incidents_opened", "t_incidents", ["tenant", "opened_at", "severity"])
    op.create_index("i_incidents_status", "t_incidents", ["tenant", "status", "last_at", "incident_id"])


def _around_incidents() -> None:
    """What belongs to incidents."""
    op.create_table(
        "t_incident_changes",
        sa.Column("incident_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("reason", Words(), nullable=False),
        sa.Column("author", Words()),
        sa.Column("changed_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("incident_id", "sequence"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "t_incident_entities",
        sa.Column("incident_id", sa.Text(), nullable=False),
        sa.Column("entity", Name(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("incident_id", "entity"),
        sqlite_with_rowid=False,
    )
    op.create_index("i_incident_entities_entity", "t_incident_entities", ["tenant", "entity", "incident_id"])
    op.create_table(
        "t_feedback",
        sa.Column("feedback_id", _SERIAL, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("incident_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("reason", Words()),
        sa.Column("scope", Words()),
        sa.Column("author", Words()),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("feedback_id"),
    )
    op.create_index("i_feedback_incident", "t_feedback", ["tenant", "incident_id"])


def _findings() -> None:
    """Findings."""
    op.create_table(
        "t_findings",
        sa.Column("finding_id", sa.Text(), nullable=False),
        sa.Column("incident_id", sa.Text()),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("stream", Name(), nullable=False),
        sa.Column("detector", sa.Text(), nullable=False),
        sa.Column("start_at", Instant(), nullable=False),
        sa.Column("end_at", Instant(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("p_value", sa.Float(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("summary", Words(), nullable=False),
        sa.Column("expected", Words()),
        sa.Column("actual", Words()),
        sa.Column("entities", Json(), nullable=False),
        sa.Column("event_ids", Json(), nullable=False),
        sa.Column("held_by", sa.Text()),
        sa.Column("why", sa.Text()),
        sa.Column("what", Words()),
        sa.PrimaryKeyConstraint("finding_id"),
    )
    op.create_index("i_findings_detector", "t_findings", ["tenant", "detector", "start_at", "finding_id"])
    op.create_index("i_findings_incident", "t_findings", ["incident_id", "severity", "finding_id"])
    op.create_index("i_findings_start", "t_findings", ["tenant", "start_at", "finding_id"])


def _around_findings() -> None:
    """What findings rest on."""
    op.create_table(
        "t_finding_entities",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("entity", Name(), nullable=False),
        sa.Column("start_at", Instant(), nullable=False),
        sa.Column("finding_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "entity", "start_at", "finding_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("i_finding_entities_finding", "t_finding_entities", ["finding_id"])
    op.create_table(
        "t_evidence",
        sa.Column("finding_id", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("summary", Words(), nullable=False),
        sa.Column("event_id", sa.Text()),
        sa.Column("payload", Json(), nullable=False),
        sa.PrimaryKeyConstraint("finding_id", "rank"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "t_lines",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("stream", Name(), nullable=False),
        sa.Column("time", Instant(), nullable=False),
        sa.Column("body", Words(), nullable=False),
        sa.Column("template_id", sa.Text(), nullable=False),
        sa.Column("kept_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "event_id"),
    )
    op.create_index("i_lines_kept", "t_lines", ["tenant", "kept_at"])


def _people() -> None:
    """What people set."""
    op.create_table(
        "t_silences",
        sa.Column("silence_id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("entity", Name()),
        sa.Column("detector", Words()),
        sa.Column("stream", Name()),
        sa.Column("template_id", Words()),
        sa.Column("severity_below", sa.Integer()),
        sa.Column("starts_at", Instant(), nullable=False),
        sa.Column("ends_at", Instant(), nullable=False),
        sa.Column("author", Words(), nullable=False),
        sa.Column("reason", Words(), nullable=False),
        sa.PrimaryKeyConstraint("silence_id"),
    )
    op.create_index("i_silences_ends", "t_silences", ["tenant", "ends_at"])
    op.create_table(
        "t_budgets",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("incidents_per_day", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("tenant"),
    )
    op.create_table(
        "t_keys",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", Words(), nullable=False),
        sa.Column("secret_sha256", sa.Text(), nullable=False),
        sa.Column("scopes", Json(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant()),
        sa.Column("revoked_at", Instant()),
        sa.PrimaryKeyConstraint("key_id"),
    )


def _messages() -> None:
    """Webhooks and the outbox."""
    op.create_table(
        "t_webhooks",
        sa.Column("webhook_id", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("url", Words(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("events", Json(), nullable=False),
        sa.Column("severity_min", sa.Integer(), nullable=False),
        sa.Column("description", Words()),
        sa.Column("routing_key", Words()),
        sa.Column("secrets", Json(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("leased_until", Instant()),
        sa.Column("leased_delivery", _SERIAL),
        sa.PrimaryKeyConstraint("webhook_id"),
    )
    op.create_index("i_webhooks_tenant", "t_webhooks", ["tenant"])
    op.create_table(
        "t_deliveries",
        sa.Column("delivery_id", _SERIAL, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("webhook_id", sa.Text(), nullable=False),
        sa.Column("incident_id", sa.Text()),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("replay", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("response_status", sa.Integer()),
        sa.Column("reason", Words()),
        sa.Column("took_ms", sa.Integer()),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("next_at", Instant()),
        sa.Column("attempted_at", Instant()),
        sa.Column("sent_at", Instant()),
        sa.PrimaryKeyConstraint("delivery_id"),
        sa.UniqueConstraint("message_id", "replay", name="u_deliveries_message"),
    )
    op.create_index("i_deliveries_incident", "t_deliveries", ["tenant", "incident_id", "delivery_id"])
    op.create_index(
        "i_deliveries_pending",
        "t_deliveries",
        ["webhook_id", "incident_id", "delivery_id"],
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )
    op.create_index("i_deliveries_tenant", "t_deliveries", ["tenant", "delivery_id"])
    op.create_index("i_deliveries_webhook", "t_deliveries", ["tenant", "webhook_id", "delivery_id"])


def _counts() -> None:
    """What was counted."""
    op.create_table(
        "t_streams",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("stream", Name(), nullable=False),
        sa.Column("first_seen", Instant(), nullable=False),
        sa.Column("last_seen", Instant(), nullable=False),
        sa.Column("event_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "stream"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "t_templates",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("template_id", sa.Text(), nullable=False),
        sa.Column("stream", Name(), nullable=False),
        sa.Column("template", Words(), nullable=False),
        sa.Column("first_seen", Instant(), nullable=False),
        sa.Column("last_seen", Instant(), nullable=False),
        sa.Column("event_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "template_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "t_entities",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("entity", Name(), nullable=False),
        sa.Column("first_seen", Instant(), nullable=False),
        sa.Column("last_seen", Instant(), nullable=False),
        sa.Column("event_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "entity"),
        sqlite_with_rowid=False,
    )


def _detection() -> None:
    """How far detectors are, and what could not be read."""
    op.create_table(
        "t_detectors",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("detector", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("detail", Words(), nullable=False),
        sa.Column("units", sa.Float(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "detector"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "t_models",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("detector", sa.Text(), nullable=False),
        sa.Column("journal_offset", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("units", sa.Float(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "detector", "journal_offset"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "t_dead_letters",
        sa.Column("dead_letter_id", _SERIAL, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("stream", Name(), nullable=False),
        sa.Column("line", sa.Integer()),
        sa.Column("detail", Words(), nullable=False),
        sa.Column("raw", Words(), nullable=False),
        sa.Column("received_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("dead_letter_id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_index("i_dead_letters_tenant", "t_dead_letters", ["tenant", "dead_letter_id"])


def _journal() -> None:
    """How far the worker is."""
    op.create_table(
        "t_segments",
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("first_offset", sa.BigInteger(), nullable=False),
        sa.Column("last_offset", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("start_at", Instant(), nullable=False),
        sa.Column("end_at", Instant(), nullable=False),
        sa.Column("dropped_at", Instant()),
        sa.PrimaryKeyConstraint("path"),
    )
    op.create_index("i_segments_tenant", "t_segments", ["tenant", "start_at"])
    op.create_table(
        "t_batches",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("stream", Name(), nullable=False),
        sa.Column("identity", Name(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("seen_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "stream", "identity"),
        sqlite_with_rowid=False,
    )
    op.create_index("i_batches_seen", "t_batches", ["seen_at"])
    op.create_table(
        "t_clocks",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("event_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("tenant"),
    )
    op.create_table(
        "t_markers",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant"),
    )
    op.create_table(
        "t_progress",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("one"),
    )
    op.execute("INSERT INTO t_progress (one, next_offset) VALUES (1, 0)")  # two workers must have a row to wait for
    op.create_table(
        "t_beats",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("beat_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("one"),
    )
    op.create_table(
        "t_steps",
        sa.Column("first_offset", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("after_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("first_offset"),
    )
