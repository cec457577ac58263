"""pygelf and graypy, clients of Graylog, at `POST /gelf` and over TCP and UDP."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from functools import partial

import pytest

from tests.house import House
from tests.integration.test_api_ingest import taken
from tests.integration.test_run import Running, service, wait_for
from tests.integration.test_syslog import free_port

COUNT = 60


def test_what_pygelf_writes_is_read(house: House) -> None:
    pygelf = pytest.importorskip("pygelf", reason="pygelf is missing: pip install pygelf")
    client, names = house.client(), []
    for is_compressed in (True, False):
        handler = pygelf.GelfHttpHandler(host="127.0.0.1", port=1, compress=is_compressed, debug=True, _service="shop")
        for number in range(COUNT):
            name = f"o{is_compressed}-{number}x"
            record = logging.LogRecord("shop", logging.ERROR, __file__, 1, "order number %s declined", (name,), None)
            # Its own `emit` hangs up without waiting for the answer, which is no way to count.
            body, headers = handler.convert_record_to_gelf(record), handler.headers
            assert client.post("/gelf", content=body, headers=headers).status_code == 202
            names.append(name)
    batches = taken(house)
    lines = [line for batch in batches for line in batch.lines.to_dicts()]
    assert {batch.stream for batch in batches} == {"shop"}
    assert [line["body"].split()[2] for line in lines] == names
    for line in lines:
        read = json.loads(line["attributes"])
        assert line["severity_number"] == 17
        assert (read["service.name"], read["logger_name"]) == ("shop", "shop")
        assert read["host.name"]


@pytest.mark.parametrize("body", [b"", b"{", b'{"host": "web-1"}', b"[]"])
def test_what_is_no_message_is_refused(house: House, body: bytes) -> None:
    answer = house.client().post("/gelf", content=body)
    assert answer.status_code == 400
    assert answer.json()["detail"]


def test_when_there_is_no_room_it_is_told_to_come_back(house: House) -> None:
    answer = house.client(inflight_bytes_max=5).post("/gelf", json={"short_message": "x"})
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {"tcp_port": free_port(), "udp_port": free_port(socket.SOCK_DGRAM)}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, ports: dict[str, int]) -> Iterator[Running]:
    """One service that listens to GELF."""
    folder = tmp_path_factory.mktemp("gelf")
    config = folder / "gelf.toml"
    config.write_text("\n".join(["[gelf]", *(f"{name} = {port}" for name, port in ports.items()), ""]))
    with service(folder / "data", "--config", str(config)) as running:
        yield running


def handlers(ports: dict[str, int]) -> dict[str, logging.Handler]:
    """Real clients by the name of the service that each says it is."""
    pygelf = pytest.importorskip("pygelf", reason="pygelf is missing: pip install pygelf")
    graypy = pytest.importorskip("graypy", reason="graypy is missing: pip install graypy")
    tcp, udp = {"host": "127.0.0.1", "port": ports["tcp_port"]}, {"host": "127.0.0.1", "port": ports["udp_port"]}
    made: dict[str, logging.Handler] = {
        "pygelf-tcp": pygelf.GelfTcpHandler(**tcp, _service="pygelf-tcp"),
        "graypy-tcp": graypy.GELFTCPHandler(**tcp, facility="graypy-tcp"),
    }
    for is_compressed in (True, False):
        name = f"pygelf-udp-{is_compressed}"
        made[name] = pygelf.GelfUdpHandler(**udp, compress=is_compressed, chunk_size=100, _service=name)
        name = f"graypy-udp-{is_compressed}"
        chunker = graypy.handler.GELFWarningChunker(100)
        made[name] = graypy.GELFUDPHandler(**udp, compress=is_compressed, gelf_chunker=chunker, facility=name)
    return made


def test_clients_over_tcp_and_udp_send_each_message_once(running: Running, ports: dict[str, int]) -> None:
    made = handlers(ports)
    for name, handler in made.items():
        logger = logging.getLogger(f"gelf.{name}")
        logger.propagate = False
        logger.addHandler(handler)
        for number in range(COUNT):
            logger.error("order number %03d declined", number, extra={"user": "eve"})
        logger.removeHandler(handler)
        handler.close()
    for name in made:
        wait_for(partial(_has, running, name))
        query = f"SELECT body, severity_number FROM events WHERE stream = '{name}' ORDER BY body"
        found = running.client.post("/v1/sql", json={"query": query, "limit": 10_000}).json()["rows"]
        assert found == [[f"order number {number:03} declined", 17] for number in range(COUNT)], name


def _has(running: Running, stream: str) -> bool:
    return running.count(stream) >= COUNT


def test_what_is_no_message_is_a_dead_letter_and_the_next_one_is_taken(running: Running, ports: dict[str, int]) -> None:
    with socket.create_connection(("127.0.0.1", ports["tcp_port"]), timeout=20) as sender:
        sender.sendall(b'{oops\0{"short_message": "after", "_service": "tcp"}\0')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for datagram in (b"\x1e\x0f", b"\x1f\x8bdamaged", b'{"short_message": "after", "_service": "udp"}'):
            sender.sendto(datagram, ("127.0.0.1", ports["udp_port"]))
    wait_for(lambda: running.count("tcp") == running.count("udp") == 1)
    query = {"query": "SELECT detail FROM dead_letters", "limit": 100}
    details = [row[0] for row in running.client.post("/v1/sql", json=query).json()["rows"]]
    for why in ("not valid JSON", "a chunk without its head of 12 bytes", "damaged compression"):
        assert any(why in detail for detail in details), (why, details)
