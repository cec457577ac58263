"""Loki's push API over HTTP, and python-logging-loki as its users configure it."""

from __future__ import annotations

import gzip
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cramjam
import pytest

from ingest.batch import Batch, decode_all
from ingest.journal import JournalReader
from ingest.messages import LokiPush
from tests.house import House
from tests.integration.test_run import Running, service, wait_for

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import logging_loki

PUSH = "/loki/api/v1/push"
PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
NS = 1_764_064_800_000_000_001
ONE = json.dumps({"streams": [{"stream": {"app": "shop"}, "values": [[str(NS), "one"]]}]}).encode()


def taken(house: House) -> list[Batch]:
    """What lies in the journal."""
    reader = JournalReader(house.folder / "journal")
    return [batch for entry in reader.read(0, entries_max=1000, bytes_max=2**30) for batch in decode_all(entry.payload)]


def message() -> bytes:
    push = LokiPush()
    push.streams.add(labels=b'{app="shop"}').entries.add(line=b"one").timestamp.seconds = NS // 10**9
    push.streams.add(labels=b'{app="pay"}').entries.add(line=b"two").timestamp.seconds = NS // 10**9
    content = push.SerializeToString()
    assert isinstance(content, bytes)
    return content


def snappy(body: bytes) -> bytes:
    return bytes(cramjam.snappy.compress_raw(body))


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (snappy(message()), PROTOBUF),
        (snappy(message()), {}),
        (snappy(message()), {**PROTOBUF, "Content-Encoding": "snappy"}),
        (gzip.compress(message()), {**PROTOBUF, "Content-Encoding": "gzip"}),
        (message(), {**PROTOBUF, "Content-Encoding": "identity"}),
    ],
)
def test_protobuf_is_snappy_unless_a_header_says_otherwise(house: House, body: bytes, headers: dict[str, str]) -> None:
    answer = house.client().post(PUSH, content=body, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert [(batch.stream, *batch.lines["body"]) for batch in taken(house)] == [("shop", "one"), ("pay", "two")]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (ONE, JSON),
        (ONE, {"Content-Type": "application/json; charset=utf-8"}),
        (ONE, {"Content-Type": "application/x-www-form-urlencoded"}),
        (gzip.compress(ONE), {**JSON, "Content-Encoding": "gzip"}),
    ],
)
@pytest.mark.parametrize("path", [PUSH, "//loki/api/v1/push/", "/loki/loki/api/v1/push", "/api/prom/push"])
def test_json_is_taken_plain_or_compressed(house: House, path: str, body: bytes, headers: dict[str, str]) -> None:
    # A relative URL that begins with two slashes would be read as a host.
    answer = house.client().post(f"http://127.0.0.1:8780{path}", content=body, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert taken(house)[0].lines["body"].to_list() == ["one"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        (b"{", JSON, 400, "JSON"),
        (b"{}", JSON, 400, "streams"),
        (b"\xff\xff", PROTOBUF, 400, "compression"),
        (snappy(b"\x0a\xff"), PROTOBUF, 400, "PushRequest"),
        (ONE, {**JSON, "Content-Encoding": "br"}, 415, "br"),
    ],
)
def test_a_push_that_is_wrong_as_a_whole_is_refused(
    house: House, body: bytes, headers: dict[str, str], status: int, says: str
) -> None:
    answer = house.client().post(PUSH, content=body, headers=headers)
    assert answer.status_code == status
    assert says in answer.json()["detail"]
    assert taken(house) == []


def test_a_poison_line_does_not_stop_the_sender(house: House) -> None:
    body = json.dumps({"streams": [{"stream": {}, "values": [["soon", "bad"], [str(NS), "good"]]}]}).encode()
    assert house.client().post(PUSH, content=body, headers=JSON).status_code == 204
    (batch,) = taken(house)
    assert (batch.stream, batch.lines["body"].to_list(), batch.rejected[0].raw) == ("loki", ["good"], b"bad")


def test_a_push_of_nothing_is_answered_as_any_other(house: House) -> None:
    assert house.client().post(PUSH, content=b'{"streams": []}', headers=JSON).status_code == 204
    assert house.client().post(PUSH, content=b"", headers=PROTOBUF).status_code == 204
    assert taken(house) == []


def test_the_tenant_is_that_of_the_key_whatever_the_organisation(house: House) -> None:
    client = house.client(house.key("ingest", tenant="alpha"))
    client.post(PUSH, content=ONE, headers={**JSON, "X-Scope-OrgID": "beta"})
    assert taken(house)[0].tenant == "alpha"


def test_when_there_is_no_room_the_sender_is_told_when_to_come_again(house: House) -> None:
    answer = house.client(inflight_bytes_max=10).post(PUSH, content=ONE, headers=JSON)
    assert answer.status_code == 503
    assert 1 <= int(answer.headers["retry-after"]) <= 10
    assert taken(house) == []


@pytest.mark.parametrize("prefix", ["", "/loki"])
def test_what_clients_ask_before_they_push(house: House, prefix: str) -> None:
    assert house.client().get(f"{prefix}/loki/api/v1/status/buildinfo").json()["version"].startswith("3.")
    answer = house.client().get(f"{prefix}/ready")
    assert answer.status_code in {200, 503}  # nobody works for this service


@contextmanager
def logger_of(running: Running, **options: Any) -> Iterator[logging.Logger]:
    handler = logging_loki.LokiHandler(url=f"{running.client.base_url}/loki/api/v1/push", **options)
    refused: list[logging.LogRecord] = []
    handler.handleError = refused.append
    logger = logging.getLogger(f"shop-{options['version']}")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield logger
    finally:
        logger.removeHandler(handler)
        handler.close()
    assert refused == []


def rows(running: Running, query: str) -> list[list[Any]]:
    answer = running.client.post("/v1/sql", json={"query": query})
    assert answer.status_code == 200, answer.text
    found = answer.json()["rows"]
    assert isinstance(found, list)
    return found


@pytest.mark.parametrize("version", ["0", "1"])
def test_every_record_of_python_logging_loki_is_a_row_with_its_tags(tmp_path: Path, version: str) -> None:
    with service(tmp_path / "data") as running:
        assert running.client.get("/ready").text == "ready\n"
        with logger_of(running, tags={"application": "shop"}, version=version) as logger:
            for number in range(40):
                logger.error('order %d of "Zoë" failed\n  at checkout', number, extra={"tags": {"zone": "eu 1"}})
        wait_for(lambda: running.count("shop") == 40)
        found = rows(running, "SELECT body, severity_number, attributes, time FROM events WHERE stream = 'shop'")
        assert {row[0] for row in found} == {f'order {n} of "Zoë" failed\n  at checkout' for n in range(40)}
        assert {row[1] for row in found} == {17}
        tags = {"application": "shop", "severity": "error", "logger": f"shop-{version}", "zone": "eu 1"}
        assert all(json.loads(row[2]) == tags for row in found)
