"""`POST /api/v1/write`: Prometheus' remote_write, versions 1 and 2."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.auth import Caller, Needs, Scope
from api.intake import encoding_of
from api.problems import ProblemError
from api.schemas import Problem
from api.services import parts_of
from ingest.batch import Part
from ingest.prometheus import Written, decode_write

router = APIRouter(tags=["ingest"])

_VERSIONS = {"prometheus.WriteRequest": 1, "io.prometheus.write.v2.Request": 2}
_WRITTEN = "X-Prometheus-Remote-Write-{}-Written"

_OPENAPI: dict[str, Any] = {
    "parameters": [
        {
            "name": "Content-Encoding",
            "in": "header",
            "description": "How the message is compressed; a snappy block where this is missing.",
            "schema": {"type": "string", "enum": ["snappy", "zstd", "gzip", "deflate", "identity"]},
        },
    ],
    "requestBody": {
        "required": True,
        "description": "`prometheus.WriteRequest`, or `io.prometheus.write.v2.Request` where the type says so.",
        "content": {"application/x-protobuf": {"schema": {"type": "string", "format": "binary"}}},
    },
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    204: {"description": "On disk"},
    400: {"model": Problem, "description": "The message cannot be read, or a series of it; the other series are taken"},
    413: {"model": Problem, "description": "The message is over a limit"},
    415: {"model": Problem, "description": "The Content-Type or Content-Encoding is not supported"},
}


@router.post(
    "/api/v1/write",
    summary="Send samples as to Prometheus",
    status_code=204,
    response_class=Response,
    responses=_ANSWERS,
    openapi_extra=_OPENAPI,
)
async def write(request: Request, caller: Annotated[Caller, Depends(Needs(Scope.INGEST))]) -> Response:
    """Take samples of Prometheus' remote_write into the stream `<job>.metrics`, one line each.

    Whatever there is no room for is answered with 503 and never with 429, since Prometheus tries the first again for
    ever and drops what was answered with the second. Series that are invalid (no name, a name twice) are kept as dead
    letters and named in an answer 400; the others of the request are taken.
    """
    parts = parts_of(request)
    limits = parts.services.limits
    version = _version(request)
    encoding = encoding_of(request) or "snappy"
    found: list[Written] = []

    def decode(body: bytes) -> tuple[Part, ...]:
        found.append(decode_write(body, version=version, limits=limits))
        return found[0].parts

    try:
        await parts.intake.take_parts(request, caller.tenant, decode, encoding=encoding)
    except ProblemError as problem:
        if problem.status != 408:
            raise
        # Prometheus drops what it is told 408 for.
        raise ProblemError(503, problem.detail, headers=problem.headers) from problem
    (written,) = found
    parts.meters.stale_markers.inc(written.stale)
    headers = _headers(written) if version == 2 else {}
    if written.invalid is not None:
        raise ProblemError(400, written.invalid, headers=headers)
    return Response(status_code=204, headers=headers)


def _version(request: Request) -> int:
    kind, *parameters = request.headers.get("content-type", "application/x-protobuf").split(";")
    named = [text.partition("=")[2].strip().strip('"') for text in parameters if text.strip().startswith("proto=")]
    version = _VERSIONS.get(named[0]) if named else 1
    if kind.strip().lower() != "application/x-protobuf" or version is None:
        raise ProblemError(
            415,
            "Content-Type header: send application/x-protobuf, with proto=prometheus.WriteRequest "
            "or proto=io.prometheus.write.v2.Request",
        )
    return version


def _headers(written: Written) -> dict[str, str]:
    counts = {"Samples": written.samples, "Histograms": written.histograms, "Exemplars": 0}
    return {_WRITTEN.format(name): str(count) for name, count in counts.items()}
