"""Sorts findings into incidents and closes those that went quiet: pure, in event time.

Findings are taken in the order of their start, each joins the story it is linked to best (`alerts.linking`). Stories
that begin in the same step and turn out to be linked strongly are merged; incidents that people already know never are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from alerts.incident import (
    Change,
    Incident,
    Join,
    Status,
    Why,
    agreement,
    headline,
    lead_of,
    titled,
)
from alerts.linking import STRONG, Cluster, Policy, link, preference, weights_of
from tocsin.finding import Finding
from tocsin.identity import incident_id

__all__ = ["Policy", "correlate"]

_SEVERITY_STEP = 10  # severity points: one factor of 10 in p-value; crossing a multiple of it is worth telling


def correlate(  # noqa: PLR0913 -- everything it depends on is an argument
    findings: Iterable[Finding],
    open_incidents: Sequence[Incident],
    rarity: Mapping[str, float],
    now: datetime,
    policy: Policy,
    *,
    known: Collection[str] = frozenset(),
) -> tuple[Change, ...]:
    """Join findings to incidents, open new ones, resolve those that are quiet.

    The result does not depend on the order of `findings` or `open_incidents`. Every finding is in exactly one change.
    Acknowledged incidents are updated like open ones. A resolved incident is not reopened: what comes later opens a new
    one.

    Args:
        findings: new ones, of any tenants; tenants never mix.
        open_incidents: open and acknowledged ones; others are ignored.
        rarity: entity to weight, 1 rare to 0 in every event; an entity that is missing counts as 1.
        now: event time up to which everything was seen.
        policy: windows and limits.
        known: ids of findings that were sorted before; they are left out.

    Returns:
        At most one change per incident: opened and updated by time of opening, then resolved.
    """
    fresh = {finding.finding_id: finding for finding in findings if finding.finding_id not in known}
    incidents = [incident for incident in open_incidents if incident.status != Status.RESOLVED]
    tenants = sorted({finding.tenant for finding in fresh.values()} | {incident.tenant for incident in incidents})
    changes: list[Change] = []
    for tenant in tenants:
        own = [finding for finding in fresh.values() if finding.tenant == tenant]
        standing = [incident for incident in incidents if incident.tenant == tenant]
        changes += _correlate_tenant(own, standing, rarity, now, policy)
    return tuple(changes)


def _correlate_tenant(
    findings: list[Finding], incidents: list[Incident], rarity: Mapping[str, float], now: datetime, policy: Policy
) -> list[Change]:
    board = _Board(policy)
    for incident in sorted(incidents, key=lambda each: (each.opened_at, each.incident_id)):
        board.add(_standing(incident))
    for finding in sorted(findings, key=lambda each: (each.start_at, each.finding_id)):
        board.place(finding, weights_of(finding, rarity, policy))
    touched = sorted(
        (cluster for cluster in board.clusters.values() if cluster.members),
        key=lambda each: (each.opened_at, each.first),
    )
    changes = [_change(cluster, policy) for cluster in touched]
    changed = {change.incident.incident_id for change in changes}
    untouched = [incident for incident in incidents if incident.incident_id not in changed]
    return changes + _endings(untouched, len(changes), now, policy)


class _Board:
    """The stories of one tenant, found by what they share, so that a finding is compared only with candidates."""

    def __init__(self, policy: Policy) -> None:
        self.clusters: dict[str, Cluster] = {}
        self._policy = policy
        self._sharing: defaultdict[tuple[str, str], set[str]] = defaultdict(set)

    def add(self, cluster: Cluster) -> None:
        self.clusters[cluster.first] = cluster
        self._index(cluster.first, _keys(cluster.entities, cluster.trace_ids, cluster.template_ids, cluster.streams))
        self._index(cluster.first, (("moment", _moments(cluster.detectors, cluster.opened_at)),))

    def place(self, finding: Finding, weights: Mapping[str, float]) -> None:
        """Put a finding where it belongs; stories that begin here and are strongly linked by it become one."""
        links = [
            (join, cluster)
            for cluster in self._candidates(finding, weights)
            if (join := link(finding, weights, cluster, self._policy)) is not None
        ]
        if not links:
            self._open(finding, weights)
            return
        join, home = max(links, key=lambda each: preference(*each))
        if join.why in STRONG:
            home = self._merged(home, [each for each in links if each[0].why in STRONG and each[1].incident is None])
            join = next(each for each, cluster in links if cluster is home)
        _take(home, finding, join, weights)
        self._index(home.first, _keys(weights, finding.trace_ids, finding.template_ids, (finding.stream,)))

    def _index(self, name: str, keys: _Keys) -> None:
        for kind, values in keys:
            for value in values:
                self._sharing[kind, value].add(name)

    def _candidates(self, finding: Finding, weights: Mapping[str, float]) -> list[Cluster]:
        names: set[str] = set()
        shared = _keys(weights, finding.trace_ids, finding.template_ids, (finding.stream,))
        for kind, values in (*shared, ("moment", _moments((finding.detector,), finding.start_at))):
            for value in values:
                names |= self._sharing.get((kind, value), set())
        return [self.clusters[name] for name in sorted(names) if name in self.clusters]

    def _open(self, finding: Finding, weights: Mapping[str, float]) -> None:
        cluster = Cluster(
            first=incident_id(finding.tenant, finding.finding_id),
            incident=None,
            opened_at=finding.start_at,
            opening_ends_at=finding.end_at,
            last_at=finding.end_at,
        )
        first = Join(finding_id=finding.finding_id, why=Why.FIRST, what="", weight=1.0)
        _take(cluster, finding, first, weights)
        self.add(cluster)

    def _merged(self, home: Cluster, bridged: list[tuple[Join, Cluster]]) -> Cluster:
        """Pour the new stories into `home`, or into the earliest of them when `home` is new as well."""
        if home.incident is None:
            home = min((cluster for _, cluster in bridged), key=_beginning)
        for bridge, cluster in bridged:
            if cluster is not home:
                _pour(cluster, home, bridge)
                del self.clusters[cluster.first]
                self.add(home)
        return home


def _beginning(cluster: Cluster) -> tuple[datetime, str]:
    return (cluster.opened_at, cluster.members[0][0].finding_id)


_Keys = tuple[tuple[str, Iterable[str]], ...]


def _keys(entities: Iterable[str], traces: Iterable[str], templates: Iterable[str], streams: Iterable[str]) -> _Keys:
    return (("entity", entities), ("trace", traces), ("template", templates), ("stream", streams))


def _moments(detectors: Iterable[str], at: datetime) -> list[str]:
    return [f"{detector} {at.isoformat()}" for detector in detectors]


def _standing(incident: Incident) -> Cluster:
    return Cluster(
        first=incident.incident_id,
        incident=incident,
        opened_at=incident.opened_at,
        opening_ends_at=incident.opened_at,
        last_at=incident.last_at,
        entities=dict(incident.entities),
        trace_ids=dict.fromkeys(incident.trace_ids),
        template_ids=dict.fromkeys(incident.template_ids),
        streams=set(incident.streams),
        detectors=set(incident.detectors),
    )


def _take(cluster: Cluster, finding: Finding, join: Join, weights: Mapping[str, float]) -> None:
    cluster.members.append((finding, join))
    cluster.last_at = max(cluster.last_at, finding.end_at)
    cluster.entities |= weights
    cluster.trace_ids |= dict.fromkeys(finding.trace_ids)
    cluster.template_ids |= dict.fromkeys(finding.template_ids)
    cluster.streams.add(finding.stream)
    cluster.detectors.add(finding.detector)


def _pour(source: Cluster, home: Cluster, bridge: Join) -> None:
    """Move a new story into another; its first finding now has a reason: what it shares with the finding between."""
    for finding, join in source.members:
        home.members.append(
            (finding, replace(bridge, finding_id=finding.finding_id) if join.why == Why.FIRST else join)
        )
    home.last_at = max(home.last_at, source.last_at)
    home.entities |= source.entities
    home.trace_ids |= source.trace_ids
    home.template_ids |= source.template_ids
    home.streams |= source.streams
    home.detectors |= source.detectors


def _change(cluster: Cluster, policy: Policy) -> Change:
    before = cluster.incident
    members = sorted(cluster.members, key=lambda member: _strength(member[0]))
    strongest = members[0][0]
    peak_before = _peak(before) if before else -1
    lead = lead_of(before.title) if before else ""
    if strongest.severity > peak_before:
        lead = headline(strongest, _main_entity(strongest, cluster.entities))
    count = (before.finding_count if before else 0) + len(members)
    bonus = agreement(cluster.detectors, cluster.streams)
    heaviest = sorted(cluster.entities.items(), key=lambda item: (-item[1], item[0]))
    incident = Incident(
        incident_id=cluster.first,
        tenant=strongest.tenant,
        status=before.status if before else Status.OPEN,
        severity=min(100, max(peak_before, strongest.severity) + bonus),
        title=titled(lead, count),
        opened_at=cluster.opened_at,
        last_at=cluster.last_at,
        closed_at=None,
        finding_count=count,
        entities=dict(heaviest[: policy.entities_max]),
        streams=tuple(sorted(cluster.streams)),
        detectors=tuple(sorted(cluster.detectors)),
        trace_ids=tuple(cluster.trace_ids)[-policy.traces_max :],
        template_ids=tuple(cluster.template_ids)[-policy.templates_max :],
        assignee=before.assignee if before else None,
        sequence=before.sequence + 1 if before else 1,
    )
    joins = tuple(join for _, join in members)
    return Change(
        kind="updated" if before else "opened",
        incident=incident,
        findings=tuple(finding for finding, _ in members),
        reason=_sentence(joins),
        joins=joins,
        notable=before is None or _is_notable(before, incident),
    )


def _strength(finding: Finding) -> tuple[int, float, datetime, str]:
    return (-finding.severity, finding.p_value, finding.start_at, finding.finding_id)


def _peak(incident: Incident) -> int:
    """Severity of its strongest finding. At 100 the bonus may be part of it, but then nothing can exceed it anyway."""
    return 100 if incident.severity == 100 else incident.severity - agreement(incident.detectors, incident.streams)


def _main_entity(finding: Finding, weights: Mapping[str, float]) -> str | None:
    """The rarest entity; of equally rare ones that which the summary names, so that a title does not name two."""

    def rank(entity: str) -> tuple[float, bool, str]:
        return (-round(weights[entity], 1), entity.partition(":")[2] not in finding.summary, entity)

    return min((entity for entity in finding.entities if weights.get(entity, 0.0) > 0.0), key=rank, default=None)


def _is_notable(before: Incident, after: Incident) -> bool:
    return (
        after.severity // _SEVERITY_STEP > before.severity // _SEVERITY_STEP
        or len(after.detectors) > len(before.detectors)
        or len(after.streams) > len(before.streams)
        or after.finding_count.bit_length() > before.finding_count.bit_length()
    )


_PHRASES = {
    Why.TRACE: "same trace {}",
    Why.ENTITY: "shares {}",
    Why.REPEAT: "the same again in {}",
    Why.TEMPLATE: "same kind of line",
    Why.STREAM: "at the same moment in {}",
    Why.MOMENT: "in the same minutes in {}",
}
_PHRASES_MAX = 3  # a reason is one sentence; `joins` has them all


def _sentence(joins: Sequence[Join]) -> str:
    phrases = list(dict.fromkeys(_PHRASES[join.why].format(join.what) for join in joins if join.why in _PHRASES))
    if not phrases:
        return "first finding"
    further = f", and {len(phrases) - _PHRASES_MAX} more" if len(phrases) > _PHRASES_MAX else ""
    return "; ".join(phrases[:_PHRASES_MAX]) + further


def _endings(untouched: list[Incident], touched: int, now: datetime, policy: Policy) -> list[Change]:
    """Resolve what is quiet, then the stalest of the others while more than `open_max` are open."""
    by_age = sorted(untouched, key=lambda each: (each.last_at, each.incident_id))
    quiet = [each for each in by_age if (now - each.last_at).total_seconds() >= policy.quiet_s]
    live = by_age[len(quiet) :]
    crowd = live[: max(0, touched + len(live) - policy.open_max)]
    quiet_text = f"nothing new for {policy.quiet_s / 60:.0f} minutes"
    crowd_text = f"more than {policy.open_max} incidents were open; this one was quiet for longest"
    return [_resolved(each, now, quiet_text) for each in quiet] + [_resolved(each, now, crowd_text) for each in crowd]


def _resolved(incident: Incident, now: datetime, reason: str) -> Change:
    after = replace(incident, status=Status.RESOLVED, closed_at=now, sequence=incident.sequence + 1)
    return Change(kind="resolved", incident=after, reason=reason)
