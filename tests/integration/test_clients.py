"""Every real client at once, while the service is killed in the middle of what they send, and while it has no room."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from service.lock import owner_of
from tests.integration.test_run import STOP_S_MAX, Running, command, service, wait_for
from tests.senders import CLIENTS, Client, Keeps, LostError, Place, free_port

PAUSE_S = 0.2  # between two messages of a client
ENOUGH = 4  # messages of each client before, and after, what happens to the service

pytestmark = pytest.mark.filterwarnings("ignore:`LoggingHandler` in `opentelemetry-sdk` is deprecated")


@dataclass
class Talk:
    """What one client said."""

    client: Client
    said: int = 0
    lost: set[int] = field(default_factory=set)  # the client said so

    def run(self, name: str, place: Place, ending: threading.Event) -> None:
        with self.client.open(place) as say:
            while not ending.is_set():
                try:
                    say(f"order_{name} {self.said}")
                except LostError:
                    self.lost.add(self.said)
                self.said += 1
                ending.wait(PAUSE_S)
        self.lost |= {int(text.rpartition(" ")[2]) for text in place.lost}


@dataclass
class Talks:
    """What all of them said."""

    of: dict[str, Talk]
    ending: threading.Event
    threads: list[threading.Thread]

    def counts(self) -> dict[str, int]:
        return {name: talk.said for name, talk in self.of.items()}

    def go_on(self) -> None:
        """Wait until each said more."""
        before = self.counts()
        self.wait(lambda: all(talk.said >= before[name] + ENOUGH for name, talk in self.of.items()))

    def wait(self, condition: Callable[[], bool]) -> None:
        """Wait for something while all go on."""

        def all_live() -> bool:
            ended = [thread.name for thread in self.threads if not thread.is_alive()]
            assert not ended, f"these failed: {ended}"
            return True

        wait_for(lambda: all_live() and condition())

    def end(self) -> None:
        """Let each send what it has left."""
        self.ending.set()
        for thread in self.threads:
            thread.join(120)
            assert not thread.is_alive(), f"{thread.name} did not end"


@contextmanager
def talking(folder: Path, http_port: int, syslog_port: int) -> Iterator[Talks]:
    needed = {client.needs for client in CLIENTS.values()} - {""}
    if needed:
        pytest.skip(f"missing: apt-get install {' '.join(sorted(needed))}")
    ending, talks, threads = threading.Event(), {name: Talk(client) for name, client in CLIENTS.items()}, []
    for name, talk in talks.items():
        (folder / name).mkdir()
        place = Place(http_port=http_port, syslog_port=syslog_port, folder=folder / name)
        threads.append(threading.Thread(target=talk.run, args=(name, place, ending), name=name, daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield Talks(talks, ending, threads)
    finally:
        ending.set()
        deadline = time.monotonic() + STOP_S_MAX
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))


def arrived(running: Running) -> dict[str, Counter[int]]:
    """How often each number of each client is among the events."""
    query = (
        "SELECT regexp_extract(body, 'order_([a-z]+) ', 1), list(CAST(regexp_extract(body, 'order_[a-z]+ ([0-9]+)', 1) "
        "AS INTEGER)) FROM events WHERE regexp_matches(body, 'order_[a-z]+ [0-9]+') GROUP BY 1"
    )
    answer = running.client.post("/v1/sql", json={"query": query})
    assert answer.status_code == 200, answer.text
    return {name: Counter(numbers) for name, numbers in answer.json()["rows"]}


def all_arrived(running: Running) -> dict[str, Counter[int]]:
    """The same, when all that was taken is there: the journal has an order."""
    assert running.post("last\n", stream="last").status_code == 200
    wait_for(lambda: running.count("last") == 1)
    return arrived(running)


def missing(talks: Talks, there: Mapping[str, Counter[int]]) -> dict[str, set[int]]:
    """What nobody admits to have lost, and is not there."""
    left = {name: set(range(talk.said)) - talk.lost - set(there.get(name, ())) for name, talk in talks.of.items()}
    return {name: numbers for name, numbers in left.items() if numbers}


def twice(there: Mapping[str, Counter[int]]) -> set[str]:
    return {name for name, numbers in there.items() if numbers.most_common(1)[0][1] > 1}


def kill(running: Running) -> None:
    worker = owner_of(running.data, "worker")
    assert worker, "it works"
    running.process.kill()
    with suppress(ProcessLookupError):
        os.kill(worker, signal.SIGKILL)
    running.process.wait()


@dataclass(frozen=True)
class Site:
    """A data folder whose service is always at the same ports."""

    data: Path
    http_port: int = field(default_factory=free_port)
    syslog_port: int = field(default_factory=free_port)

    def set_up(self, more: str = "") -> None:
        self.data.mkdir()
        quick = "body_idle_s = 2.0\nelasticsearch_hold_s = 1.0\n"
        light = '[panel]\ndetectors = ["novelty"]\n[worker]\nsnapshot_s = 1.0\n'
        (self.data / "tocsin.toml").write_text(f"[api]\n{quick}[syslog]\ntcp_port = {self.syslog_port}\n{light}{more}")

    def talking(self) -> AbstractContextManager[Talks]:
        return talking(self.data.parent, self.http_port, self.syslog_port)

    def service(self, *arguments: str, ready: bool = True) -> AbstractContextManager[Running]:
        return service(self.data, "--port", str(self.http_port), *arguments, ready=ready)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "data")


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_the_service_is_killed_in_the_middle(site: Site) -> None:
    site.set_up()
    with ExitStack() as stack:
        with site.service() as running:
            talks = stack.enter_context(site.talking())
            talks.go_on()
            before = wait_for(lambda: (there := arrived(running)).keys() == CLIENTS.keys() and there)
            kill(running)
        with site.service() as running:
            back = talks.counts()
            talks.go_on()
            talks.end()
            there = all_arrived(running)
    assert all(there[name] >= before[name] for name in CLIENTS), "what was there before"
    lost = missing(talks, there)
    for name in [name for name in lost if CLIENTS[name].keeps is Keeps.UNANSWERED]:
        # What nobody answered for is what was on its way when the service was killed, and no more.
        assert lost[name] <= set(range(max(before[name]), back[name]))
        del lost[name]
    assert lost == {}
    assert {name for name in twice(there) if CLIENTS[name].is_named} == set()
    assert all(talks.of[name].lost == set() for name in CLIENTS if CLIENTS[name].keeps is Keeps.ALL)


@pytest.mark.slow
def test_while_there_is_no_room_clients_wait_and_everything_is_there_once(site: Site) -> None:
    site.set_up("[journal]\nsegment_bytes_max = 65_536\nbytes_max = 200_000\n")
    routes = {(client.route, client.busy_status) for client in CLIENTS.values() if client.route}
    with site.service("--role", "api", ready=False) as running:
        fill(running)
        with site.talking() as talks:
            talks.wait(lambda: routes <= refusals(running))
            worker = subprocess.Popen(command(site.data, "--role", "worker"), stderr=subprocess.DEVNULL)
            try:
                talks.go_on()
                talks.end()
                there = all_arrived(running)
            finally:
                worker.terminate()
                worker.wait(STOP_S_MAX)
    assert missing(talks, there) == {}
    assert twice(there) == set()
    assert all(talks.of[name].lost == set() for name in CLIENTS if CLIENTS[name].keeps in {Keeps.ALL, Keeps.UNANSWERED})


def fill(running: Running) -> None:
    """Leave no room for a single line."""
    for size in (10_000, 500, 1):
        while running.post(os.urandom(size).hex(), stream="filling").status_code == 200:
            pass


def refusals(running: Running) -> set[tuple[str, str]]:
    """Route and status of what was refused so far."""
    pattern = r'tocsin_http_request_seconds_count\{method="[A-Z]+",route="([^"]+)",status="(429|503)"'
    return set(re.findall(pattern, running.client.get("/metrics").text))
