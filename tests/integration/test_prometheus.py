"""Prometheus' remote_write over HTTP, and Debian's Prometheus as a server and as an agent."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cramjam
import httpx2
import pytest

from ingest.batch import Batch, decode_all
from ingest.journal import JournalReader
from ingest.messages import Label, Write1, Write2
from tests.house import House
from tests.integration.test_run import STOP_S_MAX, Running, command, service, wait_for

WRITE = "/api/v1/write"
V1 = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
V2 = {**V1, "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}
ROWS_S_MAX = 120.0
MS = 1_764_064_800_001
PROGRAM = shutil.which("prometheus")

needs_prometheus = pytest.mark.skipif(PROGRAM is None, reason="Prometheus is missing: apt-get install prometheus")


def taken(house: House) -> list[Batch]:
    """What lies in the journal."""
    reader = JournalReader(house.folder / "journal")
    entries = reader.read(0, entries_max=1000, bytes_max=2**30)
    return [batch for entry in entries for batch in decode_all(entry.payload)]


def snappy(message: Any) -> bytes:
    return bytes(cramjam.snappy.compress_raw(message.SerializeToString()))


def first(*names: str, time_ms: int = MS) -> Any:
    """A message of version 1 with a sample of each name."""
    message = Write1()
    for name in names:
        series = message.timeseries.add()
        labels = {"__name__": name, "job": "node"}
        series.labels.extend(Label(name=n.encode(), value=v.encode()).SerializeToString() for n, v in labels.items())
        series.samples.add(value=1.5, timestamp=time_ms)
    return message


def second(*names: str) -> Any:
    """The same in version 2, with a histogram each."""
    message = Write2(symbols=[b"", b"__name__", b"job", b"node", *(name.encode() for name in names)])
    for place in range(len(names)):
        series = message.timeseries.add(labels_refs=[1, 4 + place, 2, 3])
        series.samples.add(value=1.5, timestamp=MS)
        series.histograms.add(count_int=2, sum=3.5, timestamp=MS)
    return message


def test_version_1_is_taken_without_a_word(house: House) -> None:
    answer = house.client().post(WRITE, content=snappy(first("up", "down")), headers=V1)
    assert (answer.status_code, answer.content) == (204, b"")
    assert not [name for name in answer.headers if name.startswith("x-prometheus")]
    (batch,) = taken(house)
    assert (batch.stream, batch.lines["body"].to_list()) == ("node.metrics", ["up 1.5", "down 1.5"])


def test_version_2_is_told_how_much_was_written(house: House) -> None:
    answer = house.client().post(WRITE, content=snappy(second("up", "down")), headers=V2)
    assert answer.status_code == 204
    told = {name: answer.headers[f"x-prometheus-remote-write-{name}-written"] for name in ("samples", "histograms")}
    assert told == {"samples": "2", "histograms": "2"}
    assert answer.headers["x-prometheus-remote-write-exemplars-written"] == "0"
    (batch,) = taken(house)
    assert batch.lines["body"].to_list() == [
        *("up 1.5", "up_count 2", "up_sum 3.5"),
        *("down 1.5", "down_count 2", "down_sum 3.5"),
    ]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/x-protobuf"},
        {"Content-Type": "application/x-protobuf; proto=prometheus.WriteRequest", "Content-Encoding": "snappy"},
        {},
    ],
)
def test_what_senders_leave_out_is_version_1_in_snappy(house: House, headers: dict[str, str]) -> None:
    assert house.client().post(WRITE, content=snappy(first("up")), headers=headers).status_code == 204
    assert taken(house)[0].lines.height == 1


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        (b"\xff\xff", V1, 400, "compression"),
        (bytes(cramjam.snappy.compress_raw(b"\x0a\xff")), V1, 400, "WriteRequest"),
        (snappy(first("up")), V1 | {"Content-Type": "application/json"}, 415, "x-protobuf"),
        (snappy(first("up")), V1 | {"Content-Type": "application/x-protobuf;proto=x.v3"}, 415, "proto="),
        (snappy(first("up")), V1 | {"Content-Encoding": "br"}, 415, "br"),
    ],
)
def test_a_message_that_is_wrong_as_a_whole_is_refused(
    house: House, body: bytes, headers: dict[str, str], status: int, says: str
) -> None:
    answer = house.client().post(WRITE, content=body, headers=headers)
    assert answer.status_code == status
    assert says in answer.json()["detail"]
    assert taken(house) == []


def test_an_invalid_series_is_named_and_the_others_are_taken(house: House) -> None:
    answer = house.client().post(WRITE, content=snappy(second("up", "", "down")), headers=V2)
    assert answer.status_code == 400
    assert "timeseries[1]: labels: __name__ is missing" in answer.json()["detail"]
    assert answer.headers["x-prometheus-remote-write-samples-written"] == "2"
    batches = {batch.stream: batch for batch in taken(house)}
    assert batches["node.metrics"].lines.height == 6
    assert len(batches["prometheus.metrics"].rejected) == 1


def test_a_message_of_nothing_but_metadata_is_no_error(house: House) -> None:
    body = bytes(cramjam.snappy.compress_raw(b"\x1a\x04\x08\x01\x12\x00"))
    assert house.client().post(WRITE, content=body, headers=V1).status_code == 204
    assert taken(house) == []


def test_when_there_is_no_room_the_answer_is_503_and_never_429(house: House) -> None:
    answer = house.client(inflight_bytes_max=10).post(WRITE, content=snappy(first("up")), headers=V1)
    assert answer.status_code == 503
    assert 1 <= int(answer.headers["retry-after"]) <= 10
    assert taken(house) == []


def test_a_message_that_stops_coming_may_come_again(house: House) -> None:
    with house.served(body_idle_s=0.1) as address, socket.create_connection(address_of(address)) as sender:
        head = f"POST {WRITE} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n"
        sender.sendall((head + "Content-Type: application/x-protobuf\r\n\r\nabc").encode())
        answer = sender.recv(4096).decode()
    assert " 503 " in answer.partition("\r\n")[0]
    assert "retry-after" in answer.lower()


def address_of(url: str) -> tuple[str, int]:
    return "127.0.0.1", int(url.rpartition(":")[2])


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Shop:
    """Something to scrape: its counter is one more each time."""

    port: int
    orders: int = 0
    closed: bool = False


@contextmanager
def shop() -> Iterator[Shop]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if here.closed:
                self.send_error(500)
                return
            here.orders += 1
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f'shop_orders_total{{zone="eu"}} {here.orders}\n'.encode())

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = Shop(server.server_port)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Prometheus:
    """A running Prometheus."""

    client: httpx2.Client

    def number(self, name: str) -> float:
        """One of its own counters, summed up."""
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))


@contextmanager
def prometheus(folder: Path, url: str, shop: Shop, *, agent: bool = False) -> Iterator[Prometheus]:
    port = free_port()
    queue = {"batch_send_deadline": "200ms", "max_backoff": "500ms", "max_samples_per_send": 200}
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
            for job, target in (("shop", shop.port), ("prometheus", port))
        ],
        "remote_write": [{"url": url, "queue_config": queue}],
    }
    file = folder / "prometheus.yml"
    file.write_text(json.dumps(config))  # JSON is YAML
    kind = ["--enable-feature=agent", "--storage.agent.path"] if agent else ["--storage.tsdb.path"]
    options = [f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}", *kind, str(folder / "wal")]
    process = subprocess.Popen(
        [str(PROGRAM), *options, "--storage.remote.flush-deadline=1s"], stderr=subprocess.DEVNULL
    )
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            wait_for(lambda: answers(client, "/-/ready"))
            yield Prometheus(client)
    finally:
        process.terminate()
        process.wait(STOP_S_MAX)


def answers(client: httpx2.Client, path: str) -> bool:
    try:
        return client.get(path).status_code == 200
    except httpx2.TransportError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    """As `wait_for`, for conditions that ask for rows: each starts a process."""
    deadline = time.monotonic() + ROWS_S_MAX
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.5)


def orders(running: Running) -> list[int]:
    """The numbers of the shop that arrived."""
    query = (
        "SELECT attributes, body FROM events "
        "WHERE stream = 'shop.metrics' AND attributes->>'metric.name' = 'shop_orders_total'"
    )
    answer = running.client.post("/v1/sql", json={"query": query})
    assert answer.status_code == 200, answer.text
    rows = [(json.loads(attributes), body) for attributes, body in answer.json()["rows"]]
    for attributes, body in rows:
        assert attributes["metric.name"] == "shop_orders_total"
        assert body == f"shop_orders_total {attributes['value']}"
        assert (attributes["job"], attributes["zone"]) == ("shop", "eu")
    return sorted(attributes["value"] for attributes, _ in rows)


def all_sold(shop: Shop, running: Running) -> Callable[[], bool]:
    """Close the shop; whether every number it ever showed has arrived."""
    shop.closed = True
    return lambda: orders(running) == list(range(1, shop.orders + 1))


@needs_prometheus
@pytest.mark.slow
@pytest.mark.parametrize("agent", [False, True], ids=["server", "agent"])
def test_every_sample_of_prometheus_is_a_row(tmp_path: Path, *, agent: bool) -> None:
    with service(tmp_path / "data") as running, shop() as target:
        with prometheus(tmp_path, f"{running.client.base_url}{WRITE}", target, agent=agent) as sender:
            wait_for(lambda: target.orders >= 10)
            wait_until(all_sold(target, running))
            assert running.count("prometheus.metrics") > 100
            # The ends of the shop's series are markers, which are no values.
            wait_for(lambda: "tocsin_ingest_stale_markers_total 0.0" not in running.client.get("/metrics").text)
            for name in ("failed", "dropped"):
                assert sender.number(f"prometheus_remote_storage_samples_{name}_total") == 0
        assert "Traceback" not in running.said()


@needs_prometheus
@pytest.mark.slow
def test_prometheus_loses_nothing_while_there_is_no_room(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    # The journal keeps what came since the last snapshot.
    journal = "[journal]\nsegment_bytes_max = 65_536\nbytes_max = 200_000\n"
    (data / "tocsin.toml").write_text(f"{journal}[worker]\nsnapshot_s = 1.0\n")
    with (
        service(data, "--role", "api", ready=False) as running,
        shop() as target,
        prometheus(tmp_path, f"{running.client.base_url}{WRITE}", target) as sender,
    ):
        wait_for(lambda: sender.number("prometheus_remote_storage_samples_retried_total") > 0)
        worker = subprocess.Popen(command(data, "--role", "worker"), stderr=subprocess.DEVNULL)
        try:
            wait_until(all_sold(target, running))
        finally:
            worker.terminate()
            worker.wait(STOP_S_MAX)
        for name in ("failed", "dropped"):
            assert sender.number(f"prometheus_remote_storage_samples_{name}_total") == 0


@needs_prometheus
@pytest.mark.slow
def test_prometheus_loses_nothing_while_the_service_is_away(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    with shop() as target, prometheus(tmp_path, f"http://127.0.0.1:{port}{WRITE}", target):
        with service(data, "--port", str(port)) as running:
            wait_until(lambda: len(orders(running)) >= 3)
        before = target.orders
        wait_for(lambda: target.orders >= before + 4)
        with service(data, "--port", str(port)) as running:
            wait_until(lambda: set(orders(running)) > set(range(1, before + 5)))
            wait_until(all_sold(target, running))
