"""`POST /v1/ingest/{stream}`: NDJSON, JSON, CSV or plain lines, taken when they are on disk."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.auth import Caller, Needs, Scope
from api.intake import Kept, Sender, identity_of
from api.problems import ProblemError
from api.schemas import IngestAnswer, Problem
from api.services import parts_of
from ingest.batch import check_stream
from ingest.plain import PlainOptions, take_plain

FORMATS = ("auto", "ndjson", "json", "csv", "text")
_PARAMETERS = frozenset({"format", "time_field", "message_field"})
_FIELD_LENGTH_MAX = 256  # the longest attribute name that is kept

router = APIRouter(tags=["ingest"])

_TEXT = {"schema": {"type": "string", "maxLength": _FIELD_LENGTH_MAX}}
_OPENAPI: dict[str, Any] = {
    "parameters": [
        {
            "name": "format",
            "in": "query",
            "description": "How to read the body. `auto` looks at the content type, then at the first bytes.",
            "schema": {"type": "string", "enum": list(FORMATS), "default": "auto"},
        },
        {
            "name": "time_field",
            "in": "query",
            "description": "The field that holds the time; by default the usual names are tried.",
            **_TEXT,
        },
        {
            "name": "message_field",
            "in": "query",
            "description": "The field that holds the message; by default the usual names are tried.",
            **_TEXT,
        },
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "The sender's name for this batch: sent again with the same body it is taken once.",
            "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,128}$"},
        },
        {
            "name": "Content-Encoding",
            "in": "header",
            "description": "How the body is compressed.",
            "schema": {"type": "string", "enum": ["identity", "gzip", "zstd", "deflate"]},
        },
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/x-ndjson": {"schema": {"type": "string"}, "example": '{"level":"error","msg":"disk full"}\n'},
            "application/json": {"schema": {"type": "array", "items": {"type": "object"}}},
            "text/csv": {"schema": {"type": "string"}},
            "text/plain": {"schema": {"type": "string"}, "example": "Nov 24 10:00:00 host sshd[1]: Accepted\n"},
        },
    },
}


@router.post(
    "/v1/ingest/{stream}",
    summary="Send lines",
    response_model=IngestAnswer,
    responses={
        status: {"model": Problem, "description": text}
        for status, text in {
            400: "The body as a whole cannot be read; `detail` says where",
            408: "The body stopped coming",
            409: "The Idempotency-Key came before with another body",
            413: "The body is over a limit",
            415: "The Content-Encoding is not supported",
            503: "No room just now; come back after `Retry-After` seconds",
        }.items()
    },
    openapi_extra=_OPENAPI,
)
async def ingest(stream: str, request: Request, caller: Annotated[Caller, Depends(Needs(Scope.INGEST))]) -> Response:
    """Take a batch of lines into `stream`.

    The answer comes when the batch is on disk. Lines that cannot be read are counted, listed in `errors` and kept as
    dead letters; the others are taken. The request fails only when the body as a whole is not what it claims to be.
    """
    options = _options(request)
    sender = Sender(tenant=caller.tenant, stream=check_stream(stream), identity=identity_of(request))
    parts = parts_of(request)
    content_type = request.headers.get("content-type", "")
    limits = parts.services.limits
    taken = await parts.intake.take(
        request,
        sender,
        lambda body: take_plain(body, stream=sender.stream, content_type=content_type, options=options, limits=limits),
    )
    return Response(orjson.dumps(_answer(taken)), media_type="application/json")


def _options(request: Request) -> PlainOptions:
    asked = request.query_params
    for name in asked:
        if name not in _PARAMETERS:
            known = ", ".join(sorted(_PARAMETERS))
            raise ProblemError(400, f"query parameter {name[:64]!r} is unknown; known are {known}")
    form = asked.get("format", "auto")
    if form not in FORMATS:
        raise ProblemError(400, f"query parameter format: {form[:64]!r} is none of {', '.join(FORMATS)}")
    fields = {name: asked.get(name) or None for name in ("time_field", "message_field")}
    for name, value in fields.items():
        if value is not None and len(value) > _FIELD_LENGTH_MAX:
            raise ProblemError(400, f"query parameter {name}: longer than {_FIELD_LENGTH_MAX} characters")
    return PlainOptions(format=form, **fields)  # type: ignore[arg-type]  # checked against FORMATS above


def _answer(taken: Kept) -> dict[str, object]:
    return {
        "accepted": taken.accepted,
        "rejected": taken.rejected_count,
        "errors": [{"line": line.line, "detail": line.detail} for line in taken.rejected],
        "batch_id": taken.batch_id,
    }
