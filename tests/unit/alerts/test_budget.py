"""The alert budget."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

from alerts.budget import Budget, admit
from alerts.incident import Change, Incident, Status
from tocsin.finding import Finding

T0 = datetime(2026, 3, 1, tzinfo=UTC)
BUDGET = Budget(incidents_per_day=3)


def a_change(name: str, severity: int = 50, kind: Literal["opened", "updated", "resolved"] = "opened") -> Change:
    incident = Incident(
        incident_id=name,
        tenant="acme",
        status=Status.OPEN,
        severity=severity,
        title=name,
        opened_at=T0,
        last_at=T0,
        closed_at=None,
        finding_count=1,
        entities={},
        streams=(),
        detectors=(),
    )
    return Change(kind=kind, incident=incident)


def a_finding() -> Finding:
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
        summary="",
        expected=None,
        actual=None,
        entities=(),
        trace_ids=(),
        template_ids=(),
        event_ids=(),
        reasons=(),
    )


def names(changes: tuple[Change, ...]) -> list[str]:
    return [change.incident.incident_id for change in changes]


def test_under_budget_all_open() -> None:
    admission = admit([a_change("a"), a_change("b")], [50], BUDGET)
    assert names(admission.admitted) == ["a", "b"]
    assert admission.refused == ()


def test_the_strongest_of_a_batch_take_the_last_places() -> None:
    admission = admit([a_change("weak", 41), a_change("strong", 60), a_change("middle", 50)], [50], BUDGET)
    assert names(admission.admitted) == ["strong", "middle"]
    assert names(admission.refused) == ["weak"]


def test_over_budget_only_what_outranks_the_days_weakest_by_the_margin_opens() -> None:
    opened = [50, 60, 70]
    assert names(admit([a_change("a", 59)], opened, BUDGET).admitted) == []
    assert names(admit([a_change("a", 60)], opened, BUDGET).admitted) == ["a"]


def test_the_bar_rises_with_what_passed_it() -> None:
    admission = admit([a_change("a", 62), a_change("b", 62), a_change("c", 62)], [50, 55, 80], BUDGET)
    # 62 >= 50 + 10; then the strongest three are 80, 62, 55 and 62 < 65
    assert names(admission.admitted) == ["a"]


def test_an_emergency_opens_although_the_budget_is_spent() -> None:
    assert names(admit([a_change("a", 90)], [88, 88, 88], BUDGET).admitted) == ["a"]


def test_a_storm_of_emergencies_stops_at_the_multiple() -> None:
    admission = admit([a_change(f"{n:02}", 100) for n in range(50)], [], BUDGET)
    assert len(admission.admitted) == 9


def test_a_budget_of_zero_opens_nothing() -> None:
    assert admit([a_change("a", 100)], [], Budget(incidents_per_day=0)).admitted == ()


def test_updates_and_resolutions_always_pass_and_keep_their_order() -> None:
    changes = [a_change("u", 40, "updated"), a_change("o", 40), a_change("r", 40, "resolved")]
    assert names(admit(changes, [90] * 9, BUDGET).admitted) == ["u", "r"]


def test_findings_of_refused_incidents_are_counted() -> None:
    refused = replace(a_change("a", 40), findings=(a_finding(), a_finding()))
    assert admit([refused], [90] * 3, BUDGET).refused_findings == 2
