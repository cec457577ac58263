"""`/v1/incidents`: the list, one with everything that explains it, what people change about it, and their verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from alerts.incident import Status
from api import schemas, words
from api.auth import Caller, Needs, Scope
from api.parameters import Cursor, EntityIs, Id, Limit, SeverityMin, Since, Statuses, statuses_of
from api.problems import ProblemError
from api.services import Parts, parts_of

router = APIRouter(tags=["incidents"])

FINDINGS_MAX = 100  # of one incident in its answer; `/v1/findings?incident_id=` has all
LINES_MAX = 50  # raw lines in the same answer
DELIVERIES_MAX = 50  # latest first

Reader = Annotated[Caller, Depends(Needs(Scope.READ))]
Changer = Annotated[Caller, Depends(Needs(Scope.ADMIN))]


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentsAsked:
    """Which incidents; no statuses are all."""

    statuses: tuple[str, ...] = ()
    severity_min: int = 0
    entity: str | None = None
    since: datetime | None = None
    limit: int = 100
    cursor: str | None = None


def find(parts: Parts, tenant: str, asked: IncidentsAsked) -> schemas.Incidents:
    """A page of incidents."""
    found = parts.store.reads.incidents(
        tenant,
        statuses=asked.statuses,
        severity_min=asked.severity_min,
        entity=asked.entity,
        since=asked.since,
        limit=asked.limit,
        cursor=asked.cursor,
    )
    return schemas.Incidents(
        incidents=[schemas.Incident.model_validate(row) for row in found.rows], next_cursor=found.next_cursor
    )


def detail(parts: Parts, tenant: str, incident_id: str) -> schemas.IncidentDetail:
    """One incident with everything that explains it.

    Raises:
        ProblemError: 404, the tenant has no such incident.
    """
    reads = parts.store.reads
    row = reads.incident(tenant, incident_id)
    if row is None:
        raise _unknown(incident_id)
    incident = schemas.Incident.model_validate(row)
    findings = [
        schemas.Finding.model_validate(each) for each in reads.incident_findings(tenant, incident_id, FINDINGS_MAX)
    ]
    deliveries = reads.deliveries(tenant, incident_id=incident_id, limit=DELIVERIES_MAX)
    return schemas.IncidentDetail(
        **dict(incident),
        why=words.because(incident, findings),
        entity_weights=[
            schemas.EntityWeight(entity=entity, weight=weight)
            for entity, weight in reads.entity_weights(tenant, incident_id)
        ],
        findings=findings,
        lines=[schemas.RawLine.model_validate(line) for line in reads.incident_lines(tenant, incident_id, LINES_MAX)],
        feedback=[schemas.Feedback.model_validate(each) for each in reads.feedback(tenant, incident_id)],
        deliveries=[schemas.Delivery.model_validate(each) for each in deliveries.rows],
    )


def change(parts: Parts, caller: Caller, incident_id: str, patch: schemas.IncidentPatch) -> schemas.Incident:
    """Change what `patch` names.

    Raises:
        ProblemError: 404, the tenant has no such incident.
        InputError: the status cannot follow the present one.
    """
    assignee = (patch.assignee or "") if "assignee" in patch.model_fields_set else None
    row = parts.store.desk.change_incident(
        caller.tenant,
        incident_id,
        at=parts.services.clock(),
        status=Status(patch.status) if patch.status else None,
        assignee=assignee,
        by=caller.name,
        base_url=parts.base_url,
    )
    if row is None:
        raise _unknown(incident_id)
    return schemas.Incident.model_validate(row)


def give_feedback(parts: Parts, caller: Caller, incident_id: str, asked: schemas.FeedbackAsked) -> schemas.Feedback:
    """Keep a verdict.

    Raises:
        ProblemError: 404, the tenant has no such incident.
    """
    row = parts.store.desk.add_feedback(
        caller.tenant,
        incident_id,
        label=asked.label,
        reason=asked.reason,
        scope=asked.scope,
        author=caller.name,
        at=parts.services.clock(),
    )
    if row is None:
        raise _unknown(incident_id)
    return schemas.Feedback.model_validate(row)


@router.get("/v1/incidents", summary="List incidents")
def list_incidents(  # noqa: PLR0913 -- the parameters of the query string
    request: Request,
    caller: Reader,
    *,
    status: Statuses = None,
    severity_min: SeverityMin = 0,
    entity: EntityIs = None,
    since: Since = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> schemas.Incidents:
    """List incidents, the latest first, a page at a time."""
    asked = IncidentsAsked(
        statuses=statuses_of(status),
        severity_min=severity_min,
        entity=entity,
        since=since,
        limit=limit,
        cursor=cursor,
    )
    return find(parts_of(request), caller.tenant, asked)


@router.get("/v1/incidents/{incident_id}", summary="One incident")
def get_incident(request: Request, caller: Reader, incident_id: Id) -> schemas.IncidentDetail:
    """One incident with its findings, their evidence, entities, raw lines, feedback and notifications."""
    return detail(parts_of(request), caller.tenant, incident_id)


@router.patch("/v1/incidents/{incident_id}", summary="Change an incident")
def patch_incident(
    request: Request, caller: Changer, incident_id: Id, patch: schemas.IncidentPatch
) -> schemas.Incident:
    """Acknowledge, resolve or reopen an incident, or say who looks at it."""
    return change(parts_of(request), caller, incident_id, patch)


@router.post("/v1/incidents/{incident_id}/feedback", summary="Give a verdict", status_code=201)
def post_feedback(request: Request, caller: Changer, incident_id: Id, asked: schemas.FeedbackAsked) -> schemas.Feedback:
    """Say whether an incident was worth somebody's attention."""
    return give_feedback(parts_of(request), caller, incident_id, asked)


def _unknown(incident_id: str) -> ProblemError:
    return ProblemError(404, f"incident_id: there is no incident {incident_id[:64]!r}")
