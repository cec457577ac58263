"""`POST /upload`: the journal of systemd, from `systemd-journal-upload`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import PlainTextResponse, Response

from api.auth import Caller, Needs, Scope
from api.flow import Flow
from api.intake import encoding_of
from api.problems import ProblemError
from api.schemas import Problem
from api.services import parts_of
from ingest.batch import Part
from ingest.journald import decode_journald, whole_entries

MEDIA_TYPE = "application/vnd.fdo.journal"

router = APIRouter(tags=["ingest"])

_OPENAPI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Entries in the journal's export format, as many as there are.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    },
    "responses": {
        "202": {"description": "All entries are on disk.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    },
}


@router.post(
    "/upload",
    summary="Send the journal of systemd",
    openapi_extra=_OPENAPI,
    response_class=PlainTextResponse,
    status_code=202,
    responses={status: {"model": Problem} for status in (400, 408, 413, 415, 503)},
)
async def upload(request: Request, caller: Annotated[Caller, Depends(Needs(Scope.INGEST))]) -> Response:
    """Takes what `systemd-journal-upload` sends, of any length, and answers when it is on disk.

    Each service is a stream; entries of no service go by their identifier. The cursor names the entry: sent again it is
    taken once.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != MEDIA_TYPE:
        raise ProblemError(415, f"Content-Type header: send {MEDIA_TYPE}")
    parts = parts_of(request)
    limits = parts.services.limits

    def decode(body: bytes) -> tuple[Part, ...]:
        return decode_journald(body, limits)

    if encoding_of(request) in {"", "identity"}:
        flow = Flow(parts.intake, parts.services.settings, limits)
        await flow.take(request, caller.tenant, whole_entries, decode)
    else:
        await parts.intake.take_parts(request, caller.tenant, decode)
    return PlainTextResponse("OK.\n", status_code=202)
