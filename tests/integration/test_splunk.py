"""Splunk's event collector: the answers byte by byte, and a real client."""

from __future__ import annotations

import gzip
import importlib
import json
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.house import House
from tests.integration.test_elasticsearch import bodies, counted, fill, rows
from tests.integration.test_run import service, wait_for

CHANNEL = {"X-Splunk-Request-Channel": "fe0ecfad-13d5-401b-847d-77833bd77131"}
EVENT = "/services/collector/event"


@pytest.mark.parametrize(
    "path",
    [
        "/services/collector",
        "/services/collector/",
        "/services/collector/event",
        "//services//collector/event/1.0",
        "/splunk/services/collector/event",
    ],
)
def test_events_are_taken_whatever_the_content_type_claims(house: House, path: str) -> None:
    answer = house.client().post(
        f"http://127.0.0.1:8780{path}",
        content=b'{"event":"one","sourcetype":"nginx"}{"event":"two","sourcetype":"nginx"}',
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert (answer.status_code, answer.text) == (200, '{"text":"Success","code":0}')
    assert bodies(house) == [("nginx", ["one", "two"])]


def test_raw_lines_are_taken(house: House) -> None:
    answer = house.client().post(
        "/services/collector/raw?sourcetype=nginx&host=web-1",
        content=gzip.compress(b"one\ntwo\n"),
        headers={"Content-Encoding": "gzip"},
    )
    assert answer.json() == {"text": "Success", "code": 0}
    assert bodies(house) == [("nginx", ["one", "two"])]


def test_an_acknowledgement_is_true_at_once(house: House) -> None:
    client = house.client()
    taken = [client.post(EVENT, content=b'{"event":"x"}', headers=CHANNEL).json() for _ in range(2)]
    ids = [answer["ackId"] for answer in taken]
    assert taken[0] == {"text": "Success", "code": 0, "ackId": ids[0]}
    assert ids[0] != ids[1]
    answer = client.post("/services/collector/ack?channel=x", content=json.dumps({"acks": ids}))
    assert answer.json() == {"acks": {str(number): True for number in ids}}
    assert client.post("/services/collector/ack", content=b'{"acks":[1]}').json()["code"] == 10
    assert client.post("/services/collector/ack?channel=x", content=b"nonsense").json()["code"] == 6
    assert client.post(f"{EVENT}?channel=a%20b", content=b'{"event":"x"}').json()["code"] == 11


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (b"", {"text": "No data", "code": 5}),
        (b"nonsense", {"text": "Invalid data format", "code": 6, "invalid-event-number": 0}),
        (b"{}", {"text": "Event field is required", "code": 12, "invalid-event-number": 0}),
        (b'{"event":""}', {"text": "Event field cannot be blank", "code": 13, "invalid-event-number": 0}),
    ],
)
def test_what_holds_no_event_is_refused_in_words_of_splunk(house: House, body: bytes, answer: dict[str, Any]) -> None:
    told = house.client().post(EVENT, content=body)
    assert (told.status_code, told.json()) == (400, answer)
    assert bodies(house) == []


def test_tokens_are_refused_in_words_of_splunk(house: House) -> None:
    key = house.key("ingest")
    client = house.client()
    for authorization, status, code in (
        (None, 401, 2),
        ("Digest x", 401, 3),
        ("Splunk nonsense", 403, 4),
        (f"Splunk {house.key('read')}", 403, 4),
        (f"Splunk {key}", 200, 0),
    ):
        headers = {"Authorization": authorization} if authorization else {}
        answer = client.post(EVENT, content=b'{"event":"x"}', headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (status, code), authorization


def test_health_and_methods(house: House) -> None:
    client = house.client()
    for path in ("/services/collector/health", "/services/collector/health/1.0", "/splunk/services/collector/health"):
        assert client.get(path).json() == {"text": "HEC is healthy", "code": 17}
    assert client.options("/services/collector").headers["allow"] == "OPTIONS, POST"
    assert client.get(EVENT).status_code == 405
    house.stopping.set()
    assert client.get("/services/collector/health").status_code == 503


def test_when_there_is_no_room_the_server_is_busy(house: House) -> None:
    full = fill(house)
    answer = house.client().post(EVENT, content=b'{"event":"x"}')
    assert (answer.status_code, answer.json()) == (503, {"text": "Server is busy", "code": 9})
    assert "retry-after" not in answer.headers, "with it clients would not make their own, longer pauses"
    assert (full.refusals, bodies(house)) == (1, [])


@pytest.fixture
def splunk_handler() -> Iterator[Any]:
    module = importlib.import_module("splunk_handler")  # which has no types
    yield module
    module.instances.clear()


def _records(count: int) -> list[logging.LogRecord]:
    make = logging.LogRecord
    return [make("shop", 30, "shop.py", 1, "user u%d paid %d EUR", (n, n), None) for n in range(count)]


def _handler(module: Any, address: str, token: str) -> Any:
    host, _, port = address.rpartition("://")[2].rpartition(":")
    return module.SplunkHandler(
        host=host, port=int(port), token=token, index="web", sourcetype="shop", hostname="web-1", protocol="http",
        verify=False, flush_interval=0.2, retry_backoff=0.1,
    )  # fmt: skip


def test_what_splunk_handler_sends_is_there_once(tmp_path: Path, splunk_handler: Any) -> None:
    with service(tmp_path / "data") as running:
        handler = _handler(splunk_handler, str(running.client.base_url).rstrip("/"), "any")
        for record in _records(1000):
            handler.emit(record)
        handler.force_flush()
        handler.close()
        wait_for(partial(counted, running, "shop", 1000))
        assert rows(
            running,
            "SELECT count(DISTINCT body), count(*) FILTER (list_contains(entities, 'host:web-1')) "
            "FROM events WHERE stream = 'shop'",
        ) == [[1000, 1000]]


def test_splunk_handler_comes_again_when_there_was_no_room(house: House, splunk_handler: Any) -> None:
    full = fill(house)
    key = house.key("ingest")
    with house.served() as address:
        handler = _handler(splunk_handler, address, key)
        for record in _records(100):
            handler.emit(record)
        wait_for(lambda: full.refusals >= 2, 20)
        full.is_full = False
        wait_for(lambda: sum(len(texts) for _, texts in bodies(house)) == 100, 20)
        handler.close()
    assert sorted(text for _, texts in bodies(house) for text in texts) == sorted(
        f"user u{n} paid {n} EUR" for n in range(100)
    )
