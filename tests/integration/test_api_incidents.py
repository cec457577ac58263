from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.house import House, Story

START = datetime(2026, 11, 25, 8, tzinfo=UTC)


def many(story: type[Story], count: int) -> list[Any]:
    return [
        story(
            summary=f"user u{number} signed in from a new place",
            entities=(f"user:u{number}",),
            severity=41 + number,
            start_at=START + timedelta(minutes=number),
            findings=1,
        )
        for number in range(count)
    ]


def titles(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [incident["title"].split()[1] for incident in answer.json()["incidents"]]


def test_an_empty_service_has_no_incidents(house: House) -> None:
    assert house.client().get("/v1/incidents").json() == {"incidents": [], "next_cursor": None}


def test_the_latest_incident_comes_first(house: House, story: type[Story]) -> None:
    house.tell(*many(story, 3))
    assert titles(house.client().get("/v1/incidents")) == ["u2", "u1", "u0"]


def test_pages_together_hold_every_incident_once(house: House, story: type[Story]) -> None:
    house.tell(*many(story, 7))
    client = house.client()
    seen, cursor = [], ""
    while cursor is not None:
        answer = client.get("/v1/incidents", params={"limit": 3, "cursor": cursor})
        seen += titles(answer)
        cursor = answer.json()["next_cursor"]
    assert seen == [f"u{number}" for number in reversed(range(7))]


def test_parameters_that_are_empty_ask_for_nothing_in_particular(house: House, story: type[Story]) -> None:
    house.tell(*many(story, 2))
    answer = house.client().get("/v1/incidents?status=&severity_min=&entity=&since=&limit=5&cursor=")
    assert titles(answer) == ["u1", "u0"]


def test_incidents_are_found_by_status(house: House, story: type[Story]) -> None:
    ids = house.tell(*many(story, 3))
    client = house.client()
    client.patch(f"/v1/incidents/{ids[0]}", json={"status": "resolved"})
    client.patch(f"/v1/incidents/{ids[1]}", json={"status": "acknowledged"})
    assert titles(client.get("/v1/incidents?status=open")) == ["u2"]
    assert titles(client.get("/v1/incidents?status=resolved")) == ["u0"]
    assert sorted(titles(client.get("/v1/incidents?status=open,acknowledged"))) == ["u1", "u2"]
    assert client.get("/v1/incidents?status=closed").status_code == 422


def test_incidents_are_found_by_severity_entity_and_time(house: House, story: type[Story]) -> None:
    house.tell(*many(story, 5))
    client = house.client()
    assert titles(client.get("/v1/incidents?severity_min=44")) == ["u4", "u3"]
    assert titles(client.get("/v1/incidents?entity=user:u1")) == ["u1"]
    assert titles(client.get("/v1/incidents?since=2026-11-25T08:03:00Z")) == ["u4", "u3"]
    assert titles(client.get("/v1/incidents?since=2026-11-25T10:03:00+02:00")) == ["u4", "u3"]
    assert titles(client.get("/v1/incidents?since=2026-11-25T08:03:00")) == ["u4", "u3"]
    assert titles(client.get("/v1/incidents?since=2026-11-25")) == ["u4", "u3", "u2", "u1", "u0"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("limit=0", "query parameter limit"),
        ("limit=1001", "query parameter limit"),
        ("severity_min=101", "query parameter severity_min"),
        ("severity_min=high", "query parameter severity_min"),
        ("since=yesterday", "query parameter since"),
        ("entity=%00", "query parameter entity"),
        ("status=open;resolved", "query parameter status"),
    ],
)
def test_a_wrong_parameter_is_named(house: House, query: str, names: str) -> None:
    answer = house.client().get(f"/v1/incidents?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"].startswith(names)
    assert answer.json()["errors"][0]["field"] == names


@pytest.mark.parametrize("cursor", ["nonsense", "YQ==", "\N{SNOWMAN}", "e30", "'; DROP TABLE t_incidents; --"])
def test_an_invented_cursor_is_refused(house: House, story: type[Story], cursor: str) -> None:
    house.tell(*many(story, 2))
    answer = house.client().get("/v1/incidents", params={"cursor": cursor})
    assert answer.status_code == 400
    assert "cursor" in answer.json()["detail"]


