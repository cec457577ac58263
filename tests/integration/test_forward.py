"""Fluentd's forward protocol, spoken by fluent-logger and by a client that resends what was not acknowledged."""

from __future__ import annotations

import gzip
import itertools
import json
import logging
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgpack
import pytest
from fluent import handler
from fluent.sender import FluentSender

from tests.forward_client import Client, client, packed
from tests.integration.test_run import Running, command, service, wait_for
from tests.integration.test_syslog import certificates, free_port

COUNT = 300


@contextmanager
def listening(folder: Path, **settings: Any) -> Iterator[Running]:
    config = folder / "forward.toml"
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    config.write_text("\n".join(["[forward]", *lines, ""]))
    with service(folder / "data", "--config", str(config)) as running:
        yield running


def rows(running: Running, stream: str, columns: str = "body") -> list[list[Any]]:
    query = f"SELECT {columns} FROM events WHERE stream = '{stream}' ORDER BY body"
    answer = running.client.post("/v1/sql", json={"query": query, "limit": 10_000})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["rows"])


def arrived(running: Running, stream: str, count: int, columns: str = "body") -> list[list[Any]]:
    """The rows of a stream, once there are so many; later ones of this service do not add to them."""
    wait_for(lambda: running.count(stream) >= count)
    return rows(running, stream, columns)


def dead_letters(running: Running) -> list[str]:
    answer = running.client.post("/v1/sql", json={"query": "SELECT detail FROM dead_letters", "limit": 1000})
    assert answer.status_code == 200, answer.text
    return [row[0] for row in answer.json()["rows"]]


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Running]:
    """One service for all tests that only send."""
    with listening(tmp_path_factory.mktemp("forward"), tcp_port=port, idle_s=1.0, large_max=1) as running:
        yield running


def test_fluent_logger_sends_each_event_once(running: Running, port: int) -> None:
    for is_precise in (True, False):
        with FluentSender("app", port=port, nanosecond_precision=is_precise) as sender:
            for number in range(COUNT):
                assert sender.emit("shop", {"message": f"order o{is_precise}-{number} declined", "user": "eve"})
    found = arrived(running, "app.shop", 2 * COUNT, "body, attributes, entities")
    assert sorted(row[0].split()[1] for row in found) == sorted(
        f"o{p}-{n}" for p in (True, False) for n in range(COUNT)
    )
    assert all(json.loads(attributes) == {"user": "eve"} for _, attributes, _ in found)
    assert all("user:eve" in entities for _, _, entities in found)


def test_fluent_loggers_handler_sends_each_record_once(running: Running, port: int) -> None:
    to_service = handler.FluentHandler("app.handler", port=port)
    to_service.setFormatter(handler.FluentRecordFormatter({"level": "%(levelname)s", "host": "%(hostname)s"}))
    logger = logging.getLogger("shop.forward")
    logger.propagate = False
    logger.addHandler(to_service)
    for number in range(COUNT):
        logger.error("order h%03d declined", number)
    logger.removeHandler(to_service)
    to_service.close()
    found = arrived(running, "app.handler", COUNT, "body, severity_number")
    assert found == [[f"order h{number:03} declined", 17] for number in range(COUNT)]


def test_every_mode_is_taken_and_answered_where_an_answer_is_asked_for(running: Running, port: int) -> None:
    records = [{"log": f"order m{number} declined"} for number in range(5)]
    stream = packed(records[2])
    time = msgpack.ExtType(0, (1_772_186_414).to_bytes(4, "big") + (243_000_000).to_bytes(4, "big"))
    with client(port) as sender:
        sender.send("modes", time, records[0])
        sender.send("modes", [[time, records[1]]])
        sender.send("modes", stream, {"size": 1})
        sender.deliver("modes", gzip.compress(packed(records[3])), "c1", compressed="gzip")
        sender.deliver("modes", [[[time, {"k": "v"}], records[4]]], "c2")
        sender.send("modes", time, {"log": "order m5 declined"}, {"chunk": "c3"})
        assert sender.answer() == {"ack": "c3"}
    found = arrived(running, "modes", 6, "body, time")
    assert [row[0] for row in found] == [f"order m{number} declined" for number in range(6)]
    assert found[0][1].startswith("2026-02-27T10:00:14.243")
    assert found[2][1].startswith("2026-02-27T10:00:14")


