from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.batch import Part
from ingest.elasticsearch import Bulk, decode_bulk, decode_document, stream_of
from ingest.limits import Limits
from tocsin.errors import InputError, TooLargeError
from tocsin.record import LINES


def bulk(*lines: object, index: str | None = None, end: str = "\n", limits: Limits | None = None) -> Bulk:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    return decode_bulk((end.join(texts) + end).encode(), index=index, limits=limits or Limits())


def only(found: Bulk) -> Part:
    (part,) = found.parts
    assert dict(part.lines.schema) == LINES
    return part


def test_a_document_is_a_line_of_its_index() -> None:
    part = only(
        bulk(
            {"index": {"_index": "shop", "_id": "a1"}},
            {
                "@timestamp": "2026-11-25T10:00:00.123Z",
                "message": "paid",
                "log": {"level": "error"},
                "host": {"name": "web-1"},
                "trace": {"id": "4bf92f3577b34da6a3ce929d0e0e4736"},
            },
        )
    )
    assert part.stream == "shop"
    (row,) = part.lines.with_columns(pl.col("time").dt.to_string("iso")).to_dicts()
    assert row["time"].startswith("2026-11-25 10:00:00.123")
    assert (row["position"], row["body"], row["severity_number"], row["identity"]) == (0, "paid", 17, "a1")
    assert row["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert json.loads(row["attributes"])["host"] == {"name": "web-1"}


def test_every_action_keeps_its_place() -> None:
    found = bulk(
        {"create": {}},
        {"msg": "one"},
        {"delete": {"_index": "other", "_id": 7}},
        {"update": {"_id": "x"}},
        {"doc": {"msg": "changed"}},
        {"index": {"_index": "shop", "_id": 7, "_type": "_doc", "routing": "r"}},
        {"msg": "four"},
        index="path",
    )
    assert [(item.action, item.index, item.doc_id) for item in found.items] == [
        ("create", "path", None),
        ("delete", "other", "7"),
        ("update", "path", "x"),
        ("index", "shop", "7"),
    ]
    assert [(part.stream, part.lines["position"].to_list(), part.lines["body"].to_list()) for part in found.parts] == [
        ("path", [0], ["one"]),
        ("shop", [3], ["four"]),
    ]


@pytest.mark.parametrize(
    "body", ['{"index":{}}\r\n{"msg":"x"}\r\n', '{"index":{}}\n{"msg":"x"}', '\n{"index":{}}\n{"msg":"x"}\n\n']
)
def test_line_ends_are_taken_as_they_come(body: str) -> None:
    assert only(decode_bulk(body.encode(), index=None, limits=Limits())).lines["body"].to_list() == ["x"]


def test_without_an_index_the_stream_has_the_name_of_the_protocol() -> None:
    assert only(bulk({"index": {}}, {"msg": "x"})).stream == "elasticsearch"


@pytest.mark.parametrize(
    ("index", "stream"),
    [
        ("logs", "logs"),
        ("logs-2026.11.25", "logs"),
        ("logs-2026.11.25-000001", "logs"),
        ("logs-000007", "logs"),
        ("logs_2026-11-25", "logs"),
        ("logs-20261125", "logs"),
        ("logs-2026.47", "logs"),
        ("logs-2026", "logs-2026"),
        ("shop-123456", "shop-123456"),
        (".ds-logs-app-default-2026.11.25-000001", "ds-logs-app-default"),
        ("2026.11.25", "2026.11.25"),
        ("a b/c", "a-b-c"),
        ("///", "elasticsearch"),
    ],
)
def test_a_stream_does_not_change_its_name_every_day(index: str, stream: str) -> None:
    assert stream_of(index) == stream


def test_the_same_id_in_indices_of_two_days_is_two_documents() -> None:
    part = only(
        bulk(
            {"index": {"_index": "logs-2026.11.25", "_id": "1"}},
            {"msg": "x"},
            {"index": {"_index": "logs-2026.11.26", "_id": "1"}},
            {"msg": "y", "more": 1},
            {"index": {"_index": "logs-2026.11.26"}},
            {"msg": "z"},
        )
    )
    assert part.lines["identity"].to_list() == ["logs-2026.11.25/1", "logs-2026.11.26/1", None]
    assert part.lines["body"].to_list() == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ('{"msg": ', "not valid JSON"),
        ("[1]", "an array"),
        ("", "empty"),
        ('{"msg":"' + "x" * 200 + '"}', "longer than 100 bytes"),
        ('{"a":' * 5 + "1" + "}" * 5, "nested deeper"),
        ("{" + ",".join(f'"{n}":1' for n in range(9)) + "}", "more than 5 fields"),
    ],
)
def test_a_poison_document_is_refused_alone(source: str, why: str) -> None:
    limits = Limits(line_bytes_max=100, json_depth_max=4, fields_max=5)
    found = bulk({"index": {}}, {"msg": "one"}, {"index": {}}, source, {"index": {}}, {"msg": "two"}, limits=limits)
    part = only(found)
    assert part.lines["body"].to_list() == ["one", "two"]
    assert part.lines["position"].to_list() == [0, 2]
    assert [(line.line, why in line.detail) for line in part.rejected] == [(2, True)]
    assert len(found.items) == 3


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("", "required"),
        (" \n", "required"),
        ("nonsense\n", r"line \[1\]"),
        ('{"index":{}}\n', "line 1"),
        ('{"index":{}}\n{"a":1}\n{"index":{}}\n', "line 3"),
        ('{"index":{}}\n{"a":1}\n{"upsert":{}}\n{}\n', r"line \[3\]"),
        ('{"index":{}}\n{"a":1}\n{"a":1}\n', r"line \[3\]"),
        ('{"index":[]}\n{"a":1}\n', r"line \[1\]"),
        ('{"index":{"_id":"' + "x" * 513 + '"}}\n{"a":1}\n', "512"),
    ],
)
def test_a_body_whose_actions_cannot_be_read_is_refused_whole(body: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        decode_bulk(body.encode(), index=None, limits=Limits())


def test_a_body_of_too_many_lines_or_indices_is_refused() -> None:
    with pytest.raises(TooLargeError, match="lines"):
        bulk(*[{"index": {}}, {"a": 1}] * 3, limits=Limits(lines_max=4))
    with pytest.raises(TooLargeError, match="indices"):
        bulk(
            *[text for n in range(3) for text in ({"index": {"_index": f"i{n}"}}, {"a": 1})],
            limits=Limits(streams_max=2),
        )


def test_one_document_is_a_line() -> None:
    (part,) = decode_document(b'{"message":"x",\n"n":1}', index="shop-2026.11.25", doc_id="1", limits=Limits())
    assert (part.stream, part.lines["body"].to_list(), part.lines["identity"].to_list()) == (
        "shop",
        ["x"],
        ["shop-2026.11.25/1"],
    )


@pytest.mark.parametrize("body", [b"", b"[]", b'[{"a":1}]', b"x", b'{"a"', b'{"a":' * 100 + b"1" + b"}" * 100])
def test_a_document_that_is_none_is_refused(body: bytes) -> None:
    with pytest.raises(InputError):
        decode_document(body, index="shop", doc_id=None, limits=Limits())


_TEXTS = st.one_of(
    st.sampled_from(
        ['{"index":{}}', '{"create":{"_id":1}}', '{"delete":{}}', '{"msg":"x"}', '{"a":', "", "\r", "[", "\0"]
    ),
    st.text(max_size=20),
)


@given(st.one_of(st.binary(max_size=200), st.lists(_TEXTS, max_size=8).map(lambda texts: "\n".join(texts).encode())))
def test_no_bytes_break_it(body: bytes) -> None:
    try:
        found = decode_bulk(body, index="i", limits=Limits())
    except InputError:
        return
    lines = sum(part.lines.height + len(part.rejected) for part in found.parts)
    assert lines == sum(item.is_line for item in found.items)
