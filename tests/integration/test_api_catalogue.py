from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from detectors.panel import DetectorStatus
from ingest.batch import Rejected
from ingest.parse import Template
from tests.house import House, Story


@pytest.fixture
def busy(house: House) -> House:
    """A house that has read something."""
    first, last = house.clock() - timedelta(days=1), house.clock()
    seen = {"count": [40, 2], "first": [first, first], "last": [last, last]}
    templates = [
        Template(template_id="a" * 16, tenant="default", stream="auth", text="Accepted password for <*>"),
        Template(template_id="b" * 16, tenant="default", stream="web", text="GET <*>"),
    ]
    with house.store.begin() as transaction:
        transaction.put_streams("default", pl.DataFrame({"stream": ["auth", "web"], **seen}))
        transaction.put_templates(
            "default", templates, pl.DataFrame({"template_id": ["a" * 16, "b" * 16], "stream": ["auth", "web"], **seen})
        )
        transaction.put_entities("default", pl.DataFrame({"entity": ["user:root", "path:/etc/passwd"], **seen}))
        transaction.put_detectors(
            "default",
            (
                DetectorStatus(detector="novelty", state="watching", detail="watching", units=9.0),
                DetectorStatus(detector="volume", state="learning", detail="learning: 3 of 12 intervals", units=3.0),
            ),
            last,
        )
        transaction.put_dead_letters(
            "default", "auth", (Rejected(line=3, detail="line 3, position 7: not JSON", raw=b'{"a": \xff<b>'),), last
        )
    return house


def test_streams_are_listed_with_their_lines(busy: House) -> None:
    streams = busy.client().get("/v1/streams").json()["streams"]
    assert {stream["stream"]: stream["event_count"] for stream in streams} == {"auth": 40, "web": 2}
    assert streams[0]["last_seen"] == "2026-11-25T12:00:00Z"


def test_the_most_frequent_template_comes_first(busy: House) -> None:
    client = busy.client()
    assert [each["template"] for each in client.get("/v1/templates").json()["templates"]] == [
        "Accepted password for <*>",
        "GET <*>",
    ]
    assert [each["stream"] for each in client.get("/v1/templates?stream=web").json()["templates"]] == ["web"]
    page = client.get("/v1/templates?limit=1").json()
    rest = client.get("/v1/templates", params={"limit": 1, "cursor": page["next_cursor"]}).json()
    assert [each["template"] for each in page["templates"] + rest["templates"]] == [
        "Accepted password for <*>",
        "GET <*>",
    ]


def test_an_entity_knows_its_incidents(busy: House, story: type[Story]) -> None:
    (incident_id,) = busy.tell(story())
    entity = busy.client().get("/v1/entities/user/root").json()
    assert (entity["kind"], entity["value"], entity["event_count"]) == ("user", "root", 40)
    assert [incident["incident_id"] for incident in entity["incidents"]] == [incident_id]


@pytest.mark.parametrize("path", ["/v1/entities/path//etc/passwd", "/v1/entities/path/%2Fetc%2Fpasswd"])
def test_the_value_of_an_entity_may_hold_slashes(busy: House, path: str) -> None:
    assert busy.client().get(path).json()["entity"] == "path:/etc/passwd"


def test_an_entity_nobody_saw_is_named(busy: House) -> None:
    answer = busy.client().get("/v1/entities/user/nobody")
    assert answer.status_code == 404
    assert "user:nobody" in answer.json()["detail"]


def test_detectors_say_how_far_they_are(busy: House) -> None:
    detectors = {each["detector"]: each for each in busy.client().get("/v1/detectors").json()["detectors"]}
    assert detectors["volume"]["state"] == "learning"
    assert "3 of 12" in detectors["volume"]["detail"]


def test_lines_that_could_not_be_read_are_kept(busy: House) -> None:
    (letter,) = busy.client().get("/v1/dead_letters").json()["dead_letters"]
    assert (letter["stream"], letter["line"]) == ("auth", 3)
    assert letter["raw"] == '{"a": \ufffd<b>'


def test_metrics_tell_where_everything_stands(busy: House, story: type[Story]) -> None:
    busy.tell(story())
    busy.client().post("/v1/ingest/app", content=b"one\ntwo\n")
    client = busy.client()
    client.post("/v1/ingest/app", content=b"one\ntwo\n")
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    for expected in (
        'tocsin_ingest_lines_total{outcome="accepted"} 2.0',
        "tocsin_journal_entries 2.0",
        "tocsin_worker_lag_entries 2.0",
        'tocsin_incidents_open{status="open",tenant="default"} 1.0',
        'tocsin_detector_state{detector="volume",state="learning",tenant="default"} 1.0',
        'tocsin_detector_state{detector="volume",state="watching",tenant="default"} 0.0',
        'tocsin_deliveries{status="pending",tenant="default"} 0.0',
    ):
        assert expected in lines, expected
    assert any('route="/v1/ingest/{stream}"' in line for line in lines)


def test_metrics_speak_of_the_tenant_of_the_key_alone(busy: House, story: type[Story]) -> None:
    busy.tell(story())
    text = busy.client(busy.key("read", tenant="other")).get("/metrics").text
    assert 'tenant="default"' not in text


def test_the_service_is_ready_while_the_worker_lives_and_keeps_up(house: House) -> None:
    client = house.client(ready_lag_entries_max=1)
    assert client.get("/healthz").json() == {"status": "ok"}
    starting = client.get("/readyz")
    assert starting.status_code == 503
    assert "not started" in starting.json()["detail"]
    assert int(starting.headers["retry-after"]) >= 1
    house.store.desk.beat(house.clock())
    assert client.get("/readyz").json() == {"status": "ready"}
    house.clock.move(seconds=45)
    assert "silent for 45 s" in client.get("/readyz").json()["detail"]
    house.store.desk.beat(house.clock())
    for _ in range(2):
        client.post("/v1/ingest/app", content=b"line\n")
    assert "2 entries behind" in client.get("/readyz").json()["detail"]
    with house.store.begin() as transaction:
        transaction.advance(0, 2)
    assert client.get("/readyz").status_code == 200
    house.stopping.set()
    assert "stopping" in client.get("/readyz").json()["detail"]
    assert client.get("/healthz").status_code == 200
