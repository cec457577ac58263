from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ingest.batch import Part
from ingest.limits import Limits
from ingest.otlp import Form, decode_otlp
from ingest.otlp_wire import Signal
from tests.otlp import GOOD, SPAN, TRACE, any_value, attributes, field, request
from tocsin.errors import InputError, TooLargeError

LIMITS = Limits()


def decode(body: bytes, signal: Signal = Signal.LOGS, form: Form = "json", limits: Limits = LIMITS) -> list[Part]:
    return list(decode_otlp(body, signal, form=form, limits=limits))


def refused(signal: Signal, record: Any, limits: Limits = LIMITS) -> str:
    """Why a record was refused; the one after it is taken."""
    (part,) = decode(request(signal, record, GOOD[signal]), signal, limits=limits)
    assert part.lines["position"].to_list() == [1]
    (rejected,) = part.rejected
    assert rejected.line == 1
    assert rejected.raw
    return rejected.detail


@pytest.mark.parametrize(
    ("signal", "record", "why"),
    [
        (Signal.LOGS, 7, "log record: Expected `object`, got `int`"),
        (Signal.LOGS, {"timeUnixNano": "noon"}, "log record: Expected `int | null`, got `str` - at `$.timeUnixNano`"),
        (Signal.LOGS, {"body": {"intValue": 2**63}}, "log record: Expected `int` <="),
        (Signal.LOGS, {"traceId": "xyz"}, "log record: an id that is not hexadecimal"),
        (Signal.LOGS, {"traceId": SPAN}, "log record: an id of 8 bytes where 16 are wanted"),
        (Signal.LOGS, {"body": {"bytesValue": "!"}}, "log record: bytesValue: not base64"),
        (Signal.LOGS, {"body": {"stringValue": "x" * 2**20}}, "longer than 1048576 bytes"),
        (Signal.LOGS, {"attributes": attributes(x="é" * 2**19)}, "longer than 1048576 bytes"),
        (Signal.SPANS, {"traceId": TRACE, "spanId": "0" * 16}, "span: trace id or span id: missing"),
        (Signal.SPANS, GOOD[Signal.SPANS] | {"links": [{"spanId": "00ff"}]}, "span: an id of 2 bytes where 8"),
        (Signal.METRICS, {"gauge": {"dataPoints": [{}]}}, "metric: a data point without a value"),
        (Signal.METRICS, {"gauge": []}, "metric: Expected `object | null`, got `array` - at `$.gauge`"),
    ],
)
def test_a_poison_record_is_refused_alone_and_says_why(signal: Signal, record: Any, why: str) -> None:
    assert refused(signal, record).startswith(why)


def test_too_many_fields_are_refused() -> None:
    few = replace(LIMITS, fields_max=3)
    assert "more than 3 fields" in refused(Signal.LOGS, {"attributes": attributes(a=1, b=2, c=3, d=4)}, few)
    assert "more than 3 fields" in refused(Signal.LOGS, {"attributes": attributes(a={"b": {"c": {"d": 1}}})}, few)
    assert "more than 3 fields" in refused(Signal.LOGS, {"body": any_value(dict.fromkeys("abcd", 1))}, few)


@pytest.mark.parametrize("depth", [65, 100, 5000])
@pytest.mark.parametrize("opening", ['{"arrayValue":{"values":[', '{"kvlistValue":{"values":[{"key":"k","value":'])
def test_a_value_nested_too_deep_is_refused_in_words(opening: str, depth: int) -> None:
    closing = "".join({"{": "}", "[": "]"}[character] for character in reversed(opening) if character in "{[")
    value = opening * depth + '{"intValue":1}' + closing * depth
    body = request(Signal.LOGS, {"body": "@"}, GOOD[Signal.LOGS]).replace(b'"@"', value.encode())
    if depth > 1000:  # not even the frame around it can be read
        with pytest.raises(InputError, match="body: nested too deep to be read"):
            decode(body)
        return
    (part,) = decode(body)
    assert "nested too deep" in part.rejected[0].detail
    assert part.lines.height == 1


