"""OTLP requests made up by chance: both forms say the same, and no bytes do more than be refused."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ingest.batch import Part
from ingest.limits import Limits
from ingest.otlp import Form, decode_otlp
from ingest.otlp_wire import Signal
from tests.otlp import GOOD, LISTS, attributes, field, request
from tocsin.errors import InputError

FORMS: tuple[Form, ...] = ("protobuf", "json")
REQUESTS: dict[Signal, type[Message]] = {
    Signal.LOGS: ExportLogsServiceRequest,
    Signal.SPANS: ExportTraceServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
}


def decode(body: bytes, signal: Signal = Signal.LOGS, form: Form = "json") -> list[Part]:
    return list(decode_otlp(body, signal, form=form, limits=Limits()))


def in_json(document: Any) -> Any:
    """What protobuf's own JSON says, with ids in hexadecimal and enums as numbers, as OTLP wants them."""
    if isinstance(document, list):
        return [in_json(item) for item in document]
    if not isinstance(document, dict):
        return document
    return {
        key: base64.b64decode(value).hex() if key.lower().endswith(("traceid", "spanid")) else in_json(value)
        for key, value in document.items()
    }


texts = st.text(st.characters(codec="utf-8"), max_size=8)


def pairs(value: Any) -> Any:
    return st.fixed_dictionaries({"key": texts, "value": value})


values = st.recursive(
    st.one_of(
        st.just({}),
        st.fixed_dictionaries({"string_value": texts}),
        st.fixed_dictionaries({"bool_value": st.booleans()}),
        st.fixed_dictionaries({"int_value": st.integers(-(2**63), 2**63 - 1)}),
        st.fixed_dictionaries({"double_value": st.floats()}),
        st.fixed_dictionaries({"bytes_value": st.binary(max_size=8)}),
    ),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"array_value": st.fixed_dictionaries({"values": st.lists(inner, max_size=3)})}),
        st.fixed_dictionaries({"kvlist_value": st.fixed_dictionaries({"values": st.lists(pairs(inner), max_size=3)})}),
    ),
    max_leaves=5,
)
times = st.integers(0, 2**63 - 1)
small = st.integers(-2, 30)
numbers = st.floats(allow_nan=True, allow_infinity=True)


def some(**fields: Any) -> Any:
    return st.fixed_dictionaries({}, optional=fields | {"attributes": st.lists(pairs(values), max_size=3)})


def identifiers(size: int) -> Any:
    return st.one_of(
        st.just(b""), st.just(bytes(size)), st.binary(min_size=size, max_size=size), st.binary(max_size=20)
    )


ids = {"trace_id": identifiers(16), "span_id": identifiers(8)}
logs = some(
    time_unix_nano=times,
    observed_time_unix_nano=times,
    severity_number=small,
    severity_text=texts,
    body=values,
    event_name=texts,
    **ids,
)
spans = some(
    name=texts,
    kind=small,
    start_time_unix_nano=times,
    end_time_unix_nano=times,
    parent_span_id=identifiers(8),
    events=st.lists(some(name=texts, time_unix_nano=times), max_size=2),
    links=st.lists(some(**ids), max_size=2),
    status=st.fixed_dictionaries({}, optional={"message": texts, "code": small}),
    **ids,
)


def points(**fields: Any) -> Any:
    return st.lists(some(time_unix_nano=times, flags=st.integers(0, 2), **fields), max_size=3)


distribution = {"count": st.integers(0, 2**63 - 1), "sum": numbers}
added_up = {"aggregation_temporality": small}
quantile = st.fixed_dictionaries({}, optional={"quantile": numbers, "value": numbers})
spread = points(**distribution, min=numbers, max=numbers)
metrics = st.fixed_dictionaries(
    {"name": texts, "unit": texts},
    optional={"description": texts},
).flatmap(
    lambda named: st.one_of(
        st.just(named),
        *(
            st.fixed_dictionaries({kind: data}).map(lambda data: named | data)
            for kind, data in {
                "gauge": st.fixed_dictionaries({"data_points": points(as_double=numbers)}),
                "sum": st.fixed_dictionaries(
                    {"data_points": points(as_int=st.integers(-(2**63), 2**63 - 1)), "is_monotonic": st.booleans()}
                    | added_up
                ),
                "histogram": st.fixed_dictionaries({"data_points": spread} | added_up),
                "exponential_histogram": st.fixed_dictionaries({"data_points": spread} | added_up),
                "summary": st.fixed_dictionaries(
                    {"data_points": points(**distribution, quantile_values=st.lists(quantile, max_size=3))}
                ),
            }.items()
        ),
    )
)
RECORDS = {Signal.LOGS: logs, Signal.SPANS: spans, Signal.METRICS: metrics}


@pytest.mark.parametrize("signal", list(Signal))
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_both_forms_of_a_request_are_the_same_lines(signal: Signal, data: Any) -> None:
    outer, middle, inner = (snake(name) for name in LISTS[signal])
    records = data.draw(st.lists(RECORDS[signal], max_size=3))
    owner = st.lists(pairs(values), max_size=3)
    message: Any = REQUESTS[signal](
        **{
            outer: [
                {
                    "resource": {"attributes": data.draw(owner)},
                    middle: [{"scope": {"name": data.draw(texts), "attributes": data.draw(owner)}, inner: records}],
                }
            ]
        }
    )
    document = in_json(MessageToDict(message, use_integers_for_enums=True))
    binary = decode(message.SerializeToString(), signal, "protobuf")
    text = decode(json.dumps(document).encode(), signal, "json")
    assert [part.stream for part in binary] == [part.stream for part in text]
    for one, other in zip(binary, text, strict=True):
        assert one.lines.equals(other.lines)
        assert [(line.line, line.detail) for line in one.rejected] == [
            (line.line, line.detail) for line in other.rejected
        ]


def snake(name: str) -> str:
    return "".join(f"_{character.lower()}" if character.isupper() else character for character in name)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("signal", list(Signal))
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_no_bytes_are_more_than_refused(signal: Signal, form: Form, data: Any) -> None:
    good = request(signal, GOOD[signal], resource={"attributes": attributes(service_name="shop")})
    if form == "protobuf":
        good = field(1, field(1, field(1, field(1, b"k"))) + field(2, field(2, data.draw(st.binary(max_size=40)))))
    at = data.draw(st.integers(0, len(good)))
    body = data.draw(
        st.one_of(
            st.binary(max_size=60),
            st.just(good[:at]),
            st.binary(max_size=4).map(lambda junk: good[:at] + junk + good[at:]),
            st.binary(max_size=4).map(lambda junk: good[:at] + junk + good[at + len(junk) :]),
        )
    )
    with suppress(InputError):
        decode(body, signal, form)


@settings(deadline=None, max_examples=100)
@given(
    value=st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(
                    sorted(
                        {
                            *LISTS[Signal.LOGS],
                            "body",
                            "attributes",
                            "key",
                            "value",
                            "scope",
                            "resource",
                            "stringValue",
                            "arrayValue",
                            "values",
                            "timeUnixNano",
                            "traceId",
                        }
                    )
                ),
                inner,
                max_size=4,
            ),
        ),
        max_leaves=20,
    )
)
def test_no_json_is_more_than_refused(value: Any) -> None:
    with suppress(InputError):
        decode(json.dumps(value).encode())
    with suppress(InputError):
        decode(request(Signal.LOGS, value))
