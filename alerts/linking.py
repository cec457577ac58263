"""When a finding belongs to a story that is already being told: the rules of joining, strongest first.

A story (`Cluster`) is an incident being put together. Every rule compares one finding with one story:

| why | holds when | how long |
|---|---|---|
| trace | they share a trace id | while the incident would be open (`quiet_s`) |
| entity | the rarity of the shared entities sums to `weight_min` | while the incident would be open |
| repeat | the same detector saw the same subject before (stream, entities, templates) | `window_s` after the latest |
| template | they show the same kind of line | `window_s` after the latest |
| stream | they come from one stream | `burst_s` around the *opening* finding, so that a busy stream does not chain |
| moment | the same detector counted, from the same moment on | `opened_at` alone |

The last three are weak. They do not join strangers: see `_strangers`. Nothing joins an incident older than `age_max_s`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from alerts.incident import Incident, Join, Why
from tocsin.finding import Finding
from tocsin.record import UNPARSED

#: Kinds whose values come back by chance, so sharing one says nothing: everything listens on port 443.
UNLINKED_KINDS = frozenset({"pid", "port", "status"})
#: Kinds that say who or which machine. Findings that name different ones are two stories unless strongly linked.
ACTOR_KINDS = frozenset({"user", "ip", "email", "device", "host", "container"})
#: Findings whose first reason is of these kinds are about their entities; the others are about the line or the series.
_ABOUT_ENTITIES = frozenset({"pair", "edge", "cluster"})
#: An entity at least this rare tells actors apart; a host that is in every second line does not. Chosen, not measured.
_TELLING = 0.5

STRONG = frozenset({Why.TRACE, Why.ENTITY})
_ORDER = {Why.TRACE: 4, Why.ENTITY: 3, Why.REPEAT: 2, Why.TEMPLATE: 1, Why.STREAM: 0, Why.MOMENT: -1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How findings become incidents. Times are event time, in seconds."""

    window_s: float = 900.0  # a weak link holds this long after the latest finding; three volume intervals of 5 minutes
    quiet_s: float = 1800.0  # without a finding for this long an incident is over; strong links hold as long
    burst_s: float = 60.0  # what one stream reports this close to an opening is one event
    age_max_s: float = 86_400.0  # after a day a story is told again from the start; it also bounds every chain
    weight_min: float = 0.5  # two findings share enough from here: one rare entity, or several middling ones
    entities_max: int = 50  # of an incident, by weight; also how many entities of one finding are looked at
    traces_max: int = 50  # of an incident, latest
    templates_max: int = 50  # of an incident, latest
    open_max: int = 500  # open incidents of one tenant; beyond it the stalest are resolved


@dataclass(slots=True, kw_only=True)
class Cluster:
    """An incident being put together; `incident` is None while it is new."""

    first: str  # incident id
    incident: Incident | None
    opened_at: datetime
    opening_ends_at: datetime  # of the finding that opened it; a count over five minutes opens for five minutes
    last_at: datetime
    entities: dict[str, float] = field(default_factory=dict)
    trace_ids: dict[str, None] = field(default_factory=dict)  # an ordered set
    template_ids: dict[str, None] = field(default_factory=dict)
    streams: set[str] = field(default_factory=set)
    detectors: set[str] = field(default_factory=set)
    members: list[tuple[Finding, Join]] = field(default_factory=list)


def weights_of(finding: Finding, rarity: Mapping[str, float], policy: Policy) -> dict[str, float]:
    """The entities of a finding that can link, heaviest first; one that was never counted is as rare as can be."""
    weights = {
        entity: min(1.0, max(0.0, rarity.get(entity, 1.0)))
        for entity in finding.entities
        if entity.partition(":")[0] not in UNLINKED_KINDS
    }
    return dict(sorted(weights.items(), key=lambda item: (-item[1], item[0]))[: policy.entities_max])


