"""`/v1/webhooks`: who is told about incidents, what was sent to them, and sending it again."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from alerts.address import AddressSettings, parse_url, vet
from alerts.webhook import secret_of
from api import schemas
from api.auth import Caller, Needs, Scope
from api.parameters import Cursor, Id, Limit, Number
from api.problems import ProblemError
from api.services import parts_of
from tocsin.errors import InputError, RejectedError

router = APIRouter(tags=["webhooks"])

_SECRET_BYTES = 32  # Standard Webhooks asks for 24 to 64
_LOCALHOST = "localhost"  # where most first tries go

Admin = Annotated[Caller, Depends(Needs(Scope.ADMIN))]
Reader = Annotated[Caller, Depends(Needs(Scope.READ))]


@router.get("/v1/webhooks", summary="List webhooks")
def list_webhooks(request: Request, caller: Admin) -> schemas.Webhooks:
    """List the receivers. It needs the scope admin, because the URL of a receiver is often a secret itself."""
    rows = parts_of(request).store.reads.webhooks(caller.tenant)
    return schemas.Webhooks(webhooks=[schemas.Webhook.model_validate(row) for row in rows])


@router.post("/v1/webhooks", summary="Add a webhook", status_code=201)
def add_webhook(request: Request, caller: Admin, asked: schemas.WebhookAsked) -> schemas.WebhookCreated:
    """Add a receiver. The answer holds the secret that signs every message; it is shown this once."""
    parts = parts_of(request)
    check_url(asked.url, parts.services.address)
    _check_routing_key(asked.format, asked.routing_key)
    secret = secret_of(parts.services.random_bytes(_SECRET_BYTES))
    row = parts.store.desk.add_webhook(
        caller.tenant,
        url=asked.url,
        format=asked.format,
        events=tuple(asked.events),
        severity_min=asked.severity_min,
        description=asked.description,
        routing_key=asked.routing_key,
        secret=secret,
        at=parts.services.clock(),
    )
    return schemas.WebhookCreated(**dict(schemas.Webhook.model_validate(row)), secret=secret)


@router.get("/v1/webhooks/{webhook_id}", summary="One webhook")
def get_webhook(request: Request, caller: Admin, webhook_id: Id) -> schemas.Webhook:
    """One receiver."""
    row = parts_of(request).store.reads.webhook(caller.tenant, webhook_id)
    if row is None:
        raise _unknown(webhook_id)
    return schemas.Webhook.model_validate(row)


@router.patch("/v1/webhooks/{webhook_id}", summary="Change a webhook")
def patch_webhook(request: Request, caller: Admin, webhook_id: Id, patch: schemas.WebhookPatch) -> schemas.Webhook:
    """Change what is named; the rest stays. `enabled` wakes a receiver that said 410 Gone."""
    parts = parts_of(request)
    before = parts.store.reads.webhook(caller.tenant, webhook_id)
    if before is None:
        raise _unknown(webhook_id)
    if patch.url is not None:
        check_url(patch.url, parts.services.address)
    if patch.format == "pagerduty" and before.format != "pagerduty":
        _check_routing_key(patch.format, patch.routing_key)
    nullable = {"description"}
    fields = {
        name: value
        for name, value in patch.model_dump(exclude_unset=True).items()
        if value is not None or name in nullable
    }
    row = parts.store.desk.change_webhook(caller.tenant, webhook_id, **fields) if fields else before
    if row is None:
        raise _unknown(webhook_id)
    return schemas.Webhook.model_validate(row)


@router.delete("/v1/webhooks/{webhook_id}", summary="Delete a webhook", status_code=204)
def delete_webhook(request: Request, caller: Admin, webhook_id: Id) -> Response:
    """Delete a receiver; what was not sent to it yet is not sent."""
    if not parts_of(request).store.desk.delete_webhook(caller.tenant, webhook_id):
        raise _unknown(webhook_id)
    return Response(status_code=204)


@router.post("/v1/webhooks/{webhook_id}/test", summary="Test a webhook", status_code=202)
def test_webhook(request: Request, caller: Admin, webhook_id: Id) -> schemas.Queued:
    """Send a `test.ping` in the shape of an opened incident; look at the deliveries for what became of it."""
    parts = parts_of(request)
    at = parts.services.clock()
    queued = parts.store.desk.queue_test(caller.tenant, webhook_id, at=at, base_url=parts.base_url)
    if queued is None:
        raise _unknown(webhook_id)
    return schemas.Queued(delivery_id=queued)


@router.get("/v1/webhooks/{webhook_id}/deliveries", summary="List deliveries")
def list_deliveries(
    request: Request, caller: Reader, webhook_id: Id, *, limit: Limit = 100, cursor: Cursor = None
) -> schemas.Deliveries:
    """List what was sent to a receiver, the latest first: attempts, the last answer, and why it failed."""
    reads = parts_of(request).store.reads
    if reads.webhook(caller.tenant, webhook_id) is None:
        raise _unknown(webhook_id)
    found = reads.deliveries(caller.tenant, webhook_id=webhook_id, limit=limit, cursor=cursor)
    return schemas.Deliveries(
        deliveries=[schemas.Delivery.model_validate(row) for row in found.rows], next_cursor=found.next_cursor
    )


@router.post("/v1/deliveries/{delivery_id}/replay", summary="Replay a delivery", status_code=202)
def replay_delivery(request: Request, caller: Admin, delivery_id: Number) -> schemas.Queued:
    """Send the same bytes once more, with the same `webhook-id`, so that a receiver recognises a repetition."""
    parts = parts_of(request)
    queued = parts.store.desk.replay_delivery(caller.tenant, delivery_id, parts.services.clock())
    if queued is None:
        raise ProblemError(404, f"delivery_id: there is no delivery {delivery_id}")
    return schemas.Queued(delivery_id=queued)


def check_url(url: str, settings: AddressSettings) -> None:
    """Refuse a URL that could never be delivered to, while the person who typed it is still there.

    Names are looked up when a message is sent, not now: they may point elsewhere by then. Only an address written as
    itself, and localhost, are told at once.

    Raises:
        InputError: it is malformed or may not be reached.
    """
    target = parse_url(url)
    literal = "127.0.0.1" if target.host.rpartition(".")[2] == _LOCALHOST else target.host
    try:
        ip_address(literal)
    except ValueError:
        if not target.secure and not settings.allow_http and not settings.allow_networks:
            raise InputError("url: http is not allowed; use https") from None
        return
    try:
        vet(target, [literal], settings)
    except RejectedError as error:
        raise InputError(f"url: {error}") from None


def _check_routing_key(shape: str, routing_key: str | None) -> None:
    if shape == "pagerduty" and not routing_key:
        raise ProblemError(422, "routing_key: the pagerduty format needs one, the integration key of your service")


def _unknown(webhook_id: str) -> ProblemError:
    return ProblemError(404, f"webhook_id: there is no webhook {webhook_id[:64]!r}")
