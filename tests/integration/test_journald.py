"""`systemd-journal-upload` itself, and what it sends, at `POST /upload`."""

from __future__ import annotations

import json
import socket
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.house import House
from tests.integration.test_api_ingest import taken
from tests.integration.test_run import Running, service, wait_for

COUNT = 500
REMOTE, UPLOAD = Path("/lib/systemd/systemd-journal-remote"), Path("/lib/systemd/systemd-journal-upload")
MEDIA_TYPE = {"Content-Type": "application/vnd.fdo.journal"}


def entries(count: int) -> bytes:
    """The journal of a machine on which a shop runs; every third message has two lines."""
    parts = []
    for number in range(count):
        at = 1_795_600_000_000_000 + number * 1_000
        message = b"order number o%dx declined" % number
        cursor = f"s={1:032x};i={number + 1:x};b={2:032x};m={number:x};t={at:x};x={number:x}"
        fields = [
            f"__CURSOR={cursor}",
            f"__REALTIME_TIMESTAMP={at}",
            f"__MONOTONIC_TIMESTAMP={number * 1_000 + 1}",
            f"_BOOT_ID={2:032x}",
            f"_MACHINE_ID={3:032x}",
            "_HOSTNAME=web-1",
            "PRIORITY=4",
            "SYSLOG_IDENTIFIER=shopd",
            f"_PID={4000 + number % 7}",
            "_COMM=shopd",
            "_SYSTEMD_UNIT=shop.service",
        ]
        parts.append("\n".join(fields).encode() + b"\n")
        if number % 3:
            parts.append(b"MESSAGE=" + message + b"\n\n")
        else:
            message += b"\nno money"
            parts.append(b"MESSAGE\n" + len(message).to_bytes(8, "little") + message + b"\n\n")
    return b"".join(parts)


def has(running: Running, stream: str, wanted: int) -> bool:
    return running.count(stream) >= wanted


def test_what_the_journal_holds_is_there_once_however_often_it_is_sent(tmp_path: Path) -> None:
    if not (REMOTE.exists() and UPLOAD.exists()):
        pytest.skip("systemd-journal-upload is missing: apt-get install systemd-journal-remote")
    journal = tmp_path / "web-1.journal"
    subprocess.run(
        [REMOTE, f"--output={journal}", "--split-mode=none", "-"], input=entries(COUNT), check=True, capture_output=True
    )
    with service(tmp_path / "data") as running:
        url = str(running.client.base_url).rstrip("/")
        for turn in range(2):  # without its state it sends all again
            state = tmp_path / f"state-{turn}"
            upload = [str(UPLOAD), f"--url={url}", f"--file={journal}", f"--save-state={state}", "--follow=no"]
            sent = subprocess.run(upload, capture_output=True, text=True, check=False, timeout=60)
            assert sent.returncode == 0, sent.stderr
        wait_for(partial(has, running, "shop", COUNT))
        running.post("last\n", stream="last")
        wait_for(partial(has, running, "last", 1))
        query = "SELECT body, severity_number, entities, attributes FROM events WHERE stream = 'shop'"
        rows: list[list[Any]] = running.client.post("/v1/sql", json={"query": query, "limit": 5_000}).json()["rows"]
    assert sorted(row[0].split()[2] for row in rows) == sorted(f"o{number}x" for number in range(COUNT))
    for body, severity, entities, attributes in rows:
        assert severity == 13
        assert body.endswith(("declined", "declined\nno money"))
        assert {"host:web-1", "process:shopd", "service:shop"} <= set(entities)
        assert json.loads(attributes)["host.name"] == "web-1"


def test_a_journal_is_kept_piece_by_piece(house: House) -> None:
    body = entries(12_000)  # 4 MB, in pieces of 1 MB
    pieces = (body[at : at + 10_000] for at in range(0, len(body), 10_000))
    with house.served() as address, httpx2.Client(trust_env=False, timeout=60) as client:
        answer = client.post(f"{address}/upload", content=pieces, headers=MEDIA_TYPE)
    assert (answer.status_code, answer.text) == (202, "OK.\n")
    batches = taken(house)
    assert len(batches) > 2
    names = [line.split()[2] for batch in batches for line in batch.lines["body"]]
    assert names == [f"o{number}x" for number in range(12_000)]


def test_a_sender_that_waits_to_be_asked_is_asked(house: House) -> None:
    body = entries(2)
    with house.served() as address, socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))) as sender:
        sender.settimeout(10)
        head = "POST /upload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/vnd.fdo.journal\r\n"
        sender.sendall(f"{head}Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n".encode())
        assert sender.recv(1024).startswith(b"HTTP/1.1 100 ")
        sender.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        assert sender.recv(1024).startswith(b"HTTP/1.1 202 ")


@pytest.mark.parametrize(
    ("headers", "body", "status", "says"),
    [
        (MEDIA_TYPE, b"MESSAGE=x", 400, "position 0"),
        ({"Content-Type": "text/plain"}, b"MESSAGE=x\n\n", 415, "vnd.fdo.journal"),
        (MEDIA_TYPE | {"Content-Encoding": "br"}, b"x", 415, "br"),
    ],
)
def test_what_is_no_journal_is_refused(
    house: House, headers: dict[str, str], body: bytes, status: int, says: str
) -> None:
    answer = house.client().post("/upload", content=body, headers=headers)
    assert answer.status_code == status
    assert says in answer.json()["detail"]
    assert house.journal.next_offset == 0


def test_when_there_is_no_room_it_is_told_so_after_a_while(house: House) -> None:
    answer = house.client(inflight_bytes_max=10).post("/upload", content=entries(1), headers=MEDIA_TYPE)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