def link(finding: Finding, weights: Mapping[str, float], cluster: Cluster, policy: Policy) -> Join | None:
    """The strongest reason for which `finding` belongs to `cluster`, or None.

    Args:
        finding: the newcomer.
        weights: its entities, by `weights_of`.
        cluster: of the same tenant.
        policy: the limits.
    """
    gap_s = _gap_s(finding, cluster)
    age_s = (finding.start_at - cluster.opened_at).total_seconds()
    if gap_s > policy.quiet_s or age_s > policy.age_max_s:
        return None
    traces = [trace for trace in finding.trace_ids if trace in cluster.trace_ids]
    if traces:
        return Join(finding_id=finding.finding_id, why=Why.TRACE, what=min(traces), weight=1.0)
    shared = [entity for entity in weights if entity in cluster.entities]  # heaviest first
    weight = sum(weights[entity] for entity in shared)
    if shared and weight >= policy.weight_min:
        return Join(finding_id=finding.finding_id, why=Why.ENTITY, what=shared[0], weight=round(weight, 6))
    if gap_s > policy.window_s:
        return None
    return _weak(finding, weights, cluster, policy)


def preference(join: Join, cluster: Cluster) -> tuple[int, float, datetime, str]:
    """Which of several links wins: the stronger kind, the greater weight, the more recent story, then the id."""
    return (_ORDER[join.why], join.weight, cluster.last_at, cluster.first)


def _weak(finding: Finding, weights: Mapping[str, float], cluster: Cluster, policy: Policy) -> Join | None:
    def joined(why: Why, what: str) -> Join:
        return Join(finding_id=finding.finding_id, why=why, what=what, weight=1.0)

    if (
        finding.stream in cluster.streams
        and finding.detector in cluster.detectors
        and _same_subject(weights, finding, cluster)
    ):
        return joined(Why.REPEAT, finding.stream)
    strangers = _strangers(weights, cluster)
    about_entities = bool(finding.reasons) and finding.reasons[0].kind in _ABOUT_ENTITIES
    templates = [
        template for template in finding.template_ids if template in cluster.template_ids and template != UNPARSED
    ]
    if templates and not (strangers and about_entities):
        return joined(Why.TEMPLATE, min(templates))
    if finding.stream in cluster.streams and _from_opening_s(finding, cluster) <= policy.burst_s and not strangers:
        return joined(Why.STREAM, finding.stream)
    counted = bool(finding.reasons) and finding.reasons[0].kind == "series"
    # Streams that go astray in the same interval have one cause far more often than two.
    if counted and finding.detector in cluster.detectors and finding.start_at == cluster.opened_at and not strangers:
        return joined(Why.MOMENT, finding.stream)
    return None


def _gap_s(finding: Finding, cluster: Cluster) -> float:
    """Seconds between the finding and the story; 0 when they overlap. A finding may be late, so it looks both ways."""
    after = (finding.start_at - cluster.last_at).total_seconds()
    before = (cluster.opened_at - finding.end_at).total_seconds()
    return max(0.0, after, before)


def _from_opening_s(finding: Finding, cluster: Cluster) -> float:
    """Seconds between the finding and the one that opened the story; 0 when they overlap."""
    after = (finding.start_at - cluster.opening_ends_at).total_seconds()
    before = (cluster.opened_at - finding.end_at).total_seconds()
    return max(0.0, after, before)


def _same_subject(weights: Mapping[str, float], finding: Finding, cluster: Cluster) -> bool:
    """Whether everything the finding is about is in the story; a finding about a whole stream names nothing."""
    return weights.keys() <= cluster.entities.keys() and set(finding.template_ids) <= cluster.template_ids.keys()


def _strangers(weights: Mapping[str, float], cluster: Cluster) -> bool:
    """Whether both name actors rare enough to tell apart, and not one in common."""
    ours = {entity for entity, weight in weights.items() if weight >= _TELLING and _is_actor(entity)}
    theirs = {entity for entity, weight in cluster.entities.items() if weight >= _TELLING and _is_actor(entity)}
    return bool(ours) and bool(theirs) and ours.isdisjoint(theirs)


def _is_actor(entity: str) -> bool:
    return entity.partition(":")[0] in ACTOR_KINDS
