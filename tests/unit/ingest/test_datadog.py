from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.batch import Part
from ingest.datadog import Beside, decode_datadog
from ingest.limits import Limits
from tocsin.errors import InputError, TooLargeError
from tocsin.record import LINES


def parts(document: object, beside: Beside | None = None, limits: Limits | None = None) -> tuple[Part, ...]:
    return decode_datadog(json.dumps(document).encode(), beside or Beside(), limits or Limits())


def row_of(document: object, beside: Beside | None = None) -> dict[str, object]:
    (part,) = parts(document, beside)
    assert dict(part.lines.schema) == LINES
    (row,) = part.lines.with_columns(pl.col("time").dt.to_string("iso")).to_dicts()
    return {**row, "attributes": json.loads(row["attributes"]), "stream": part.stream}


def test_a_message_of_an_agent_is_a_line() -> None:
    row = row_of(
        [
            {
                "message": "paid",
                "status": "error",
                "timestamp": 1795600800123,
                "hostname": "web-1",
                "service": "shop",
                "ddsource": "python",
                "ddtags": "env:prod,kube_pod_name:shop-7,canary,filename:x.log",
                "dd.trace_id": "17",
            }
        ]
    )
    assert (row["stream"], row["body"], row["severity_number"], row["trace_id"]) == ("shop", "paid", 17, "17")
    assert str(row["time"]).startswith("2026-11-25 10:00:00.123")
    assert row["attributes"] == {
        "env": "prod",
        "kube_pod_name": "shop-7",
        "filename": "x.log",
        "tags": ["canary"],
        "host.name": "web-1",
        "service.name": "shop",
        "ddsource": "python",
    }


@pytest.mark.parametrize("inner", [lambda value: value, json.dumps])
def test_a_message_that_is_an_object_is_read_by_its_own_fields(inner: object) -> None:
    assert callable(inner)
    message = inner({"msg": "paid", "level": "warn", "ts": 1795600800, "user": "eve"})
    row = row_of({"message": message, "status": "info", "timestamp": 1, "service": "shop"})
    assert (row["body"], row["severity_number"], str(row["time"])[:10]) == ("paid", 13, "2026-11-25")
    assert row["attributes"] == {"service.name": "shop", "user": "eve"}


def test_a_message_that_only_begins_like_an_object_is_text() -> None:
    for message in ("{x", "{" * 100 + "}" * 100, '{"a":"' + "x" * 5000 + '"}', "[1]"):
        assert row_of({"message": message})["body"] == message


def test_what_a_message_does_not_say_the_request_does() -> None:
    beside = Beside(defaults={"service": "shop", "ddtags": "env:prod", "hostname": "h"}, time="1795600800000")
    row = row_of({"message": "x", "hostname": "own", "status": "weird"}, beside)
    assert (row["stream"], str(row["time"])[:10]) == ("shop", "2026-11-25")
    assert row["attributes"] == {"env": "prod", "host.name": "own", "service.name": "shop", "status": "weird"}


def test_the_stream_is_the_service_else_the_source() -> None:
    found = parts(
        [{"message": "a", "service": "s", "ddsource": "d"}, {"message": "b", "ddsource": "d"}, {"message": "c"}]
    )
    assert [part.stream for part in found] == ["s", "d", "datadog"]
    assert [part.lines["position"].to_list() for part in found] == [[0], [1], [2]]


@pytest.mark.parametrize("body", [b"{}", b"[]", b"[{},{}]", b"", b"\n"])
def test_a_sign_of_life_brings_nothing(body: bytes) -> None:
    assert decode_datadog(body, Beside(), Limits()) == ()


def test_a_poison_message_is_refused_alone() -> None:
    (part,) = parts([{"message": "a"}, 5, {"message": "b"}])
    assert part.lines["body"].to_list() == ["a", "b"]
    assert [line.line for line in part.rejected] == [2]


def test_a_body_of_text_is_lines() -> None:
    (part,) = decode_datadog(b"one\ntwo\n", Beside(is_text=True, defaults={"service": "s"}), Limits())
    assert (part.stream, part.lines["body"].to_list()) == ("s", ["one", "two"])


@pytest.mark.parametrize("body", [b"nonsense", b'[{"message":', b"\xff"])
def test_a_body_that_is_not_json_is_refused_whole(body: bytes) -> None:
    with pytest.raises(InputError):
        decode_datadog(body, Beside(), Limits())


def test_a_body_of_too_many_messages_or_services_is_refused() -> None:
    with pytest.raises(TooLargeError):
        parts([{"message": "x"}] * 5, limits=Limits(lines_max=4))
    with pytest.raises(TooLargeError):
        parts([{"message": "x", "service": f"s{n}"} for n in range(5)], limits=Limits(streams_max=4))


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_NAMES = st.sampled_from(["message", "status", "timestamp", "hostname", "service", "ddsource", "ddtags", "other"])


@given(
    body=st.one_of(
        st.binary(max_size=100),
        st.lists(st.dictionaries(_NAMES, _VALUES, max_size=5), max_size=4).map(
            lambda value: json.dumps(value).encode()
        ),
    ),
    is_text=st.booleans(),
)
def test_no_bytes_break_it(body: bytes, *, is_text: bool) -> None:
    try:
        found = decode_datadog(body, Beside(is_text=is_text), Limits())
    except InputError:
        return
    assert all(dict(part.lines.schema) == LINES for part in found)
