"""What a person may do to an incident, and how it is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from alerts.incident import (
    ASSIGNEE_CHARS_MAX,
    TITLE_CHARS_MAX,
    Incident,
    Status,
    agreement,
    change_by_person,
    headline,
    lead_of,
    titled,
)
from tocsin.errors import InputError
from tocsin.finding import Finding

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATER = T0 + timedelta(hours=1)
INCIDENT = Incident(
    incident_id="inc_1",
    tenant="acme",
    status=Status.OPEN,
    severity=50,
    title="Something",
    opened_at=T0,
    last_at=T0,
    closed_at=None,
    finding_count=1,
    entities={},
    streams=("s",),
    detectors=("d",),
)


def a_finding(summary: str) -> Finding:
    return Finding(
        finding_id="f",
        tenant="acme",
        stream="s",
        detector="d",
        start_at=T0,
        end_at=T0,
        score=1.0,
        p_value=0.01,
        severity=50,
        summary=summary,
        expected=None,
        actual=None,
        entities=(),
        trace_ids=(),
        template_ids=(),
        event_ids=(),
        reasons=(),
    )


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (Status.OPEN, Status.ACKNOWLEDGED, "updated"),
        (Status.OPEN, Status.RESOLVED, "resolved"),
        (Status.ACKNOWLEDGED, Status.OPEN, "updated"),
        (Status.ACKNOWLEDGED, Status.RESOLVED, "resolved"),
        (Status.RESOLVED, Status.OPEN, "updated"),
    ],
)
def test_a_person_moves_an_incident(before: Status, after: Status, kind: str) -> None:
    change = change_by_person(replace(INCIDENT, status=before), at=LATER, status=after)
    assert change is not None
    assert (change.kind, change.incident.status, change.incident.sequence) == (kind, after, 2)
    assert change.incident.closed_at == (LATER if after == Status.RESOLVED else None)


def test_a_resolved_incident_cannot_be_acknowledged() -> None:
    with pytest.raises(InputError, match="resolved cannot become acknowledged"):
        change_by_person(replace(INCIDENT, status=Status.RESOLVED), at=LATER, status=Status.ACKNOWLEDGED)


def test_reopening_starts_the_quiet_period_again() -> None:
    change = change_by_person(replace(INCIDENT, status=Status.RESOLVED, closed_at=T0), at=LATER, status=Status.OPEN)
    assert change is not None
    assert change.incident.last_at == LATER


def test_asking_for_what_is_already_so_changes_nothing() -> None:
    assert change_by_person(INCIDENT, at=LATER, status=Status.OPEN) is None
    assert change_by_person(INCIDENT, at=LATER, assignee="") is None


def test_an_assignee_is_set_and_taken_back() -> None:
    change = change_by_person(INCIDENT, at=LATER, assignee="kim")
    assert change is not None
    assert (change.kind, change.incident.assignee) == ("updated", "kim")
    back = change_by_person(change.incident, at=LATER, assignee="")
    assert back is not None
    assert back.incident.assignee is None


def test_an_endless_assignee_is_refused() -> None:
    with pytest.raises(InputError, match="assignee"):
        change_by_person(INCIDENT, at=LATER, assignee="k" * (ASSIGNEE_CHARS_MAX + 1))


@pytest.mark.parametrize(("detectors", "streams", "points"), [(1, 1, 0), (2, 1, 5), (1, 2, 5), (2, 2, 10), (9, 9, 15)])
def test_agreement_is_bounded(detectors: int, streams: int, points: int) -> None:
    assert agreement(map(str, range(detectors)), map(str, range(streams))) == points


def test_the_main_entity_is_added_only_when_the_summary_does_not_name_it() -> None:
    assert headline(a_finding("Spike of errors."), "host:web1") == "Spike of errors (host web1)"
    assert headline(a_finding("Spike of errors on web1"), "host:web1") == "Spike of errors on web1"


def test_titles_shorten_ids_and_hold_nothing_hidden() -> None:
    summary = (
        "Request \x1b[31m4bf92f3577b34da6a3ce929d0e0e4736\x1b[0m of 123e4567-e89b-12d3-a456-426614174000 \u202efailed"
    )
    assert headline(a_finding(summary), None) == "Request 4bf92f35… of 123e4567… \ufffdfailed"


@pytest.mark.parametrize("count", [1, 2, 10_000_000])
def test_a_title_fits_one_line_and_gives_its_lead_back(count: int) -> None:
    lead = headline(a_finding("word " * 200), "user:eve")
    title = titled(lead, count)
    assert len(title) <= TITLE_CHARS_MAX
    assert "\n" not in title
    assert lead.startswith(lead_of(title).rstrip("…"))


def test_a_short_lead_survives_any_number_of_updates() -> None:
    assert lead_of(titled("Spike of errors", 3)) == "Spike of errors"
    assert lead_of(titled("Spike of errors", 1)) == "Spike of errors"
