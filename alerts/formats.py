"""The four shapes of a webhook's body, as JSON values: pure functions of a notice."""

from __future__ import annotations

from enum import StrEnum
from hashlib import blake2b
from typing import Any
from urllib.parse import urlsplit

from alerts.incident import Status
from alerts.notice import BodySettings, Notice, data, timestamp
from alerts.untrusted import neutralised

_NEVER = "0001-01-01T00:00:00Z"  # Alertmanager's "has not ended"
_PAGERDUTY_SUMMARY_CHARS_MAX = 1024
_PAGERDUTY_KEY_CHARS_MAX = 255


class Format(StrEnum):
    """What the receiver expects."""

    STANDARD = "standard"  # Standard Webhooks 1.0.0
    ALERTMANAGER = "alertmanager"  # Alertmanager's webhook, version 4
    CLOUDEVENTS = "cloudevents"  # CloudEvents 1.0, structured mode
    PAGERDUTY = "pagerduty"  # PagerDuty Events API v2


def standard(notice: Notice, settings: BodySettings) -> dict[str, Any]:
    """`{"type", "timestamp", "data"}` of Standard Webhooks."""
    return {"type": notice.event, "timestamp": timestamp(notice.at), "data": data(notice, settings)}


def alertmanager(notice: Notice, settings: BodySettings) -> dict[str, Any]:
    """One group with one alert, as Alertmanager's `webhook_config` sends it.

    The fingerprint and the group key name the incident, so that receivers update it instead of opening another.
    """
    incident = notice.incident
    resolved = incident.status == Status.RESOLVED
    status = "resolved" if resolved else "firing"
    group = {
        "alertname": "TocsinTest" if notice.event == "test.ping" else "TocsinIncident",
        "incident_id": incident.incident_id,
    }
    labels = {
        **group,
        "severity": level(incident.severity),
        "tenant": neutralised(incident.tenant, settings.text_chars_max),
    }
    annotations = {
        "summary": neutralised(incident.title, settings.text_chars_max),
        "description": _description(notice, settings),
    }
    return {
        "receiver": "tocsin",
        "status": status,
        "alerts": [
            {
                "status": status,
                "labels": labels,
                "annotations": annotations,
                "startsAt": timestamp(incident.opened_at),
                "endsAt": timestamp(incident.closed_at or notice.at) if resolved else _NEVER,
                "generatorURL": notice.link or "",
                "fingerprint": blake2b(incident.incident_id.encode(), digest_size=8).hexdigest(),
            }
        ],
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": notice.base_url,
        "version": "4",
        "groupKey": "{}:{" + ", ".join(f'{name}="{value}"' for name, value in sorted(group.items())) + "}",
        "truncatedAlerts": 0,
    }


def cloudevents(notice: Notice, settings: BodySettings) -> dict[str, Any]:
    """A CloudEvent whose data is that of `standard`; `sequence` is the extension of that name, sortable as text."""
    return {
        "specversion": "1.0",
        "id": notice.message_id,
        "source": notice.base_url or "urn:tocsin",
        "type": f"tocsin.{notice.event}",
        "subject": notice.incident.incident_id,
        "time": timestamp(notice.at),
        "datacontenttype": "application/json",
        "sequence": f"{notice.incident.sequence:010d}",
        "data": data(notice, settings),
    }


def pagerduty(notice: Notice, settings: BodySettings, routing_key: str) -> dict[str, Any]:
    """An event of PagerDuty's Events API v2; the incident id is the deduplication key."""
    incident = notice.incident
    link = notice.link
    envelope: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": _ACTIONS[incident.status],
        "dedup_key": incident.incident_id[:_PAGERDUTY_KEY_CHARS_MAX],
    }
    if incident.status != Status.OPEN:
        return envelope  # PagerDuty reads nothing else of an acknowledgement or a resolution
    named = {"component": incident.streams, "class": incident.detectors}
    return envelope | {
        "payload": {
            "summary": neutralised(incident.title, _PAGERDUTY_SUMMARY_CHARS_MAX),
            "source": urlsplit(notice.base_url).hostname or "tocsin",
            "severity": level(incident.severity),
            "timestamp": timestamp(incident.opened_at),
            "group": neutralised(incident.tenant, settings.text_chars_max),
            "custom_details": data(notice, settings),
        }
        | {key: neutralised(names[0], settings.text_chars_max) for key, names in named.items() if names},
        "client": "Tocsin",
        **({"client_url": link, "links": [{"href": link, "text": "Incident in Tocsin"}]} if link else {}),
    }


def level(severity: int) -> str:
    """PagerDuty's word for a severity of 0 to 100; Alertmanager users know the same words."""
    for floor, word in ((80, "critical"), (60, "error"), (40, "warning")):
        if severity >= floor:
            return word
    return "info"


_ACTIONS = {Status.OPEN: "trigger", Status.ACKNOWLEDGED: "acknowledge", Status.RESOLVED: "resolve"}


def _description(notice: Notice, settings: BodySettings) -> str:
    """The strongest findings, one a line."""
    shown = notice.change.findings[: settings.findings_max]
    rest = len(notice.change.findings) - len(shown)
    lines = [neutralised(finding.summary, settings.text_chars_max) for finding in shown]
    if not lines:
        lines = [neutralised(notice.change.reason, settings.text_chars_max)]
    return "\n".join([*lines, *([f"and {rest} more"] if rest else [])])
