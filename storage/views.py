"""The promised SQL views: the same columns in SQLite, PostgreSQL and DuckDB, each explained in one sentence."""

from __future__ import annotations

from typing import Literal

Dialect = Literal["sqlite", "postgresql"]

_INCIDENT = "Which incident: `inc_` and 24 hex digits."
_TENANT = "Whose it is."

#: View -> column -> what it holds. The documentation and the tests read this.
VIEWS: dict[str, dict[str, str]] = {
    "incidents": {
        "incident_id": _INCIDENT,
        "tenant": _TENANT,
        "status": "`open`, `acknowledged` or `resolved`.",
        "severity": "0 to 100; 40 is the line between quiet and noticed, 10 more is ten times rarer.",
        "title": "What happened, in words.",
        "opened_at": "Event time of the first finding.",
        "last_at": "Event time of the end of the latest finding.",
        "closed_at": "When it was resolved; null before.",
        "finding_count": "How many findings it has.",
        "entities": "List of `kind:value`, the most telling first.",
        "streams": "List of the streams its findings come from.",
        "detectors": "List of the detectors that contributed.",
        "assignee": "Who looks at it; null when nobody does.",
    },
    "findings": {
        "finding_id": "Which finding: 32 hex digits, the same on every replay.",
        "incident_id": "The incident it is in; null when the alert budget or a silence held it back.",
        "tenant": _TENANT,
        "stream": "The stream it was found in.",
        "detector": "Which detector found it.",
        "start_at": "Event time of the beginning of the abnormal unit.",
        "end_at": "Event time of its end.",
        "score": "The detector's own scale; higher is more abnormal.",
        "p_value": "The chance of such a score in normal times.",
        "severity": "0 to 100, the same meaning for every detector.",
        "summary": "What was found, as one sentence.",
        "expected": "What would have been normal; null when there is no word for it.",
        "actual": "What was seen instead; null when there is no word for it.",
    },
    "evidence": {
        "finding_id": "The finding it explains.",
        "rank": "0 is the strongest reason.",
        "kind": "`line`, `edge`, `pair`, `series`, `cluster` or `rule`.",
        "summary": "The reason as one sentence.",
        "event_id": "The raw line it rests on; null when it rests on many.",
        "payload": "The same as a JSON object; `expected` and `actual` are in it where the reason has them.",
    },
    "entities": {
        "entity": "`kind:value`, for example `user:eve`.",
        "kind": "What it is: `user`, `host`, `ip`, `service` and so on.",
        "value": "Its name.",
        "first_seen": "Event time of the first event that names it.",
        "last_seen": "Event time of the latest event that names it.",
        "event_count": "How many events name it.",
    },
    "incident_entities": {
        "incident_id": _INCIDENT,
        "entity": "An entity it is about, `kind:value`.",
        "weight": "0 to 1; rarer entities weigh more.",
    },
    "templates": {
        "template_id": "Which kind of line: 16 hex digits, a hash of tenant, stream and first text.",
        "stream": "Where such lines come from.",
        "template": "The line with `<*>` where its parts vary.",
        "first_seen": "Event time of the first such line.",
        "last_seen": "Event time of the latest such line.",
        "event_count": "How many lines were of this kind.",
    },
    "feedback": {
        "feedback_id": "Counts up.",
        "tenant": _TENANT,
        "incident_id": _INCIDENT,
        "label": "`true_positive`, `false_positive` or `benign`.",
        "reason": "What the person said; may be null.",
        "scope": "How far the verdict reaches; may be null.",
        "author": "Who said it; may be null.",
        "created_at": "When.",
    },
    "deliveries": {
        "delivery_id": "Counts up.",
        "tenant": _TENANT,
        "webhook_id": "The webhook it goes to.",
        "incident_id": "The incident it tells about; null for a test.",
        "event": "`incident.opened`, `incident.updated`, `incident.resolved` or `test.ping`.",
        "message_id": "The header `webhook-id`, the same for every attempt and replay.",
        "status": "`pending`, `sent` or `dead`.",
        "attempts": "How often it was tried.",
        "response_status": "HTTP status of the last attempt; null when there was no answer.",
        "reason": "Why the last attempt failed; null when none did.",
        "took_ms": "How long the last attempt took, in milliseconds.",
        "created_at": "When it was caused.",
        "next_at": "When it is tried next; null when it is not.",
        "sent_at": "When the receiver took it; null before.",
    },
    "models": {
        "tenant": _TENANT,
        "detector": "Which detector.",
        "journal_offset": "The journal entry up to which the snapshot has learned.",
        "state": "`learning`, `watching` or `failed`, at the time of the snapshot.",
        "units": "How many units its calibration had seen.",
        "created_at": "When the snapshot was taken.",
    },
    "streams": {
        "tenant": _TENANT,
        "stream": "Its name.",
        "first_seen": "Event time of the first event.",
        "last_seen": "Event time of the latest event.",
        "event_count": "How many events came.",
    },
    "dead_letters": {
        "dead_letter_id": "Counts up.",
        "tenant": _TENANT,
        "stream": "Where the line was sent.",
        "line": "1-based place in its request; null when it has none.",
        "detail": "Why it could not be read.",
        "raw": "The line, bytes that are no text replaced; its beginning when it was long.",
        "received_at": "When it arrived.",
    },
}

#: `events` is a view of DuckDB alone: it is made of Parquet files, not of a table.
EVENTS: dict[str, str] = {
    "event_id": "32 hex digits: the same when the batch is sent again with its identity.",
    "tenant": _TENANT,
    "stream": "Where the line was sent.",
    "time": "Event time.",
    "observed_time": "When it arrived.",
    "severity_number": "OpenTelemetry: 1 trace, 5 debug, 9 info, 13 warn, 17 error, 21 fatal; 0 unknown.",
    "body": "The text of the line.",
    "attributes": "Its fields as a JSON object.",
    "trace_id": "The trace it is part of; may be null.",
    "span_id": "The span it is part of; may be null.",
    "template_id": "Its kind of line; joins with `templates`.",
    "parameters": "List of the parts that vary, in the order of the template's `<*>`.",
    "entities": "List of `kind:value`, sorted.",
}

#: Columns that are no column of the table, by dialect.
_COMPUTED: dict[tuple[str, str], dict[Dialect, str]] = {
    ("entities", "kind"): {
        "sqlite": "substr(entity, 1, instr(entity, ':') - 1)",
        "postgresql": "split_part(entity, ':', 1)",
    },
    ("entities", "value"): {
        "sqlite": "substr(entity, instr(entity, ':') + 1)",
        "postgresql": "substr(entity, strpos(entity, ':') + 1)",
    },
}


def select_sql(view: str, dialect: Dialect) -> str:
    """The SELECT that makes `view` out of its table, without any condition."""
    columns = ", ".join(
        f"{_COMPUTED[view, column][dialect]} AS {column}" if (view, column) in _COMPUTED else column
        for column in VIEWS[view]
    )
    return f"SELECT {columns} FROM t_{view}"  # noqa: S608 -- names of ours


def create_sql(dialect: Dialect) -> list[str]:
    """Statements that make every view."""
    return [f"CREATE VIEW {view} AS {select_sql(view, dialect)}" for view in VIEWS]


def drop_sql() -> list[str]:
    """Statements that remove every view that is there."""
    return [f"DROP VIEW IF EXISTS {view}" for view in VIEWS]
