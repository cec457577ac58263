"""Writes what correlation decided: incidents, findings, evidence, raw lines, and the messages that tell of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select

from alerts.incident import Change, Incident, Status
from alerts.notice import BodySettings
from storage import tables
from storage.database import StoreSettings
from storage.outbox import Post, post
from storage.rows import LineRow
from storage.statements import RowLike, chunks, insert_new, upsert
from tocsin.finding import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What goes with findings.

    Attributes:
        at: wall-clock time.
        lines: raw lines by event id, as far as they are at hand.
        base_url: where the web page is reached, "" when that is not known.
        author: who did it; None is the service.
    """

    at: datetime
    lines: Mapping[str, LineRow]
    base_url: str
    author: str | None = None


def keep_changes(
    connection: Connection, changes: Sequence[Change], kept: Kept, settings: StoreSettings, body: BodySettings
) -> set[str]:
    """Keep changes and queue their messages; one that was kept before changes nothing. Returns the tenants touched."""
    known = _sequences(connection, [change.incident.incident_id for change in changes])
    fresh = [change for change in changes if change.incident.sequence > known.get(change.incident.incident_id, 0)]
    if not fresh:
        return set()
    upsert(connection, tables.incidents, [incident_values(change.incident) for change in fresh])
    _keep_entities(connection, fresh)
    told = [change for change in fresh if change.notable or kept.author is not None]
    if told:
        insert_new(connection, tables.incident_changes, [_change_values(change, kept) for change in told])
    for change in fresh:
        joins = {join.finding_id: join for join in change.joins}
        rows = [
            finding_values(finding, settings)
            | {
                "incident_id": change.incident.incident_id,
                "why": str(joins[finding.finding_id].why) if finding.finding_id in joins else None,
                "what": joins[finding.finding_id].what if finding.finding_id in joins else None,
            }
            for finding in change.findings
        ]
        keep_findings(connection, change.findings, rows, kept, settings)
    posts = [Post(change=change, at=kept.at, base_url=kept.base_url) for change in fresh if change.notable]
    post(connection, posts, {event_id: line.body for event_id, line in kept.lines.items()}, body)
    return {change.incident.tenant for change in fresh}


def keep_findings(
    connection: Connection,
    findings: Sequence[Finding],
    rows: Sequence[dict[str, Any]],
    kept: Kept,
    settings: StoreSettings,
) -> None:
    """Keep findings, given as rows as well, with their evidence and the raw lines they rest on."""
    if not findings:
        return
    insert_new(connection, tables.findings, rows)
    entities = [
        {
            "tenant": finding.tenant,
            "entity": entity,
            "start_at": finding.start_at,
            "finding_id": finding.finding_id,
        }
        for finding in findings
        for entity in finding.entities
    ]
    insert_new(connection, tables.finding_entities, entities)
    reasons = [row for finding in findings for row in _evidence_values(finding, settings)]
    insert_new(connection, tables.evidence, reasons)
    lines = {
        (finding.tenant, event_id): kept.lines[event_id]
        for finding in findings
        for event_id in cited(finding)[: settings.event_ids_max]
        if event_id in kept.lines
    }
    values = [
        {
            "tenant": tenant,
            "event_id": event_id,
            "stream": line.stream,
            "time": line.time,
            "body": line.body[: settings.line_chars_max],
            "template_id": line.template_id,
            "kept_at": kept.at,
        }
        for (tenant, event_id), line in lines.items()
    ]
    insert_new(connection, tables.lines, values)


def cited(finding: Finding) -> list[str]:
    """The events a finding rests on, those its reasons name first."""
    named = [reason.event_id for reason in finding.reasons if reason.event_id is not None]
    return list(dict.fromkeys([*named, *finding.event_ids]))


