"""One signed POST, against real sockets that fail, hang, redirect, drip and lie."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from alerts.address import AddressSettings
from alerts.deliver import Answer, Delivery
from alerts.post import HttpChannel, PostSettings
from alerts.webhook import secret_of
from tocsin.errors import RejectedError, UnreachableError

SECRET = secret_of(bytes(range(32)))
LOOPBACK = AddressSettings(allow_networks=("127.0.0.0/8",))
Reply = Callable[[socket.socket, bytes], None]


def respond(text: str) -> Reply:
    return lambda connection, _: connection.sendall(text.replace("\n", "\r\n").encode())


OK = respond("HTTP/1.1 204 No Content\n\n")


@contextmanager
def a_receiver(reply: Reply, wrap: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[bytes]]]:
    """A server on a free port that reads one request whole, keeps it, and does what `reply` does."""
    listener = socket.create_server(("127.0.0.1", 0))
    requests: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                raw, _ = listener.accept()
                connection = wrap.wrap_socket(raw, server_side=True) if wrap else raw
            except OSError:
                return
            with connection:
                request = read_request(connection)
                requests.append(request)
                try:
                    reply(connection, request)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], requests
    finally:
        listener.close()


def read_request(connection: socket.socket) -> bytes:
    content = b""
    while b"\r\n\r\n" not in content:
        if not (chunk := connection.recv(65536)):
            return content
        content += chunk
    head, _, rest = content.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(rest) < length and (chunk := connection.recv(65536)):
        content, rest = content + chunk, rest + chunk
    return content


def send(
    port: int,
    *,
    url: str = "http://receiver.test:{port}/hook?x=1",
    address: AddressSettings = LOOPBACK,
    resolved: tuple[str, ...] = ("127.0.0.1",),
    trust: ssl.SSLContext | None = None,
    **limits: float,
) -> Answer:
    settings = PostSettings(**{"timeout_s": 5.0, **limits})  # type: ignore[arg-type]  # field names are checked by it
    channel = HttpChannel(settings, address, resolve=lambda _host, _port: resolved, trust=trust)
    delivery = Delivery(
        delivery_id=1,
        webhook_id="w",
        incident_id="inc",
        event="incident.opened",
        message_id="msg_1",
        body=b'{"type":"incident.opened"}',
        url=url.format(port=port),
        secrets=(SECRET,),
        format="standard",
        attempts=0,
    )
    return channel.send(delivery, datetime.now(UTC))


def test_the_receiver_gets_one_signed_post_under_the_name_of_the_url() -> None:
    with a_receiver(OK) as (port, requests):
        assert send(port).status == 204
    head, _, content = requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    named = dict(line.split(": ", 1) for line in lines[1:])
    assert lines[0] == "POST /hook?x=1 HTTP/1.1"
    assert named["host"] == f"receiver.test:{port}"
    Webhook(SECRET).verify(content, named)


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with (
        a_receiver(OK) as (trap, lured),
        a_receiver(respond(f"HTTP/1.1 307 Moved\nLocation: http://127.0.0.1:{trap}/\nContent-Length: 0\n\n")) as (
            port,
            _,
        ),
    ):
        assert send(port).status == 307
        assert lured == []


def test_status_excerpt_and_retry_after_are_kept() -> None:
    answer = "HTTP/1.1 503 Busy\nRetry-After: 120\nContent-Length: 14\n\n\x1b[31mtoo much"
    with a_receiver(respond(answer)) as (port, _):
        assert send(port) == Answer(status=503, excerpt="too much", retry_after_s=120.0)


def hang(connection: socket.socket, _: bytes) -> None:
    connection.recv(1)


def drip(connection: socket.socket, _: bytes) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 10_000:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


@pytest.mark.parametrize("reply", [hang, drip])
def test_a_receiver_that_hangs_or_drips_costs_the_time_limit_and_no_more(reply: Reply) -> None:
    with a_receiver(reply) as (port, _):
        started = time.monotonic()
        with pytest.raises(UnreachableError, match="no answer within"):
            send(port, timeout_s=0.4)
        assert time.monotonic() - started < 2


def test_an_endless_body_does_not_hide_the_status() -> None:
    def flood(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with a_receiver(flood) as (port, _):
        answer = send(port)
    assert (answer.status, len(answer.excerpt) <= 1024) == (200, True)


def test_endless_headers_are_cut_off() -> None:
    def flood(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"x: y\r\n" * 1000)

    with a_receiver(flood) as (port, _), pytest.raises(UnreachableError):
        send(port)


@pytest.mark.parametrize("answer", ["", "hello\n\n", "HTTP/1.1 banana\n\n", "SSH-2.0-OpenSSH\n"])
def test_what_is_not_http_is_not_an_arrival(answer: str) -> None:
    with a_receiver(respond(answer)) as (port, _), pytest.raises(UnreachableError):
        send(port)


def test_nobody_listening_is_tried_again_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UnreachableError):
        send(port)


@pytest.mark.parametrize("resolved", [("127.0.0.1",), ("10.0.0.1",), ("8.8.8.8", "169.254.169.254"), ("::1",)])
def test_a_name_that_leads_into_a_private_network_is_refused_before_anything_is_sent(resolved: tuple[str, ...]) -> None:
    with a_receiver(OK) as (port, requests):
        with pytest.raises(RejectedError, match="not a public address"):
            send(port, address=AddressSettings(allow_http=True), resolved=resolved)
        assert requests == []


def test_the_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_receiver(OK) as (trap, lured), a_receiver(OK) as (port, _):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{trap}")
        assert send(port).status == 204
        assert lured == []


def test_a_look_up_that_never_ends_costs_the_time_limit() -> None:
    stuck = threading.Event()

    def resolve(_host: str, _port: int) -> tuple[str, ...]:
        stuck.wait(10)
        return ()

    channel = HttpChannel(PostSettings(timeout_s=0.3), LOOPBACK, resolve=resolve)
    delivery = Delivery(
        delivery_id=1, webhook_id="w", incident_id="i", event="e", message_id="m", body=b"{}",
        url="https://slow.test/", secrets=(), format="standard", attempts=0,
    )  # fmt: skip
    with pytest.raises(UnreachableError, match="did not resolve in time"):
        channel.send(delivery, datetime.now(UTC))
    stuck.set()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is missing: no certificate can be made")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=receiver.test",
         "-addext", "subjectAltName=DNS:receiver.test", "-keyout", file, "-out", file.with_suffix(".crt")],
        check=True, capture_output=True,
    )  # fmt: skip
    file.write_text(file.read_text() + file.with_suffix(".crt").read_text())
    return file


def test_tls_checks_the_name_of_the_url_against_the_certificate(certificate: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    trust = ssl.create_default_context(cafile=str(certificate.with_suffix(".crt")))
    with a_receiver(OK, server) as (port, _):
        assert send(port, url="https://receiver.test:{port}/", trust=trust).status == 204
        with pytest.raises(UnreachableError):
            send(port, url="https://other.test:{port}/", trust=trust)
        with pytest.raises(UnreachableError):
            send(port, url="https://receiver.test:{port}/")
