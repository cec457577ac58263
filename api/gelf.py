"""`POST /gelf`: messages of Graylog's clients."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.auth import Caller, Needs, Scope
from api.problems import ProblemError
from api.schemas import Problem
from api.services import parts_of
from ingest.gelf import decode_gelf

router = APIRouter(tags=["ingest"])

_MESSAGE = {
    "type": "object",
    "required": ["short_message"],
    "properties": {
        "version": {"type": "string"},
        "host": {"type": "string"},
        "short_message": {"type": "string"},
        "full_message": {"type": "string"},
        "timestamp": {"type": "number", "description": "Seconds since 1970."},
        "level": {"type": "integer", "minimum": 0, "maximum": 7},
    },
}
_OPENAPI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One message, or one a line; plain, gzip or zlib, whatever the header says.",
        "content": {"application/json": {"schema": _MESSAGE}},
    },
    "responses": {"202": {"description": "On disk."}},
}


@router.post(
    "/gelf",
    summary="Send GELF messages",
    openapi_extra=_OPENAPI,
    response_class=Response,
    status_code=202,
    responses={status: {"model": Problem} for status in (400, 408, 413, 503)},
)
async def gelf(request: Request, caller: Annotated[Caller, Depends(Needs(Scope.INGEST))]) -> Response:
    """Takes GELF over HTTP and answers when it is on disk.

    The stream is the field `_service` (or `_app`, `_application_name`), else `facility`, else the container's name,
    else `gelf`.
    """
    parts = parts_of(request)
    limits = parts.services.limits
    taken = await parts.intake.take_parts(
        request, caller.tenant, lambda body: decode_gelf(body, limits), encoding="identity"
    )
    if not taken.accepted:
        raise ProblemError(400, taken.parts[0].rejected[0].detail)
    return Response(status_code=202)
