"""Clients for Node.js as their users configure them: what arrives, while the service is busy, and when it is killed."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from service.lock import owner_of
from tests.house import House
from tests.integration.test_elasticsearch import bodies, fill
from tests.integration.test_run import Running, service, wait_for
from tests.integration.test_syslog import free_port
from tests.npm import sender

COUNT = 250
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

#: The script and the format it is told.
SENDERS = [
    ("otel", "json"),
    ("otel", "protobuf"),
    ("pino", ""),
    ("winston", "json"),
    ("winston", "protobuf"),
    ("splunk", ""),
]
TRACED = {("otel", "json"), ("otel", "protobuf"), ("pino", ""), ("winston", "json")}
DATED = {"otel", "pino", "splunk"}  # winston-loki stamps the messages itself


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with service(tmp_path_factory.mktemp("node") / "data") as running:
        yield running


def orders(running: Running, stream: str) -> list[list[Any]]:
    columns = "body, severity_number, time::TEXT, trace_id, span_id, entities, attributes"
    query = f"SELECT {columns} FROM events WHERE stream = '{stream}'"
    answer = running.client.post("/v1/sql", json={"query": query, "limit": 10_000})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["rows"])


def number_of(body: str) -> int:
    found = re.search(r"order number o(\d+)x declined", body)
    assert found is not None, body
    return int(found[1])


def has(running: Running, stream: str, wanted: int) -> bool:
    return running.count(stream) >= wanted


@pytest.mark.parametrize(("script", "style"), SENDERS)
def test_each_message_is_there_once_with_what_its_sender_said(running: Running, script: str, style: str) -> None:
    stream = f"{script}{style}"
    address = str(running.client.base_url).rstrip("/")
    with sender(script, address, COUNT=str(COUNT), PAUSE_MS="1", FORMAT=style, STREAM=stream) as sending:
        assert sending.end() == (COUNT, set())
    wait_for(partial(has, running, stream, COUNT))
    found = orders(running, stream)
    assert sorted(number_of(row[0]) for row in found) == list(range(COUNT))
    for _, severity, at, trace, span, entities, _ in found:
        assert severity == 13
        assert "host:web-1" in entities
        assert script not in DATED or at == "2026-11-25 10:00:00+00"
        assert (script, style) not in TRACED or (trace, span) == (TRACE, SPAN)
    if script != "winston" or style == "json":  # in protobuf winston-loki leaves everything but the text out
        assert all(f"user:u{number_of(row[0])}" in row[5] for row in found)
    if script == "otel":
        attributes = json.loads(found[0][6])
        assert (attributes["service.name"], attributes["otel.scope.name"]) == (stream, "checkout")


#: What these clients do, when they are told that there is no room, is to throw the messages away.
GIVES_UP = {"splunk"}


@pytest.mark.slow
@pytest.mark.parametrize(("script", "style"), SENDERS)
def test_nothing_is_lost_in_silence_while_there_is_no_room(house: House, script: str, style: str) -> None:
    full = fill(house)
    told = {"COUNT": "30", "PAUSE_MS": "50", "FORMAT": style, "STREAM": "shop", "KEY": house.key("ingest")}
    with house.served() as address, sender(script, address, **told) as sending:
        wait_for(lambda: full.refusals >= 1, 30)
        full.is_full = False
        sent, lost = sending.end()
    numbers = sorted(number_of(text) for _, texts in bodies(house) for text in texts)
    assert numbers == sorted(set(range(sent)) - lost)
    assert bool(lost) == (script in GIVES_UP)


def kill(running: Running) -> None:
    parts = [owner_of(running.data, part) for part in ("api", "worker")]
    for process in (running.process.pid, *parts):
        if process:
            os.kill(process, signal.SIGKILL)
    running.process.wait()


@pytest.mark.slow
def test_nothing_is_lost_in_silence_when_the_service_is_killed(tmp_path: Path) -> None:
    data, port = tmp_path / "data", str(free_port())
    with ExitStack() as stack:
        with service(data, "--port", port) as running:
            senders = {}
            for script, style in SENDERS:
                told = {"COUNT": "0", "PAUSE_MS": "200", "FORMAT": style, "STREAM": f"{script}{style}"}
                senders[f"{script}{style}"] = stack.enter_context(sender(script, f"http://127.0.0.1:{port}", **told))
            for stream in senders:
                wait_for(partial(has, running, stream, 20))
            kill(running)
        with service(data, "--port", port, ready=False) as running:
            for stream, sending in senders.items():
                sent, lost = sending.end()
                wait_for(partial(has_all, running, stream, set(range(sent)) - lost))
                assert not (lost and stream.startswith("winston"))  # which keeps everything until it ends


def has_all(running: Running, stream: str, wanted: set[int]) -> bool:
    return wanted <= {number_of(row[0]) for row in orders(running, stream)}
