from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from ingest.batch import Rejected
from ingest.limits import Limits
from ingest.plain import PlainOptions, decode_plain
from tocsin.errors import InputError, TooLargeError
from tocsin.record import LINES

LIMITS = Limits()


def decode(
    body: bytes | str, content_type: str = "", *, limits: Limits = LIMITS, **options: Any
) -> tuple[pl.DataFrame, tuple[Rejected, ...]]:
    raw = body.encode() if isinstance(body, str) else body
    lines, rejected = decode_plain(raw, content_type=content_type, options=PlainOptions(**options), limits=limits)
    assert dict(lines.schema) == LINES
    assert [line.line for line in rejected] == sorted(line.line for line in rejected)
    return lines, rejected


def bodies(body: bytes | str, content_type: str = "", **options: Any) -> list[str]:
    lines, rejected = decode(body, content_type, **options)
    assert rejected == ()
    return lines["body"].to_list()


def test_lines_of_json_become_lines_with_what_they_say() -> None:
    lines, rejected = decode(
        '{"ts":"2024-01-02T03:04:05.5Z","msg":"hi","level":"WARN","trace_id":"t","span_id":"s","n":1.5,"o":{"a":[1]}}\n'
        '{"message":"second"}\n'
    )
    assert rejected == ()
    assert lines.to_dicts() == [
        {
            "position": 0,
            "time": datetime(2024, 1, 2, 3, 4, 5, 500000, UTC),
            "severity_number": 13,
            "body": "hi",
            "attributes": '{"n":1.5,"o":{"a":[1]}}',
            "trace_id": "t",
            "span_id": "s",
            "identity": None,
        },
        {
            "position": 1,
            "time": None,
            "severity_number": None,
            "body": "second",
            "attributes": "{}",
            "trace_id": None,
            "span_id": None,
            "identity": None,
        },
    ]


def test_plain_lines_are_bodies_and_empty_ones_only_count() -> None:
    lines, rejected = decode("one\r\n\r\n   \n two\nlast")
    assert rejected == ()
    assert lines.select("position", "body").rows() == [(0, "one"), (3, " two"), (4, "last")]
    assert lines["attributes"].to_list() == [None, None, None]


def test_csv_rows_become_events_as_json_would_bring_them() -> None:
    lines, _ = decode('time,user,amount,msg\n2024-01-02 03:04:05,eve,10.5,"paid, twice"\n', "text/csv; charset=utf-8")
    (row,) = lines.to_dicts()
    assert row["position"] == 1
    assert row["time"] == datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert row["body"] == "paid, twice"
    assert row["attributes"] == '{"user":"eve","amount":10.5}'


def test_an_array_of_objects_is_a_list_of_events() -> None:
    lines, rejected = decode('[{"msg":"a"},5,{"msg":"b"},"x",null,[1],true]', "application/json")
    assert lines["body"].to_list() == ["a", "b"]
    assert lines["position"].to_list() == [0, 2]
    assert [(line.line, line.detail) for line in rejected] == [
        (2, "not an object but a number"),
        (4, "not an object but a text"),
        (5, "not an object but null"),
        (6, "not an object but an array"),
        (7, "not an object but a truth value"),
    ]


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        ('{"msg":"a"}\n{"msg":"b"}', "", ["a", "b"]),
        ('{"msg":"a"}\n{"msg":"b"}', "application/x-www-form-urlencoded", ["a", "b"]),
        ('{"msg":"a"}\n{"msg":"b"}', "text/plain", ["a", "b"]),
        ('{"msg":"a"}\n{"msg":"b"}', "application/json", ["a", "b"]),
        ('  {"msg":"a"}', "application/x-ndjson", ["a"]),
        ('{\n  "msg": "a",\n  "n": 1\n}\n', "", ["a"]),
        ('{"msg":"a"}', "application/json; charset=utf-8", ["a"]),
        (' [ {"msg":"a"} ]', "", ["a"]),
        ("[error] it broke\n[info] it works", "", ["[error] it broke", "[info] it works"]),
        ("[Sun Dec 04 04:47:44 2005] [notice] x", "text/plain", ["[Sun Dec 04 04:47:44 2005] [notice] x"]),
        ("{not json}\nx", "", ["{not json}", "x"]),
        ("a,b\n1,2", "", ["a,b", "1,2"]),
        ('\ufeff{"msg":"after a byte order mark"}', "", ["after a byte order mark"]),
    ],
)
def test_the_format_is_found_by_type_and_then_by_the_first_bytes(
    body: str, content_type: str, expected: list[str]
) -> None:
    assert bodies(body, content_type) == expected


