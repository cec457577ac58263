"""Elasticsearch's protocol: the answers byte by byte, and real shippers that speak it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import ApiError, AuthenticationException, Elasticsearch, helpers

from ingest.batch import decode_all
from ingest.journal import Journal, JournalReader
from tests.house import House
from tests.integration.test_run import Running, service, wait_for
from tocsin.errors import FullError

NDJSON = {"Content-Type": "application/x-ndjson"}
PY = {"User-Agent": "elasticsearch-py/9.5.1 (Python/3.11.2; elastic-transport/9.4.2)"}


def bodies(house: House) -> list[tuple[str, list[str]]]:
    """Streams and bodies of what lies in the journal."""
    reader = JournalReader(house.folder / "journal")
    return [
        (batch.stream, batch.lines["body"].to_list())
        for entry in reader.read(0, entries_max=1000, bytes_max=2**30)
        for batch in decode_all(entry.payload)
    ]


class Full:
    """A journal that has no room for a while."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.refusals = 0
        self.is_full = True

    @property
    def next_offset(self) -> int:
        return self.journal.next_offset

    def append(self, payload: bytes) -> Future[int]:
        if self.is_full:
            self.refusals += 1
            raise FullError("the disk is full")
        return self.journal.append(payload)


def fill(house: House) -> Full:
    full = Full(house.journal)
    house.journal = full  # type: ignore[assignment]  # as far as the application knows, it is one
    return full


def rows(running: Running, query: str) -> list[list[Any]]:
    answer = running.client.post("/v1/sql", json={"query": query})
    assert answer.status_code == 200, answer.text
    found: list[list[Any]] = answer.json()["rows"]
    return found


def counted(running: Running, stream: str, wanted: int) -> bool:
    return bool(rows(running, f"SELECT count(*) FROM events WHERE stream = '{stream}'") == [[wanted]])


def test_the_answer_is_compact_and_in_the_order_that_senders_look_for(house: House) -> None:
    body = (
        b'{"index":{"_index":"shop-2026.11.25","_id":"a"}}\n{"msg":"one"}\n{"create":{"_index":"shop"}}\n{"msg":"two"}'
    )
    answer = house.client().post("/_bulk", content=body, headers=NDJSON)
    assert answer.status_code == 200
    assert answer.headers["x-elastic-product"] == "Elasticsearch"
    assert answer.headers["content-type"] == "application/json"
    assert '"errors":false,"items":[{"index":{"_index":"shop-2026.11.25","_id":"a","_version":1,' in answer.text
    assert list(answer.json()) == ["took", "errors", "items"]
    (first, second) = answer.json()["items"]
    assert first["index"]["status"] == second["create"]["status"] == 201
    assert second["create"]["_id"]
    assert bodies(house) == [("shop", ["one", "two"])]


@pytest.mark.parametrize("accept", ["application/vnd.elasticsearch+json; compatible-with=9", "*/*"])
def test_the_content_type_is_the_one_that_was_asked_for(house: House, accept: str) -> None:
    answer = house.client().get("/es/_license", headers={"Accept": accept})
    wanted = "application/vnd.elasticsearch+json;compatible-with=9" if "vnd" in accept else "application/json"
    assert answer.headers["content-type"] == wanted


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/shop/_bulk"),
        ("PUT", "/shop/_bulk"),
        ("POST", "//shop//_bulk/"),
        ("POST", "/es/shop/_bulk?filter_path=errors,items.*.error,items.*.status&pipeline=x"),
    ],
)
def test_the_path_may_name_the_index(house: House, method: str, path: str) -> None:
    answer = house.client().request(method, f"http://127.0.0.1:8780{path}", content=b'{"index":{}}\n{"msg":"x"}')
    assert answer.json()["errors"] is False
    assert bodies(house) == [("shop", ["x"])]


def test_a_poison_document_is_answered_as_taken_and_kept_as_a_dead_letter(house: House) -> None:
    answer = house.client().post("/shop/_bulk", content=b'{"index":{}}\n{"msg":"x"}\n{"index":{}}\n{"msg":\n')
    assert '"errors":false' in answer.text
    assert [item["index"]["status"] for item in answer.json()["items"]] == [201, 201]
    (entry,) = JournalReader(house.folder / "journal").read(0, entries_max=10, bytes_max=2**30)
    (batch,) = decode_all(entry.payload)
    assert [(line.line, line.raw) for line in batch.rejected] == [(2, b'{"msg":')]


