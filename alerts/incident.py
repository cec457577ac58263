"""The incident: findings that belong together, what a person may do to it, and how it is named."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Literal

from alerts.untrusted import neutralised
from tocsin.errors import InputError
from tocsin.finding import Finding

TITLE_CHARS_MAX = 120  # fits one line of a pager and of a mail subject
ASSIGNEE_CHARS_MAX = 200  # an address or a name, not a text
AGREEMENT = (
    5  # severity points for each further detector or stream; half a factor of 10 in p-value; chosen, not measured
)
AGREEMENT_MAX = 15  # agreement alone must not turn a note into an emergency


class Status(StrEnum):
    """Where an incident stands."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"  # somebody looks at it; findings still join
    RESOLVED = "resolved"  # over; no finding joins


class Why(StrEnum):
    """Why a finding is in an incident, strongest first after `first`."""

    FIRST = "first"  # it opened the incident
    TRACE = "trace"  # they share a trace id
    ENTITY = "entity"  # they share entities rare enough
    REPEAT = "repeat"  # the same detector saw the same subject again
    TEMPLATE = "template"  # they show the same kind of line
    STREAM = "stream"  # they burst out of one stream at once
    MOMENT = "moment"  # counts of several streams went astray at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Why one finding is in its incident."""

    finding_id: str
    why: Why
    what: str  # the entity, trace, template or stream that is shared; "" for `first`
    weight: float  # sum of the rarity of the shared entities; 1 for the other reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """Findings of one tenant that tell one story."""

    incident_id: str  # `tocsin.identity.incident_id` of the first finding
    tenant: str
    status: Status
    severity: int  # 0-100
    title: str
    opened_at: datetime  # event time of the first finding
    last_at: datetime  # event time of the latest finding; restarted when a person reopens it
    closed_at: datetime | None
    finding_count: int
    entities: Mapping[str, float]  # `kind:value` -> weight in [0, 1], heaviest first, bounded
    streams: tuple[str, ...]
    detectors: tuple[str, ...]
    trace_ids: tuple[str, ...] = ()  # latest last, bounded
    template_ids: tuple[str, ...] = ()  # latest last, bounded
    assignee: str | None = None
    sequence: int = 1  # grows by one with every change, so that a receiver can discard older states


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happened to an incident in one step.

    Attributes:
        kind: the event is `incident.<kind>`.
        incident: as it is after the change.
        findings: those that joined, strongest first; all of them, so that storage can keep each.
        reason: why, as one sentence for a person.
        joins: why, for each of `findings` in the same order.
        notable: whether people should be told. Every opening and resolution is; an update is when it got worse, when a
            further detector or stream agrees, or when the number of findings doubled. The others are kept in silence.
    """

    kind: Literal["opened", "updated", "resolved"]
    incident: Incident
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    joins: tuple[Join, ...] = field(default=())
    notable: bool = True


_MOVES: frozenset[tuple[Status, Status]] = frozenset(
    {
        (Status.OPEN, Status.ACKNOWLEDGED),
        (Status.OPEN, Status.RESOLVED),
        (Status.ACKNOWLEDGED, Status.OPEN),
        (Status.ACKNOWLEDGED, Status.RESOLVED),
        (Status.RESOLVED, Status.OPEN),  # undo of a hasty click
    }
)


def change_by_person(
    incident: Incident, *, at: datetime, status: Status | None = None, assignee: str | None = None
) -> Change | None:
    """Apply what somebody asked for; None when it already is so.

    Reopening starts the quiet period again, otherwise the incident would be resolved at the next step.

    Args:
        incident: as it is.
        at: when, in event time.
        status: the new status; None leaves it.
        assignee: who looks at it, "" for nobody; None leaves it.

    Raises:
        InputError: the status cannot follow the present one, or the assignee is too long.
    """
    after = incident
    if assignee is not None:
        if len(assignee) > ASSIGNEE_CHARS_MAX:
            raise InputError(f"assignee: at most {ASSIGNEE_CHARS_MAX} characters, got {len(assignee)}")
        after = replace(after, assignee=assignee or None)
    if status is not None and status != incident.status:
        if (incident.status, status) not in _MOVES:
            raise InputError(f"status: {incident.status} cannot become {status}")
        reopened = incident.status == Status.RESOLVED
        after = replace(
            after,
            status=status,
            closed_at=at if status == Status.RESOLVED else None,
            last_at=max(incident.last_at, at) if reopened else incident.last_at,
        )
    if after == incident:
        return None
    after = replace(after, sequence=incident.sequence + 1)
    closed = after.status == Status.RESOLVED != incident.status
    return Change(kind="resolved" if closed else "updated", incident=after, reason=f"{after.status} by hand")


def agreement(detectors: Iterable[str], streams: Iterable[str]) -> int:
    """Severity points for independent witnesses: `AGREEMENT` for each beyond the first, at most `AGREEMENT_MAX`."""
    witnesses = len(set(detectors)) + len(set(streams)) - 2
    return min(AGREEMENT_MAX, AGREEMENT * max(0, witnesses))


_ID_CHARS = 8  # of an id in a title: enough to tell two apart, as version control does
_MORE = re.compile(r", and \d+ more$")
_ID = re.compile(r"\b(?:inc_)?[0-9a-fA-F]{16,}\b|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")


def headline(finding: Finding, main_entity: str | None) -> str:
    """What the strongest finding says, in words, with the main entity when the summary does not name it."""
    summary = neutralised(finding.summary, 4 * TITLE_CHARS_MAX)
    words = _ID.sub(lambda found: f"{found[0][:_ID_CHARS]}…", summary).strip().rstrip(".")
    kind, _, value = (main_entity or "").partition(":")
    value = neutralised(value, 40)
    if value and value not in words and not _ID.search(value):
        return _cut(words, TITLE_CHARS_MAX - len(f" ({kind} {value})")) + f" ({kind} {value})"
    return _cut(words, TITLE_CHARS_MAX)


def titled(lead: str, finding_count: int) -> str:
    """The title: `lead` and how many findings there are beside it."""
    more = f", and {finding_count - 1} more" if finding_count > 1 else ""
    return _cut(lead, TITLE_CHARS_MAX - len(more)) + more


def lead_of(title: str) -> str:
    """What `titled` was given."""
    return _MORE.sub("", title)


def _cut(text: str, length_max: int) -> str:
    if len(text) <= length_max:
        return text
    head = text[: length_max - 1]
    words = head.rsplit(" ", 1)[0]
    return (words if len(words) > length_max // 2 else head).rstrip(" ,;:") + "…"
