"""`GET /v1/findings`: everything the detectors said, also what was held back by the budget or a silence."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from api import schemas
from api.auth import Caller, Needs, Scope
from api.parameters import Cursor, DetectorIs, EntityIs, IncidentIs, Limit, SeverityMin, Since
from api.services import parts_of

router = APIRouter(tags=["incidents"])


@router.get("/v1/findings", summary="List findings")
def list_findings(  # noqa: PLR0913 -- the parameters of the query string
    request: Request,
    caller: Annotated[Caller, Depends(Needs(Scope.READ))],
    *,
    incident_id: IncidentIs = None,
    detector: DetectorIs = None,
    entity: EntityIs = None,
    since: Since = None,
    severity_min: SeverityMin = 0,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.Findings:
    """List findings with their evidence, the latest first, a page at a time."""
    found = parts_of(request).store.reads.findings(
        caller.tenant,
        incident_id=incident_id,
        detector=detector,
        entity=entity,
        since=since,
        severity_min=severity_min,
        limit=limit,
        cursor=cursor,
    )
    return schemas.Findings(
        findings=[schemas.Finding.model_validate(row) for row in found.rows], next_cursor=found.next_cursor
    )