def test_what_was_taken_is_neither_changed_nor_deleted(house: House) -> None:
    body = b'{"update":{"_id":"1"}}\n{"doc":{"msg":"x"}}\n{"delete":{"_id":"1"}}\n'
    answer = house.client().post("/shop/_bulk", content=body).json()
    assert answer["errors"] is True
    assert [next(iter(item.values()))["status"] for item in answer["items"]] == [400, 404]
    assert bodies(house) == []


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/shop/_doc"), ("PUT", "/shop/_doc/a%2Fb"), ("POST", "/es/shop/_create/1"), ("POST", "/shop/_doc/")],
)
def test_one_document_is_taken(house: House, method: str, path: str) -> None:
    answer = house.client().request(method, path, json={"msg": "x"})
    assert answer.status_code == 201
    assert answer.json()["result"] == "created"
    if "%2F" in path:
        assert answer.json()["_id"] == "a/b"
    assert bodies(house) == [("shop", ["x"])]


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/_bulk", b"", "required"),
        ("/_bulk", b"x\n", "Malformed action/metadata line [1]"),
        ("/v1/_bulk", b'{"index":{}}\n{"msg":"x"}', "[v1]"),
        ("/incidents/_doc", b'{"msg":"x"}', "[incidents]"),
        ("/_x/_bulk", b'{"index":{}}\n{"msg":"x"}', "[_x]"),
        ("/shop/_doc", b"[]", "object"),
    ],
)
def test_a_request_that_is_wrong_as_a_whole_is_refused_in_words_of_elasticsearch(
    house: House, path: str, body: bytes, says: str
) -> None:
    answer = house.client().post(path, content=body)
    assert answer.status_code == answer.json()["status"] == 400
    assert answer.headers["x-elastic-product"] == "Elasticsearch"
    assert says in answer.json()["error"]["reason"]
    assert answer.json()["error"]["root_cause"][0]["type"] == "illegal_argument_exception"
    assert bodies(house) == []


def test_what_is_open_to_everyone_takes_no_lines(house: House) -> None:
    for path in ("/static/_bulk", "/static/_doc"):
        assert house.client().post(path, content=b'{"index":{}}\n{"msg":"x"}').status_code == 405
    assert bodies(house) == []


def test_without_a_key_the_refusal_is_one_that_clients_understand(house: House) -> None:
    house.key("ingest")
    answer = house.client().post("/_bulk", content=b"{}")
    assert answer.status_code == answer.json()["status"] == 401
    assert answer.json()["error"]["type"] == "security_exception"
    assert house.client(house.key("read")).post("/_bulk", content=b"{}").json()["status"] == 403


def test_the_root_is_elasticsearch_for_its_clients_and_the_page_for_people(house: House) -> None:
    client = house.client()
    assert "<!doctype html>" in client.get("/", headers={"Accept": "text/html"}).text
    for headers in (
        PY,
        {"Accept": "application/vnd.elasticsearch+json; compatible-with=9"},
        {"User-Agent": "Filebeat/8"},
    ):
        about = client.get("/", headers=headers).json()
        assert (about["version"]["number"], about["tagline"]) == ("8.19.0", "You Know, for Search")
    assert client.get("/es").json()["version"]["build_flavor"] == "default"
    assert client.get("/es/").json()["cluster_uuid"]
    assert client.head("/").headers["x-elastic-product"] == "Elasticsearch"
    assert client.get("/es", headers=PY).status_code == 200
    assert house.client(elasticsearch_version="9.5.0").get("/es").json()["version"]["number"] == "9.5.0"