def test_chunks_may_be_sent_without_waiting_and_one_sent_again_is_taken_once(running: Running, port: int) -> None:
    with client(port) as sender:
        for turn in range(2):
            for number in range(20):
                chunk = packed(*({"log": f"order c{number:02}-{each}"} for each in range(5)))
                sender.send("chunks", chunk, {"chunk": f"id-{number}"})
            assert [sender.answer() for _ in range(20)] == [{"ack": f"id-{number}"} for number in range(20)], turn
        sender.deliver("chunks", packed({"log": "the last"}), "id-last")
    wait_for(lambda: rows(running, "chunks")[-1:] == [["the last"]])
    expected = [f"order c{number:02}-{each}" for number in range(20) for each in range(5)]
    assert [row[0] for row in rows(running, "chunks")] == [*expected, "the last"]


def test_a_bad_event_is_a_dead_letter_and_the_others_of_its_chunk_are_taken(running: Running, port: int) -> None:
    with client(port) as sender:
        sender.deliver("bad", [[1, {"log": "good one"}], [1, "no record"], [1, {"log": "good two"}]], "b1")
        sender.deliver("bad", b"", "b2", compressed="lzw")
        sender.send("bad", 1, {"log": "good zoo"})
    assert [row[0] for row in arrived(running, "bad", 3)] == ["good one", "good two", "good zoo"]
    wait_for(lambda: {"the record is not a map"} <= set(dead_letters(running)))
    assert any("compressed 'lzw' is not supported" in detail for detail in dead_letters(running))


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "this is another protocol"),
        (b"\xc1", "not MessagePack"),
        (b"\xdb\xff\xff\xff\xff", "a value of more than 33554432 bytes"),
    ],
)
def test_who_speaks_something_else_is_hung_up_on_and_what_came_before_is_taken(
    running: Running, port: int, sent: bytes, why: str
) -> None:
    stream = f"before-{len(sent)}"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sender:
        sender.sendall(msgpack.packb([stream, 1, {"log": "before"}]) + sent)
        assert _ended(sender)
    assert arrived(running, stream, 1) == [["before"]]
    wait_for(lambda: any(why in detail for detail in dead_letters(running)))
    assert why in running.said()


def _ended(sender: socket.socket) -> bool:
    try:
        return sender.recv(1) == b""
    except ConnectionResetError:  # it left without reading all
        return True


def test_who_stops_within_a_message_is_hung_up_on_and_who_is_silent_between_them_is_not(
    running: Running, port: int
) -> None:
    message = msgpack.packb(["slow", 1, {"log": "whole"}, {"chunk": "s1"}])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as slow,
        socket.create_connection(("127.0.0.1", port), timeout=20) as silent,
    ):
        slow.sendall(message[:5])
        assert _ended(slow)  # after idle_s; the other one has been silent for as long
        silent.sendall(message)
        assert msgpack.unpackb(silent.recv(100)) == {"ack": "s1"}
    assert "a message did not go on" in running.said()


def test_large_messages_wait_for_those_that_arrive_already(running: Running, port: int) -> None:
    large = {"log": "order large", "blob": "x" * 200_000}
    names = map("large-{}".format, itertools.count())

    def took_s(sender: Client) -> float:
        begun_at = time.monotonic()
        sender.deliver("large", packed(large), next(names))
        return time.monotonic() - begun_at

    with client(port) as first, client(port) as second, socket.create_connection(("127.0.0.1", port), 20) as slow:
        took_s(first)
        took_s(second)  # the first one is still connected
        slow.sendall(msgpack.packb(["large", packed(large)])[:150_000])
        wait_for(lambda: took_s(first) > 0.3)  # up to idle_s: until the slow one is hung up on
        assert _ended(slow)
        took_s(second)


