"""Datadog's log intake, as its agent's sources use it."""

from __future__ import annotations

import gzip
import json
from functools import partial
from pathlib import Path

import cramjam
import pytest

from tests.house import House
from tests.integration.test_elasticsearch import bodies, counted, fill, rows
from tests.integration.test_run import service, wait_for

LOG = {
    "message": "paid",
    "status": "warn",
    "timestamp": 1795600800123,
    "hostname": "web-1",
    "service": "shop",
    "ddsource": "python",
    "ddtags": "env:prod",
}


@pytest.mark.parametrize("path", ["/api/v2/logs", "/v1/input", "/datadog/api/v2/logs", "/datadog//v1/input/"])
def test_logs_are_taken(house: House, path: str) -> None:
    key = house.key("ingest")
    answer = house.client().post(path, json=[LOG, LOG | {"message": "again"}], headers={"DD-API-KEY": key})
    assert (answer.status_code, answer.text) == (202, "{}")
    assert bodies(house) == [("shop", ["paid", "again"])]


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(json.dumps([LOG]).encode())),
        ("zstd", bytes(cramjam.zstd.compress(json.dumps([LOG]).encode()))),
        ("deflate", bytes(cramjam.deflate.compress(json.dumps([LOG]).encode()))),
    ],
)
def test_compressed_logs_are_taken(house: House, encoding: str, body: bytes) -> None:
    assert house.client().post("/api/v2/logs", content=body, headers={"Content-Encoding": encoding}).status_code == 202
    assert bodies(house) == [("shop", ["paid"])]


def test_a_sign_of_life_and_a_question_for_the_key_are_answered(house: House) -> None:
    key = house.key("ingest")
    client = house.client()
    assert client.post("/api/v2/logs", content=b"{}", headers={"DD-API-KEY": key}).status_code == 202
    assert client.get("/api/v1/validate", headers={"DD-API-KEY": key}).json() == {"valid": True}
    assert client.get("/api/v1/validate", headers={"DD-API-KEY": "wrong"}).status_code == 401
    assert bodies(house) == []


def test_text_is_lines_and_the_query_says_where_they_come_from(house: House) -> None:
    answer = house.client().post(
        "/api/v2/logs?service=shop&hostname=web-1", content=b"one\ntwo\n", headers={"Content-Type": "text/plain"}
    )
    assert answer.status_code == 202
    assert bodies(house) == [("shop", ["one", "two"])]


def test_refusals_are_in_words_of_datadog(house: House) -> None:
    answer = house.client().post("/api/v2/logs", content=b"nonsense")
    assert answer.status_code == 400
    (told,) = answer.json()["errors"]
    assert (told["status"], told["title"]) == ("400", "Bad Request")
    full = fill(house)
    answer = house.client().post("/api/v2/logs", json=[LOG])
    assert answer.status_code == 503
    assert 1 <= int(answer.headers["retry-after"]) <= 4
    assert (full.refusals, bodies(house)) == (1, [])


def test_what_is_sent_is_there_once(tmp_path: Path) -> None:
    with service(tmp_path / "data") as running:
        logs = [LOG | {"message": f"user u{n} paid {n} EUR"} for n in range(1000)]
        for start in range(0, 1000, 250):
            assert running.client.post("/api/v2/logs", json=logs[start : start + 250]).status_code == 202
        wait_for(partial(counted, running, "shop", 1000))
        assert rows(
            running,
            "SELECT count(DISTINCT body), min(severity_number), "
            "count(*) FILTER (list_contains(entities, 'host:web-1')) FROM events WHERE stream = 'shop'",
        ) == [[1000, 13, 1000]]
