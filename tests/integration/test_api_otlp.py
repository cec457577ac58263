from __future__ import annotations

import gzip
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tests.house import House
from tests.integration.test_api_ingest import taken

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
PATHS = ("/v1/logs", "/v1/metrics", "/v1/traces", "/otlp/v1/logs", "/otlp/v1/metrics", "/otlp/v1/traces")


def two_records() -> bytes:
    """A good record and one whose trace id is too short."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    records.add().body.string_value = "good"
    records.add(trace_id=b"short").body.string_value = "bad"
    return request.SerializeToString()


@pytest.mark.parametrize("path", PATHS)
def test_an_empty_request_is_a_success(house: House, path: str) -> None:
    answer = house.client().post(path, content=b"", headers=PROTOBUF)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"", PROTOBUF["Content-Type"])
    answer = house.client().post(path, content=b"{}", headers=JSON)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"{}", JSON["Content-Type"])
    assert taken(house) == []


def test_lines_are_in_the_journal_when_the_answer_comes(house: House) -> None:
    body = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"one"}}]}]}]}'
    answer = house.client().post(
        "/otlp//v1/logs/", content=gzip.compress(body), headers=JSON | {"Content-Encoding": "gzip"}
    )
    assert (answer.status_code, answer.content) == (200, b"{}")
    (batch,) = taken(house)
    assert (batch.tenant, batch.stream, batch.lines["body"].to_list()) == ("default", "otlp", ["one"])


def test_a_poison_record_is_a_partial_success_in_protobuf(house: House) -> None:
    answer = house.client().post("/v1/logs", content=two_records(), headers=PROTOBUF)
    assert answer.status_code == 200
    partial = ExportLogsServiceResponse.FromString(answer.content).partial_success
    assert partial.rejected_log_records == 1
    assert partial.error_message == "number 2: log record: an id of 5 bytes where 16 are wanted"
    (batch,) = taken(house)
    assert batch.lines["body"].to_list() == ["good"]
    assert b"short" in batch.rejected[0].raw


def test_a_poison_record_is_a_partial_success_in_json(house: House) -> None:
    records = '{"body":{"stringValue":"good"}},' + ",".join(['{"traceId":"xyz"}'] * 5)
    body = f'{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{records}]}}]}}]}}'
    answer = house.client().post("/v1/logs", content=body, headers=JSON)
    assert answer.status_code == 200
    assert answer.json()["partialSuccess"]["rejectedLogRecords"] == "5"
    assert answer.json()["partialSuccess"]["errorMessage"].endswith("and 2 more")


@pytest.mark.parametrize(
    ("path", "body", "message", "field"),
    [
        (
            "/v1/traces",
            b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"x"}]}]}]}',
            ExportTraceServiceResponse,
            "rejectedSpans",
        ),
        (
            "/v1/metrics",
            b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"x","gauge":{"dataPoints":[{}]}}]}]}]}',
            ExportMetricsServiceResponse,
            "rejectedDataPoints",
        ),
    ],
)
def test_each_signal_counts_what_was_refused_by_its_own_name(
    house: House, path: str, body: bytes, message: Any, field: str
) -> None:
    answer = house.client().post(path, content=body, headers=JSON)
    assert answer.status_code == 200
    assert answer.json()["partialSuccess"][field] == "1"
    assert field in message.DESCRIPTOR.fields_by_name["partial_success"].message_type.fields_by_camelcase_name


@pytest.mark.parametrize("headers", [PROTOBUF, JSON])
def test_a_body_that_cannot_be_read_is_refused_with_a_status_in_its_own_form(
    house: House, headers: dict[str, str]
) -> None:
    answer = house.client().post("/v1/logs", content=b"\xff{", headers=headers)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == headers["Content-Type"]
    if headers is PROTOBUF:
        status = Status.FromString(answer.content)
        assert (status.code, status.message) == (3, "body: not valid protobuf (Wire format was corrupt)")
    else:
        assert answer.json()["code"] == 3
        assert answer.json()["message"].startswith("body: not valid JSON")


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Type": "text/plain"}, 415, 3),
        (JSON | {"Content-Encoding": "br"}, 415, 3),
        (JSON | {"Content-Length": str(65 * 2**20)}, 413, 8),
    ],
)
def test_every_refusal_is_a_status(house: House, headers: dict[str, str], status: int, code: int) -> None:
    answer = house.client().post("/v1/logs", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/json"


def test_a_body_over_the_cap_once_decompressed_is_refused(house: House) -> None:
    body = gzip.compress(bytes(range(256)) * (65 * 2**12), compresslevel=1)
    answer = house.client().post("/v1/logs", content=body, headers=PROTOBUF | {"Content-Encoding": "gzip"})
    assert (answer.status_code, Status.FromString(answer.content).code) == (413, 8)


def test_a_key_is_needed_where_there_are_keys(house: House) -> None:
    key, other = house.key("ingest", tenant="alpha"), house.key("read")
    answer = house.client().post("/v1/logs", content=b"", headers=PROTOBUF)
    assert (answer.status_code, Status.FromString(answer.content).code) == (401, 16)
    answer = house.client(other).post("/v1/logs", content=b"{}", headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (403, 7)
    assert house.client(key).post("/v1/logs", content=two_records(), headers=PROTOBUF).status_code == 200
    assert taken(house)[0].tenant == "alpha"


@pytest.mark.parametrize("headers", [PROTOBUF, JSON])
def test_where_there_is_no_room_the_sender_is_told_so_and_makes_its_own_pauses(
    house: House, headers: dict[str, str]
) -> None:
    answer = house.client(inflight_bytes_max=10).post("/v1/logs", content=two_records(), headers=headers)
    assert answer.status_code == 503
    assert "retry-after" not in answer.headers, "with it SDKs would not make their own, longer pauses"
    code = Status.FromString(answer.content).code if headers is PROTOBUF else answer.json()["code"]
    assert code == 14
    assert taken(house) == []
