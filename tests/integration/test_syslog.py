"""Real senders of syslog: each message is one row, with the host, the program and the severity its sender gave it."""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_run import Running, command, refused, service, wait_for

COUNT = 300
RSYSLOG = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin:/sbin:/bin")
LOGGER = shutil.which("logger")


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@contextmanager
def listening(tmp_path: Path, **settings: Any) -> Iterator[Running]:
    config = tmp_path / "syslog.toml"
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    config.write_text("\n".join(["[syslog]", *lines, ""]))
    with service(tmp_path / "data", "--config", str(config)) as running:
        yield running


def orders(running: Running, columns: str) -> list[list[Any]]:
    query = f"SELECT body, {columns} FROM events WHERE stream = 'syslog' AND body LIKE '%order number%'"
    answer = running.client.post("/v1/sql", json={"query": query, "limit": 10_000})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["rows"])


def has(running: Running, wanted: int) -> bool:
    return running.count("syslog") >= wanted


def all_orders(running: Running, names: set[str], columns: str) -> list[list[Any]]:
    """Columns of the rows of these orders, each of which is there once."""
    wait_for(lambda: len(orders(running, columns)) >= len(names))
    time.sleep(0.5)  # were one there twice, it would come now
    found = orders(running, columns)
    assert sorted(str(row[0]).partition("order number ")[2].split()[0] for row in found) == sorted(names)
    return found


@pytest.mark.parametrize(
    ("framing", "template"),
    [("octet-counted", "RSYSLOG_SyslogProtocol23Format"), ("traditional", "RSYSLOG_TraditionalForwardFormat")],
)
def test_rsyslog_sends_each_message_once(tmp_path: Path, framing: str, template: str) -> None:
    if RSYSLOG is None:
        pytest.skip("rsyslogd is missing: apt-get install rsyslog")
    port, path = free_port(), tmp_path / "in.log"
    path.write_text("".join(f"order number o{number}x declined\n" for number in range(COUNT)))
    (tmp_path / "work").mkdir()
    config = tmp_path / "rsyslog.conf"
    config.write_text(
        f"""
        global(workDirectory="{tmp_path}/work" localHostname="web-1")
        module(load="imfile" pollingInterval="1")
        input(type="imfile" file="{path}" tag="shop[42]:" facility="local3" severity="err")
        action(type="omfwd" target="127.0.0.1" port="{port}" protocol="tcp" tcp_framing="{framing}"
               template="{template}" action.resumeRetryCount="-1" action.resumeInterval="1" queue.type="linkedList")
        """
    )
    with listening(tmp_path, tcp_port=port) as running:
        sender = subprocess.Popen([RSYSLOG, "-n", "-f", str(config), "-i", str(tmp_path / "pid")])
        try:
            names = {f"o{number}x" for number in range(COUNT)}
            found = all_orders(running, names, "severity_number, entities, attributes")
        finally:
            sender.terminate()
            sender.wait(20)
    for _, severity, entities, attributes in found:
        assert severity == 17
        assert {"host:web-1", "process:shop"} <= set(entities)
        assert json.loads(attributes)["syslog.facility"] == "local3"


def test_logger_sends_each_message_once(tmp_path: Path) -> None:
    if LOGGER is None:
        pytest.skip("logger is missing: apt-get install bsdutils")
    ports = {"-T": free_port(), "-d": free_port(socket.SOCK_DGRAM)}
    ways = (["-T"], ["-T", "--octet-count"], ["-T", "--rfc3164"], ["-d"], ["-d", "--rfc3164"])
    with listening(tmp_path, tcp_port=ports["-T"], udp_port=ports["-d"]) as running:
        for way in ways:
            text = "".join(f"order number {''.join(way)}{number} declined\n" for number in range(COUNT))
            sender = [LOGGER, "-n", "127.0.0.1", "-P", str(ports[way[0]]), "-t", "shop", "-p", "auth.warning", *way]
            subprocess.run(sender, input=text, text=True, check=True, timeout=60)
        names = {f"{''.join(way)}{number}" for way in ways for number in range(COUNT)}
        found = all_orders(running, names, "severity_number, entities, attributes")
    host = socket.gethostname().partition(".")[0].lower()
    for _, severity, entities, attributes in found:
        assert severity == 13
        assert "process:shop" in entities
        assert any(entity.partition(".")[0] == f"host:{host}" for entity in entities)
        assert json.loads(attributes)["syslog.facility"] == "auth"


def test_structured_data_can_be_read(tmp_path: Path) -> None:
    if LOGGER is None:
        pytest.skip("logger is missing: apt-get install bsdutils")
    port = free_port()
    with listening(tmp_path, tcp_port=port) as running:
        sender = [LOGGER, "-n", "127.0.0.1", "-P", str(port), "-T", "--msgid", "PAY", "--sd-id", "shop@32473"]
        subprocess.run([*sender, "--sd-param", 'user="eve"', "order number o1x"], check=True, timeout=60)
        ((_, attributes, entities),) = all_orders(running, {"o1x"}, "attributes, entities")
    read = json.loads(attributes)
    assert read["syslog.msg_id"] == "PAY"
    assert read["syslog.structured_data"]["shop@32473"] == {"user": "eve"}
    assert "user:eve" in entities


