"""Datadog's log intake as its agents see it, on the root and under `/datadog`."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Request
from starlette.datastructures import Headers
from starlette.responses import Response

from api.auth import Caller, Needs, Scope
from api.dialects import Dialect
from api.openapi import PROTOCOL
from api.problems import ProblemError
from api.services import parts_of
from ingest.datadog import Beside, decode_datadog

router = APIRouter(tags=["ingest"])

Sender = Annotated[Caller, Depends(Needs(Scope.INGEST))]

_PATH = re.compile(r"(?:/datadog)?/(?:api/v2/logs|v1/input|api/v1/validate)\Z|/datadog(?:/|\Z)")
_TEXT_KINDS = frozenset({"text/plain", "application/logplex-1"})
_DEFAULTS = ("hostname", "service", "ddsource", "ddtags")


def _json(document: object, status: int) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")


def _refuse(_headers: Headers, problem: ProblemError) -> Response:
    told = {"status": str(problem.status), "title": HTTPStatus(problem.status).phrase, "detail": problem.detail}
    answer = _json({"errors": [told]}, problem.status)
    answer.headers.update(problem.headers)
    return answer


DIALECT = Dialect(speaks=lambda path: _PATH.match(path) is not None, refuse=_refuse)


@router.post("/datadog/v1/input", include_in_schema=False)
@router.post("/v1/input", include_in_schema=False)
@router.post("/datadog/api/v2/logs", include_in_schema=False)
@router.post(
    "/api/v2/logs",
    summary="Send logs as to Datadog",
    status_code=202,
    response_class=Response,
    responses={
        202: {"description": "Taken"},
        400: {"description": "The body is not JSON"},
        408: {"description": "The body stopped coming"},
        413: {"description": "The body is over a limit"},
        503: {"description": "No room just now; come back after `Retry-After` seconds"},
    },
    openapi_extra={
        PROTOCOL: "datadog",
        "parameters": [
            {"name": name, "in": "query", "description": "Of messages that name none.", "schema": {"type": "string"}}
            for name in _DEFAULTS
        ],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"type": "array", "items": {"type": "object"}}}},
        },
    },
)
async def logs(request: Request, caller: Sender) -> Response:
    """Take logs of Datadog's agent; the stream is the service, else the source.

    The answer comes when they are on disk. Messages that cannot be read are dead letters.
    """
    asked = request.query_params
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    beside = Beside(
        is_text=kind in _TEXT_KINDS,
        defaults={name: asked[name] for name in _DEFAULTS if asked.get(name)},
        time=request.headers.get("dd-message-timestamp"),
    )
    parts = parts_of(request)
    limits = parts.services.limits
    await parts.intake.take_parts(request, caller.tenant, lambda body: decode_datadog(body, beside, limits))
    return _json({}, 202)


@router.get("/datadog/api/v1/validate", include_in_schema=False)
@router.get("/api/v1/validate", include_in_schema=False)
async def validate(_caller: Sender) -> Response:
    """Agents ask whether their key is good; without a good one nobody comes here."""
    return _json({"valid": True}, 200)
