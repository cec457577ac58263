from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.batch import Part
from ingest.limits import Limits
from ingest.splunk import EventError, Origin, decode_events, decode_raw
from tocsin.errors import InputError, TooLargeError
from tocsin.record import LINES

NOBODY = Origin()


def parts(body: str, origin: Origin = NOBODY, limits: Limits | None = None) -> tuple[Part, ...]:
    return decode_events(body.encode(), origin, limits or Limits())


def only(body: str, origin: Origin = NOBODY, limits: Limits | None = None) -> Part:
    (part,) = parts(body, origin, limits)
    assert dict(part.lines.schema) == LINES
    return part


def test_an_event_is_a_line() -> None:
    event = {
        "time": 1795600800.123,
        "host": "web-1",
        "source": "/var/log/shop.log",
        "sourcetype": "shop:access",
        "index": "main",
        "fields": {"user": "eve", "level": "error"},
        "event": "paid",
    }
    part = only(json.dumps(event))
    assert part.stream == "shop:access"
    (row,) = part.lines.with_columns(pl.col("time").dt.to_string("iso")).to_dicts()
    assert row["time"].startswith("2026-11-25 10:00:00.123")
    assert (row["body"], row["severity_number"], row["identity"]) == ("paid", 17, None)
    assert json.loads(row["attributes"]) == {"user": "eve", "host.name": "web-1", "source": "/var/log/shop.log"}


def test_an_object_is_read_by_its_own_fields_and_the_time_of_the_envelope_counts() -> None:
    part = only(
        '{"time":"1795600800","event":{"message":"paid","level":"warn","timestamp":1,"host.name":"own"},"host":"h"}'
    )
    (row,) = part.lines.with_columns(pl.col("time").dt.to_string("iso")).to_dicts()
    assert (row["body"], row["severity_number"], row["time"][:10]) == ("paid", 13, "2026-11-25")
    assert json.loads(row["attributes"]) == {"host.name": "own"}


def test_an_object_that_was_logged_is_read_by_its_own_fields_too() -> None:
    part = only('{"event":{"message":{"msg":"paid","user":"eve"},"severity":"warn"}}')
    (row,) = part.lines.to_dicts()
    assert (row["body"], row["severity_number"], json.loads(row["attributes"])) == ("paid", 13, {"user": "eve"})


@pytest.mark.parametrize("between", ["", "\n", "\r\n", " ", "\n\n"])
def test_events_follow_one_another_with_anything_or_nothing_between_them(between: str) -> None:
    part = only(between.join(f'{{"event":"line {n} }}{{","n":{{}}}}' for n in range(5)) + between)
    assert part.lines["body"].to_list() == [f"line {n} }}{{" for n in range(5)]
    assert part.lines["position"].to_list() == list(range(5))


def test_one_event_may_be_written_over_several_lines() -> None:
    assert only('{\n "event": "one"\n}\n{\n "event": "two"\n}').lines["body"].to_list() == ["one", "two"]


@pytest.mark.parametrize(
    ("said", "stream"),
    [
        ({"sourcetype": "nginx", "index": "web"}, "nginx"),
        ({"sourcetype": "_json", "index": "web"}, "web"),
        ({"sourcetype": "text", "index": "main"}, "splunk"),
        ({"index": "a b"}, "a-b"),
        ({"sourcetype": 7}, "splunk"),
        ({}, "splunk"),
    ],
)
def test_the_stream_is_what_says_most(said: dict[str, object], stream: str) -> None:
    assert only(json.dumps({"event": "x", **said})).stream == stream


def test_what_an_event_does_not_say_the_query_does() -> None:
    origin = Origin(host="h", source="s", sourcetype="nginx", index="i")
    found = {part.stream: part for part in parts('{"event":"x"}{"event":"y","sourcetype":"own","host":"o"}', origin)}
    assert json.loads(found["nginx"].lines["attributes"][0]) == {"host.name": "h", "source": "s"}
    assert json.loads(found["own"].lines["attributes"][0]) == {"host.name": "o", "source": "s"}


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ("{}", 12),
        ('{"event":null}', 13),
        ('{"event":""}', 13),
        ('{"event":" "}', 13),
        ('{"event":{}}', 13),
        ("5", 6),
        ('{"event":', 6),
        ("nonsense", 6),
        ('{"event":"' + "x" * 200 + '"}', 6),
        ('{"event":' + '{"a":' * 5 + "1" + "}" * 6, 6),
    ],
)
def test_what_is_no_event_is_a_dead_letter_unless_nothing_is(bad: str, code: int) -> None:
    limits = Limits(line_bytes_max=100, json_depth_max=4)
    part = only(f'{{"event":"one"}}\n{bad}\n{{"event":"two"}}', limits=limits)
    assert part.lines["body"].to_list() == ["one", "two"]
    assert part.lines["position"].to_list() == [0, 2]
    assert [line.line for line in part.rejected] == [2]
    with pytest.raises(EventError) as refused:
        parts(bad, limits=limits)
    assert (refused.value.code, refused.value.number) == (code, 0)


@pytest.mark.parametrize("body", ["", " \n"])
def test_an_empty_body_is_no_data(body: str) -> None:
    for decode in (decode_events, decode_raw):
        with pytest.raises(EventError) as refused:
            decode(body.encode(), NOBODY, Limits())
        assert refused.value.code == 5


def test_a_body_of_too_many_events_or_streams_is_refused() -> None:
    with pytest.raises(TooLargeError):
        parts('{"event":1}' * 5, limits=Limits(lines_max=4))
    with pytest.raises(TooLargeError):
        parts("".join(f'{{"event":1,"index":"i{n}"}}' for n in range(5)), limits=Limits(streams_max=4))
    with pytest.raises(InputError, match="1000"):
        parts('{"a":[1,\n' * 2000)


def test_raw_lines_are_lines() -> None:
    (part,) = decode_raw(b"one\r\n\ntwo\n", Origin(sourcetype="nginx", host="web-1"), Limits())
    assert (part.stream, part.lines["body"].to_list()) == ("nginx", ["one", "two"])
    assert part.lines["position"].to_list() == [0, 2]
    assert json.loads(part.lines["attributes"][1]) == {"host.name": "web-1"}


_TEXTS = st.one_of(
    st.sampled_from(
        [
            '{"event":"x"}',
            '{"event":{"a":1}}',
            '{"event":',
            "{",
            "}",
            "[",
            '"',
            "\n",
            "\0",
            "1",
            '{"time":"x","event":1}',
        ]
    ),
    st.text(max_size=10),
)


@given(st.one_of(st.binary(max_size=200), st.lists(_TEXTS, max_size=10).map(lambda texts: "".join(texts).encode())))
def test_no_bytes_break_it(body: bytes) -> None:
    for decode in (decode_events, decode_raw):
        try:
            found = decode(body, NOBODY, Limits())
        except InputError:
            continue
        assert sum(part.lines.height + len(part.rejected) for part in found)
