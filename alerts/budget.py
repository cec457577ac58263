"""The alert budget: how many incidents a day may ask for somebody's attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alerts.incident import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Of one tenant. 0 incidents a day means that none is opened."""

    incidents_per_day: int = 10  # what one person on call reads with care; chosen, not measured
    margin: int = 10  # severity points by which a newcomer must outrank; one factor of 10 in p-value
    emergency: int = 90  # at this severity an incident opens although the budget is spent
    multiple_max: int = 3  # and not even emergencies open more than this many budgets a day: the storm guard


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """What may happen and what may not."""

    admitted: tuple[Change, ...]  # in the order given
    refused: tuple[Change, ...]  # would have opened; their findings are kept without an incident
    refused_findings: int


def admit(changes: Sequence[Change], opened_in_last_day: Sequence[int], budget: Budget) -> Admission:
    """Decide which incidents may open.

    Updates and resolutions always pass: people know the incident already. Openings are considered strongest first.
    While fewer than `incidents_per_day` were opened in the last 24 hours, they open. After that only what outranks
    opens: a severity of at least `emergency`, or at least `margin` above the weakest of the day's strongest
    `incidents_per_day`, so the bar rises with everything that passes it. Above `multiple_max` budgets nothing opens.

    Args:
        changes: of one tenant, by `correlate`.
        opened_in_last_day: severity of each incident the tenant opened in the last 24 hours of event time.
        budget: the tenant's.
    """
    opened = list(opened_in_last_day)
    openings = [change for change in changes if change.kind == "opened"]
    refused: set[str] = set()
    for change in sorted(openings, key=_rank):
        if _may_open(change.incident.severity, opened, budget):
            opened.append(change.incident.severity)
        else:
            refused.add(change.incident.incident_id)
    turned_away = tuple(change for change in openings if change.incident.incident_id in refused)
    return Admission(
        admitted=tuple(change for change in changes if change.incident.incident_id not in refused),
        refused=turned_away,
        refused_findings=sum(len(change.findings) for change in turned_away),
    )


def _rank(change: Change) -> tuple[int, str]:
    return (-change.incident.severity, change.incident.incident_id)


def _may_open(severity: int, opened: Sequence[int], budget: Budget) -> bool:
    if len(opened) < budget.incidents_per_day:
        return True
    if len(opened) >= budget.incidents_per_day * budget.multiple_max:
        return False
    weakest = sorted(opened, reverse=True)[budget.incidents_per_day - 1]
    return severity >= budget.emergency or severity >= weakest + budget.margin
