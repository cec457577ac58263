from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from ingest.batch import Part
from ingest.limits import Limits
from ingest.otlp import Form, decode_otlp
from ingest.otlp_wire import Signal
from tests.otlp import GOOD, SPAN, TRACE, any_value, attributes, request
from tocsin.record import LINES

LIMITS = Limits()
T = 1_795_000_000_000_000_000
AT = datetime.fromtimestamp(T // 10**9, UTC)


def decode(body: bytes, signal: Signal = Signal.LOGS, form: Form = "json", limits: Limits = LIMITS) -> list[Part]:
    parts = list(decode_otlp(body, signal, form=form, limits=limits))
    assert all(dict(part.lines.schema) == LINES for part in parts)
    return parts


def one(signal: Signal, record: Any, **of: Any) -> dict[str, Any]:
    """The line of a record, with its attributes as an object."""
    (part,) = decode(request(signal, record, **of), signal)
    assert part.rejected == ()
    (row,) = part.lines.to_dicts()
    return row | {"attributes": json.loads(row["attributes"]), "stream": part.stream}


def log(**record: Any) -> dict[str, Any]:
    return one(Signal.LOGS, record)


def test_a_log_record_becomes_a_line() -> None:
    record = {
        "timeUnixNano": str(T),
        "observedTimeUnixNano": T + 5,
        "severityNumber": 9,
        "severityText": "INFO",
        "body": {"stringValue": "user u1 signed in"},
        "attributes": attributes(user_id="u1", n=3, ok=True, ratio=0.5, tags=["a", 1], nested={"k": {"x": 1}}),
        "droppedAttributesCount": 0,
        "flags": 1,
        "traceId": TRACE.upper(),
        "spanId": SPAN,
    }
    line = one(
        Signal.LOGS,
        record,
        resource={"attributes": attributes(service_name="shop", host_name="web-1")},
        scope={"name": "app", "version": "1", "attributes": attributes(part="x")},
    )
    assert line == {
        "stream": "shop",
        "position": 0,
        "time": AT,
        "severity_number": 9,
        "body": "user u1 signed in",
        "trace_id": TRACE,
        "span_id": SPAN,
        "identity": None,
        "attributes": {
            "service.name": "shop",
            "host.name": "web-1",
            "part": "x",
            "otel.scope.name": "app",
            "otel.scope.version": "1",
            "user.id": "u1",
            "n": 3,
            "ok": True,
            "ratio": 0.5,
            "tags": ["a", 1],
            "nested": {"k": {"x": 1}},
        },
    }


@pytest.mark.parametrize(
    ("record", "time"),
    [
        ({"observedTimeUnixNano": T}, AT),
        ({"timeUnixNano": "0", "observedTimeUnixNano": str(T)}, AT),
        ({}, None),
        ({"timeUnixNano": None}, None),
    ],
)
def test_the_observed_time_stands_in_for_a_missing_one(record: dict[str, Any], time: datetime | None) -> None:
    assert log(**record)["time"] == time


def test_a_time_that_no_clock_shows_is_none() -> None:
    body = ExportLogsServiceRequest()
    body.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=2**64 - 1)
    assert decode(body.SerializeToString(), form="protobuf")[0].lines["time"].to_list() == [None]


@pytest.mark.parametrize(
    ("number", "text", "severity", "kept"),
    [
        (9, "INFO", 9, None),
        (9, "Information", 9, None),
        (13, "NOTABLE", 13, "NOTABLE"),
        (0, "warning", 13, None),
        (0, "odd", None, "odd"),
        (0, "", None, None),
        (99, "", None, None),
        (-1, "error", 17, None),
    ],
)
def test_the_severity_is_a_number_and_a_text_is_kept_where_it_says_more(
    number: int, text: str, severity: int | None, kept: str | None
) -> None:
    line = log(severityNumber=number, severityText=text)
    assert (line["severity_number"], line["attributes"].get("severity_text")) == (severity, kept)


@pytest.mark.parametrize(
    ("record", "body"),
    [
        ({"body": any_value({"msg": "hi", "n": [1, 2]})}, '{"msg":"hi","n":[1,2]}'),
        ({"body": any_value(7)}, "7"),
        ({"body": any_value(False)}, "false"),
        ({"body": {"bytesValue": base64.b64encode(b"raw \xff").decode()}}, "raw �"),
        ({"body": any_value("a\0b")}, "a�b"),
        ({"eventName": "order.placed"}, "order.placed"),
        ({"body": any_value(""), "attributes": attributes(order_id="o1")}, '{"order.id":"o1"}'),
        ({"body": {}}, "{}"),
    ],
)
def test_every_body_is_text(record: dict[str, Any], body: str) -> None:
    assert log(**record)["body"] == body


def test_an_own_attribute_wins_over_that_of_the_resource() -> None:
    line = one(
        Signal.LOGS,
        {"attributes": attributes(host_name="inner", nul="a\0")},
        resource={"attributes": attributes(host_name="outer", a="b")},
    )
    assert line["attributes"] == {"host.name": "inner", "a": "b", "nul": "a�"}


@pytest.mark.parametrize(
    ("service", "stream"),
    [("a b/c", "a-b-c"), ("", "otlp"), ("--", "otlp"), ("x" * 300, "x" * 122 + ".spans"), (7, "otlp")],
)
def test_the_stream_is_the_name_of_the_service(service: Any, stream: str) -> None:
    resource = {"attributes": attributes(service_name=service)}
    line = one(Signal.SPANS, GOOD[Signal.SPANS], resource=resource)
    assert line["stream"] == stream.removesuffix(".spans") + ".spans"


