"""`tocsin run` as it is started by people: what it promises, and how it ends when it cannot keep it."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.lock import owner_of

START_S_MAX = 180.0
STOP_S_MAX = 40.0


def command(data: Path, *arguments: str, port: int = 0) -> list[str]:
    return [sys.executable, "-P", "-m", "service", "run", "--data", str(data), "--port", str(port), *arguments]


def wait_for(condition: Callable[[], Any], timeout_s: float = START_S_MAX) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return value


@dataclass
class Running:
    """A service in a process of its own."""

    data: Path
    process: subprocess.Popen[bytes]
    output: Path
    client: httpx2.Client

    def said(self) -> str:
        return self.output.read_text()

    def post(self, text: str, stream: str = "app", **headers: str) -> httpx2.Response:
        return self.client.post(f"/v1/ingest/{stream}", content=text.encode(), headers=headers)

    def count(self, stream: str = "app") -> int:
        answer = self.client.post("/v1/sql", json={"query": f"SELECT count(*) FROM events WHERE stream = '{stream}'"})
        assert answer.status_code == 200, answer.text
        return int(answer.json()["rows"][0][0])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S_MAX)


@contextmanager
def service(data: Path, *arguments: str, ready: bool = True) -> Iterator[Running]:
    output = data.parent / f"{data.name}-{time.monotonic_ns()}.out"
    with output.open("wb") as file:
        process = subprocess.Popen(command(data, *arguments), stdout=file, stderr=subprocess.STDOUT)
    try:
        address = wait_for(lambda: _address(output) or process.poll() is not None)
        assert isinstance(address, str), output.read_text()
        with httpx2.Client(base_url=address, timeout=30.0, trust_env=False) as client:
            running = Running(data, process, output, client)
            if ready:
                wait_for(lambda: client.get("/readyz").status_code == 200)
            yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _address(output: Path) -> str | None:
    for line in output.read_text().splitlines():
        if line.startswith("Tocsin ") and " is at " in line:
            return line.partition(" is at ")[2].partition(",")[0]
    return None


def refused(data: Path, *arguments: str, port: int = 0) -> str:
    """The one line with which a service that cannot start ends."""
    ended = subprocess.run(
        command(data, *arguments, port=port), capture_output=True, text=True, timeout=START_S_MAX, check=False
    )
    lines = ended.stderr.strip().splitlines()
    assert ended.returncode == 2, ended
    assert ended.stdout == ""
    assert len(lines) == 1, lines
    assert lines[0].startswith("tocsin: ")
    return lines[0]


def has_lines(running: Any, wanted: int) -> bool:
    return bool(running.count() == wanted)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_lines_that_were_taken_are_seen_by_sql_within_two_seconds_and_a_signal_ends_it_in_order(data: Path) -> None:
    with service(data) as running:
        waits = []
        for turn in range(1, 4):  # the machine that tests this has other things to do as well
            answer = running.post("".join(f"user u{n} logged in from 10.0.0.{n}\n" for n in range(50)))
            begun = time.monotonic()
            assert answer.json()["accepted"] == 50
            wait_for(partial(has_lines, running, 50 * turn))
            waits.append(time.monotonic() - begun)
        assert min(waits) < 2.0
        assert "OPEN: no key exists" in running.said()
        worker = owner_of(data, "worker")
        assert running.stop() == 0
        assert owner_of(data, "api") is None
        assert owner_of(data, "worker") is None
        assert worker is not None
        assert not Path(f"/proc/{worker}").exists()
        assert "Traceback" not in running.said()


def test_a_second_process_on_the_same_folder_is_refused_in_one_line(data: Path) -> None:
    with service(data, ready=False) as running:
        assert f"process {running.process.pid} runs the api of this data folder" in refused(data)
        wait_for(lambda: owner_of(data, "worker"))
        assert "runs the worker of this data folder" in refused(data, "--role", "worker")
        assert running.client.get("/healthz").status_code == 200


def test_a_worker_that_was_killed_is_started_again_and_misses_nothing(data: Path) -> None:
    with service(data) as running:
        first = wait_for(lambda: owner_of(data, "worker"))
        running.post("before\n")
        os.kill(first, signal.SIGKILL)
        assert running.post("between\n").status_code == 200
        second = wait_for(lambda: (now := owner_of(data, "worker")) != first and now)
        assert second != first
        assert running.post("after\n").status_code == 200
        wait_for(lambda: running.count() == 3)


def test_when_the_http_process_is_killed_its_worker_ends_too_and_what_was_taken_is_there(data: Path) -> None:
    with service(data) as running:
        wait_for(lambda: owner_of(data, "worker"))
        taken = [running.post(f"line {n}\n").status_code for n in range(20)]
        assert taken == [200] * 20
        running.process.kill()
        running.process.wait()
    with service(data) as running:
        wait_for(lambda: running.count() == 20)
    assert owner_of(data, "worker") is None


def test_the_processes_can_run_apart(data: Path) -> None:
    with service(data, "--role", "api", ready=False) as running:
        assert running.post("one\n").status_code == 200
        assert "the worker has not started yet" in running.client.get("/readyz").text
        worker = subprocess.Popen(command(data, "--role", "worker"), stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: running.count() == 1)
        finally:
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(STOP_S_MAX) == 0


def test_without_a_key_it_does_not_listen_to_the_network(data: Path) -> None:
    line = refused(data, "--host", "0.0.0.0")
    assert "there is no key yet" in line
    assert f"tocsin key create --data {data}" in line


def test_with_a_key_it_listens_to_the_network_and_asks_everyone_for_it(data: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "service", "key", "create", "--data", str(data), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    key = json.loads(made.stdout)["key"]
    with service(data, "--host", "0.0.0.0", ready=False) as running:
        address = str(running.client.base_url).replace("0.0.0.0", "127.0.0.1")
        with httpx2.Client(base_url=address, trust_env=False) as client:
            assert client.post("/v1/ingest/app", content=b"x\n").status_code == 401
            let_in = client.post("/v1/ingest/app", content=b"x\n", headers={"Authorization": f"Bearer {key}"})
            assert let_in.status_code == 200
        assert "OPEN" not in running.said()


def test_a_port_that_is_taken_is_one_line(data: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "Address already in use" in refused(data, port=taken.getsockname()[1])


def test_a_setting_that_does_not_exist_is_one_line(data: Path) -> None:
    data.mkdir()
    (data / "tocsin.toml").write_text("[api]\nprot = 1\n")
    assert "api.prot: no such setting" in refused(data)


def test_a_database_of_a_newer_version_is_one_line(data: Path) -> None:
    with service(data, "--role", "api", ready=False) as running:
        assert running.stop() == 0
    with sqlite3.connect(data / "tocsin.sqlite") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    assert "of a newer Tocsin" in refused(data)
    assert "of a newer Tocsin" in refused(data, "--role", "worker")


def test_a_segment_of_the_journal_that_was_damaged_is_one_line_that_names_it(data: Path, tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text("[journal]\nsegment_bytes_max = 65536\n")
    with service(data, "--role", "api", "--config", str(config), ready=False) as running:
        for _ in range(8):
            assert running.post(os.urandom(20_000).hex() + "\n").status_code == 200
        assert running.stop() == 0
    first, *others = sorted((data / "journal").glob("*.seg"))
    assert others
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 0xFF
    first.write_bytes(content)
    # The HTTP process looks at the newest segment alone; the worker reads the damaged one, and its line ends them both.
    ended = subprocess.run(
        command(data, "--config", str(config)), capture_output=True, text=True, timeout=START_S_MAX, check=False
    )
    told = [line for line in ended.stderr.splitlines() if line.startswith("tocsin: ")]
    assert ended.returncode == 2
    assert len(told) == 1
    assert first.name in told[0]
    assert "Traceback" not in ended.stderr


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own at `folder`."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip("needs to be allowed to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_data_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with mounted(tmp_path / "ro", "size=8m,ro") as folder:
        assert "the data folder cannot be written: Read-only file system" in refused(folder)
        assert "the data folder cannot be made: Read-only file system" in refused(folder / "data")


def test_when_the_disk_fills_up_lines_are_refused_not_lost_and_the_service_stays(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "size=48m") as folder:
        config = tmp_path / "full.toml"
        config.write_text("[journal]\ndisk_free_bytes_min = 4000000\n")
        with service(folder / "data", "--config", str(config)) as running:
            taken, answer = 0, running.post("first\n")
            while answer.status_code == 200 and taken < 200:
                taken += 1
                answer = running.post(os.urandom(250_000).hex() + "\n")
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) >= 1
            assert "problem+json" in answer.headers["Content-Type"]
            assert running.client.get("/healthz").status_code == 200
            subprocess.run(["mount", "-o", "remount,size=256m", str(folder)], check=True)
            wait_for(lambda: running.post("last\n").status_code == 200)
            wait_for(lambda: running.count() == taken + 1)
            assert running.stop() == 0
