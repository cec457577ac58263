"""Sending files: whole lines, in order, each once, whatever happens on the way."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import cramjam
import pytest

from service.chunks import opened_source
from service.ship import ShipOptions, Shipped, ShipSettings, ship
from tocsin.errors import InputError, UnreachableError

SMALL = ShipSettings(chunk_bytes=100, patience_s=5.0)


@dataclass
class Service:
    """A receiver that takes each idempotency key once, as the real one does, and answers as it is told to."""

    url: str = ""
    answers: list[tuple[int, dict[str, str], dict[str, Any]]] = field(default_factory=list)  # before it takes any
    lose_answers: int = 0  # so many chunks are taken, but their answers never arrive
    reject: bytes = b""  # lines that begin so are poison
    taken: dict[str, bytes] = field(default_factory=dict)
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    @property
    def content(self) -> bytes:
        return b"".join(self.taken.values())


@pytest.fixture
def service() -> Iterator[Service]:
    told = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "zstd":
                body = bytes(cramjam.zstd.decompress(body))
            told.asked.append(parse_qs(urlsplit(self.path).query))
            told.keys.append(self.headers["Idempotency-Key"])
            if told.answers:
                status, headers, answer = told.answers.pop(0)
            else:
                told.taken.setdefault(self.headers["Idempotency-Key"], body)
                lines = body.splitlines()
                poison = [
                    number for number, line in enumerate(lines, 1) if told.reject and line.startswith(told.reject)
                ]
                status, headers = 200, {}
                answer = {
                    "accepted": len(lines) - len(poison),
                    "rejected": len(poison),
                    "errors": [{"line": number, "detail": "poison"} for number in poison],
                    "batch_id": "x",
                }
                if told.lose_answers:
                    told.lose_answers -= 1
                    self.connection.close()
                    return
            content = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}"
    yield told
    server.shutdown()
    thread.join()
    server.server_close()


class Silent:
    def begin(self, file: str, total_bytes: int | None) -> None:
        pass

    def moved(self, position: int, lines: int) -> None:
        pass

    def waiting(self, reason: str, pause_s: float) -> None:
        pass


@dataclass
class Sender:
    options: ShipOptions
    slept: list[float] = field(default_factory=list)

    def send(self, *files: Path | str, settings: ShipSettings = SMALL, **options: Any) -> Shipped:
        changed = replace(self.options, **options)
        return ship([str(file) for file in files], changed, settings, Silent(), self.slept.append)[-1]


@pytest.fixture
def sender(service: Service, tmp_path: Path) -> Sender:
    return Sender(ShipOptions(stream="s", url=service.url, state=tmp_path / "state"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    file = tmp_path / "app.log"
    file.write_bytes(b"".join(b"line %d of the log\n" % number for number in range(40)))
    return file


def test_a_file_arrives_whole_and_in_order_in_chunks_of_whole_lines(
    service: Service, sender: Sender, log: Path
) -> None:
    shipped = sender.send(log)
    assert service.content == log.read_bytes()
    assert len(service.taken) > 5
    assert all(chunk.endswith(b"\n") for chunk in service.taken.values())
    assert (shipped.lines, shipped.accepted, shipped.rejected) == (40, 40, 0)


def test_a_last_line_without_an_end_arrives(service: Service, sender: Sender, tmp_path: Path) -> None:
    (tmp_path / "x.log").write_bytes(b"one\ntwo")
    assert sender.send(tmp_path / "x.log").lines == 2
    assert service.content == b"one\ntwo"


def test_gzip_is_undone(service: Service, sender: Sender, log: Path) -> None:
    packed = log.with_name("app.log.gz")
    packed.write_bytes(gzip.compress(log.read_bytes()))
    sender.send(packed)
    assert service.content == log.read_bytes()


def test_an_empty_file_is_nothing_to_send(service: Service, sender: Sender, tmp_path: Path) -> None:
    (tmp_path / "x.log").touch()
    assert sender.send(tmp_path / "x.log").lines == 0
    assert service.taken == {}


def test_the_same_command_again_sends_only_what_is_new(service: Service, sender: Sender, log: Path) -> None:
    sender.send(log)
    with log.open("ab") as file:
        file.write(b"one more\n")
    shipped = sender.send(log)
    assert (shipped.resumed_at > 0, shipped.lines) == (True, 1)
    assert service.content == log.read_bytes()


def test_a_chunk_whose_answer_was_lost_is_taken_once_although_the_file_grew(
    service: Service, sender: Sender, log: Path
) -> None:
    before = log.read_bytes()
    service.lose_answers = 10**6
    with pytest.raises(UnreachableError, match="gave up"):
        sender.send(log, settings=ShipSettings(chunk_bytes=10_000, patience_s=0.0))
    service.lose_answers = 0
    with log.open("ab") as file:
        file.write(b"one more\n")
    sender.send(log, settings=ShipSettings(chunk_bytes=10_000))
    assert list(service.taken.values()) == [before, b"one more\n"]
    assert service.keys[0] == service.keys[-2]


def test_again_sends_everything_again(service: Service, sender: Sender, log: Path) -> None:
    sender.send(log)
    assert sender.send(log, again=True).lines == 40
    assert service.content == log.read_bytes()  # and the service knows what it has


def test_another_file_under_the_same_name_is_sent_from_its_beginning(
    service: Service, sender: Sender, log: Path
) -> None:
    sender.send(log)
    log.write_bytes(b"rotated\n")
    assert sender.send(log).lines == 1
    assert service.content.endswith(b"rotated\n")


def test_streams_are_remembered_separately(service: Service, sender: Sender, log: Path) -> None:
    sender.send(log)
    assert sender.send(log, stream="other").lines == 40
    assert len(service.content) == 2 * log.stat().st_size


def test_a_busy_service_is_asked_again_when_it_said(service: Service, sender: Sender, log: Path) -> None:
    service.answers = [(503, {"Retry-After": "4"}, {"detail": "full"}), (429, {"Retry-After": "3"}, {"detail": "slow"})]
    sender.send(log)
    assert sender.slept == [4.0, 3.0]
    assert len(set(service.keys[:3])) == 1
    assert service.content == log.read_bytes()


def test_pauses_grow_while_nobody_answers(service: Service, sender: Sender, log: Path) -> None:
    service.answers = [(500, {}, {"detail": "failed"})] * 4
    sender.send(log)
    assert all(later > earlier for earlier, later in zip(sender.slept, sender.slept[1:], strict=False))
    assert len(sender.slept) == 4


def test_nobody_waits_for_ever(sender: Sender, log: Path) -> None:
    with pytest.raises(UnreachableError, match=r"cannot connect.*gave up, the same command goes on from here"):
        sender.send(log, url="http://127.0.0.1:9", settings=ShipSettings(patience_s=0.0))


def test_a_refusal_names_the_lines(service: Service, sender: Sender, log: Path) -> None:
    service.answers = [(401, {}, {"detail": "a key is needed"})]
    with pytest.raises(InputError, match=r"app.log, lines 1 to 6: .*HTTP 401: a key is needed \(--key"):
        sender.send(log)


def test_rejected_lines_have_the_numbers_of_the_file(service: Service, sender: Sender, log: Path) -> None:
    service.reject = b"line 7 "
    shipped = sender.send(log)
    assert (shipped.accepted, shipped.rejected) == (39, 1)
    assert shipped.errors == [{"line": 8, "detail": "poison"}]


def test_every_chunk_of_a_csv_file_has_its_header_and_whole_rows(
    service: Service, sender: Sender, tmp_path: Path
) -> None:
    rows = [f'{number},"text\nof {number}"\n' for number in range(30)]
    file = tmp_path / "x.csv"
    file.write_text("id,text\n" + "".join(rows))
    service.reject = b'29,"text'
    shipped = sender.send(file)
    chunks = [chunk.decode() for chunk in service.taken.values()]
    assert len(chunks) > 3
    assert all(chunk.startswith("id,text\n") and chunk.count('"') % 2 == 0 for chunk in chunks)
    assert "".join(chunk.removeprefix("id,text\n") for chunk in chunks) == "".join(rows)
    assert shipped.errors == [{"line": 1 + 2 * 29 + 1, "detail": "poison"}]
    assert service.asked[0]["format"] == ["csv"]


def test_a_json_array_becomes_lines(service: Service, sender: Sender, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text('[\n {"a": 1},\n {"a": 2}\n]')
    assert sender.send(file).lines == 2
    assert service.content == b'{"a":1}\n{"a":2}\n'
    assert service.asked[0]["format"] == ["ndjson"]


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("x.log", b'{"a": 1}\n{"a": 2}\n', "ndjson"),
        ("x.log", b'{"a": "' + b"x" * 9000 + b'"}\n', "ndjson"),
        ("x.log", b"{broken\n", "text"),
        ("x.log", b"[Sun Dec 04 04:47:44 2005] [notice] started\n", "text"),
        ("x.csv", b"a,b\n1,2\n", "csv"),
        ("x.log", b"", "text"),
    ],
)
def test_the_format_is_found_by_the_first_line(tmp_path: Path, name: str, content: bytes, form: str) -> None:
    (tmp_path / name).write_bytes(content)
    with opened_source(str(tmp_path / name), "auto") as source:
        assert source.format == form


def test_fields_that_were_named_are_asked_for(service: Service, sender: Sender, log: Path) -> None:
    sender.send(log, time_field="when", message_field="what")
    assert service.asked[0] == {"format": ["text"], "time_field": ["when"], "message_field": ["what"]}


def test_a_gzip_file_that_was_cut_is_said_to_be_damaged_after_what_it_holds(
    service: Service, sender: Sender, log: Path
) -> None:
    packed = log.with_name("cut.log.gz")
    packed.write_bytes(gzip.compress(log.read_bytes() * 200)[:-20])
    with pytest.raises(InputError, match="damaged compression"):
        sender.send(packed, settings=ShipSettings(chunk_bytes=1000))


@pytest.mark.parametrize("url", ["127.0.0.1:8780", "ftp://host/", "http://"])
def test_an_address_that_is_none_is_refused(sender: Sender, log: Path, url: str) -> None:
    with pytest.raises(InputError, match="--url"):
        sender.send(log, url=url)


def test_a_file_that_is_not_there_is_one_clear_line(sender: Sender, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.log: cannot be read: No such file"):
        sender.send(tmp_path / "none.log")


def test_the_memory_of_a_file_that_was_damaged_says_what_to_do(service: Service, sender: Sender, log: Path) -> None:
    sender.send(log)
    (memory,) = sender.options.state.glob("*.json")
    memory.write_text("{")
    with pytest.raises(InputError, match="start anew with --again"):
        sender.send(log)
    assert sender.send(log, again=True).lines == 40