#: What Filebeat, Logstash, Vector, Fluent Bit, pino and rsyslog ask for around their bulk requests, from their sources.
HANDSHAKE = [
    ("GET", "/_license", {"license"}),
    ("GET", "/_xpack", {"features"}),
    ("GET", "/_cluster/health", {"status"}),
    ("GET", "/_cat/health", {"status"}),
    ("GET", "/_nodes/http", {"nodes"}),
    ("GET", "/_nodes", {"nodes"}),
    ("PUT", "/_ilm/policy/filebeat", {"acknowledged"}),
    ("GET", "/_ilm/policy/filebeat", set()),
    ("HEAD", "/_index_template/filebeat-8.19.0", set()),
    ("PUT", "/_index_template/filebeat-8.19.0", {"acknowledged"}),
    ("PUT", "/_template/logstash", {"acknowledged"}),
    ("PUT", "/_component_template/logs", {"acknowledged"}),
    ("GET", "/_ingest/pipeline/filebeat", set()),
    ("PUT", "/_data_stream/logs-app-default", {"acknowledged"}),
    ("GET", "/_logstash/pipeline", set()),
    ("GET", "/pino/_refresh", {"_shards"}),
    ("POST", "/pino/_refresh", {"_shards"}),
]


@pytest.mark.parametrize("prefix", ["", "/es"])
def test_the_handshake_is_answered(house: House, prefix: str) -> None:
    client = house.client()
    for method, path, members in HANDSHAKE:
        answer = client.request(method, prefix + path, json={} if method == "PUT" else None)
        assert answer.status_code == 200, path
        assert answer.headers["x-elastic-product"] == "Elasticsearch"
        assert method == "HEAD" or members <= set(answer.json()), path
    assert client.get(f"{prefix}/_nodes/http").json()["nodes"]["tocsin"]["http"] == {
        "publish_address": "127.0.0.1:8780"
    }
    assert client.head("/es/shop").status_code == client.put("/es/shop").status_code == 200


def test_when_there_is_no_room_all_of_it_is_refused(house: House) -> None:
    full = fill(house)
    client = house.client(elasticsearch_hold_s=0.0)
    answer = client.post("/_bulk", content=b'{"index":{}}\n{"msg":"x"}', headers=PY)
    assert answer.status_code == answer.json()["status"] == 429
    assert answer.json()["error"]["type"] == "es_rejected_execution_exception"
    assert 1 <= int(answer.headers["retry-after"]) <= 4
    assert (full.refusals, bodies(house)) == (1, [])


def test_the_official_client_comes_again_when_there_was_no_room(house: House) -> None:
    full = fill(house)
    actions = [{"_index": "shop", "_id": str(n), "msg": f"line {n}"} for n in range(500)]
    with house.served(elasticsearch_hold_s=0.2) as address, Elasticsearch(address, max_retries=3) as client:
        began = time.monotonic()
        with pytest.raises(ApiError) as refused:
            helpers.bulk(client, actions)
        assert (refused.value.status_code, full.refusals) == (429, 4)
        assert time.monotonic() - began >= 4 * 0.2, "it makes no pauses of its own"
        full.is_full = False
        assert helpers.bulk(client, actions)[0] == 500
    assert [(stream, len(texts)) for stream, texts in bodies(house)] == [("shop", 500)]


def test_the_official_client_with_a_key(house: House) -> None:
    key = house.key("ingest", tenant="alpha")
    with house.served() as address:
        for way in ({"api_key": key}, {"api_key": ("tocsin", key)}, {"basic_auth": ("any", key)}, {"bearer_auth": key}):
            with Elasticsearch(address, **way) as client:
                assert client.info()["tagline"] == "You Know, for Search"
                assert client.index(index="shop", document={"msg": "x"})["result"] == "created"
        with Elasticsearch(address) as client, pytest.raises(AuthenticationException):
            client.index(index="shop", document={"msg": "x"})
    assert bodies(house) == [("shop", ["x"])] * 4


def test_what_the_official_client_sends_is_there_once(tmp_path: Path) -> None:
    with service(tmp_path / "data") as running:
        actions = [
            {
                "_op_type": "create",
                "_index": "shop-2026.11.25",
                "_id": f"id-{n}",
                "@timestamp": f"2026-11-25T10:00:{n % 60:02}.000Z",
                "message": f"user u{n} paid {n} EUR",
                "log": {"level": "warn"},
                "host": {"name": f"web-{n % 2}"},
            }
            for n in range(1500)
        ]
        with Elasticsearch(str(running.client.base_url), http_compress=True) as client:
            assert client.ping()
            assert helpers.bulk(client, actions, chunk_size=400) == (1500, [])
            assert helpers.bulk(client, actions[:400]) == (400, [])  # the same ids again
        wait_for(partial(counted, running, "shop", 1500))
        found = rows(
            running,
            "SELECT count(DISTINCT body), min(severity_number), max(severity_number), min(time)::TEXT, "
            "count(*) FILTER (list_contains(entities, 'host:web-1')) FROM events WHERE stream = 'shop'",
        )
        assert found[0][:3] == [1500, 13, 13]
        assert found[0][3].startswith("2026-11-25 10:00:00")
        assert found[0][4] == 750


