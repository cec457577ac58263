"""syslog-ng with the destinations of `docs/ship/syslog-ng.md`: each message once, also while there is no room."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.house import House
from tests.integration.test_elasticsearch import bodies, fill, rows
from tests.integration.test_node import kill
from tests.integration.test_run import Running, service, wait_for
from tests.integration.test_syslog import free_port

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ship" / "syslog-ng.md").read_text()
HTTP, ELASTICSEARCH, SYSLOG = re.findall(r"^```\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
COUNT = 300

#: Debian's syslog-ng and rsyslog exclude each other, so `.ci/run` unpacks the one beside the other.
UNPACKED = ROOT / ".syslog-ng"

SOURCE = """
@version: 3.38
@define include-path "{root}/usr/share/syslog-ng/include"
@include "{root}/etc/syslog-ng/scl.conf"
options {{ keep-hostname(yes); use-dns(no); stats-freq(0); }};
source s_src {{ network(ip("127.0.0.1") port({port}) transport("tcp") flags(syslog-protocol)); }};
"""


def program() -> tuple[Path, str]:
    """The root that syslog-ng is installed under, and its program."""
    for root in (Path("/"), UNPACKED):
        if found := shutil.which("syslog-ng", path=str(root / "usr" / "sbin")):
            return root, found
    pytest.skip("syslog-ng is missing: .ci/run unpacks Debian's syslog-ng-core, -mod-http and -scl beside rsyslog")


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def syslog_ng(folder: Path, destination: str) -> Iterator[Callable[[range], None]]:
    """A running syslog-ng with a destination; gives what takes messages with these numbers for it."""
    root, command = program()
    folder.mkdir()
    port = free_port()
    (folder / "conf").write_text(SOURCE.format(root=str(root).rstrip("/"), port=port) + destination)
    libraries = [*root.glob("usr/lib/syslog-ng"), *root.glob("usr/lib/*-linux-gnu"), *root.glob("lib/*-linux-gnu")]
    (modules,) = root.glob("usr/lib/syslog-ng/[0-9]*")
    own = {"cfgfile": "conf", "persist-file": "persist", "pidfile": "pid", "control": "ctl"}
    files = [f"--{option}={folder / name}" for option, name in own.items()]
    process = subprocess.Popen(
        [command, "-F", "--no-caps", "--module-path", str(modules), *files],
        cwd=folder,
        env={"LD_LIBRARY_PATH": ":".join(map(str, libraries))} if root == UNPACKED else {},
    )

    def send(numbers: range) -> None:
        head = "<132>1 2026-11-25T10:00:00Z web-1 shop 42 - -"
        text = "".join(f"{head} order number o{number}x declined\n" for number in numbers)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(text.encode())

    try:
        wait_for(lambda: process.poll() is not None or accepts(port), 20)
        assert process.poll() is None
        yield send
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def filled_in(snippet: str, folder: Path, address: str, *, stream: str = "syslog", syslog_port: int = 0) -> str:
    """A snippet of the page as somebody puts it into use, with a buffer in `folder`, that does not wait for long."""
    buffer = f'disk-buffer(dir("{folder}")'
    snippet = snippet.replace("http://localhost:8780", address).replace("time-reopen(5)", "time-reopen(1)")
    snippet = snippet.replace("/ingest/syslog", f"/ingest/{stream}").replace('index("syslog")', f'index("{stream}")')
    return snippet.replace("port(5514)", f"port({syslog_port})").replace("disk-buffer(", buffer + " ")


def without_key(snippet: str) -> str:
    return snippet.replace('"Authorization: Bearer tocsin_...", ', "").replace('user("any") password("tocsin_...")', "")


@dataclass(frozen=True)
class Site:
    """A service that listens to syslog as well."""

    running: Running
    syslog_port: int

    def has(self, stream: str, wanted: int) -> bool:
        return self.running.count(stream) >= wanted


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    program()
    folder, port = tmp_path_factory.mktemp("syslog-ng"), free_port()
    config = folder / "tocsin.toml"
    config.write_text(f"[syslog]\ntcp_port = {port}\n")
    with service(folder / "data", "--config", str(config), ready=False) as running:
        yield Site(running, port)


@pytest.mark.parametrize(
    ("snippet", "stream"),
    [(HTTP, "lines"), (ELASTICSEARCH, "documents"), (SYSLOG, "syslog")],
    ids=["http", "elasticsearch-http", "syslog"],
)
def test_each_message_is_there_once_with_what_its_sender_said(
    site: Site, tmp_path: Path, snippet: str, stream: str
) -> None:
    address = str(site.running.client.base_url).rstrip("/")
    own = filled_in(without_key(snippet), tmp_path, address, stream=stream, syslog_port=site.syslog_port)
    with syslog_ng(tmp_path / "syslog-ng", own) as send:
        send(range(COUNT))
        wait_for(partial(site.has, stream, COUNT))
    query = f"SELECT body, severity_number, time::TEXT, entities FROM events WHERE stream = '{stream}'"
    found = rows(site.running, query)
    assert sorted(number_of(str(row[0])) for row in found) == list(range(COUNT))
    program_entity = "process:shop" if snippet is SYSLOG else "service:shop"
    for _, severity, at, entities in found:
        assert (severity, at) == (13, "2026-11-25 10:00:00+00")
        assert {"host:web-1", "pid:42", program_entity} <= set(entities)


def number_of(body: str) -> int:
    found = re.search(r"order number o(\d+)x declined", body)
    assert found is not None, body
    return int(found[1])


@pytest.mark.slow
@pytest.mark.parametrize("snippet", [HTTP, ELASTICSEARCH], ids=["http", "elasticsearch-http"])
def test_nothing_is_lost_while_there_is_no_room(house: House, tmp_path: Path, snippet: str) -> None:
    full = fill(house)
    key = house.key("ingest")
    with house.served() as address:
        own = filled_in(snippet.replace("tocsin_...", key), tmp_path, address)
        with syslog_ng(tmp_path / "syslog-ng", own) as send:
            send(range(COUNT))
            wait_for(lambda: full.refusals >= 5, 60)
            full.is_full = False
            wait_for(lambda: {number_of(text) for _, texts in bodies(house) for text in texts} == set(range(COUNT)))


def counts(running: Running, stream: str) -> list[int]:
    """How many messages there are, and how many different ones."""
    return rows(running, f"SELECT count(*), count(DISTINCT body) FROM events WHERE stream = '{stream}'")[0]


def has_some(running: Running, stream: str) -> bool:
    return counts(running, stream)[0] > 0


def has_all(running: Running, stream: str, wanted: int) -> bool:
    return counts(running, stream)[1] == wanted


@contextmanager
def sending(senders: list[Callable[[range], None]]) -> Iterator[Callable[[], int]]:
    """Messages go to all of `senders` until what this gives is called; it says how many went to each."""
    ended, sent = threading.Event(), 0

    def send() -> None:
        nonlocal sent
        while not ended.wait(0.05):
            for take in senders:
                take(range(sent, sent + 20))
            sent += 20

    def end() -> int:
        ended.set()
        thread.join()
        return sent

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield end
    finally:
        end()


@pytest.mark.slow
def test_nothing_is_lost_when_the_service_is_killed(tmp_path: Path) -> None:
    program()
    data, port = tmp_path / "data", str(free_port())
    snippets = {"lines": HTTP, "documents": ELASTICSEARCH}
    with ExitStack() as stack:
        senders = []
        for stream, snippet in snippets.items():
            own = filled_in(without_key(snippet), tmp_path, f"http://127.0.0.1:{port}", stream=stream)
            senders.append(stack.enter_context(syslog_ng(tmp_path / stream, own)))
        with service(data, "--port", port, ready=False) as running:
            end = stack.enter_context(sending(senders))
            for stream in snippets:
                wait_for(partial(has_some, running, stream))
            kill(running)
        with service(data, "--port", port, ready=False) as running:
            sent = end()
            for stream in snippets:
                wait_for(partial(has_all, running, stream, sent))
            assert counts(running, "documents") == [sent, sent]  # their names tell those that came twice