def test_a_named_format_is_not_second_guessed() -> None:
    assert bodies('{"msg":"a"}', format="text") == ['{"msg":"a"}']
    assert bodies('{"a":"x"}\n', "text/csv", format="ndjson") == ['{"a":"x"}']
    with pytest.raises(InputError, match="not valid JSON"):
        decode("one\ntwo", format="json")


def test_poison_lines_are_set_aside_with_line_and_position_and_the_rest_is_taken() -> None:
    lines, rejected = decode('{"msg":"a"}\nnot json\n\n{"msg":"b"}\n[1]\n{"msg":"cut', "application/x-ndjson")
    assert lines.select("position", "body").rows() == [(0, "a"), (3, "b")]
    assert rejected == (
        Rejected(line=2, detail="not valid JSON: invalid character (byte 4)", raw=b"not json"),
        Rejected(line=5, detail="not an object but an array", raw=b"[1]"),
        Rejected(line=6, detail="not valid JSON: it ends too early", raw=b'{"msg":"cut'),
    )


def test_two_objects_on_a_line_and_one_on_two_lines_are_poison() -> None:
    lines, rejected = decode('{"msg":"a"}{"msg":"b"}\n{"msg":\n"c"}\n{"msg":"d"}', format="ndjson")
    assert lines["body"].to_list() == ["d"]
    assert [line.line for line in rejected] == [1, 2, 3]


def test_a_named_time_that_cannot_be_read_refuses_the_line() -> None:
    lines, rejected = decode(
        '{"at":1700000000,"msg":"a"}\n{"at":"soon","msg":"b"}\n{"msg":"c"}\n{"at":"2024-01-02T00:00:00Z"}',
        time_field="at",
    )
    assert lines["position"].to_list() == [0, 3]
    assert lines["time"].null_count() == 0
    assert [(line.line, line.detail) for line in rejected] == [
        (2, "field 'at': \"soon\" is no time"),
        (3, "field 'at': missing"),
    ]
    assert json.loads(rejected[0].raw) == {"at": "soon", "msg": "b"}


def test_a_time_by_convention_that_cannot_be_read_stays_an_attribute() -> None:
    lines, rejected = decode('{"time":"12 ms","msg":"a"}\n{"time":"12 ms","timestamp":1700000000,"msg":"b"}')
    assert rejected == ()
    assert lines["time"].is_null().to_list() == [True, False]
    assert lines["attributes"].to_list() == ['{"time":"12 ms"}', '{"time":"12 ms"}']


def test_named_fields_win_over_convention_and_may_be_nested() -> None:
    lines, _ = decode(
        '{"msg":"not this","event":{"text":"this","when":1700000000,"x":1}}',
        message_field="event.text",
        time_field="event.when",
    )
    assert lines["body"].to_list() == ["this"]
    assert lines["time"].to_list() == [datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)]
    assert lines["attributes"].to_list() == ['{"msg":"not this","event":{"x":1}}']


def test_a_named_message_of_any_kind_is_written_as_json() -> None:
    assert bodies('{"m":{"a":1}}\n{"m":5}\n{"m":"text"}\n{"x":1}', message_field="m") == [
        '{"a":1}',
        "5",
        "text",
        '{"x":1}',
    ]


def test_an_event_without_a_message_is_its_own_json_and_keeps_its_fields() -> None:
    lines, _ = decode('{ "user" : "eve", "amount" : 10, "time": 1700000000 }')
    (row,) = lines.to_dicts()
    assert row["body"] == '{"user":"eve","amount":10,"time":1700000000}'
    assert row["attributes"] == '{"user":"eve","amount":10}'


