"""Which of the incidents a receiver was told of are the planted ones: strict enough that luck does not count.

A finding is about a planted incident when it lies in its time, and

- at least half of the lines it shows were planted by that incident (lines are known by their event ids), or
- it names a stranger: an entity that no normal line names, or
- the incident is a silence, and the finding is about the stream that is silent.

Being about the same stream, host or user at the same time is not enough. An incident of the service is a false alarm
when none of its findings is about anything planted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import product
from typing import Any

from service.receiver import Received
from service.simulate import Planted

SLACK = timedelta(minutes=10)  # two intervals of five minutes: the one it began in and the one it was judged in


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """The first message that told of a planted incident."""

    received_at: float  # seconds of the monotonic clock
    incident_id: str
    title: str
    evident_at: datetime  # end of the finding: the event time of the last line it needed
    detectors: tuple[str, ...]  # all that were about it, in any message


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What became of the planted incidents, and what else was told."""

    hits: dict[str, Hit] = field(default_factory=dict)  # by kind
    false_alarms: dict[str, str] = field(default_factory=dict)  # incident id -> title
    true_alarms: int = 0  # incidents that are about something planted


def verdict(messages: Iterable[Received], truth: Sequence[Planted], labels: Mapping[str, str]) -> Verdict:
    """Compare what was told with what was planted.

    Args:
        messages: of a webhook in the standard shape, in the order of their arrival.
        truth: the planted incidents.
        labels: event id of each planted line -> kind of its incident.
    """
    result = Verdict()
    titles: dict[str, str] = {}
    true: set[str] = set()
    for message in messages:
        incident = message.body["data"]["incident"]
        titles[incident["id"]] = incident["title"]
        for finding, planted in product(message.body["data"]["findings"], truth):
            if is_about(finding, planted, labels):
                true.add(incident["id"])
                result.hits[planted.kind] = _hit(result.hits.get(planted.kind), message, finding)
    result.true_alarms = len(true)
    result.false_alarms = {name: title for name, title in titles.items() if name not in true}
    return result


def is_about(finding: Mapping[str, Any], planted: Planted, labels: Mapping[str, str]) -> bool:
    """Whether a finding, as a message tells it, is about a planted incident."""
    starts, ends = (datetime.fromisoformat(finding[name]) for name in ("start_at", "end_at"))
    if starts > planted.end + SLACK or ends < planted.start:
        return False
    if planted.silent:
        return finding["stream"] in planted.streams
    if set(finding["entities"]) & set(planted.strangers):
        return True
    cited = {line["event_id"] for line in finding["lines"]}
    cited |= {reason["event_id"] for reason in finding["reasons"] if reason["event_id"]}
    return 2 * sum(labels.get(event) == planted.kind for event in cited) >= len(cited) > 0


def _hit(known: Hit | None, message: Received, finding: Mapping[str, Any]) -> Hit:
    detectors = {finding["detector"]} | set(known.detectors if known else ())
    incident = message.body["data"]["incident"]
    first = known or Hit(
        received_at=message.at,
        incident_id=incident["id"],
        title=incident["title"],
        evident_at=datetime.fromisoformat(finding["end_at"]),
        detectors=(),
    )
    return Hit(
        received_at=first.received_at,
        incident_id=first.incident_id,
        title=first.title,
        evident_at=first.evident_at,
        detectors=tuple(sorted(detectors)),
    )
