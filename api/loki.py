"""`POST /loki/api/v1/push`: Loki's push API, and what its clients ask before they push."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from api import health
from api.auth import Caller, Needs, Scope
from api.intake import encoding_of
from api.schemas import Problem
from api.services import parts_of
from ingest.loki import decode_loki

router = APIRouter(tags=["ingest"])

#: The version whose requests are understood; clients ask for it to find out what they may send.
_VERSION = "3.3.0"

_OPENAPI: dict[str, Any] = {
    "parameters": [
        {
            "name": "Content-Encoding",
            "in": "header",
            "description": "How the body is compressed; protobuf comes as a snappy block where this is missing.",
            "schema": {"type": "string", "enum": ["identity", "gzip", "zstd", "deflate", "snappy"]},
        },
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "object", "properties": {"streams": {"type": "array"}}},
                "example": {"streams": [{"stream": {"app": "shop"}, "values": [["1764064800000000000", "disk full"]]}]},
            },
            "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
        },
    },
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    204: {"description": "On disk"},
    400: {"model": Problem, "description": "The body as a whole cannot be read; `detail` says where"},
    408: {"model": Problem, "description": "The body stopped coming"},
    413: {"model": Problem, "description": "The body is over a limit"},
    415: {"model": Problem, "description": "The Content-Encoding is not supported"},
}


@router.post(
    "/loki/api/v1/push",
    summary="Send lines as to Loki",
    status_code=204,
    response_class=Response,
    responses=_ANSWERS,
    openapi_extra=_OPENAPI,
)
async def push(request: Request, caller: Annotated[Caller, Depends(Needs(Scope.INGEST))]) -> Response:
    """Take a push of Loki's clients, protobuf or JSON, into the streams that its labels name.

    The stream is the first of the labels `service_name`, `app`, `application`, `service`, `job`, `container` and
    `filename`. Lines may come in any order. One that cannot be read is kept as a dead letter; the others are taken.
    The older form of `/api/prom/push` is understood at both paths.
    """
    parts = parts_of(request)
    limits = parts.services.limits
    is_json = _is_json(request)
    encoding = encoding_of(request) or ("identity" if is_json else "snappy")
    await parts.intake.take_parts(
        request, caller.tenant, lambda body: decode_loki(body, is_json=is_json, limits=limits), encoding=encoding
    )
    return Response(status_code=204)


for path in ("/api/prom/push", "/loki/api/prom/push", "/loki/loki/api/v1/push"):
    router.add_api_route(
        path, push, methods=["POST"], status_code=204, response_class=Response, include_in_schema=False
    )


@router.get("/ready", include_in_schema=False, response_class=PlainTextResponse)
@router.get("/loki/ready", include_in_schema=False, response_class=PlainTextResponse)
def ready(request: Request, _caller: Annotated[Caller, Depends(Needs(Scope.INGEST))]) -> Response:
    """Whether requests should be sent here, as Loki says it."""
    health.readyz(request)
    return PlainTextResponse("ready\n")


@router.get("/loki/api/v1/status/buildinfo", include_in_schema=False)
@router.get("/loki/loki/api/v1/status/buildinfo", include_in_schema=False)
async def buildinfo(_caller: Annotated[Caller, Depends(Needs(Scope.INGEST))]) -> Response:
    """The version of Loki that is spoken."""
    return JSONResponse(
        {"version": _VERSION, "revision": "", "branch": "", "buildUser": "", "buildDate": "", "goVersion": ""}
    )


def _is_json(request: Request) -> bool:
    """Whether the body is JSON: clients say so; curl says "a form" when it is told nothing."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind.endswith("json") or kind.startswith("text/") or kind == "application/x-www-form-urlencoded"