def test_resources_of_one_service_are_one_part_and_places_count_through() -> None:
    document: dict[str, Any] = {"resourceLogs": []}
    for name in ("a", "b", "a"):
        group = json.loads(
            request(Signal.LOGS, GOOD[Signal.LOGS], {}, resource={"attributes": attributes(service_name=name)})
        )
        document["resourceLogs"] += group["resourceLogs"]
    first, second = decode(json.dumps(document).encode())
    assert (first.stream, first.lines["position"].to_list()) == ("a", [0, 1, 4, 5])
    assert (second.stream, second.lines["position"].to_list()) == ("b", [2, 3])


def test_a_span_becomes_a_line() -> None:
    span = {
        "traceId": TRACE,
        "spanId": SPAN,
        "parentSpanId": SPAN[::-1],
        "name": "GET /cart",
        "kind": 2,
        "startTimeUnixNano": str(T),
        "endTimeUnixNano": str(T + 12_500_000),
        "attributes": attributes(http_route="/cart"),
        "events": [{"name": "exception", "timeUnixNano": str(T), "attributes": attributes(exception_type="IOError")}],
        "links": [{"traceId": TRACE, "spanId": SPAN}],
        "status": {"code": 2, "message": "no stock"},
    }
    line = one(Signal.SPANS, span, resource={"attributes": attributes(service_name="shop")})
    assert line == {
        "stream": "shop.spans",
        "position": 0,
        "time": AT,
        "severity_number": 17,
        "body": "GET /cart server error: no stock",
        "trace_id": TRACE,
        "span_id": SPAN,
        "identity": TRACE + SPAN,
        "attributes": {
            "service.name": "shop",
            "http.route": "/cart",
            "span.name": "GET /cart",
            "span.kind": "server",
            "parent_span_id": SPAN[::-1],
            "status": "error",
            "status_message": "no stock",
            "events": [{"exception.type": "IOError", "name": "exception", "time_unix_nano": T}],
            "links": [{"trace_id": TRACE, "span_id": SPAN}],
            "duration_ms": 12.5,
        },
    }


def test_a_span_that_did_not_fail_has_no_severity() -> None:
    line = one(Signal.SPANS, GOOD[Signal.SPANS] | {"name": "work", "kind": 77, "status": {"code": 1}})
    assert (line["body"], line["severity_number"], line["attributes"]["status"]) == ("work", None, "ok")
    assert "duration_ms" not in line["attributes"]


def metric(**data: Any) -> list[dict[str, Any]]:
    (part,) = decode(
        request(
            Signal.METRICS,
            {"name": "m", "unit": "s"} | data,
            resource={"attributes": attributes(service_name="shop")},
        ),
        Signal.METRICS,
    )
    assert part.stream == "shop.metrics"
    assert part.rejected == ()
    fixed = {"service.name": "shop", "metric.name": "m", "metric.unit": "s"}
    rows = part.lines.to_dicts()
    for row in rows:
        told = json.loads(row["attributes"])
        assert fixed.items() <= told.items()
        row["attributes"] = {key: value for key, value in told.items() if key not in fixed}
    return rows


def test_numbers_keep_their_kind_and_their_labels() -> None:
    first, second = metric(
        gauge={
            "dataPoints": [
                {"timeUnixNano": str(T), "asDouble": 0.5, "attributes": attributes(cpu="0", value="a label")},
                {"timeUnixNano": str(T), "asInt": "-3"},
            ]
        }
    )
    assert (first["body"], first["time"]) == ("m 0.5", AT)
    assert first["attributes"] == {"cpu": "0", "metric.kind": "gauge", "value": 0.5}
    assert (second["body"], second["attributes"]) == ("m -3", {"metric.kind": "gauge", "value": -3})


@pytest.mark.parametrize(("number", "name"), [(1, "delta"), (2, "cumulative"), (0, None)])
def test_a_sum_says_how_it_was_added_up(number: int, name: str | None) -> None:
    (line,) = metric(sum={"aggregationTemporality": number, "isMonotonic": True, "dataPoints": [{"asInt": 4}]})
    told = {"metric.kind": "sum", "metric.monotonic": True, "value": 4}
    assert line["attributes"] == told | ({"metric.temporality": name} if name else {})


def test_a_gap_is_left_out() -> None:
    lines = metric(gauge={"dataPoints": [{"flags": 1}, {"asInt": 0}]})
    assert [line["body"] for line in lines] == ["m 0"]


@pytest.mark.parametrize("kind", ["histogram", "exponentialHistogram"])
def test_a_histogram_is_its_mean_count_and_extremes(kind: str) -> None:
    points = [{"count": "4", "sum": 10, "min": 1, "max": 5.5}, {"count": 3}, {"count": 0, "sum": 0}]
    full, bare, empty = metric(**{kind: {"aggregationTemporality": 1, "dataPoints": points}})
    told = full["attributes"]
    assert (full["body"], told["count"], told["sum"], told["min"], told["max"]) == ("m 2.5", 4, 10.0, 1.0, 5.5)
    assert told["metric.temporality"] == "delta"
    assert bare["body"] == "m 3"
    assert "sum" not in bare["attributes"]
    assert empty["body"] == "m 0"


def test_a_summary_keeps_its_quantiles() -> None:
    values = [{"quantile": 0.5, "value": 1.5}, {"quantile": 0.99, "value": "NaN"}]
    (line,) = metric(summary={"dataPoints": [{"count": 2, "sum": 3, "quantileValues": values}]})
    told = line["attributes"]
    assert (line["body"], told["quantile.0.5"], told["quantile.0.99"]) == ("m 1.5", 1.5, None)


def test_a_value_that_is_no_number_is_null() -> None:
    (line,) = metric(gauge={"dataPoints": [{"asDouble": "NaN"}]})
    assert (line["body"], line["attributes"]["value"]) == ("m nan", None)
