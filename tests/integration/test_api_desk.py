from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.house import House, Story

URL = "https://hooks.example.com/services/T0/B0/secret"


def test_a_webhook_is_told_its_secret_once(house: House) -> None:
    client = house.client()
    answer = client.post("/v1/webhooks", json={"url": URL})
    assert answer.status_code == 201
    created = answer.json()
    assert created["secret"].startswith("whsec_")
    assert (created["format"], created["enabled"], created["severity_min"]) == ("standard", True, 0)
    assert created["events"] == ["incident.opened", "incident.updated", "incident.resolved"]
    del created["secret"]
    assert client.get("/v1/webhooks").json() == {"webhooks": [created]}
    assert client.get(f"/v1/webhooks/{created['webhook_id']}").json() == created


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://example.com", "scheme"),
        ("example.com/x", "scheme"),
        ("https://user:pass@example.com/", "user name"),
        ("https://example.com/#x", "fragment"),
        ("https://example.com\\@evil.example/", "backslashes"),
        ("http://127.0.0.1:9000/hook", "not a public address"),
        ("https://[::1]/", "not a public address"),
        ("https://[::ffff:10.0.0.1]/", "not a public address"),
        ("https://169.254.169.254/latest/meta-data", "not a public address"),
        ("https://10.1.2.3/", "not a public address"),
        ("http://localhost:8080/", "not a public address"),
        ("https://tocsin.localhost/", "not a public address"),
        ("https://1.1.1.1:25/", "port 25"),
        ("http://example.com/", "https"),
        ("https:///x", "host"),
        ("https://exa mple.com/", "white space"),
        ("https://" + "a" * 2100, "2000"),
    ],
)
def test_a_url_that_is_never_delivered_to_is_refused_at_once(house: House, url: str, says: str) -> None:
    client = house.client()
    answer = client.post("/v1/webhooks", json={"url": url})
    assert answer.status_code in {400, 422}
    assert says in answer.json()["detail"]
    assert client.get("/v1/webhooks").json()["webhooks"] == []


def test_pagerduty_needs_its_key(house: House) -> None:
    client = house.client()
    asked = {"url": "https://events.pagerduty.com/v2/enqueue", "format": "pagerduty"}
    refused = client.post("/v1/webhooks", json=asked)
    assert refused.status_code == 422
    assert "routing_key" in refused.json()["detail"]
    answer = client.post("/v1/webhooks", json={**asked, "routing_key": "R0"})
    assert answer.status_code == 201
    assert "routing_key" not in answer.json()


def test_a_webhook_changes_only_where_asked(house: House) -> None:
    client = house.client()
    created = client.post("/v1/webhooks", json={"url": URL, "description": "the team"}).json()
    path = f"/v1/webhooks/{created['webhook_id']}"
    changed = client.patch(path, json={"severity_min": 70, "enabled": False, "events": ["incident.opened"]}).json()
    assert (changed["severity_min"], changed["enabled"], changed["events"]) == (70, False, ["incident.opened"])
    assert (changed["url"], changed["description"]) == (URL, "the team")
    assert client.patch(path, json={"description": None}).json()["description"] is None
    assert client.patch(path, json={"url": "https://10.0.0.1/"}).status_code == 400
    assert client.patch(path, json={"format": "pagerduty"}).status_code == 422
    assert client.patch(path, json={"secret": "x"}).status_code == 422
    assert client.get(path).json()["url"] == URL


def test_a_deleted_webhook_is_gone(house: House) -> None:
    client = house.client()
    path = f"/v1/webhooks/{client.post('/v1/webhooks', json={'url': URL}).json()['webhook_id']}"
    assert client.delete(path).status_code == 204
    for method in ("GET", "DELETE"):
        assert client.request(method, path).status_code == 404
    assert client.get(f"{path}/deliveries").status_code == 404
    assert client.post(f"{path}/test").status_code == 404


def test_an_incident_is_on_its_way_to_every_webhook_that_wants_it(house: House, story: type[Story]) -> None:
    client = house.client()
    ids = [
        client.post("/v1/webhooks", json={"url": URL, **more}).json()["webhook_id"]
        for more in ({}, {"severity_min": 100}, {"events": ["incident.resolved"]})
    ]
    (incident_id,) = house.tell(story())
    told = [client.get(f"/v1/webhooks/{each}/deliveries").json()["deliveries"] for each in ids]
    assert [len(deliveries) for deliveries in told] == [1, 0, 0]
    assert (told[0][0]["status"], told[0][0]["event"]) == ("pending", "incident.opened")
    client.patch(f"/v1/incidents/{incident_id}", json={"status": "resolved"})
    shown = client.get(f"/v1/incidents/{incident_id}").json()["deliveries"]
    assert sorted(delivery["event"] for delivery in shown) == [
        "incident.opened",
        "incident.resolved",
        "incident.resolved",
    ]


