"""Connections and bodies that are made to hurt: each meets a limit, and other senders do not notice."""

from __future__ import annotations

import gzip
import json
import math
import resource
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import cramjam
import httpx2
import pytest

from ingest.batch import Batch, decode_all
from ingest.journal import JournalReader
from ingest.messages import Label, Write1
from tests.house import House
from tests.integration.test_run import Running, service, wait_for
from tests.senders import free_port

SILENT = 10_000
OTHER_FILES = 2_000  # of the processes of this test
QUICK_S = 1.0
PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
JOURNAL = {"Content-Type": "application/vnd.fdo.journal"}


@contextmanager
def set_up(tmp_path: Path, text: str) -> Iterator[Running]:
    data = tmp_path / "data"
    data.mkdir()
    (data / "tocsin.toml").write_text(text)
    with service(data, "--role", "api", ready=False) as running:
        yield running


def connect(running: Running, sent: bytes = b"", port: int | None = None) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port or running.client.base_url.port or 0), timeout=20)
    connection.sendall(sent)
    return connection


def is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(4096) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def quickest(running: Running) -> float:
    """Seconds until a line of an honest sender with a connection of its own is on disk; the best of three."""
    took = []
    for _ in range(3):
        with httpx2.Client(base_url=running.client.base_url, trust_env=False, timeout=20) as client:
            began = time.monotonic()
            assert client.post("/v1/ingest/app", content=b"a line\n").status_code == 200
            took.append(time.monotonic() - began)
    return min(took)


