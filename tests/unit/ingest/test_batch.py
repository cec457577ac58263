from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from ingest.batch import Batch, Rejected, check_stream, decode, decode_all, encode, encode_all, stream_name, tick
from tocsin.errors import CorruptionError, InputError
from tocsin.record import LINES, empty_lines

NOW = datetime(2026, 11, 24, 10, 0, 0, 123456, tzinfo=UTC)


def a_batch() -> Batch:
    lines = pl.DataFrame(
        {
            "position": [0, 2],
            "time": [NOW, None],
            "severity_number": [17, None],
            "body": ["disk full", "ünïcode \ufffd"],
            "attributes": ['{"host":"a"}', None],
            "trace_id": ["t", None],
            "span_id": [None, None],
            "identity": [None, "doc-1"],
        },
        schema=LINES,
    )
    return Batch(
        tenant="acme",
        stream="web",
        observed_time=NOW,
        identity="key-1",
        fingerprint="f" * 32,
        lines=lines,
        rejected=(Rejected(line=2, detail="not valid JSON", raw=b"\xff\x00"),),
    )


def assert_same(one: Batch, other: Batch) -> None:
    assert_frame_equal(one.lines, other.lines)
    for name in ("tenant", "stream", "observed_time", "identity", "fingerprint", "rejected"):
        assert getattr(one, name) == getattr(other, name), name


def test_a_batch_survives_its_bytes() -> None:
    assert_same(decode(encode(a_batch())), a_batch())


def test_a_batch_may_hold_no_lines_or_nothing_but_rejected_ones() -> None:
    empty = replace(a_batch(), lines=empty_lines())
    assert_same(decode(encode(empty)), empty)
    assert_same(decode(encode(replace(empty, rejected=(), identity=None))), replace(empty, rejected=(), identity=None))


def test_a_tick_says_that_time_passed_and_nothing_else() -> None:
    batch = decode(encode(tick(NOW)))
    assert (batch.tenant, batch.stream, batch.observed_time, batch.lines.height) == ("", "", NOW, 0)


def test_the_same_batch_has_the_same_bytes() -> None:
    assert encode(a_batch()) == encode(a_batch())


def test_a_batch_of_another_version_is_told_so() -> None:
    payload = bytearray(encode(a_batch()))
    payload[2] = 9
    with pytest.raises(CorruptionError, match="version 9"):
        decode(bytes(payload))


@pytest.mark.parametrize("size", [0, 1, 5, 8, 20, 200, 600, -1, -100])
def test_a_batch_cut_short_is_corruption(size: int) -> None:
    with pytest.raises(CorruptionError, match="journal entry"):
        decode(encode(a_batch())[:size])


def test_a_header_that_is_not_utf8_is_corruption() -> None:
    payload = encode(tick(NOW)).replace(b"\xa0", b"\xa1\xff", 1)
    with pytest.raises(CorruptionError, match="damaged"):
        decode(payload)


def test_a_frame_of_other_columns_is_corruption() -> None:
    odd = replace(a_batch(), lines=pl.DataFrame({"body": ["x"]}))
    with pytest.raises(CorruptionError, match="columns"):
        decode(encode(odd))


@pytest.mark.parametrize("name", ["web", "0", "k8s.prod:api@eu-1", "A" * 128, "syslog_tcp"])
def test_streams_have_names_that_fit_in_a_path_and_a_query(name: str) -> None:
    assert check_stream(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "-x", "a b", "a/b", "a\n", "ü", "A" * 129, "a'b", "\x00"])
def test_other_names_of_streams_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="stream"):
        check_stream(name)


def test_several_batches_are_one_entry() -> None:
    batches = [a_batch(), replace(a_batch(), stream="db", identity=None), tick(NOW)]
    for one, other in zip(decode_all(encode_all(batches)), batches, strict=True):
        assert_same(one, other)
    assert_same(decode_all(encode_all(batches[:1]))[0], batches[0])


@pytest.mark.parametrize("size", [3, 7, 60, -1])
def test_several_batches_cut_short_are_corruption(size: int) -> None:
    with pytest.raises(CorruptionError):
        decode_all(encode_all([a_batch(), a_batch()])[:size])


@pytest.mark.parametrize(
    ("text", "name"),
    [("web", "web"), ("my service/eu", "my-service-eu"), ("-x-", "x"), ("", "other"), ("\u4e16", "other")],
)
def test_names_of_others_become_stream_names(text: str, name: str) -> None:
    assert check_stream(stream_name(text, "other")) == name
