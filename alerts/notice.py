"""What a webhook tells: one change of an incident, cut to a size every receiver takes and free of hidden characters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from alerts.incident import Change, Incident, Status
from alerts.untrusted import neutralised
from tocsin.finding import Finding, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class BodySettings:
    """How much of an incident goes into a message; the rest is behind the link."""

    bytes_max: int = 18_000  # Standard Webhooks asks for less than 20 kB; the envelope of the other shapes needs some
    findings_max: int = 10  # strongest first; nobody reads the eleventh in a pager
    reasons_max: int = 5  # of a finding
    lines_max: int = 5  # of a finding
    line_chars_max: int = 500  # of a raw line
    text_chars_max: int = 300  # of a summary, an expectation, a name
    names_max: int = 20  # entities, streams and detectors, each


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing to tell one webhook.

    Attributes:
        event: `incident.opened`, `incident.updated`, `incident.resolved` or `test.ping`.
        message_id: the same over all attempts and restarts; receivers recognise repetitions by it.
        change: what happened.
        at: when it was decided, aware UTC.
        base_url: where the web page is reached, "" when that is not known.
        lines: raw text of events by event id, as far as it is at hand.
    """

    event: str
    message_id: str
    change: Change
    at: datetime
    base_url: str = ""
    lines: Mapping[str, str] = field(default_factory=dict)

    @property
    def incident(self) -> Incident:
        """The incident as it is after the change."""
        return self.change.incident

    @property
    def link(self) -> str | None:
        """Where a person reads on."""
        return f"{self.base_url.rstrip('/')}/incidents/{self.incident.incident_id}" if self.base_url else None


def ping(*, tenant: str, message_id: str, at: datetime, base_url: str = "") -> Notice:
    """A message that only shows that messages arrive. Its incident does not exist; every shape looks as in earnest."""
    incident = Incident(
        incident_id="inc_test",
        tenant=tenant,
        status=Status.OPEN,
        severity=0,
        title="Test message from Tocsin",
        opened_at=at,
        last_at=at,
        closed_at=None,
        finding_count=0,
        entities={},
        streams=(),
        detectors=(),
    )
    change = Change(kind="opened", incident=incident, reason="somebody asked for a test")
    return Notice(event="test.ping", message_id=message_id, change=change, at=at, base_url=base_url)


def data(notice: Notice, settings: BodySettings) -> dict[str, Any]:
    """The notice as JSON values: `incident`, `reason`, `findings`, `truncated`.

    When it is larger than `bytes_max`, all limits are halved until it fits; the strongest evidence is kept.
    """
    limits = settings
    while True:
        document = _document(notice, limits)
        smaller = _halved(limits)
        if len(orjson.dumps(document)) <= settings.bytes_max or smaller == limits:
            return document
        limits = smaller


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, for example `2026-03-01T12:00:00.000Z`."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


_TEXT_CHARS_MIN = 40  # at this length, one finding without lines and with one name of each kind is about 1 kB


def _halved(limits: BodySettings) -> BodySettings:
    return BodySettings(
        bytes_max=limits.bytes_max,
        findings_max=max(1, limits.findings_max // 2),
        reasons_max=max(1, limits.reasons_max // 2),
        lines_max=limits.lines_max // 2,
        line_chars_max=max(_TEXT_CHARS_MIN, limits.line_chars_max // 2),
        text_chars_max=max(_TEXT_CHARS_MIN, limits.text_chars_max // 2),
        names_max=max(1, limits.names_max // 2),
    )


def _document(notice: Notice, limits: BodySettings) -> dict[str, Any]:
    findings = notice.change.findings
    shown = findings[: limits.findings_max]
    return {
        "incident": _incident(notice, limits),
        "reason": neutralised(notice.change.reason, limits.text_chars_max),
        "findings": [_finding(finding, notice.lines, limits) for finding in shown],
        "truncated": {
            "findings": len(findings) - len(shown),
            "reasons": sum(max(0, len(finding.reasons) - limits.reasons_max) for finding in shown),
            "lines": sum(len(_line_ids(finding)) - len(_lines(finding, notice.lines, limits)) for finding in shown),
            "entities": max(0, len(notice.incident.entities) - limits.names_max),
        },
    }


def _incident(notice: Notice, limits: BodySettings) -> dict[str, Any]:
    incident = notice.incident
    entities = sorted(incident.entities.items(), key=lambda item: (-item[1], item[0]))[: limits.names_max]
    return {
        "id": incident.incident_id,
        "tenant": neutralised(incident.tenant, limits.text_chars_max),
        "status": str(incident.status),
        "severity": incident.severity,
        "title": neutralised(incident.title, limits.text_chars_max),
        "opened_at": timestamp(incident.opened_at),
        "last_at": timestamp(incident.last_at),
        "closed_at": timestamp(incident.closed_at) if incident.closed_at else None,
        "finding_count": incident.finding_count,
        "entities": [
            {"entity": neutralised(entity, limits.text_chars_max), "weight": round(weight, 4)}
            for entity, weight in entities
        ],
        "streams": [neutralised(name, limits.text_chars_max) for name in incident.streams[: limits.names_max]],
        "detectors": [neutralised(name, limits.text_chars_max) for name in incident.detectors[: limits.names_max]],
        "assignee": _text(incident.assignee, limits),
        "link": notice.link,
        "sequence": incident.sequence,
    }


def _finding(finding: Finding, lines: Mapping[str, str], limits: BodySettings) -> dict[str, Any]:
    entities = finding.entities[: limits.names_max]
    return {
        "id": finding.finding_id,
        "detector": neutralised(finding.detector, limits.text_chars_max),
        "stream": neutralised(finding.stream, limits.text_chars_max),
        "start_at": timestamp(finding.start_at),
        "end_at": timestamp(finding.end_at),
        "severity": finding.severity,
        "p_value": finding.p_value,
        "summary": neutralised(finding.summary, limits.text_chars_max),
        "expected": _text(finding.expected, limits),
        "actual": _text(finding.actual, limits),
        "entities": [neutralised(entity, limits.text_chars_max) for entity in entities],
        "reasons": [_reason(reason, limits) for reason in finding.reasons[: limits.reasons_max]],
        "lines": _lines(finding, lines, limits),
    }


def _lines(finding: Finding, lines: Mapping[str, str], limits: BodySettings) -> list[dict[str, str]]:
    at_hand = [event_id for event_id in _line_ids(finding) if event_id in lines]
    return [
        {"event_id": event_id, "text": neutralised(lines[event_id], limits.line_chars_max)}
        for event_id in at_hand[: limits.lines_max]
    ]


def _reason(reason: Reason, limits: BodySettings) -> dict[str, Any]:
    return {
        "kind": reason.kind,
        "summary": neutralised(reason.summary, limits.text_chars_max),
        "expected": _text(reason.expected, limits),
        "actual": _text(reason.actual, limits),
        "event_id": reason.event_id,
    }


def _line_ids(finding: Finding) -> list[str]:
    """Events worth showing: those that reasons rest on first."""
    cited = [reason.event_id for reason in finding.reasons if reason.event_id is not None]
    return list(dict.fromkeys([*cited, *finding.event_ids]))


def _text(text: str | None, limits: BodySettings) -> str | None:
    return None if text is None else neutralised(text, limits.text_chars_max)