@pytest.mark.parametrize("depth", [30, 64, 3000])
def test_a_value_nested_too_deep_in_protobuf_is_refused_in_words(depth: int) -> None:
    body = b"\x0a\x01x"
    for _ in range(depth):
        body = field(5, field(1, body))  # array_value, values
    body = field(1, field(2, field(2, field(5, body)) + field(2, field(5, b"\x0a\x01y"))))
    (part,) = decode(body, form="protobuf")
    assert part.lines["body"].to_list()[-1] == "y"
    if depth > 50:
        assert part.rejected[0].detail == "log record: nested too deep to be read"


def test_text_that_is_not_utf_8_spoils_one_record_of_protobuf() -> None:
    good = field(2, field(5, field(1, b"good")))
    bad = field(2, field(5, field(1, b"\xff\xfe")))
    (part,) = decode(field(1, field(2, bad + good)), form="protobuf")
    assert part.lines["body"].to_list() == ["good"]
    assert part.rejected[0].detail == "log record: not valid protobuf (String field had bad UTF-8)"
    assert b"\xff\xfe" in part.rejected[0].raw


@pytest.mark.parametrize(
    ("body", "form", "why"),
    [
        (b"", "json", "body: it is empty; a request without records is {}"),
        (b"[]", "json", "body: Expected `object`, got `array`"),
        (b'{"resourceLogs":[{"scopeLogs":[{"logRecords":{}}]}]}', "json", "body: Expected `array | null`"),
        (b'{"resourceLogs":', "json", "body: not valid JSON: it ends too early"),
        (b"\xff", "protobuf", "body: not valid protobuf (Wire format was corrupt)"),
        (b"\x0a\x03\x0a\x01\xff", "protobuf", "body, resource 1: not valid protobuf"),
        (b"\x0a\x05\x12\x03\x0a\x01\xff", "protobuf", "body, resource 1, its scope: not valid protobuf"),
    ],
)
def test_a_body_that_cannot_be_read_as_a_whole_is_refused_with_its_place(body: bytes, form: Form, why: str) -> None:
    with pytest.raises(InputError) as caught:
        decode(body, form=form)
    assert str(caught.value).startswith(why)


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"lines_max": 3}, "more than 3 resources, scopes or records"),
        ({"lines_max": 7}, "more than 7 resources, scopes or records"),
        ({"lines_max": 11}, "more than 11 resources, scopes or records"),
        ({"streams_max": 3}, "more than 3 streams"),
        ({"compressed_bytes_max": 300}, "larger than 300 bytes"),
    ],
)
def test_a_request_over_a_limit_is_refused_whole(limits: dict[str, int], says: str) -> None:
    document: dict[str, Any] = {"resourceLogs": []}
    for name in "abcd":
        group = json.loads(request(Signal.LOGS, {}, resource={"attributes": attributes(service_name=name)}))
        document["resourceLogs"] += group["resourceLogs"]
    with pytest.raises(TooLargeError, match=says):
        decode(json.dumps(document).encode(), limits=replace(LIMITS, **limits))


@pytest.mark.parametrize(
    "body",
    [
        field(1, b"") * 2000,
        field(1, field(2, b"") * 2000),
        field(1, field(2, field(2, b"") * 2000)),
    ],
)
def test_a_request_of_nothing_but_empty_messages_is_refused_before_they_are_read(body: bytes) -> None:
    with pytest.raises(TooLargeError, match="more than 1000 resources, scopes or records"):
        decode(body, form="protobuf", limits=replace(LIMITS, lines_max=1000))


def test_a_metric_too_large_to_be_read_is_refused_alone() -> None:
    body = field(
        1, field(2, field(2, field(5, field(1, b"") * 3000)) + field(2, field(5, field(1, b"\x31" + bytes(8)))))
    )
    (part,) = decode(body, Signal.METRICS, "protobuf", replace(LIMITS, line_bytes_max=500))
    assert part.lines["body"].to_list() == [" 0"]
    assert part.rejected[0].detail == "metric: longer than 4000 bytes"


def test_a_large_resource_on_very_many_records_is_refused() -> None:
    body = request(Signal.LOGS, *[{}] * 1000, resource={"attributes": attributes(x="y" * 10_000)})
    with pytest.raises(TooLargeError, match="once every line carries its resource"):
        decode(body, limits=replace(LIMITS, compressed_bytes_max=100_000))
