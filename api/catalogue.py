"""What the service knows of its input: streams, templates, entities, dead letters; and how far its detectors are."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request

from api import schemas
from api.auth import Caller, Needs, Scope
from api.incidents import IncidentsAsked, find
from api.parameters import TEXT_PATTERN, Cursor, Limit, StreamIs
from api.problems import ProblemError
from api.services import Parts, parts_of

router = APIRouter(tags=["catalogue"])

_INCIDENTS_MAX = 20  # of one entity

Reader = Annotated[Caller, Depends(Needs(Scope.READ))]


def streams_of(parts: Parts, tenant: str) -> list[schemas.Stream]:
    """Every stream of the tenant."""
    return [schemas.Stream.model_validate(row) for row in parts.store.reads.streams(tenant)]


def detectors_of(parts: Parts, tenant: str) -> list[schemas.Detector]:
    """Every detector of the tenant."""
    return [schemas.Detector.model_validate(row) for row in parts.store.reads.detectors(tenant)]


def dead_letters_of(parts: Parts, tenant: str, *, limit: int, cursor: str | None) -> schemas.DeadLetters:
    """A page of lines that could not be read, the latest first."""
    found = parts.store.reads.dead_letters(tenant, limit=limit, cursor=cursor)
    return schemas.DeadLetters(
        dead_letters=[schemas.DeadLetter.model_validate(row) for row in found.rows], next_cursor=found.next_cursor
    )


@router.get("/v1/streams", summary="List streams")
def list_streams(request: Request, caller: Reader) -> schemas.Streams:
    """List the streams that lines arrived in, with how many and when."""
    return schemas.Streams(streams=streams_of(parts_of(request), caller.tenant))


@router.get("/v1/templates", summary="List templates")
def list_templates(
    request: Request, caller: Reader, *, stream: StreamIs = None, limit: Limit = 100, cursor: Cursor = None
) -> schemas.Templates:
    """List the kinds of lines, the most frequent first, a page at a time."""
    found = parts_of(request).store.reads.templates(caller.tenant, stream=stream, limit=limit, cursor=cursor)
    return schemas.Templates(
        templates=[schemas.Template.model_validate(row) for row in found.rows], next_cursor=found.next_cursor
    )


@router.get("/v1/entities/{kind}/{value:path}", summary="One entity")
def get_entity(
    request: Request,
    caller: Reader,
    kind: Annotated[str, Path(max_length=64, pattern=TEXT_PATTERN, examples=["user"])],
    value: Annotated[str, Path(max_length=1000, pattern=TEXT_PATTERN, description="May hold slashes, as a path does.")],
) -> schemas.Entity:
    """One user, host, address or path: when it was seen, how often, and the incidents it takes part in."""
    parts, entity = parts_of(request), f"{kind}:{value}"
    row = parts.store.reads.entity(caller.tenant, entity)
    if row is None:
        raise ProblemError(404, f"entity: {entity[:128]!r} was never seen")
    found = find(parts, caller.tenant, IncidentsAsked(entity=entity, limit=_INCIDENTS_MAX))
    return schemas.Entity(
        entity=row.entity,
        kind=row.kind,
        value=row.value,
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        event_count=row.event_count,
        incidents=found.incidents,
    )


@router.get("/v1/detectors", summary="List detectors")
def list_detectors(request: Request, caller: Reader) -> schemas.Detectors:
    """List the detectors with how far each is: learning, watching or failed, and why."""
    return schemas.Detectors(detectors=detectors_of(parts_of(request), caller.tenant))


@router.get("/v1/dead_letters", summary="List dead letters")
def list_dead_letters(
    request: Request, caller: Reader, *, limit: Limit = 100, cursor: Cursor = None
) -> schemas.DeadLetters:
    """List the lines that could not be read, with the reason, the latest first, a page at a time."""
    return dead_letters_of(parts_of(request), caller.tenant, limit=limit, cursor=cursor)
