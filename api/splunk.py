"""Splunk's HTTP event collector as its clients see it, on the root and under `/splunk`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
import orjson
from fastapi import APIRouter, Depends, Request
from starlette.datastructures import Headers
from starlette.responses import Response

from api.auth import Caller, Needs, Scope
from api.credentials import credential_of
from api.dialects import Dialect, without_retry_after
from api.openapi import PROTOCOL
from api.problems import ProblemError
from api.services import parts_of
from ingest.batch import Part
from ingest.limits import Limits
from ingest.splunk import EventError, Origin, decode_events, decode_raw

router = APIRouter(tags=["ingest"])

Sender = Annotated[Caller, Depends(Needs(Scope.INGEST))]
Decoder = Callable[[bytes, Origin, Limits], tuple[Part, ...]]

_TEXTS = {
    0: "Success",
    2: "Token is required",
    3: "Invalid authorization",
    4: "Invalid token",
    5: "No data",
    6: "Invalid data format",
    8: "Internal server error",
    9: "Server is busy",
    10: "Data channel is missing",
    11: "Invalid data channel",
    12: "Event field is required",
    13: "Event field cannot be blank",
    17: "HEC is healthy",
    23: "Server is shutting down",
    27: "Request entity too large",
}
_CODES = {400: 6, 403: 4, 408: 6, 413: 27, 415: 6, 503: 9}
_CHANNEL = re.compile(r"[\x21-\x7e]{1,128}\Z")
_PATH = re.compile(r"(?:/splunk)?/services/collector(?:/|\Z)")


class _Acks(msgspec.Struct):
    acks: list[int]


_acks = msgspec.json.Decoder(_Acks)


def _say(code: int, status: int = 200, **members: object) -> Response:
    return Response(
        orjson.dumps({"text": _TEXTS[code], "code": code, **members}), status, media_type="application/json"
    )


def _refuse(headers: Headers, problem: ProblemError) -> Response:
    status, code = problem.status, _CODES.get(problem.status, 6 if problem.status < 500 else 8)
    if status == 401:
        credential = credential_of(headers)
        code = 2 if credential is None else 4 if credential.text else 3
        status = 403 if code == 4 else 401
    answer = _say(code, status)
    answer.headers.update(without_retry_after(problem.headers))  # as Splunk itself
    return answer


DIALECT = Dialect(speaks=lambda path: _PATH.match(path) is not None, refuse=_refuse)


async def events(request: Request, caller: Sender) -> Response:
    """Take events of Splunk's HTTP event collector; the stream is the source type, else the index.

    The answer comes when they are on disk. Events that cannot be read are dead letters; the request is refused, with
    the number of the first of them, when none can. With a channel the answer carries an `ackId`, which is true at once.
    """
    return await _take(request, caller, decode_events)


async def raw(request: Request, caller: Sender) -> Response:
    """Take lines of text; the query says where they come from."""
    return await _take(request, caller, decode_raw)


async def _take(request: Request, caller: Caller, decoder: Decoder) -> Response:
    channel = _channel(request)
    if channel is not None and _CHANNEL.match(channel) is None:
        return _say(11, 400)
    asked = request.query_params
    origin = Origin(**{name: asked.get(name) or None for name in ("host", "source", "sourcetype", "index")})
    parts = parts_of(request)
    limits = parts.services.limits
    try:
        await parts.intake.take_parts(request, caller.tenant, lambda body: decoder(body, origin, limits))
    except EventError as error:
        number: Mapping[str, object] = {} if error.number is None else {"invalid-event-number": error.number}
        return _say(error.code, 400, **number)
    if channel is None:
        return _say(0)
    # What was answered is on disk, so there is nothing to remember of it: any number does that is not given twice.
    return _say(0, ackId=int.from_bytes(parts.services.random_bytes(6), "big"))


async def acknowledgements(request: Request, caller: Sender) -> Response:
    """Whether events are safe: all that were answered are."""
    channel = _channel(request)
    if channel is None or _CHANNEL.match(channel) is None:
        return _say(10 if channel is None else 11, 400)
    asked: list[int] = []

    def decode(body: bytes) -> tuple[Part, ...]:
        asked.extend(_acks.decode(body).acks)
        return ()

    try:
        await parts_of(request).intake.take_parts(request, caller.tenant, decode)
    except (msgspec.MsgspecError, RecursionError):
        return _say(6, 400)
    return Response(orjson.dumps({"acks": {str(number): True for number in asked}}), media_type="application/json")


async def health(request: Request, _caller: Sender) -> Response:
    """Clients ask for this before they send."""
    return _say(23, 503) if parts_of(request).services.stopping.is_set() else _say(17)


async def options(_caller: Sender) -> Response:
    """Which methods are taken."""
    return Response(status_code=200, headers={"Allow": "OPTIONS, POST"})


def _channel(request: Request) -> str | None:
    return request.headers.get("x-splunk-request-channel") or request.query_params.get("channel")


def _add(path: str, methods: str, endpoint: Callable[..., Any]) -> None:
    for method in methods.split():
        router.add_api_route(path, endpoint, methods=[method], include_in_schema=False)


_QUERY = [
    {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
    for name, text in (
        *((name, "Of events that name none.") for name in ("sourcetype", "index", "host", "source")),
        ("channel", "Asks for an `ackId`, as the header `X-Splunk-Request-Channel` does."),
    )
]


def _add_shown(path: str, endpoint: Callable[..., Any], summary: str) -> None:
    router.add_api_route(
        path,
        endpoint,
        methods=["POST"],
        summary=summary,
        response_class=Response,
        responses={
            200: {"description": "Taken"},
            400: {"description": "Nothing could be read; `code` and `invalid-event-number` say why"},
            408: {"description": "The body stopped coming"},
            413: {"description": "The body is over a limit"},
            503: {"description": "No room just now (code 9); come back, with growing pauses"},
        },
        openapi_extra={
            PROTOCOL: "splunk",
            "parameters": _QUERY,
            "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
        },
    )


_ROOT = "/services/collector"
_add_shown(f"{_ROOT}/event", events, "Send events as to Splunk")
_add_shown(f"{_ROOT}/raw", raw, "Send text as to Splunk")
for _root in (_ROOT, f"/splunk{_ROOT}"):
    for _path in ("", "/event", "/event/1.0"):
        _add(_root + _path, "POST", events)
        _add(_root + _path, "OPTIONS", options)
    for _path in ("/raw", "/raw/1.0"):
        _add(_root + _path, "POST", raw)
        _add(_root + _path, "OPTIONS", options)
    _add(f"{_root}/health", "GET", health)
    _add(f"{_root}/health/1.0", "GET", health)
    _add(f"{_root}/ack", "POST", acknowledgements)
