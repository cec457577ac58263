"""OTLP over HTTP: `POST /v1/logs`, `/v1/metrics` and `/v1/traces`, also under `/otlp`, in protobuf and JSON.

Answers have the content type of the request: an Export..ServiceResponse, or google.rpc.Status when it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.datastructures import Headers
from starlette.responses import Response

from api.auth import Caller, Needs, Scope
from api.dialects import Dialect, without_retry_after
from api.intake import TakenParts
from api.openapi import PROTOCOL
from api.problems import ProblemError
from api.services import parts_of
from ingest.otlp import Form, decode_otlp
from ingest.otlp_wire import Signal

router = APIRouter(tags=["ingest"])

_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_FORMS: Mapping[str, Form] = {_PROTOBUF: "protobuf", _JSON: "json"}
_PATH = re.compile(r"(?:/otlp)?/v1/(?:logs|metrics|traces)\Z")
_REASONS_MAX = 3  # named in an answer; all are dead letters

#: The answer of each signal, and its count of what was refused.
_ANSWERS: Mapping[Signal, tuple[Any, str, str]] = {
    Signal.LOGS: (ExportLogsServiceResponse, "rejected_log_records", "rejectedLogRecords"),
    Signal.METRICS: (ExportMetricsServiceResponse, "rejected_data_points", "rejectedDataPoints"),
    Signal.SPANS: (ExportTraceServiceResponse, "rejected_spans", "rejectedSpans"),
}

#: HTTP status to the code of gRPC that says the same; any other is UNKNOWN.
_CODES = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    405: Code.UNIMPLEMENTED,
    408: Code.DEADLINE_EXCEEDED,
    413: Code.RESOURCE_EXHAUSTED,
    415: Code.INVALID_ARGUMENT,
    421: Code.INVALID_ARGUMENT,
    429: Code.RESOURCE_EXHAUSTED,
    500: Code.INTERNAL,
    503: Code.UNAVAILABLE,
}

Sender = Annotated[Caller, Depends(Needs(Scope.INGEST))]


async def logs(request: Request, caller: Sender) -> Response:
    """Take log records of OpenTelemetry and answer when they are on disk.

    The stream is `service.name`. A record carries the attributes of its resource and scope beside its own. Records that
    cannot be read are counted in `partial_success` and kept as dead letters; the others are taken.
    """
    return await _export(request, caller, Signal.LOGS)


async def metrics(request: Request, caller: Sender) -> Response:
    """Take metrics of OpenTelemetry: a data point becomes a line in the stream `<service.name>.metrics`."""
    return await _export(request, caller, Signal.METRICS)


async def traces(request: Request, caller: Sender) -> Response:
    """Take spans of OpenTelemetry: a span becomes a line in the stream `<service.name>.spans`."""
    return await _export(request, caller, Signal.SPANS)


async def _export(request: Request, caller: Caller, signal: Signal) -> Response:
    kind = _content_type(request.headers)
    form = _FORMS.get(kind)
    if form is None:
        raise ProblemError(415, f"Content-Type header: send {_PROTOBUF} or {_JSON}")
    parts = parts_of(request)
    limits = parts.services.limits
    taken = await parts.intake.take_parts(
        request, caller.tenant, lambda body: decode_otlp(body, signal, form=form, limits=limits)
    )
    message, counted, counted_in_json = _ANSWERS[signal]
    if not taken.rejected:
        return Response(b"{}" if form == "json" else b"", media_type=kind)
    why = _why(taken)
    if form == "json":
        told = {"partialSuccess": {counted_in_json: str(taken.rejected), "errorMessage": why}}
        return Response(orjson.dumps(told), media_type=kind)
    answer = message(partial_success={counted: taken.rejected, "error_message": why})
    return Response(answer.SerializeToString(), media_type=kind)


def _why(taken: TakenParts) -> str:
    """The first reasons, with the place of each in the request."""
    rejected = sorted((line for part in taken.parts for line in part.rejected), key=lambda line: line.line)
    reasons = [f"number {line.line}: {line.detail}" for line in rejected[:_REASONS_MAX]]
    more = [f"and {taken.rejected - _REASONS_MAX} more"] if taken.rejected > _REASONS_MAX else []
    return "; ".join([*reasons, *more])


def _content_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _refuse(headers: Headers, problem: ProblemError) -> Response:
    code = _CODES.get(problem.status, Code.UNKNOWN)
    if _content_type(headers) == _PROTOBUF:
        body, kind = Status(code=code, message=problem.detail).SerializeToString(), _PROTOBUF
    else:
        body, kind = orjson.dumps({"code": code, "message": problem.detail}), _JSON
    return Response(body, problem.status, headers=without_retry_after(problem.headers), media_type=kind)


DIALECT = Dialect(speaks=lambda path: _PATH.match(path) is not None, refuse=_refuse)


def _mount(path: str, endpoint: Any, summary: str) -> None:
    for prefix in ("", "/otlp"):
        router.add_api_route(
            f"{prefix}/v1/{path}",
            endpoint,
            methods=["POST"],
            include_in_schema=not prefix,
            summary=summary,
            response_class=Response,
            responses={
                200: {"description": "On disk; `partial_success` counts what could not be read"},
                400: {"description": "The body as a whole cannot be read; the message says where"},
                408: {"description": "The body stopped coming"},
                413: {"description": "The body is over a limit"},
                503: {"description": "No room just now; come back, with growing pauses"},
            },
            openapi_extra={
                PROTOCOL: "otlp",
                "requestBody": {
                    "required": True,
                    "content": {
                        _PROTOBUF: {"schema": {"type": "string", "format": "binary"}},
                        _JSON: {"schema": {"type": "object"}},
                    },
                },
            },
        )


_mount("logs", logs, "Send OpenTelemetry logs")
_mount("metrics", metrics, "Send OpenTelemetry metrics")
_mount("traces", traces, "Send OpenTelemetry traces")
