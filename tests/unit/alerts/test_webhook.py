"""What a webhook says and how it is signed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from alerts.formats import Format
from alerts.incident import Change, Incident, Status
from alerts.notice import BodySettings, Notice, ping
from alerts.webhook import body, headers, message_id, secret_key, secret_of
from tocsin.errors import InputError
from tocsin.finding import Finding, Reason

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECRET = secret_of(bytes(range(32)))
OTHER = secret_of(bytes(range(1, 33)))


def a_finding(number: int = 0, **given: Any) -> Finding:
    plain = Finding(
        finding_id=f"{number:032x}",
        tenant="acme",
        stream="sshd",
        detector="novelty",
        start_at=NOW,
        end_at=NOW,
        score=4.2,
        p_value=1e-5,
        severity=63,
        summary="user root logged in from ip 203.0.113.9, never seen together",
        expected="10.0.0.1",
        actual="203.0.113.9",
        entities=("ip:203.0.113.9", "user:root"),
        trace_ids=(),
        template_ids=(),
        event_ids=(f"e{number}",),
        reasons=(Reason(kind="pair", summary="root and 203.0.113.9 never met", event_id=f"e{number}"),),
    )
    return replace(plain, **given)


def a_notice(*findings: Finding, **given: Any) -> Notice:
    found = findings or (a_finding(),)
    incident = Incident(
        incident_id="inc_0123456789abcdef01234567",
        tenant="acme",
        status=Status.OPEN,
        severity=63,
        title="user root logged in from ip 203.0.113.9, never seen together",
        opened_at=NOW,
        last_at=NOW,
        closed_at=None,
        finding_count=len(found),
        entities={"ip:203.0.113.9": 1.0, "user:root": 0.4},
        streams=("sshd",),
        detectors=("novelty",),
    )
    return Notice(
        event="incident.opened",
        message_id="msg_1",
        change=Change(kind="opened", incident=replace(incident, **given), findings=found, reason="first finding"),
        at=NOW + timedelta(seconds=2),
        base_url="https://tocsin.example",
        lines={finding.event_ids[0]: f"line of {finding.event_ids[0]}" for finding in found},
    )


def sent(notice: Notice, shape: Format = Format.STANDARD, **given: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(body(notice, shape, BodySettings(), **given))
    return document


def test_the_library_of_receivers_accepts_the_signature() -> None:
    content = body(a_notice(), Format.STANDARD, BodySettings())
    now = datetime.now(UTC)
    named = headers(message="msg_1", content=content, shape=Format.STANDARD, secrets=[SECRET], at=now)
    assert Webhook(SECRET).verify(content, named)["type"] == "incident.opened"
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(content + b" ", named)
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(content, named)


def test_while_a_secret_is_replaced_both_are_accepted() -> None:
    content = body(a_notice(), Format.STANDARD, BodySettings())
    named = headers(message="m", content=content, shape=Format.STANDARD, secrets=[OTHER, SECRET], at=datetime.now(UTC))
    for secret in (SECRET, OTHER):
        Webhook(secret).verify(content, named)


def test_the_body_tells_the_incident_its_findings_their_reasons_and_the_raw_lines() -> None:
    document = sent(a_notice())
    assert document["type"] == "incident.opened"
    assert document["timestamp"] == "2026-03-01T12:00:02.000Z"
    incident, (finding,) = document["data"]["incident"], document["data"]["findings"]
    assert incident["id"] == "inc_0123456789abcdef01234567"
    assert incident["link"] == "https://tocsin.example/incidents/inc_0123456789abcdef01234567"
    assert incident["sequence"] == 1
    assert [entity["entity"] for entity in incident["entities"]] == ["ip:203.0.113.9", "user:root"]
    assert (finding["expected"], finding["actual"]) == ("10.0.0.1", "203.0.113.9")
    assert finding["reasons"][0]["summary"] == "root and 203.0.113.9 never met"
    assert finding["lines"] == [{"event_id": "e0", "text": "line of e0"}]
    assert set(document["data"]["truncated"].values()) == {0}


def test_a_huge_incident_is_cut_below_twenty_kilobytes_and_says_so() -> None:
    reasons = tuple(Reason(kind="line", summary="r" * 5000, event_id="e1") for _ in range(50))
    findings = tuple(a_finding(number, summary="s" * 5000, reasons=reasons) for number in range(500))
    for shape in (Format.STANDARD, Format.CLOUDEVENTS, Format.ALERTMANAGER):
        content = body(a_notice(*findings), shape, BodySettings())
        assert len(content) < 20_000
    truncated = sent(a_notice(*findings))["data"]["truncated"]
    assert truncated["findings"] > 400
    assert truncated["reasons"] > 0


def test_a_hostile_line_cannot_colour_hide_or_break_anything() -> None:
    evil = "ok\x1b[31m red\r\nInjected: yes\u202e gnp\x00"
    notice = replace(a_notice(a_finding(summary=evil), title=evil), lines={"e0": evil})
    text = body(notice, Format.STANDARD, BodySettings()).decode()
    assert not set("\x1b\u202e\x00\r") & set(json.dumps(json.loads(text), ensure_ascii=False))
    assert "\\n" not in text


def test_alertmanager_receivers_update_one_alert_and_see_it_end() -> None:
    firing = sent(a_notice(), Format.ALERTMANAGER)
    resolved = sent(a_notice(status=Status.RESOLVED, closed_at=NOW), Format.ALERTMANAGER)
    assert (firing["version"], firing["status"], firing["alerts"][0]["endsAt"]) == (
        "4",
        "firing",
        "0001-01-01T00:00:00Z",
    )
    assert (resolved["status"], resolved["alerts"][0]["endsAt"]) == ("resolved", "2026-03-01T12:00:00.000Z")
    assert firing["alerts"][0]["fingerprint"] == resolved["alerts"][0]["fingerprint"]
    assert firing["groupKey"] == resolved["groupKey"]


def test_a_cloudevent_has_the_required_attributes() -> None:
    document = sent(a_notice(), Format.CLOUDEVENTS)
    assert {name: document[name] for name in ("specversion", "id", "type")} == {
        "specversion": "1.0",
        "id": "msg_1",
        "type": "tocsin.incident.opened",
    }
    assert document["subject"] == "inc_0123456789abcdef01234567"


def test_pagerduty_triggers_and_resolves_by_the_same_key() -> None:
    trigger = sent(a_notice(), Format.PAGERDUTY, routing_key="R")
    resolve = sent(a_notice(status=Status.RESOLVED, closed_at=NOW), Format.PAGERDUTY, routing_key="R")
    assert (trigger["event_action"], resolve["event_action"]) == ("trigger", "resolve")
    assert trigger["dedup_key"] == resolve["dedup_key"]
    assert trigger["payload"]["severity"] == "error"
    with pytest.raises(InputError, match="routing key"):
        sent(a_notice(), Format.PAGERDUTY)


def test_a_test_message_looks_as_in_earnest() -> None:
    notice = ping(tenant="acme", message_id="msg_t", at=NOW)
    for shape in Format:
        document = sent(notice, shape, routing_key="R")
        assert document
    assert sent(notice)["type"] == "test.ping"


def test_a_message_has_one_id_for_a_webhook_and_a_change() -> None:
    assert message_id("w", "inc", 1) == message_id("w", "inc", 1)
    ids = {message_id(webhook, "inc", sequence) for webhook in ("w", "v") for sequence in (1, 2)}
    assert len(ids) == 4
    assert not any("." in each for each in ids)


@pytest.mark.parametrize("secret", ["whsec_!!!", "whsec_" + "QUJD", "whsec_" + "A" * 400])
def test_a_malformed_secret_is_refused_without_repeating_it(secret: str) -> None:
    with pytest.raises(InputError) as refused:
        secret_key(secret)
    assert secret.removeprefix("whsec_") not in str(refused.value)