def test_over_tls_a_sender_shows_that_it_knows_the_key(tmp_path: Path) -> None:
    file, port = certificates(tmp_path), free_port()
    context = ssl.create_default_context(cafile=str(file("ca.pem")))
    context.check_hostname = False
    pair = {"tls_certificate": str(file("server.pem")), "tls_key": str(file("server.key"))}
    with listening(tmp_path, tls_port=port, shared_key="open sesame", **pair) as running:
        with client(port, key="wrong", context=context) as stranger, pytest.raises(PermissionError, match="mismatch"):
            stranger.send("tls", 1, {"log": "of a stranger"})
        with client(port, context=context) as stranger:
            stranger.send("tls", 1, {"log": "of a stranger"}, {"chunk": "x"})
            assert stranger.answer()[0] == "HELO"
            with pytest.raises(OSError, match=r"hung up|reset"):
                stranger.answer()
        with client(port, key="open sesame", context=context) as friend:
            friend.deliver("tls", packed({"log": "of a friend"}), "x")
        assert arrived(running, "tls", 1) == [["of a friend"]]
        assert "it does not know the shared_key" in running.said()
        assert "open sesame" not in running.said()


def chunks(count: int) -> Iterator[tuple[str, bytes]]:
    for number in range(count):
        yield f"chunk-{number}", packed(*({"log": f"order k{number:04}-{each}"} for each in range(5)))


@pytest.mark.slow
def test_what_was_acknowledged_outlives_a_kill_and_no_chunk_is_taken_twice(tmp_path: Path) -> None:
    count, port = 400, free_port()
    logged = [f"order l{number:03}" for number in range(COUNT)]
    acknowledged: list[str] = []

    def deliver(sender: Client) -> None:
        for name, chunk in chunks(count):
            sender.deliver("kills", chunk, name)
            acknowledged.append(name)

    with client(port) as sender, FluentSender("logger", port=port) as logger:
        delivering = threading.Thread(target=deliver, args=(sender,), daemon=True)
        with listening(tmp_path, tcp_port=port) as running:
            for text in logged[:100]:
                logger.emit(None, {"message": text})
            wait_for(partial(_has, running, "logger", 100))
            delivering.start()
            wait_for(lambda: len(acknowledged) >= count // 10)
            running.process.kill()
            running.process.wait()
            assert len(acknowledged) < count
        for text in logged[100:200]:  # nobody listens, so fluent-logger keeps what it cannot send
            assert not logger.emit(None, {"message": text})
        with listening(tmp_path, tcp_port=port) as running:
            for text in logged[200:]:
                logger.emit(None, {"message": text})
            delivering.join(60)
            assert len(acknowledged) == count
            deliver(sender)  # as a sender does that did not see the answers
            sender.deliver("kills", packed({"log": "the last"}), "last")
            wait_for(lambda: ["the last"] in rows(running, "kills"))
            texts = [f"order k{number:04}-{each}" for number in range(count) for each in range(5)]
            assert [row[0] for row in rows(running, "kills")] == [*texts, "the last"]
            assert [row[0] for row in arrived(running, "logger", COUNT)] == logged


def _has(running: Running, stream: str, count: int) -> bool:
    return running.count(stream) >= count


def test_while_the_journal_is_full_senders_wait_and_nothing_is_lost(tmp_path: Path) -> None:
    port, data = free_port(), tmp_path / "data"
    config = tmp_path / "full.toml"
    limits = "[journal]\nbytes_max = 600000\nsegment_bytes_max = 100000\n[worker]\nsnapshot_s = 1.0\n"
    config.write_text(f"{limits}[forward]\ntcp_port = {port}\nidle_s = 1.0\n")
    sent = [(f"full-{n}", packed({"log": f"order f{n:02} {os.urandom(20_000).hex()}"})) for n in range(40)]
    answered: list[str] = []

    def deliver(sender: Client) -> None:
        for name, chunk in sent:
            sender.send("full", chunk, {"chunk": name})
            answered.append(sender.answer(120)["ack"])

    with (
        service(data, "--role", "api", "--config", str(config), ready=False) as running,
        client(port) as sender,
    ):
        delivering = threading.Thread(target=deliver, args=(sender,), daemon=True)
        delivering.start()
        wait_for(lambda: "senders_wait" in running.said())
        assert 0 < len(answered) < len(sent)
        worker = subprocess.Popen(command(data, "--role", "worker", "--config", str(config)))
        try:
            delivering.join(120)
            assert answered == [name for name, _ in sent]  # over one connection, which stayed open
            wait_for(partial(_has, running, "full", len(sent)))
            assert [row[0][:9] for row in rows(running, "full")] == [f"order f{n:02}" for n in range(len(sent))]
        finally:
            worker.terminate()
            worker.wait(40)