def test_pythons_handler_sends_each_message_once(tmp_path: Path) -> None:
    ports = {socket.SOCK_STREAM: free_port(), socket.SOCK_DGRAM: free_port(socket.SOCK_DGRAM)}
    with listening(tmp_path, tcp_port=ports[socket.SOCK_STREAM], udp_port=ports[socket.SOCK_DGRAM]) as running:
        for kind, port in ports.items():
            handler = logging.handlers.SysLogHandler(("127.0.0.1", port), socktype=kind)
            handler.ident = "shop: "
            logger = logging.getLogger(f"shop{kind}")
            logger.propagate = False
            logger.addHandler(handler)
            for number in range(COUNT):
                logger.error("order number o%d-%dx declined", kind, number)
            logger.error("order number o%d-lastx declined", kind, exc_info=ValueError("no money"))
            logger.removeHandler(handler)
            handler.close()
        names = {f"o{kind}-{number}x" for kind in ports for number in (*range(COUNT), "last")}
        found = all_orders(running, names, "severity_number, entities")
    assert {severity for _, severity, _ in found} == {17}
    assert all({"process:shop", "ip:127.0.0.1"} <= set(entities) for _, _, entities in found)
    traces = [body for body, _, _ in found if "lastx" in body]
    assert all(trace.endswith("ValueError: no money") for trace in traces)


def test_what_was_received_before_a_signal_is_kept(tmp_path: Path) -> None:
    port = free_port()
    with (
        listening(tmp_path, tcp_port=port, batch_ms=5_000) as running,
        socket.create_connection(("127.0.0.1", port)) as sender,
    ):
        sender.sendall(b"".join(b"<13>order number o%dx\n" % number for number in range(20_000)))
        sender.sendall(b"<13>order number without an end")
        assert running.stop() == 0
    with service(tmp_path / "data") as running:
        wait_for(partial(has, running, 20_001))
        assert running.count("syslog") == 20_001


def test_while_the_journal_is_full_senders_wait_and_nothing_is_lost(tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "full.toml"
    limit = "[journal]\nbytes_max = 2000000\nsegment_bytes_max = 200000\n[worker]\nsnapshot_s = 1.0\n"
    config.write_text(f"{limit}[syslog]\ntcp_port = {port}\nbatch_bytes = 200000\n")
    count, data = 20_000, tmp_path / "data"
    text = b"".join(b"<13>order %d %s\n" % (number, os.urandom(150).hex().encode()) for number in range(count))
    with (
        service(data, "--role", "api", "--config", str(config), ready=False) as running,
        socket.create_connection(("127.0.0.1", port)) as sender,
    ):
        sending = threading.Thread(target=sender.sendall, args=(text,), daemon=True)
        sending.start()
        wait_for(lambda: "senders_wait" in running.said())
        assert running.client.get("/healthz").status_code == 200
        worker = subprocess.Popen(command(data, "--role", "worker", "--config", str(config)))
        try:
            sending.join(60)
            wait_for(partial(has, running, count))
            assert running.count("syslog") == count
        finally:
            worker.terminate()
            worker.wait(40)


def certificates(folder: Path) -> Callable[[str], Path]:
    """An authority, and a certificate for the server and for a client."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing: apt-get install openssl")

    def run(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    run("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2")
    for name in ("server", "client"):
        run("req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", "/CN=localhost")
        sign = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
        run("x509", "-req", "-in", f"{name}.csr", *sign, "-out", f"{name}.pem")
    return lambda name: folder / name


def test_over_tls_only_senders_with_a_certificate_are_heard(tmp_path: Path) -> None:
    file = certificates(tmp_path)
    port = free_port()
    context = ssl.create_default_context(cafile=str(file("ca.pem")))
    context.check_hostname = False
    settings = {name: str(file(f)) for name, f in (("tls_certificate", "server.pem"), ("tls_key", "server.key"))}
    with listening(tmp_path, tls_port=port, tls_client_ca=str(file("ca.pem")), **settings) as running:
        with contextlib.suppress(OSError):  # it is refused, or the connection just ends
            _send(port, context, b"<13>order number of-a-stranger\n")
        context.load_cert_chain(file("client.pem"), file("client.key"))
        _send(port, context, b"".join(b"<13>order number o%dx\n" % number for number in range(COUNT)))
        all_orders(running, {f"o{number}x" for number in range(COUNT)}, "time")


def _send(port: int, context: ssl.SSLContext, text: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain, context.wrap_socket(plain) as sender:
        sender.sendall(text)
        sender.shutdown(socket.SHUT_WR)
        while sender.recv(1024):
            pass


def test_a_network_has_to_be_chosen_by_naming_whose_the_messages_are(tmp_path: Path) -> None:
    config = tmp_path / "open.toml"
    config.write_text(f'[syslog]\nhost = "0.0.0.0"\ntcp_port = {free_port()}\n')
    assert "syslog.tenant: 0.0.0.0 can be reached from the network" in refused(
        tmp_path / "data", "--config", str(config)
    )


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        config = tmp_path / "taken.toml"
        config.write_text(f"[syslog]\nudp_port = {taken.getsockname()[1]}\n")
        said = refused(tmp_path / "data", "--config", str(config))
    assert "syslog.host, syslog.udp_port: cannot listen" in said
    assert "Address already in use" in said