RSYSLOG = """
global(workDirectory="{folder}" maxMessageSize="8k")
module(load="imtcp")
module(load="omelasticsearch")
input(type="imtcp" port="{port}" address="127.0.0.1")
template(name="json" type="list" option.jsonf="on") {{
    property(outname="@timestamp" name="timereported" dateFormat="rfc3339" format="jsonf")
    property(outname="host.name" name="hostname" format="jsonf")
    property(outname="service.name" name="programname" format="jsonf")
    property(outname="severity" name="syslogseverity-text" format="jsonf")
    property(outname="message" name="msg" format="jsonf")
}}
action(type="omelasticsearch" server="127.0.0.1" serverport="{to}" {key}
       searchIndex="syslog" searchType="" bulkmode="on" template="json"
       errorFile="{folder}/refused.log"
       action.resumeRetryCount="-1" action.resumeInterval="1"
       queue.type="LinkedList" queue.size="50000" queue.dequeueBatchSize="200")
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return int(bound.getsockname()[1])


@contextmanager
def rsyslog(folder: Path, address: str, key: str | None = None) -> Iterator[Callable[[list[str]], None]]:
    """A running rsyslog that sends to `address`; gives what takes messages for it."""
    program = shutil.which("rsyslogd") or shutil.which("rsyslogd", path="/usr/sbin")
    if program is None or not list(Path("/usr/lib").glob("*/rsyslog/omelasticsearch.so")):
        pytest.skip("needs Debian's rsyslog and rsyslog-elasticsearch")
    folder.mkdir()
    port = free_port()
    config = folder / "rsyslog.conf"
    password = f'uid="rsyslog" pwd="{key}"' if key else ""
    config.write_text(RSYSLOG.format(folder=folder, port=port, to=address.rpartition(":")[2], key=password))
    with (folder / "stderr").open("wb") as errors:
        process = subprocess.Popen(
            [program, "-n", "-f", str(config), "-i", str(folder / "pid")], stdout=errors, stderr=errors
        )

    def send(messages: list[str]) -> None:
        lines = "".join(f"<133>Nov 25 10:00:00 web-1 shop: {message}\n" for message in messages)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(lines.encode())

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_for(listens, 20)
        yield send
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def test_what_rsyslog_sends_is_there_once(tmp_path: Path) -> None:
    with service(tmp_path / "data") as running:
        with rsyslog(tmp_path / "rsyslog", str(running.client.base_url).rstrip("/")) as send:
            send([f"payment {n} of user u{n} done" for n in range(1000)])
            wait_for(partial(counted, running, "syslog", 1000))
        found = rows(
            running,
            "SELECT count(DISTINCT body), min(severity_number), max(severity_number), "
            "count(*) FILTER (list_contains(entities, 'host:web-1')) FROM events WHERE stream = 'syslog'",
        )
        assert found == [[1000, 10, 10, 1000]]


@pytest.mark.slow
def test_rsyslog_loses_nothing_while_there_is_no_room(house: House, tmp_path: Path) -> None:
    full = fill(house)
    key = house.key("ingest")
    with house.served(elasticsearch_hold_s=1.0) as address, rsyslog(tmp_path / "rsyslog", address, key) as send:
        send([f"line {n}" for n in range(300)])
        wait_for(lambda: full.refusals >= 1, 30)
        time.sleep(0.5)
        full.is_full = False
        wait_for(lambda: sum(len(texts) for _, texts in bodies(house)) >= 300, 60)
    texts = [text.strip() for _, texts in bodies(house) for text in texts]
    assert sorted(texts) == sorted(f"line {n}" for n in range(300))
    assert not (tmp_path / "rsyslog" / "refused.log").exists()