@pytest.mark.slow
def test_ten_thousand_silent_connections_delay_nobody(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = SILENT if hard == resource.RLIM_INFINITY else min(SILENT, hard - OTHER_FILES)
    beginnings = (b"", b"POST /v1/ingest/app HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
    try:
        with set_up(tmp_path, "[api]\nhead_s_max = 120.0\n") as running, ExitStack() as stack:
            silent = [stack.enter_context(connect(running, beginnings[n % 2])) for n in range(count)]
            assert quickest(running) < QUICK_S
            # There is one more than there may be, so the one that was silent for longest is gone.
            assert [is_closed(silent[at]) for at in (0, -1)] == [count == SILENT, False]
            assert memory(running) < 500 * 2**20
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def memory(running: Running) -> int:
    """Resident bytes of the HTTP process."""
    pages = int(Path(f"/proc/{running.process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def dribbled(connection: socket.socket, drop: bytes) -> bytes:
    """What is answered to somebody who sends a little every tenth of a second until the other side hangs up."""
    said = b""
    with connection:
        connection.settimeout(0.1)
        for _ in range(200):
            try:
                connection.sendall(drop)
                part = connection.recv(65_536)
            except TimeoutError:
                continue
            except ConnectionError:
                return said
            if not part:
                return said
            said += part
    raise AssertionError("it was never hung up")


HEAD = b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
INGEST, UPLOAD = HEAD % b"/v1/ingest/app", HEAD % b"/upload"
CHUNKED = b"Content-Type: application/vnd.fdo.journal\r\nTransfer-Encoding: chunked\r\n\r\n"
SLOW: dict[str, tuple[bytes, bytes, bytes]] = {  # what is sent at once, what then comes drop by drop, the answer
    "nothing": (b"", b"", b""),
    "head": (INGEST + b"X: ", b"x", b"HTTP/1.1 408 "),
    "body": (INGEST + b"Content-Length: 1000\r\n\r\n", b"x", b"HTTP/1.1 408 "),
    "journal": (UPLOAD + CHUNKED, b"1\r\nx\r\n", b"HTTP/1.1 408 "),
    "refused": (HEAD % b"/nowhere" + b"Content-Length: 1000\r\n\r\n", b"x", b"HTTP/1.1 404 "),
    "line": (INGEST + b"X: ", b"x" * 65_536, b"HTTP/1.1 431 "),
    "lines": (INGEST, b"X: y\r\n" * 10_000, b"HTTP/1.1 431 "),
    "address": (b"GET /", b"x" * 65_536, b"HTTP/1.1 431 "),
    "trailer": (INGEST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"x" * 65_536, b""),
    "nonsense": (b"\x16\x03\x01\x02\x00\x01", b"", b"HTTP/1.1 400 "),
}


@pytest.mark.slow
def test_slow_and_endless_requests_are_ended(tmp_path: Path) -> None:
    limits = "[api]\nhead_s_max = 1.0\nbody_idle_s = 1.0\nbody_s_max = 2.0\n"
    with set_up(tmp_path, limits) as running, ThreadPoolExecutor(len(SLOW)) as threads:
        said = {
            name: threads.submit(dribbled, connect(running, first), drop) for name, (first, drop, _) in SLOW.items()
        }
        assert quickest(running) < QUICK_S
        for name, (_, _, answer) in SLOW.items():
            assert said[name].result().startswith(answer), name
        assert said["nothing"].result() == b""
        assert memory(running) < 500 * 2**20


def test_who_is_silent_for_longest_makes_room(tmp_path: Path) -> None:
    port = free_port()
    full = f"[api]\nconnections_max = 20\n[syslog]\ntcp_port = {port}\nconnections_max = 20\nsilent_s = 0.1\n"
    with set_up(tmp_path, full) as running, ExitStack() as stack:
        silent = [stack.enter_context(connect(running)) for _ in range(40)]
        assert quickest(running) < QUICK_S
        assert [is_closed(silent[at]) for at in (0, -1)] == [True, False]
        silent = [stack.enter_context(connect(running, b"<13>half a", port)) for _ in range(20)]
        knocking: list[socket.socket] = []

        def has_made_room() -> bool:
            knocking.append(stack.enter_context(connect(running, port=port)))
            return is_closed(silent[0])

        wait_for(has_made_room)  # it has to be silent for a while first
        assert not is_closed(silent[-1])
        knocking[-1].sendall(b"<13>a whole one\n")
        wait_for(lambda: accepted(running) >= 3 + 2)  # the half one is kept too


def accepted(running: Running) -> int:
    text = running.client.get("/metrics").text
    (line,) = (line for line in text.splitlines() if line.startswith('tocsin_ingest_lines_total{outcome="accepted"}'))
    return int(float(line.rpartition(" ")[2]))


ENDPOINTS = {
    "/v1/ingest/app": {},
    "/v1/logs": JSON,
    "/v1/traces": PROTOBUF,
    "/v1/metrics": PROTOBUF,
    "/loki/api/v1/push": PROTOBUF,
    "/loki/api/v1/push?json": JSON,
    "/api/v1/write": PROTOBUF,
    "/_bulk": {},
    "/shop/_doc": {},
    "/services/collector/event": {},
    "/services/collector/raw": {},
    "/api/v2/logs": JSON,
    "/gelf": {},
    "/upload": JOURNAL,
}
GELF_ENCODINGS = {"gzip", "deflate"}  # told by the first bytes, whatever the header says
BOMBED = 160 * 2**20  # more than any body may hold


@cache
def bomb(encoding: str) -> bytes:
    zeros = bytes(BOMBED)
    if encoding == "zstd":
        return bytes(cramjam.zstd.compress(zeros))
    if encoding == "snappy":  # a size, and nothing that has it
        return b"\xff\xff\xff\xff\x0f" + b"\0" * 100
    stream = zlib.compressobj(1, zlib.DEFLATED, 31 if encoding == "gzip" else 15)
    return stream.compress(zeros) + stream.flush()


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "deflate", "snappy"])
def test_a_bomb_is_refused_by_every_protocol(house: House, encoding: str) -> None:
    client = house.client()
    for path, headers in ENDPOINTS.items():
        if path == "/gelf" and encoding not in GELF_ENCODINGS:
            continue
        answer = client.post(path, content=bomb(encoding), headers=headers | {"Content-Encoding": encoding})
        assert answer.status_code == 413, (path, answer.text)
    assert house.journal.next_offset == 0


DEEP: dict[str, Callable[[int], bytes]] = {
    "arrays": lambda depth: b"[" * depth + b"]" * depth,
    "objects": lambda depth: b'{"a":' * depth + b"1" + b"}" * depth,
    "an opening": lambda depth: b'{"message":' + b"[" * depth,
    "a bulk": lambda depth: b'{"index":{"_index":"shop"}}\n{"a":' + b"[" * depth + b"]" * depth + b"}\n",
    "a push": lambda depth: b'{"streams":[{"stream":{"a":' + b"[" * depth + b"]" * depth + b"}}]}",
    "a request": lambda depth: (
        b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":'
        + b'{"arrayValue":{"values":[' * depth
        + b"{}"
        + b"]}}" * depth
        + b"}]}]}]}"
    ),
    "groups": lambda depth: b"\x0b" * depth + b"\x0c" * depth,  # of protobuf, which no protocol here has
}


@pytest.mark.parametrize("kind", list(DEEP))
def test_what_is_nested_a_hundred_thousand_deep_is_refused_or_put_aside(house: House, kind: str) -> None:
    client, body = house.client(), DEEP[kind](100_000)
    for path, headers in ENDPOINTS.items():
        encoding = {} if headers is JSON else {"Content-Encoding": "identity"}
        answer = client.post(path, content=body, headers=headers | encoding)
        assert answer.status_code < 500, (path, answer.text)
    assert client.post("/v1/ingest/app", content=b"still here\n").status_code == 200
    for batch in taken(house):
        # Text is text, however it looks; what is read as JSON is not kept when it is that deep.
        assert not batch.lines["attributes"].drop_nulls().str.contains("[[[[", literal=True).any()


def taken(house: House) -> list[Batch]:
    entries = JournalReader(house.folder / "journal").read(0, entries_max=1000, bytes_max=2**30)
    return [batch for entry in entries for batch in decode_all(entry.payload)]


VALUES = [1.5, 1.5, math.inf, -math.inf, math.nan, 5e-324, 1.7976931348623157e308, -0.0]
ODD = 'a"b\\c\nd\te\r\x01\x7f é \u2028 \U0001f525 {}=,~'


def test_prometheus_may_send_any_value_in_any_order_under_any_label(house: House) -> None:
    message = Write1()
    series = message.timeseries.add()
    labels = {b"__name__": b"odd", b"job": b"node", b"text": ODD.encode(), b"bytes": b"\xff\0x", ODD.encode(): b"name"}
    series.labels.extend(Label(name=name, value=value).SerializeToString() for name, value in labels.items())
    times = [5, 5, 3, 9, 1, 2, 8, 5]  # out of order, and three times the same
    for value, second in zip(VALUES, times, strict=True):
        series.samples.add(value=value, timestamp=1_764_064_800_000 + second * 1000)
    body = bytes(cramjam.snappy.compress_raw(message.SerializeToString()))
    answer = house.client().post("/api/v1/write", content=body, headers=PROTOBUF)
    assert answer.status_code == 204, answer.text
    (batch,) = taken(house)
    assert batch.lines["body"].to_list() == [
        *("odd 1.5", "odd 1.5", "odd +Inf", "odd -Inf"),
        *("odd 5e-324", "odd 1.7976931348623157e+308", "odd 0"),
    ]
    for text in batch.lines["attributes"]:
        read: dict[str, Any] = json.loads(text)
        assert (read["text"], read[ODD], read["job"]) == (ODD, "name", "node")
        assert read["bytes"] == "\ufffd\ufffdx"


def test_loki_may_send_any_label(house: House) -> None:
    quoted = json.dumps(ODD, ensure_ascii=False).replace("\\u0001", "\\x01").replace("\x7f", "\\177")
    pushed = {"labels": f"{{app={quoted}, zone=`a\\b`, }}", "entries": [{"ts": "1764064800000000000", "line": ODD}]}
    body = gzip.compress(json.dumps({"streams": [pushed]}).encode())
    headers = JSON | {"Content-Encoding": "gzip"}
    assert house.client().post("/api/prom/push", content=body, headers=headers).status_code == 204
    (batch,) = taken(house)
    assert batch.lines["body"].to_list() == [ODD]
    assert json.loads(batch.lines["attributes"][0]) == {"app": ODD, "zone": "a\\b"}
