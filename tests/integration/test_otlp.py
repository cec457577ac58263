"""OpenTelemetry's own SDK for Python, in a process of its own, against a running service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from ingest.batch import Batch, decode_all
from ingest.journal import Journal, JournalReader
from tests.house import House
from tests.integration.test_run import Running, service, wait_for
from tocsin.errors import FullError

SENDER = Path(__file__).parents[1] / "otel_sender.py"
COUNT = 700  # more than the 512 records of the SDK's batches


def sender(address: str, count: int, said: Path, **environment: str) -> subprocess.Popen[bytes]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    told = {
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_RESOURCE_ATTRIBUTES": "host.name=web-1,deployment.environment.name=test",
        "OTEL_EXPORTER_OTLP_ENDPOINT": address,
    }
    return subprocess.Popen([sys.executable, str(SENDER), str(count), str(said)], env=own | told | environment)


def rows(running: Running, query: str) -> list[list[Any]]:
    answer = running.client.post("/v1/sql", json={"query": query})
    assert answer.status_code == 200, answer.text
    found: list[list[Any]] = answer.json()["rows"]
    return found


def arrived(running: Running) -> dict[str, int]:
    return dict(rows(running, "SELECT stream, count(*) FROM events GROUP BY stream"))


@pytest.mark.slow
def test_everything_the_sdk_sends_arrives_once(tmp_path: Path) -> None:
    ways = {"shop": ("", "gzip"), "till": ("/otlp/", "deflate"), "store": ("", "none")}
    with service(tmp_path / "data") as running:
        address = f"{running.client.base_url}".rstrip("/")
        senders = [
            sender(
                address + path,
                COUNT,
                tmp_path / name,
                OTEL_SERVICE_NAME=name,
                OTEL_EXPORTER_OTLP_COMPRESSION=compression,
            )
            for name, (path, compression) in ways.items()
        ]
        assert [process.wait(120) for process in senders] == [0, 0, 0]
        for name in ways:
            assert "Failed" not in (tmp_path / name).read_text()
        counts = {"": COUNT, ".spans": COUNT, ".metrics": COUNT + 2}
        wanted = {name + suffix: count for name in ways for suffix, count in counts.items()}
        wait_for(lambda: arrived(running) == wanted)
        check_fields(running)


def check_fields(running: Running) -> None:
    bodies = [body for (body,) in rows(running, "SELECT body FROM events WHERE stream = 'shop' ORDER BY time")]
    assert sorted(bodies) == sorted(f"order {number} is late" for number in range(COUNT))
    columns = "severity_number, attributes, trace_id, span_id, entities"
    ((severity, attributes, trace, span, entities),) = rows(
        running, f"SELECT {columns} FROM events WHERE stream = 'shop' AND body = 'order 7 is late'"
    )
    told = json.loads(attributes)
    assert severity == 13
    assert {"user:u7", "host:web-1", "service:shop"} <= set(entities)
    assert (told["weights"], told["otel.scope.name"], told["deployment.environment.name"]) == ([1, 2], "shop", "test")
    assert told["code.function.name"] == "main"
    # The span in which it was written.
    ((body, duration),) = rows(
        running,
        "SELECT body, CAST(json_extract(attributes, '$.duration_ms') AS DOUBLE) FROM events "
        f"WHERE stream = 'shop.spans' AND trace_id = '{trace}' AND span_id = '{span}'",
    )
    assert body == "GET /cart server"
    assert 0 < duration < 60_000
    assert rows(running, "SELECT body FROM events WHERE stream = 'shop.spans' AND severity_number = 17") == [
        ["GET /cart server error: out of stock"]
    ]
    (found,) = rows(
        running, "SELECT body, attributes FROM events WHERE stream = 'shop.metrics' AND body LIKE 'checkout.duration %'"
    )
    histogram = json.loads(found[1])
    assert found[0] == "checkout.duration 0.25"
    assert (histogram["metric.kind"], histogram["count"], histogram["max"]) == ("histogram", COUNT, 0.25)
    assert histogram["metric.temporality"] == "cumulative"
    (found,) = rows(
        running, "SELECT body, attributes FROM events WHERE stream = 'shop.metrics' AND body LIKE 'cpu.temperature %'"
    )
    assert (found[0], json.loads(found[1])["metric.unit"]) == ("cpu.temperature 61.5", "Cel")


class FullForAWhile:
    """A journal that has room only after so many requests."""

    def __init__(self, journal: Journal, refusals: int) -> None:
        self.journal = journal
        self.refusals = refusals

    @property
    def next_offset(self) -> int:
        return self.journal.next_offset

    def append(self, payload: bytes) -> Future[int]:
        if self.refusals:
            self.refusals -= 1
            raise FullError("the disk is full")
        return self.journal.append(payload)


def batches(house: House) -> list[Batch]:
    entries = JournalReader(house.folder / "journal").read(0, entries_max=100, bytes_max=2**30)
    return [batch for entry in entries for batch in decode_all(entry.payload)]


@pytest.mark.slow
def test_what_found_no_room_comes_again_and_is_taken_once(house: House, tmp_path: Path) -> None:
    full = FullForAWhile(house.journal, refusals=2)
    house.journal = full  # type: ignore[assignment]  # as far as the application knows, it is one
    said = tmp_path / "said"
    with house.served() as address:
        assert sender(address, 20, said).wait(120) == 0
    assert full.refusals == 0
    assert "Service Unavailable encountered while exporting" in said.read_text()
    lines = Counter[str]()
    for batch in batches(house):
        lines[batch.stream] += batch.lines.height
    assert lines == {"shop": 20, "shop.spans": 20, "shop.metrics": 22}


@pytest.mark.slow
def test_a_key_goes_into_the_headers_of_the_environment(house: House, tmp_path: Path) -> None:
    key = house.key("ingest", tenant="alpha")
    said = tmp_path / "said"
    with house.served() as address:
        assert sender(address, 1, said, OTEL_EXPORTER_OTLP_HEADERS=f"Authorization=Bearer%20{key}").wait(60) == 0
        assert "Failed" not in said.read_text()
        assert sender(address, 1, said).wait(60) == 0
        assert "401" in said.read_text()
    assert {batch.stream for batch in batches(house)} == {"shop", "shop.spans", "shop.metrics"}
    assert {batch.tenant for batch in batches(house)} == {"alpha"}
