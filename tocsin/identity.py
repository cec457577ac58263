"""Content hashes that name things the same way after a restart and on every worker."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

_SEPARATOR = b"\x1f"  # ASCII unit separator: cannot be confused with text of a field


def _digest(parts: Iterable[str], size: int) -> str:
    return blake2b(
        _SEPARATOR.join(part.encode("utf-8", "surrogatepass") for part in parts), digest_size=size
    ).hexdigest()


def batch_digest(tenant: str, stream: str, batch_identity: str) -> str:
    """The first 24 of the 32 hex digits of the ids of a batch's events; the others are the place in the batch.

    Args:
        tenant: whose events they are.
        stream: where they arrived.
        batch_identity: the sender's identity of the batch where its protocol has one, else the journal offset.
    """
    return _digest((tenant, stream, batch_identity), 12)


def event_ids(tenant: str, stream: str, batch_identity: str, positions: Iterable[int]) -> list[str]:
    """Ids of the events at `positions` of one batch, 32 hex digits each; equal lines are never merged."""
    digest = batch_digest(tenant, stream, batch_identity)
    return [f"{digest}{position:08x}" for position in positions]


def template_id(tenant: str, stream: str, text: str) -> str:
    """Id of a template, 16 hex digits; `text` is the template as it was when it was first seen."""
    return _digest((tenant, stream, text), 8)


def finding_id(detector: str, tenant: str, stream: str, unit: str, start_ns: int) -> str:
    """Id of a finding, 32 hex digits: the same unit at the same time is the same finding on every replay."""
    return _digest((detector, tenant, stream, unit, str(start_ns)), 16)


def incident_id(tenant: str, first_finding_id: str) -> str:
    """Id of an incident, `inc_` and 24 hex digits, from the finding that opened it."""
    return f"inc_{_digest((tenant, first_finding_id), 12)}"
