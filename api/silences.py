"""`/v1/silences`: what somebody decided not to be told about, until when, and why."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from alerts.silence import Matcher, Silence
from api import quiet_schemas
from api.auth import Caller, Needs, Scope
from api.parameters import Id
from api.problems import ProblemError
from api.services import parts_of

router = APIRouter(tags=["silences"])


@router.get("/v1/silences", summary="List silences")
def list_silences(request: Request, caller: Annotated[Caller, Depends(Needs(Scope.READ))]) -> quiet_schemas.Silences:
    """List the silences that are not over."""
    parts = parts_of(request)
    rows = parts.store.reads.silences(caller.tenant, parts.services.clock())
    return quiet_schemas.Silences(silences=[quiet_schemas.Silence.model_validate(row) for row in rows])


@router.post("/v1/silences", summary="Silence", status_code=201)
def add_silence(
    request: Request, caller: Annotated[Caller, Depends(Needs(Scope.ADMIN))], asked: quiet_schemas.SilenceAsked
) -> quiet_schemas.Silence:
    """Silence what matches until `ends_at`: its findings are kept but raise nothing."""
    parts = parts_of(request)
    silence = Silence(
        silence_id=parts.new_id("sil"),
        tenant=caller.tenant,
        matcher=Matcher(**{asked.matcher: asked.value}, severity_below=asked.severity_below),
        starts_at=asked.starts_at or parts.services.clock(),
        ends_at=asked.ends_at,
        author=caller.name,
        reason=asked.reason,
    )
    parts.store.desk.add_silence(silence)
    return quiet_schemas.Silence(
        silence_id=silence.silence_id,
        matcher=asked.matcher,
        value=asked.value,
        severity_below=asked.severity_below,
        starts_at=silence.starts_at,
        ends_at=silence.ends_at,
        author=silence.author,
        reason=silence.reason,
    )


@router.delete("/v1/silences/{silence_id}", summary="End a silence", status_code=204)
def end_silence(request: Request, caller: Annotated[Caller, Depends(Needs(Scope.ADMIN))], silence_id: Id) -> Response:
    """End a silence now; it stays on record."""
    parts = parts_of(request)
    if not parts.store.desk.end_silence(caller.tenant, silence_id, parts.services.clock()):
        raise ProblemError(404, f"silence_id: there is no silence {silence_id[:64]!r} that is not over")
    return Response(status_code=204)
