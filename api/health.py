"""`/healthz`, `/readyz` and `/metrics`: is the process alive, should it be sent requests, and its numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from starlette.responses import PlainTextResponse, Response

from api import catalogue, schemas
from api.auth import Caller, Needs, Scope
from api.problems import ProblemError
from api.services import Parts, parts_of
from api.words import count
from tocsin.errors import StorageError

router = APIRouter(tags=["service"])

_STATES = ("learning", "watching", "failed")


@router.get("/healthz", summary="Is it alive?")
async def healthz() -> schemas.Health:
    """Whether the process answers. It says nothing about storage or the worker: a restart would not help those."""
    return schemas.Health(status="ok")


@router.get("/readyz", summary="Is it ready?")
def readyz(request: Request) -> schemas.Health:
    """Whether requests should be sent here: storage answers, the worker lives and keeps up, no stop is under way."""
    reasons = list(_unready(parts_of(request)))
    if reasons:
        raise ProblemError(503, "; ".join(reasons))
    return schemas.Health(status="ready")


@router.get(
    "/metrics",
    summary="Numbers for Prometheus",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(request: Request, caller: Annotated[Caller, Depends(Needs(Scope.READ))]) -> Response:
    """The counters of this process, and where the tenant of the key stands."""
    parts = parts_of(request)
    parts.meters.live_pages.set(parts.watch.pages)
    standing = CollectorRegistry()
    _fill(standing, parts, caller.tenant)
    content = generate_latest(parts.meters.registry) + generate_latest(standing)
    return Response(content, media_type=CONTENT_TYPE_LATEST)


def _unready(parts: Parts) -> Iterator[str]:
    services, settings = parts.services, parts.services.settings
    if services.stopping.is_set():
        yield "the service is stopping"
    try:
        worker = parts.store.reads.worker()
    except StorageError:
        yield "storage does not answer"
        return
    lag = services.journal.next_offset - worker.offset
    if lag > settings.ready_lag_entries_max:
        yield f"the worker is {count(lag)} entries behind"
    if worker.beat_at is None:
        yield "the worker has not started yet"
    elif (silent_s := (services.clock() - worker.beat_at).total_seconds()) > settings.ready_heartbeat_s_max:
        yield f"the worker has been silent for {silent_s:.0f} s"


def _fill(registry: CollectorRegistry, parts: Parts, tenant: str) -> None:
    reads = parts.store.reads
    worker, standing = reads.worker(), reads.standing(tenant)
    written = parts.services.journal.next_offset
    _gauge(registry, "tocsin_journal_entries", "Entries ever written to the journal.").set(written)
    _gauge(registry, "tocsin_worker_lag_entries", "Journal entries the worker has not processed yet.").set(
        max(0, written - worker.offset)
    )
    if worker.beat_at is not None:
        silent_s = (parts.services.clock() - worker.beat_at).total_seconds()
        _gauge(registry, "tocsin_worker_silent_seconds", "Since the worker was last heard of.").set(silent_s)
    incidents = _gauge(registry, "tocsin_incidents_open", "Incidents that are not resolved.", "tenant", "status")
    for status in ("open", "acknowledged"):
        incidents.labels(tenant, status).set(standing.incidents.get(status, 0))
    outbox = _gauge(registry, "tocsin_deliveries", "Notifications that are not sent.", "tenant", "status")
    for status in ("pending", "dead"):
        outbox.labels(tenant, status).set(standing.deliveries.get(status, 0))
    state = _gauge(
        registry, "tocsin_detector_state", "1 for the state a detector is in.", "tenant", "detector", "state"
    )
    for detector in catalogue.detectors_of(parts, tenant):
        for name in _STATES:
            state.labels(tenant, detector.detector, name).set(name == detector.state)


def _gauge(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Gauge:
    return Gauge(name, text, labels, registry=registry)