@pytest.mark.parametrize("body", [b"", b"\n", b" \r\n\t\n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("form", ["auto", "ndjson", "json", "csv", "text"])
def test_an_empty_body_is_refused(body: bytes, form: str) -> None:
    with pytest.raises(InputError, match="empty"):
        decode(body, format=form)


def test_bytes_that_are_no_utf8_are_replaced_and_the_line_is_kept() -> None:
    assert bodies(b"caf\xe9 \xff\nnext") == ["caf\ufffd \ufffd", "next"]
    assert bodies(b'{"msg":"caf\xe9"}\n{"msg":"next"}') == ["caf\ufffd", "next"]


def test_nul_never_reaches_a_database() -> None:
    assert bodies(b"a\x00b\nc") == ["a\ufffdb", "c"]
    lines, rejected = decode(rb'{"msg":"a\u0000b","k\u0000":["\u0000",{"x":"\\u0000"}],"trace_id":"t\u0000"}')
    assert rejected == ()
    (row,) = lines.to_dicts()
    assert row["body"] == "a\ufffdb"
    assert row["trace_id"] == "t\ufffd"
    assert json.loads(row["attributes"]) == {"k\ufffd": ["\ufffd", {"x": "\\u0000"}]}
    assert "\0" not in bodies(rb'{"x":"\u0000"}')[0]


def test_half_a_surrogate_pair_is_poison_and_not_a_crash() -> None:
    lines, rejected = decode(rb'{"msg":"\ud800"}' + b'\n{"msg":"ok"}')
    assert lines["body"].to_list() == ["ok"]
    assert len(rejected) == 1


def test_a_line_of_fifty_megabytes_is_set_aside_and_only_its_beginning_kept() -> None:
    for start in (b"x", b'{"msg":"'):
        lines, rejected = decode(b"before\n" + start + b"x" * 50_000_000 + b"\nafter", format="text")
        assert lines["position"].to_list() == [0, 2]
        assert [(line.line, line.detail) for line in rejected] == [(2, "longer than 1048576 bytes")]
        assert len(rejected[0].raw) == LIMITS.rejected_bytes_max


def test_a_line_is_measured_in_bytes() -> None:
    limits = Limits(line_bytes_max=10)
    assert decode("é" * 5, limits=limits)[0].height == 1
    assert decode("é" * 6 + "\nx", limits=limits)[1][0].line == 1


def test_a_million_field_names_in_one_event_are_set_aside() -> None:
    wide = "{" + ",".join(f'"f{number}":1' for number in range(10_000)) + "}"
    for body in (wide, f'{{"msg":"x","nested":[{wide}]}}'):
        lines, rejected = decode(body + '\n{"msg":"ok"}', format="ndjson")
        assert lines["body"].to_list() == ["ok"]
        assert rejected[0].detail == "more than 4096 fields"
        _, rejected = decode(f'[{body},{{"msg":"ok"}}]')
        assert rejected[0].detail == "more than 4096 fields"


def test_a_field_name_of_its_own_for_every_event_is_taken_in_time_that_grows_with_the_lines() -> None:
    body = "\n".join(f'{{"key{number}":{number},"msg":"x"}}' for number in range(50_000))
    begin = time.process_time()
    assert decode(body)[0].height == 50_000
    assert time.process_time() - begin < 20


@pytest.mark.parametrize("depth", [65, 500, 100_000])
def test_json_nested_too_deep_is_set_aside(depth: int) -> None:
    poison = '{"a":' + "[" * depth + "]" * depth + "}"
    lines, rejected = decode(poison + '\n{"msg":"ok"}', format="ndjson")
    assert lines["body"].to_list() == ["ok"]
    assert "nested" in rejected[0].detail
    if depth < 500:
        assert decode(f"[{poison}]")[1][0].detail == "nested deeper than 64"


def test_json_nested_as_deep_as_allowed_is_kept() -> None:
    body = '{"a":' + "[" * 63 + "]" * 63 + "}"
    assert bodies(body + "\n" + body) == [body, body]


def test_a_hundred_thousand_brackets_are_one_clear_error() -> None:
    with pytest.raises(InputError, match="nested too deep"):
        decode("[" * 100_000, format="json")


def test_more_lines_than_allowed_refuse_the_body_before_anything_is_made_of_them() -> None:
    limits = Limits(lines_max=3)
    assert decode("1\n2\n3", limits=limits)[0].height == 3
    for form in ("text", "ndjson", "csv"):
        with pytest.raises(TooLargeError, match="line 4: more than 3 lines"):
            decode("1\n2\n3\n4", limits=limits, format=form)
    with pytest.raises(TooLargeError, match="more than 3 elements"):
        decode("[{},{},{},{}]", limits=limits, format="json")


def test_clocks_of_1970_and_2100_are_taken_as_they_are() -> None:
    lines, _ = decode('{"ts":"1970-01-01T00:00:00Z","msg":"a"}\n{"ts":4102444800,"msg":"b"}\n{"ts":0,"msg":"c"}')
    assert [moment.year for moment in lines["time"]] == [1970, 2100, 1970]


def test_numbers_out_of_range_are_poison() -> None:
    assert decode('{"n":1e999}\n{"n":1}')[1][0].line == 1


def test_events_keep_their_order_whatever_their_shape() -> None:
    body = "\n".join(
        json.dumps({"msg": str(n), **({"a": n} if n % 2 else {"b": n, "level": "info"})}) for n in range(50)
    )
    lines, _ = decode(body)
    assert lines["body"].to_list() == [str(number) for number in range(50)]
    assert [json.loads(text) for text in lines["attributes"]] == [{"a": n} if n % 2 else {"b": n} for n in range(50)]