def finding_values(finding: Finding, settings: StoreSettings) -> dict[str, Any]:
    """The row of a finding that is in no incident."""
    return {
        "finding_id": finding.finding_id,
        "incident_id": None,
        "tenant": finding.tenant,
        "stream": finding.stream,
        "detector": finding.detector,
        "start_at": finding.start_at,
        "end_at": finding.end_at,
        "score": finding.score,
        "p_value": finding.p_value,
        "severity": finding.severity,
        "summary": finding.summary,
        "expected": finding.expected,
        "actual": finding.actual,
        "entities": list(finding.entities),
        "event_ids": cited(finding)[: settings.event_ids_max],
        "held_by": None,
        "why": None,
        "what": None,
    }


def incident_values(incident: Incident) -> dict[str, Any]:
    """The row of an incident."""
    return {
        "incident_id": incident.incident_id,
        "tenant": incident.tenant,
        "status": str(incident.status),
        "severity": incident.severity,
        "title": incident.title,
        "opened_at": incident.opened_at,
        "last_at": incident.last_at,
        "closed_at": incident.closed_at,
        "finding_count": incident.finding_count,
        "entities": list(incident.entities),
        "weights": list(incident.entities.values()),
        "streams": list(incident.streams),
        "detectors": list(incident.detectors),
        "trace_ids": list(incident.trace_ids),
        "template_ids": list(incident.template_ids),
        "assignee": incident.assignee,
        "sequence": incident.sequence,
    }


def incident_of(row: RowLike) -> Incident:
    """The incident a row was made of."""
    return Incident(
        incident_id=row["incident_id"],
        tenant=row["tenant"],
        status=Status(row["status"]),
        severity=row["severity"],
        title=row["title"],
        opened_at=row["opened_at"],
        last_at=row["last_at"],
        closed_at=row["closed_at"],
        finding_count=row["finding_count"],
        entities=dict(zip(row["entities"], row["weights"], strict=True)),
        streams=tuple(row["streams"]),
        detectors=tuple(row["detectors"]),
        trace_ids=tuple(row["trace_ids"]),
        template_ids=tuple(row["template_ids"]),
        assignee=row["assignee"],
        sequence=row["sequence"],
    )


def _sequences(connection: Connection, incident_ids: Sequence[str]) -> dict[str, int]:
    table = tables.incidents
    found: dict[str, int] = {}
    for some in chunks(incident_ids):
        query = select(table.c.incident_id, table.c.sequence).where(table.c.incident_id.in_(some))
        found |= {row.incident_id: row.sequence for row in connection.execute(query)}
    return found


def _keep_entities(connection: Connection, changes: Sequence[Change]) -> None:
    """The entities of an incident are those it has now: lighter ones are dropped when there are too many."""
    table = tables.incident_entities
    for some in chunks([change.incident.incident_id for change in changes]):
        connection.execute(delete(table).where(table.c.incident_id.in_(some)))
    values = [
        {
            "incident_id": change.incident.incident_id,
            "entity": entity,
            "tenant": change.incident.tenant,
            "weight": weight,
        }
        for change in changes
        for entity, weight in change.incident.entities.items()
    ]
    insert_new(connection, table, values)


def _change_values(change: Change, kept: Kept) -> dict[str, Any]:
    return {
        "incident_id": change.incident.incident_id,
        "sequence": change.incident.sequence,
        "tenant": change.incident.tenant,
        "kind": change.kind,
        "status": str(change.incident.status),
        "severity": change.incident.severity,
        "reason": change.reason,
        "author": kept.author,
        "changed_at": kept.at,
    }


def _evidence_values(finding: Finding, settings: StoreSettings) -> list[dict[str, Any]]:
    return [
        {
            "finding_id": finding.finding_id,
            "rank": rank,
            "tenant": finding.tenant,
            "kind": reason.kind,
            "summary": reason.summary,
            "event_id": reason.event_id,
            "payload": {
                **dict(reason.payload),
                **({"expected": reason.expected} if reason.expected is not None else {}),
                **({"actual": reason.actual} if reason.actual is not None else {}),
            },
        }
        for rank, reason in enumerate(finding.reasons[: settings.reasons_max])
    ]
