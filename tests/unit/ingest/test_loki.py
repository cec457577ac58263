from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.batch import Part
from ingest.limits import Limits
from ingest.loki import decode_loki
from ingest.messages import LokiPush
from tocsin.errors import InputError, TooLargeError
from tocsin.record import LINES

LIMITS = Limits()
NS = 1_764_064_800_000_000_001
WHEN = datetime(2025, 11, 25, 10, tzinfo=UTC)


def values(*lines: Any, labels: Any = None) -> bytes:
    return json.dumps({"streams": [{"stream": labels or {"app": "shop"}, "values": list(lines)}]}).encode()


def message(labels: str, *lines: tuple[int, bytes], **metadata: str) -> bytes:
    push = LokiPush()
    stream = push.streams.add(labels=labels.encode())
    for time_ns, line in lines:
        entry = stream.entries.add(line=line)
        entry.timestamp.seconds, entry.timestamp.nanos = divmod(time_ns, 10**9)
        for name, value in metadata.items():
            entry.structuredMetadata.add(name=name.encode(), value=value.encode())
    content = push.SerializeToString()
    assert isinstance(content, bytes)
    return content


def of_json(body: bytes, limits: Limits = LIMITS) -> tuple[Part, ...]:
    return decode_loki(body, is_json=True, limits=limits)


def of_message(body: bytes, limits: Limits = LIMITS) -> tuple[Part, ...]:
    return decode_loki(body, is_json=False, limits=limits)


def attributes(part: Part) -> list[Any]:
    return [json.loads(text) if text else None for text in part.lines["attributes"]]


def test_json_and_protobuf_say_the_same() -> None:
    meta = {"trace_id": "0af7651916cd43dd8448eb211c80319c", "pod": "web-1"}
    first = of_json(values([str(NS), "disk full", meta], labels={"app": "shop", "level": "error"}))
    second = of_message(message('{app="shop", level="error"}', (NS, b"disk full"), **meta))
    assert first[0].lines.equals(second[0].lines)
    (part,) = second
    assert dict(part.lines.schema) == LINES
    assert part.stream == "shop"
    assert part.lines.row(0, named=True) == {
        "position": 0,
        "time": WHEN,
        "severity_number": 17,
        "body": "disk full",
        "attributes": '{"app":"shop","level":"error","pod":"web-1"}',
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": None,
        "identity": None,
    }
    assert part.lines["time"].to_physical().to_list() == [NS]


@pytest.mark.parametrize(
    ("labels", "stream"),
    [
        ({"service_name": "pay", "app": "shop", "job": "x"}, "pay"),
        ({"app": "shop", "job": "x"}, "shop"),
        ({"application": "my-app", "logger": "a"}, "my-app"),
        ({"job": "ns/web", "container": "c"}, "ns-web"),
        ({"container": "c", "filename": "/var/log/syslog"}, "c"),
        ({"filename": "/var/log/syslog"}, "var-log-syslog"),
        ({"level": "info"}, "loki"),
        ({"app": "///"}, "loki"),
    ],
)
def test_the_stream_is_named_by_the_most_telling_label(labels: dict[str, str], stream: str) -> None:
    assert [part.stream for part in of_json(values([str(NS), "x"], labels=labels))] == [stream]


def test_label_sets_of_one_stream_come_together_in_their_order_whatever_their_times() -> None:
    streams = [
        {"stream": {"app": "a", "level": "info"}, "values": [[str(NS + 5), "one"], [str(NS), "two"]]},
        {"stream": {"app": "b"}, "values": [[str(NS), "other"]]},
        {"stream": {"app": "a", "level": "warn"}, "values": [[str(NS - 5), "three"]]},
    ]
    first, second = of_json(json.dumps({"streams": streams}).encode())
    assert first.lines["body"].to_list() == ["one", "two", "three"]
    assert first.lines["position"].to_list() == [0, 1, 2]
    assert first.lines["severity_number"].to_list() == [9, 9, 13]
    assert second.lines["body"].to_list() == ["other"]


