"""Messages of Fluentd's forward protocol, byte for byte."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import cramjam
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.batch import Batch
from ingest.fluent import Message, batches_of, read_message
from ingest.limits import Limits
from tocsin.errors import InputError, TooLargeError

LIMITS = Limits()
NOW = datetime(2026, 11, 25, 10, tzinfo=UTC)
TIME = datetime(2026, 2, 27, 10, 1, 2, tzinfo=UTC)
NANOS = timedelta(milliseconds=243)

SECONDS = b"\xce\x69\xa1\x6b\x2e"  # 1772186414, as a number
EVENT_TIME = b"\xd7\x00\x69\xa1\x6b\x2e\x0e\x7b\xe2\xc0"  # the same and 243 ms, as Fluentd's extension
LONG_EVENT_TIME = b"\xc7\x08\x00\x69\xa1\x6b\x2e\x0e\x7b\xe2\xc0"  # older senders
AT = datetime(2026, 2, 27, 10, 0, 14, tzinfo=UTC)
RECORD = b"\x82\xa7message\xa8declined\xa4user\x09"
EVENT = b"\x92" + EVENT_TIME + RECORD
TAG = b"\xa8app.shop"
CHUNK = b"\x82\xa5chunk\xa8cDEgLw==\xa4size\x02"


def batches(*values: bytes) -> list[Batch]:
    messages = [read_message(value, "192.0.2.1", LIMITS) for value in values]
    return batches_of([message for message in messages if message is not None], "acme", NOW, LIMITS)


def the_batch(value: bytes) -> Batch:
    (batch,) = batches(value)
    return batch


def lines(batch: Batch) -> list[tuple[Any, ...]]:
    return [
        (line["position"], line["time"], line["body"], json.loads(line["attributes"]))
        for line in batch.lines.to_dicts()
    ]


LINE = (AT + NANOS, "declined", {"user": 9})


def test_a_message_is_a_line_of_the_stream_of_its_tag() -> None:
    batch = the_batch(b"\x93" + TAG + EVENT_TIME + RECORD)
    assert (batch.tenant, batch.stream, batch.identity) == ("acme", "app.shop", None)
    assert lines(batch) == [(0, *LINE)]


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (EVENT_TIME, AT + NANOS),
        (LONG_EVENT_TIME, AT + NANOS),
        (SECONDS, AT),
        (b"\xcb\x41\xda\x68\x5a\xcb\x8f\x8d\x50", None),  # a float, compared below
        (b"\x00", None),
        (b"\xc0", None),
        (b"\xa1x", None),
    ],
)
def test_the_time_is_what_the_event_says_or_nothing(time: bytes, expected: datetime | None) -> None:
    if time[0] == 0xCB:
        expected = datetime.fromtimestamp(msgpack.unpackb(time), UTC)
    batch = the_batch(b"\x92" + TAG + b"\x91\x92" + time + RECORD)
    found = batch.lines["time"].item()
    assert found == expected or abs(found - expected) < timedelta(microseconds=1)


def test_a_time_beyond_all_numbers_is_none() -> None:
    assert the_batch(b"\x92" + TAG + b"\x91\x92\xcb\x7f\xe0" + bytes(6) + RECORD).lines["time"].item() is None


def test_a_signal_that_is_no_number_is_none() -> None:
    assert the_batch(b"\x93" + TAG + b"\x91" + EVENT + b"\x81\xadfluent_signal\x80").lines.height == 1


def test_an_array_of_events_is_a_batch_named_by_its_chunk() -> None:
    batch = the_batch(b"\x93" + TAG + b"\x92" + EVENT * 2 + CHUNK)
    assert lines(batch) == [(0, *LINE), (1, *LINE)]
    assert batch.identity is not None


@pytest.mark.parametrize("head", [b"\xc4", b"\xd9"], ids=["binary", "text"])
def test_a_stream_of_events_may_be_binary_or_text(head: bytes) -> None:
    stream = EVENT * 2
    packed = head + bytes([len(stream)]) + stream
    assert lines(the_batch(b"\x93" + TAG + packed + CHUNK)) == [(0, *LINE), (1, *LINE)]


@pytest.mark.parametrize(
    ("name", "packed"),
    [
        ("gzip", gzip.compress(EVENT, mtime=0) + gzip.compress(EVENT, mtime=0)),
        ("zstd", bytes(cramjam.zstd.compress(EVENT * 2))),
    ],
    ids=["gzip", "zstd"],
)
def test_a_stream_of_events_may_be_compressed(name: str, packed: bytes) -> None:
    option = b"\x81\xaacompressed" + msgpack.packb(name)
    assert lines(the_batch(b"\x93" + TAG + msgpack.packb(packed) + option)) == [(0, *LINE), (1, *LINE)]


@pytest.mark.parametrize(
    "value",
    [
        b"\x92" + TAG + b"\x91\x92\x92" + EVENT_TIME + b"\x81\xa1k\xa1v" + RECORD,
        b"\x94" + TAG + EVENT_TIME + RECORD + b"\x81\xa8metadata\x81\xa1k\xa1v",
    ],
    ids=["beside the time", "as an option"],
)
def test_metadata_of_fluent_bit_is_an_attribute(value: bytes) -> None:
    assert lines(the_batch(value)) == [(0, AT + NANOS, "declined", {"user": 9, "metadata": {"k": "v"}})]


def test_dockers_fields_are_kept_and_its_log_is_the_body() -> None:
    record = {"container_id": "4f0c", "container_name": "/shop", "source": "stdout", "log": "paid"}
    batch = the_batch(msgpack.packb(["docker.shop", 1772186414, record, None]))
    assert lines(batch) == [(0, AT, "paid", {"container_id": "4f0c", "container_name": "/shop", "source": "stdout"})]


def test_the_answer_names_the_chunk_as_it_came() -> None:
    for chunk in (b"\xa8cDEgLw==", b"\xc4\x02\x00\xff", b"\xd9\x01c"):
        message = read_message(b"\x93" + TAG + b"\x91" + EVENT + b"\x81\xa5chunk" + chunk, "", LIMITS)
        assert message is not None
        assert message.ack == b"\x81\xa3ack" + chunk


def test_a_chunk_sent_again_has_its_name_again_and_another_of_the_same_id_has_not() -> None:
    once = b"\x93" + TAG + b"\x92" + EVENT * 2 + CHUNK
    again = b"\x93" + TAG + msgpack.packb(EVENT * 2) + CHUNK
    other = b"\x93" + TAG + b"\x91" + EVENT + CHUNK
    assert the_batch(once).identity == the_batch(again).identity
    assert the_batch(once).identity != the_batch(other).identity
    assert [batch.lines.height for batch in batches(once, again, other)] == [2, 1]


def test_messages_without_a_chunk_are_put_together_by_stream() -> None:
    one, two = b"\x93" + TAG + EVENT_TIME + RECORD, b"\x93\xa1b" + EVENT_TIME + RECORD
    found = batches(one, two, one)
    assert [(batch.stream, batch.lines["position"].to_list()) for batch in found] == [("app.shop", [0, 1]), ("b", [0])]


def test_texts_in_other_encodings_and_odd_values_are_kept_as_text() -> None:
    record = b"\x84\xa7message\xa4caf\xe9\xc4\x01k\xc4\x02\xc3\xa9\x01\x02\xa1t" + EVENT_TIME
    ((_, _, body, attributes),) = lines(the_batch(b"\x93" + TAG + SECONDS + record))
    assert body == "caf\ufffd"
    assert attributes == {"k": "\xe9", "1": 2, "t": 1_772_186_414_243_000_000}


def test_an_event_that_cannot_be_read_is_refused_alone() -> None:
    deep = b"\x92\x01" + b"\x81\xa1a" * 70 + b"\x01"
    bad = [b"\x01", b"\x92\x01\x02", b"\x91\x01", deep, msgpack.packb([1, dict.fromkeys(map(str, range(5000)))])]
    batch = the_batch(b"\x92" + TAG + bytes([0x90 + len(bad) + 2]) + EVENT + b"".join(bad) + EVENT)
    assert [line[0] for line in lines(batch)] == [0, 6]
    assert [(line.line, line.detail) for line in batch.rejected] == [
        (2, "not an array of time and record"),
        (3, "the record is not a map"),
        (4, "not an array of time and record"),
        (5, "nested too deep"),
        (6, "more than 4096 fields"),
    ]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"\x91" + TAG, "a message has 2 to 4 members, not 1"),
        (b"\xdd\x00\x00\x00\x05" + b"\xc0" * 5, "a message has 2 to 4 members, not 5"),
        (b"\x92" + TAG + SECONDS, "the record is missing"),
        (b"\x93" + TAG + b"\x91" + EVENT + b"\x05", "Expected `object`, got `int`"),
        (b"\x93" + TAG + b"\xa1x\x81\xaacompressed\xa3lzw", "compressed 'lzw' is not supported"),
        (b"\x93" + TAG + b"\xa1x\x81\xaacompressed\xa4gzip", "body"),
        (b"\x92" + TAG + b"\xa2\x92\x01", "events: the last value is cut short after 2 bytes"),
        (b"\x93" + TAG + b"\xa1x\x81\xadfluent_signal\x01", "metrics of Fluent Bit are not read here"),
        (b"\x93" + TAG + b"\xa1x\x81\xa5chunk\xda\x08\x00" + b"c" * 2048, "the name of the chunk is longer than 1024"),
    ],
)
def test_a_message_that_cannot_be_read_is_a_dead_letter_that_says_why(value: bytes, why: str) -> None:
    batch = the_batch(value)
    assert batch.lines.height == 0
    assert why in batch.rejected[0].detail
    assert batch.rejected[0].detail.endswith(", from 192.0.2.1")


@pytest.mark.parametrize("value", [b"G", b"\x16", b"{", b"\x80", b"\xa3abc"])
def test_another_protocol_is_told_from_a_message(value: bytes) -> None:
    with pytest.raises(InputError, match="a message is an array"):
        read_message(value, "", LIMITS)


def test_a_sign_of_life_is_no_message() -> None:
    assert read_message(b"\xc0", "", LIMITS) is None


def test_what_decompresses_to_too_much_is_not_taken() -> None:
    bomb = b"\x93" + TAG + msgpack.packb(gzip.compress(b"\0" * 2**22)) + b"\x81\xaacompressed\xa4gzip"
    with pytest.raises(TooLargeError, match="it holds more than"):
        read_message(bomb, "", LIMITS)


@given(st.binary(max_size=100))
def test_no_bytes_crash_it(stream: bytes) -> None:
    for value in (b"\x92\xa1t" + msgpack.packb(stream), b"\x93\xa1t\x01" + stream, b"\x93\xa1t\x90" + stream):
        message = read_message(value, "", LIMITS)
        assert isinstance(message, Message)
        batches_of([message], "acme", NOW, LIMITS)