def test_a_test_message_is_queued_and_a_delivery_is_sent_again(house: House) -> None:
    client = house.client()
    webhook_id = client.post("/v1/webhooks", json={"url": URL}).json()["webhook_id"]
    tested = client.post(f"/v1/webhooks/{webhook_id}/test")
    assert tested.status_code == 202
    (delivery,) = house.store.outbox.claim(limit=10, now=house.clock())
    assert delivery.event == "test.ping"
    house.store.outbox.dead(delivery.delivery_id, at=house.clock(), status=500, reason="HTTP 500", ms=3, disable=False)
    (dead,) = client.get(f"/v1/webhooks/{webhook_id}/deliveries").json()["deliveries"]
    assert (dead["delivery_id"], dead["status"], dead["response_status"]) == (tested.json()["delivery_id"], "dead", 500)
    replayed = client.post(f"/v1/deliveries/{dead['delivery_id']}/replay")
    assert replayed.status_code == 202
    (again,) = house.store.outbox.claim(limit=10, now=house.clock())
    assert (again.message_id, again.body) == (delivery.message_id, delivery.body)
    assert client.post("/v1/deliveries/999999/replay").status_code == 404
    assert client.post("/v1/deliveries/nonsense/replay").status_code == 422


def test_a_silence_is_listed_until_it_is_over(house: House) -> None:
    client = house.client()
    asked = {
        "matcher": "entity",
        "value": "user:backup*",
        "reason": "nightly backup",
        "ends_at": "2026-11-25T16:00:00+02:00",
        "severity_below": 90,
    }
    answer = client.post("/v1/silences", json=asked)
    assert answer.status_code == 201
    silence = answer.json()
    assert silence["ends_at"] == "2026-11-25T14:00:00Z"
    assert silence["starts_at"] == "2026-11-25T12:00:00Z"
    assert silence["author"] == "somebody on this machine"
    assert client.get("/v1/silences").json() == {"silences": [silence]}
    house.clock.now += timedelta(hours=3)
    assert client.get("/v1/silences").json() == {"silences": []}


def test_a_silence_can_be_ended(house: House) -> None:
    client = house.client()
    asked = {"matcher": "stream", "value": "batch", "reason": "x", "ends_at": "2027-01-01T00:00:00Z"}
    path = f"/v1/silences/{client.post('/v1/silences', json=asked).json()['silence_id']}"
    assert client.delete(path).status_code == 204
    assert client.delete(path).status_code == 404
    assert client.get("/v1/silences").json() == {"silences": []}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"reason": " "}, "reason"),
        ({"reason": ""}, "reason"),
        ({"ends_at": "2026-11-25T11:00:00Z"}, "ends_at"),
        ({"ends_at": "2026-11-25T14:00:00"}, "ends_at"),
        ({"value": "no-kind"}, "kind:value"),
        ({"matcher": "everything"}, "matcher"),
        ({"severity_below": 0}, "severity_below"),
        ({"value": "user:\x00"}, "value"),
    ],
)
def test_a_silence_nobody_can_answer_for_is_refused(house: House, change: dict[str, Any], says: str) -> None:
    asked = {"matcher": "entity", "value": "user:eve", "reason": "known", "ends_at": "2027-01-01T00:00:00Z"}
    answer = house.client().post("/v1/silences", json=asked | change)
    assert answer.status_code in {400, 422}
    assert says in answer.json()["detail"]


def test_the_budget_is_set_and_shown(house: House, story: type[Story]) -> None:
    client = house.client()
    before = client.get("/v1/budgets").json()
    assert before == {"incidents_per_day": 10, "opened_last_day": 0}
    assert client.post("/v1/budgets", json={"incidents_per_day": 3}).json()["incidents_per_day"] == 3
    assert client.get("/v1/budgets").json()["incidents_per_day"] == 3
    for wrong in (0, -1, 1e9, "many", None):
        assert client.post("/v1/budgets", json={"incidents_per_day": wrong}).status_code == 422


def test_who_may_read_does_not_see_where_messages_go(house: House) -> None:
    house.client(house.key()).post("/v1/webhooks", json={"url": URL})
    assert house.client(house.key("read")).get("/v1/webhooks").status_code == 403
