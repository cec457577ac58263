from __future__ import annotations

import gzip
import threading
from typing import Any

import cramjam
import pytest

from ingest.batch import Batch, decode
from ingest.journal import JournalReader
from tests.house import House


def taken(house: House) -> list[Batch]:
    """What lies in the journal."""
    reader = JournalReader(house.folder / "journal")
    return [decode(entry.payload) for entry in reader.read(0, entries_max=1000, bytes_max=2**30)]


def test_lines_are_in_the_journal_when_the_answer_comes(house: House) -> None:
    answer = house.client().post("/v1/ingest/app", content=b'{"msg": "one"}\n{"msg": "two"}\n')
    assert answer.status_code == 200
    assert answer.json() == {"accepted": 2, "rejected": 0, "errors": [], "batch_id": "b_0"}
    (batch,) = taken(house)
    assert (batch.tenant, batch.stream, batch.lines["body"].to_list()) == (
        "default",
        "app",
        ['{"msg": "one"}', '{"msg": "two"}'],
    )


def test_the_tenant_is_that_of_the_key(house: House) -> None:
    house.client(house.key("ingest", tenant="alpha")).post("/v1/ingest/app", content=b"line\n")
    assert taken(house)[0].tenant == "alpha"


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [("gzip", gzip.compress), ("zstd", lambda body: bytes(cramjam.zstd.compress(body))), ("GZIP", gzip.compress)],
)
def test_compressed_bodies_are_taken(house: House, encoding: str, compress: Any) -> None:
    answer = house.client().post(
        "/v1/ingest/app", content=compress(b"one\ntwo\n"), headers={"Content-Encoding": encoding}
    )
    assert answer.json()["accepted"] == 2


def test_a_poison_line_is_named_and_the_others_are_taken(house: House) -> None:
    body = b'{"msg": "one"}\n{"msg": \n{"msg": "three"}\n'
    answer = house.client().post("/v1/ingest/app?format=ndjson", content=body).json()
    assert (answer["accepted"], answer["rejected"]) == (2, 1)
    assert answer["errors"][0]["line"] == 2
    assert len(taken(house)[0].rejected) == 1


def test_the_same_batch_sent_twice_is_taken_once(house: House) -> None:
    client = house.client()
    headers = {"Idempotency-Key": "batch-1"}
    first = client.post("/v1/ingest/app", content=b"line\n", headers=headers)
    second = client.post("/v1/ingest/app", content=b"line\n", headers=headers)
    assert first.json() == second.json()
    assert len(taken(house)) == 1


def test_the_same_batch_is_recognised_after_a_restart(house: House) -> None:
    headers = {"Idempotency-Key": "batch-1"}
    first = house.client().post("/v1/ingest/app", content=b"line\n", headers=headers).json()
    (batch,) = taken(house)
    with house.store.begin() as transaction:
        transaction.put_batch("default", "app", "batch-1", batch.fingerprint, house.clock())
    restarted = house.client()
    assert restarted.post("/v1/ingest/app", content=b"line\n", headers=headers).json() == first
    assert restarted.post("/v1/ingest/app", content=b"other\n", headers=headers).status_code == 409
    assert len(taken(house)) == 1


def test_a_key_that_came_with_another_body_is_refused(house: House) -> None:
    client = house.client()
    headers = {"Idempotency-Key": "batch-1"}
    client.post("/v1/ingest/app", content=b"line\n", headers=headers)
    answer = client.post("/v1/ingest/app", content=b"another line\n", headers=headers)
    assert answer.status_code == 409
    assert "Idempotency-Key" in answer.json()["detail"]
    assert client.post("/v1/ingest/other", content=b"another line\n", headers=headers).status_code == 200


def test_the_same_batch_at_the_same_moment_is_taken_once(house: House) -> None:
    answers = []
    with house.client() as client:

        def send() -> None:
            answers.append(
                client.post("/v1/ingest/app", content=b"line\n" * 50_000, headers={"Idempotency-Key": "k"}).json()
            )

        threads = [threading.Thread(target=send) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(answers) == 6
    assert all(answer == answers[0] for answer in answers)
    assert len(taken(house)) == 1


@pytest.mark.parametrize(
    ("path", "headers", "status", "says"),
    [
        ("/v1/ingest/a%20b", {}, 400, "stream"),
        ("/v1/ingest/" + "x" * 200, {}, 400, "stream"),
        ("/v1/ingest/app?format=xml", {}, 400, "format"),
        ("/v1/ingest/app?formt=csv", {}, 400, "formt"),
        ("/v1/ingest/app?time_field=" + "x" * 300, {}, 400, "time_field"),
        ("/v1/ingest/app", {"Content-Encoding": "br"}, 415, "br"),
        ("/v1/ingest/app", {"Content-Encoding": "gzip"}, 400, "position"),
        ("/v1/ingest/app", {"Idempotency-Key": "with space"}, 400, "Idempotency-Key"),
        ("/v1/ingest/app", {"Idempotency-Key": "x" * 129}, 400, "Idempotency-Key"),
        ("/v1/ingest/app", {"Idempotency-Key": ""}, 400, "Idempotency-Key"),
    ],
)
def test_a_request_that_is_wrong_as_a_whole_is_refused(
    house: House, path: str, headers: dict[str, str], status: int, says: str
) -> None:
    answer = house.client().post(path, content=b"line\n", headers=headers)
    assert answer.status_code == status
    assert says in answer.json()["detail"]
    assert taken(house) == []


def test_a_body_cut_in_the_middle_is_refused_whole(house: House) -> None:
    body = gzip.compress(b"line of some length\n" * 1000)
    answer = house.client().post("/v1/ingest/app", content=body[:-20], headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 400
    assert taken(house) == []


@pytest.mark.parametrize("megabytes", [200])
def test_a_bomb_is_refused(house: House, megabytes: int) -> None:
    body = gzip.compress(bytes(megabytes * 2**20), compresslevel=9)
    answer = house.client().post("/v1/ingest/app", content=body, headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 413
    assert taken(house) == []


def test_a_body_that_announces_too_much_is_not_read(house: House) -> None:
    answer = house.client().post("/v1/ingest/app", content=b"", headers={"Content-Length": str(10**12)})
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"


def test_an_empty_body_is_told_so(house: House) -> None:
    answer = house.client().post("/v1/ingest/app", content=b"")
    assert answer.status_code == 400
    assert "empty" in answer.json()["detail"]


def test_more_than_fits_in_memory_is_told_to_come_back(house: House) -> None:
    answer = house.client(inflight_bytes_max=10).post("/v1/ingest/app", content=b"more than ten bytes\n")
    assert answer.status_code == 503
    assert 1 <= int(answer.headers["retry-after"]) <= 4
    assert taken(house) == []