def test_the_form_before_loki_0_4_is_read() -> None:
    entries = [{"ts": "2025-11-25T10:00:00.000001Z", "line": "old"}]
    (part,) = of_json(json.dumps({"streams": [{"labels": '{app="shop"}', "entries": entries}]}).encode())
    assert part.lines["time"].to_physical().to_list() == [NS // 1000 * 1000 + 1000]
    assert (part.stream, part.lines["body"].to_list()) == ("shop", ["old"])


@pytest.mark.parametrize(
    ("sent", "time"),
    [(str(NS), WHEN), (NS, WHEN), ("1764064800", WHEN), ("2025-11-25T10:00:00Z", WHEN), ("0", None)],
)
def test_times_are_nanoseconds_and_others_are_told_by_their_size(sent: object, time: datetime | None) -> None:
    (part,) = of_json(values([sent, "x"]))
    assert part.lines["time"].to_list() == [time]


def test_metadata_named_as_a_label_is_kept_beside_it() -> None:
    (part,) = of_json(values([str(NS), "x", {"app": "other"}]))
    assert attributes(part) == [{"app": "shop", "app_extracted": "other"}]


def test_numbers_and_nulls_among_labels_are_written_out() -> None:
    (part,) = of_json(values([str(NS), "x", {"n": 5, "ok": True, "none": None}], labels={"app": "shop", "port": 80}))
    assert attributes(part) == [{"app": "shop", "port": "80", "n": "5", "ok": "true"}]


def test_a_poison_line_is_named_and_the_others_keep_their_places() -> None:
    (part,) = of_json(
        values(
            [str(NS), "one"], ["soon", "two"], [str(NS)], "three", [str(NS), 4], [str(NS), "x", []], [str(NS), "six"]
        )
    )
    assert part.lines["body"].to_list() == ["one", "x", "six"]
    assert part.lines["position"].to_list() == [0, 5, 6]
    assert [(line.line, line.raw) for line in part.rejected] == [
        (2, b"two"),
        (3, f'["{NS}"]'.encode()),
        (4, b"[]"),
        (5, f'["{NS}",4]'.encode()),
    ]


def test_lines_whose_labels_cannot_be_read_are_dead_letters() -> None:
    push = LokiPush.FromString(message("{app=", (NS, b"lost")) + message('{app="shop"}', (NS, b"found")))
    bad, good = of_message(push.SerializeToString())
    assert (bad.stream, bad.lines.height) == ("loki", 0)
    assert [(line.line, line.raw) for line in bad.rejected] == [(1, b"lost")]
    assert "labels, position" in bad.rejected[0].detail
    assert good.lines["body"].to_list() == ["found"]


def test_letters_that_are_not_utf_8_cost_nothing_but_themselves() -> None:
    (part,) = of_message(message('{app="shop"}', (NS, b"caf\xe9 \0")))
    assert part.lines["body"].to_list() == ["caf\ufffd \ufffd"]


@pytest.mark.parametrize("time_ns", [2**64, -(2**64), 2**70])
def test_a_time_that_cannot_be_kept_is_refused_alone(time_ns: int) -> None:
    push = LokiPush()
    stream = push.streams.add(labels=b"{}")
    entry = stream.entries.add(line=b"x")
    entry.timestamp.seconds = max(-(2**63), min(2**63 - 1, time_ns // 10**9))
    stream.entries.add(line=b"y").timestamp.seconds = 5
    (part,) = of_message(push.SerializeToString())
    assert part.lines["body"].to_list() == ["y"]
    assert len(part.rejected) == 1
    assert of_json(values([str(time_ns), "x"]))[0].lines.height == 0


def test_limits_hold() -> None:
    body = values(*[[str(NS), "x" * n] for n in (5, 20, 6)])
    (part,) = of_json(body, replace(LIMITS, line_bytes_max=10))
    assert (part.lines["position"].to_list(), [line.line for line in part.rejected]) == ([0, 2], [2])
    with pytest.raises(TooLargeError, match="lines"):
        of_json(body, replace(LIMITS, lines_max=2))
    (part,) = of_json(values([str(NS), "x", {"a": "1", "b": "2"}], [str(NS), "y"]), replace(LIMITS, fields_max=2))
    assert part.lines["body"].to_list() == ["y"]
    streams = [{"stream": {"app": f"a{n}"}, "values": [[str(NS), "x"]]} for n in range(3)]
    with pytest.raises(TooLargeError, match="streams"):
        of_json(json.dumps({"streams": streams}).encode(), replace(LIMITS, streams_max=2))
    with pytest.raises(TooLargeError, match="label sets"):
        of_message(b"\x0a\x00" * 3, replace(LIMITS, lines_max=2))
    with pytest.raises(TooLargeError, match="protobuf"):
        of_message(message("{}", (NS, b"x" * 100)), replace(LIMITS, message_bytes_max=50))


@pytest.mark.parametrize("body", [b'{"streams": []}', b'{"streams": [{"stream": {}, "values": []}]}'])
def test_a_push_of_nothing_is_no_error(body: bytes) -> None:
    assert sum(part.lines.height for part in of_json(body)) == 0
    assert of_message(b"") == ()


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "JSON"),
        (b"[]", "streams"),
        (b"{}", "streams"),
        (b'{"streams": 5}', "streams"),
        (b'{"streams": [5]}', r"streams\[0\]"),
        (b'{"streams": [{"stream": {}, "values": 5}]}', r"streams\[0\].values"),
        (b'{"streams": [{"labels": "{}", "entries": 5}]}', r"streams\[0\].entries"),
        (b'{"streams":' + b"[" * 100_000, "JSON"),
    ],
)
def test_what_is_no_push_is_refused_whole(body: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says):
        of_json(body)


def test_bytes_that_are_no_message_are_refused_whole() -> None:
    with pytest.raises(InputError, match="PushRequest"):
        of_message(b"\x0a\xff")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
STREAM = st.fixed_dictionaries({}, optional=dict.fromkeys(("stream", "values", "labels", "entries"), JSON))


@given(st.lists(STREAM | JSON, max_size=3))
def test_no_json_crashes_the_decoder(streams: list[Any]) -> None:
    body = json.dumps({"streams": streams}).encode()
    try:
        parts = of_json(body)
    except InputError:
        return
    assert all(dict(part.lines.schema) == LINES for part in parts)


ROW = st.lists(st.just(str(NS)) | st.integers() | st.text() | JSON, max_size=4)


@given(st.lists(ROW, max_size=6), st.dictionaries(st.text(), JSON, max_size=4))
def test_every_value_is_a_line_or_a_dead_letter(rows: list[list[Any]], labels: dict[str, Any]) -> None:
    body = json.dumps({"streams": [{"stream": labels, "values": rows}]}).encode()
    try:
        parts = of_json(body)
    except InputError:  # numbers that JSON does not have
        return
    assert sum(part.lines.height + len(part.rejected) for part in parts) == len(rows)
    for part in parts:
        places = [*part.lines["position"], *(line.line - 1 for line in part.rejected)]
        assert sorted(places) == list(range(len(places)))


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_decoder(body: bytes) -> None:
    for is_json in (False, True):
        with suppress(InputError):
            decode_loki(body, is_json=is_json, limits=LIMITS)


@given(st.data())
def test_no_damage_to_a_message_crashes_the_decoder(data: st.DataObject) -> None:
    body = bytearray(message('{app="shop", level="error"}', (NS, b"one"), (NS, b"two"), pod="web-1"))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(InputError):
        of_message(bytes(body))