def test_one_incident_explains_itself(house: House, story: type[Story]) -> None:
    (incident_id,) = house.tell(story())
    incident = house.client().get(f"/v1/incidents/{incident_id}").json()
    assert incident["why"].startswith("203.0.113.9 signed in as root, a pair never seen before (1 in 10\u202f000 in")
    assert incident["finding_count"] == len(incident["findings"]) == 4
    gravest, *_ = incident["findings"]
    assert [finding["severity"] for finding in incident["findings"]] == sorted(
        (finding["severity"] for finding in incident["findings"]), reverse=True
    )
    assert gravest["expected"] == "root signs in from 10.0.0.4 or 10.0.0.7"
    assert gravest["evidence"][0]["kind"] == "line"
    assert gravest["evidence"][1]["payload"] == {"seen": 0}
    assert {line["body"] for line in incident["lines"]} == set(story().lines)
    assert {weight["entity"] for weight in incident["entity_weights"]} == {"user:root", "ip:203.0.113.9", "host:web-1"}
    assert incident["detectors"] == ["novelty", "volume"]
    assert incident["opened_at"] == "2026-11-25T11:56:00Z"


def test_findings_are_found_by_what_they_are_about(house: House, story: type[Story]) -> None:
    first, second = house.tell(story(), *many(story, 1))
    client = house.client()
    assert len(client.get("/v1/findings").json()["findings"]) == 5
    assert len(client.get(f"/v1/findings?incident_id={first}").json()["findings"]) == 4
    assert len(client.get(f"/v1/findings?incident_id={second}").json()["findings"]) == 1
    assert {each["detector"] for each in client.get("/v1/findings?detector=volume").json()["findings"]} == {"volume"}
    assert len(client.get("/v1/findings?entity=user:u0").json()["findings"]) == 1
    assert len(client.get("/v1/findings?severity_min=75").json()["findings"]) == 2
    page = client.get("/v1/findings?limit=2").json()
    assert len(page["findings"]) == 2
    assert client.get("/v1/findings", params={"limit": 2, "cursor": page["next_cursor"]}).json()["findings"]


def test_people_acknowledge_assign_resolve_and_reopen(house: House, story: type[Story]) -> None:
    (incident_id,) = house.tell(story())
    client = house.client()
    path = f"/v1/incidents/{incident_id}"
    changed = client.patch(path, json={"status": "acknowledged", "assignee": "eve"}).json()
    assert (changed["status"], changed["assignee"]) == ("acknowledged", "eve")
    assert client.patch(path, json={}).json()["assignee"] == "eve"
    assert client.patch(path, json={"assignee": None}).json()["assignee"] is None
    resolved = client.patch(path, json={"status": "resolved"}).json()
    assert resolved["closed_at"] is not None
    assert client.patch(path, json={"status": "resolved"}).status_code == 200
    assert client.patch(path, json={"status": "acknowledged"}).status_code == 400
    assert client.patch(path, json={"status": "open"}).json()["closed_at"] is None


@pytest.mark.parametrize(
    "body", [{"status": "closed"}, {"statuss": "open"}, {"assignee": "x" * 201}, {"assignee": "a\x00b"}, [], "open", 1]
)
def test_a_wrong_change_changes_nothing(house: House, story: type[Story], body: Any) -> None:
    (incident_id,) = house.tell(story())
    client = house.client()
    assert client.patch(f"/v1/incidents/{incident_id}", json=body).status_code == 422
    assert client.get(f"/v1/incidents/{incident_id}").json()["status"] == "open"


def test_a_verdict_is_kept_with_its_author(house: House, story: type[Story]) -> None:
    (incident_id,) = house.tell(story())
    key = house.key()
    client = house.client(key)
    asked = {"label": "false_positive", "reason": "the new office", "scope": "ip:203.0.113.9"}
    answer = client.post(f"/v1/incidents/{incident_id}/feedback", json=asked)
    assert answer.status_code == 201
    (kept,) = client.get(f"/v1/incidents/{incident_id}").json()["feedback"]
    assert (
        kept == answer.json() == {**asked, "author": f"key {key.split('_')[1]}", "created_at": "2026-11-25T12:00:00Z"}
    )


def test_what_does_not_exist_is_named(house: House) -> None:
    client = house.client()
    for method, path, body in (
        ("GET", "/v1/incidents/inc_none", None),
        ("PATCH", "/v1/incidents/inc_none", {"status": "open"}),
        ("POST", "/v1/incidents/inc_none/feedback", {"label": "benign"}),
    ):
        answer = client.request(method, path, json=body)
        assert answer.status_code == 404
        assert "inc_none" in answer.json()["detail"]


def test_a_body_that_is_not_json_is_told_so(house: House, story: type[Story]) -> None:
    (incident_id,) = house.tell(story())
    client = house.client()
    path = f"/v1/incidents/{incident_id}"
    cut = client.patch(path, content=b'{"status": ', headers={"Content-Type": "application/json"})
    assert cut.status_code == 422
    assert "position 11" in cut.json()["detail"]
    form = client.patch(path, content=b"status=open", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert form.status_code == 415
    assert "application/json" in form.json()["detail"]
