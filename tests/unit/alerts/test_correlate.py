"""Sorting findings into incidents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.correlate import Policy, correlate
from alerts.incident import Change, Incident, Status, Why
from tocsin.finding import Finding, Reason
from tocsin.identity import incident_id
from tocsin.record import UNPARSED

T0 = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
POLICY = Policy()
PAIR = (Reason(kind="pair", summary="never seen together"),)
SERIES = (Reason(kind="series", summary="too many lines"),)


def a_finding(name: str, at_s: float = 0.0, **given: Any) -> Finding:
    start = T0 + timedelta(seconds=at_s)
    plain = Finding(
        finding_id=name,
        tenant="acme",
        stream=f"stream-{name}",
        detector="novelty",
        start_at=start,
        end_at=start,
        score=1.0,
        p_value=0.001,
        severity=50,
        summary=f"Something odd in {name}",
        expected=None,
        actual=None,
        entities=(),
        trace_ids=(),
        template_ids=(),
        event_ids=(),
        reasons=(),
    )
    return replace(plain, **given)


def sorted_in(
    *findings: Finding,
    standing: tuple[Incident, ...] = (),
    rarity: Mapping[str, float] | None = None,
    now_s: float = 0.0,
    policy: Policy = POLICY,
) -> tuple[Change, ...]:
    return correlate(findings, standing, rarity or {}, T0 + timedelta(seconds=now_s), policy)


def an_incident(*findings: Finding) -> Incident:
    (change,) = sorted_in(*(findings or (a_finding("a", entities=("user:eve",)),)))
    return change.incident


def groups(changes: tuple[Change, ...]) -> set[frozenset[str]]:
    return {frozenset(finding.finding_id for finding in change.findings) for change in changes if change.findings}


TOGETHER: dict[str, tuple[Finding, Finding, Mapping[str, float], Why]] = {
    "they share a rare entity": (
        a_finding("a", entities=("user:eve",)),
        a_finding("b", 600, entities=("user:eve", "host:web")),
        {"user:eve": 0.9, "host:web": 0.1},
        Why.ENTITY,
    ),
    "several middling entities add up": (
        a_finding("a", entities=("host:web", "path:/x")),
        a_finding("b", entities=("host:web", "path:/x")),
        {"host:web": 0.3, "path:/x": 0.3},
        Why.ENTITY,
    ),
    "an entity that was never counted is rare": (
        a_finding("a", entities=("ip:10.0.0.9",)),
        a_finding("b", entities=("ip:10.0.0.9",)),
        {},
        Why.ENTITY,
    ),
    "they share a trace": (
        a_finding("a", trace_ids=("t1", "t2")),
        a_finding("b", 1700, trace_ids=("t2",)),
        {},
        Why.TRACE,
    ),
    "they show the same kind of line": (
        a_finding("a", template_ids=("f00",)),
        a_finding("b", 800, template_ids=("f00",), detector="volume"),
        {},
        Why.TEMPLATE,
    ),
    "an error template hits different users": (
        a_finding("a", template_ids=("f00",), entities=("user:eve",), reasons=(Reason(kind="line", summary="new"),)),
        a_finding(
            "b", 10, template_ids=("f00",), entities=("user:bob",), reasons=(Reason(kind="line", summary="new"),)
        ),
        {},
        Why.TEMPLATE,
    ),
    "the same detector sees the same busy host again": (
        a_finding("a", stream="web", detector="volume", entities=("host:web",)),
        a_finding("b", 600, stream="web", detector="volume", entities=("host:web",)),
        {"host:web": 0.05},
        Why.REPEAT,
    ),
    "the same detector sees the same stream again": (
        a_finding("a", stream="web", detector="volume"),
        a_finding("b", 600, stream="web", detector="volume"),
        {},
        Why.REPEAT,
    ),
    "a crash bursts out of one stream in different words": (
        a_finding("a", stream="app", template_ids=("f00",)),
        a_finding("b", 2, stream="app", template_ids=("f01",)),
        {},
        Why.STREAM,
    ),
    "counts of two streams go astray in the same minutes": (
        a_finding("a", stream="web", detector="volume", reasons=SERIES),
        a_finding("b", stream="clicks", detector="volume", reasons=SERIES),
        {},
        Why.MOMENT,
    ),
    "a late finding belongs to what began after it": (
        a_finding("a", entities=("user:eve",), end_at=T0 + timedelta(seconds=1)),
        a_finding("b", 900, entities=("user:eve",)),
        {},
        Why.ENTITY,
    ),
}


@pytest.mark.parametrize("case", TOGETHER)
def test_findings_are_one_incident_when(case: str) -> None:
    first, second, rarity, why = TOGETHER[case]
    (change,) = sorted_in(first, second, rarity=rarity)
    assert [join.why for join in change.joins] == [Why.FIRST, why]
    assert change.incident.finding_count == 2


@pytest.mark.parametrize("case", TOGETHER)
def test_a_finding_joins_an_open_incident_as_it_joins_another_finding_when(case: str) -> None:
    first, second, rarity, why = TOGETHER[case]
    (opened,) = sorted_in(first, rarity=rarity)
    (updated,) = sorted_in(second, standing=(opened.incident,), rarity=rarity)
    assert (updated.kind, updated.joins[0].why) == ("updated", why)
    assert updated.incident.incident_id == opened.incident.incident_id


APART: dict[str, tuple[Finding, Finding, Mapping[str, float]]] = {
    "they are close in time and share nothing": (a_finding("a"), a_finding("b", 1), {}),
    "they share only what everything has": (
        a_finding("a", entities=("host:web",)),
        a_finding("b", entities=("host:web",)),
        {"host:web": 0.2},
    ),
    "they share a port": (a_finding("a", entities=("port:443",)), a_finding("b", entities=("port:443",)), {}),
    "they belong to different tenants": (
        a_finding("a", entities=("user:eve",), trace_ids=("t",)),
        a_finding("b", entities=("user:eve",), trace_ids=("t",), tenant="other"),
        {},
    ),
    "the first was quiet for long": (
        a_finding("a", entities=("user:eve",)),
        a_finding("b", 1801, entities=("user:eve",)),
        {},
    ),
    "the same kind of line comes back after the window": (
        a_finding("a", template_ids=("f00",)),
        a_finding("b", 901, template_ids=("f00",)),
        {},
    ),
    "both lines could not be parsed": (
        a_finding("a", template_ids=(UNPARSED,)),
        a_finding("b", template_ids=(UNPARSED,)),
        {},
    ),
    "two users do the same odd thing": (
        a_finding("a", template_ids=("f00",), entities=("user:eve", "ip:1.1.1.1"), reasons=PAIR),
        a_finding("b", template_ids=("f00",), entities=("user:bob", "ip:2.2.2.2"), reasons=PAIR),
        {},
    ),
    "one stream reports two users within a minute": (
        a_finding("a", stream="sshd", entities=("user:eve",), template_ids=("f00",)),
        a_finding("b", 5, stream="sshd", entities=("user:bob",), template_ids=("f01",)),
        {},
    ),
    "counts of two streams go astray one interval apart": (
        a_finding("a", stream="web", detector="volume", reasons=SERIES),
        a_finding("b", 300, stream="clicks", detector="volume", reasons=SERIES),
        {},
    ),
    "one stream reports different things a while apart": (
        a_finding("a", stream="app", template_ids=("f00",)),
        a_finding("b", 120, stream="app", template_ids=("f01",)),
        {},
    ),
}


@pytest.mark.parametrize("case", APART)
def test_findings_are_two_incidents_when(case: str) -> None:
    first, second, rarity = APART[case]
    assert groups(sorted_in(first, second, rarity=rarity)) == {frozenset("a"), frozenset("b")}


def test_a_busy_stream_does_not_chain_into_one_incident() -> None:
    findings = [a_finding(f"f{n:02}", 30 * n, stream="app", template_ids=(f"t{n}",)) for n in range(20)]
    assert max(len(group) for group in groups(sorted_in(*findings))) == 3  # 60 s around an opening


@pytest.mark.parametrize("volume_comes", ["together", "later"])
def test_what_is_counted_over_minutes_joins_what_happened_within_them(volume_comes: str) -> None:
    line = a_finding("line", 114, stream="syslog", entities=("process:network",))
    count = a_finding("count", 0, stream="syslog", detector="volume", entities=("process:kernel",))
    count = replace(count, end_at=T0 + timedelta(seconds=300))
    if volume_comes == "together":
        assert groups(sorted_in(line, count)) == {frozenset({"line", "count"})}
    else:
        (change,) = sorted_in(count, standing=(an_incident(line),), now_s=300)
        assert change.kind == "updated"
        assert change.joins[0].why == Why.STREAM


def test_a_chain_of_shared_entities_ends_with_the_age_of_the_incident() -> None:
    findings = [a_finding(f"f{n:03}", 1200 * n, entities=("user:eve",)) for n in range(80)]  # 26 hours 20 minutes
    sizes = sorted(len(group) for group in groups(sorted_in(*findings)))
    assert sizes == [7, 73]  # 0 to 24 hours, and the rest


def test_the_strongest_link_wins() -> None:
    same_user = an_incident(a_finding("a", entities=("user:eve",)))
    same_trace = an_incident(a_finding("b", trace_ids=("t",)))
    (change,) = sorted_in(a_finding("c", entities=("user:eve",), trace_ids=("t",)), standing=(same_user, same_trace))
    assert change.incident.incident_id == same_trace.incident_id


def test_stories_that_begin_together_are_merged_by_what_links_them() -> None:
    (change,) = sorted_in(
        a_finding("a", 0, entities=("user:eve",)),
        a_finding("b", 1, entities=("ip:9.9.9.9",)),
        a_finding("c", 2, entities=("user:eve", "ip:9.9.9.9")),
    )
    assert change.incident.incident_id == incident_id("acme", "a")
    assert {join.finding_id: (join.why, join.what) for join in change.joins} == {
        "a": (Why.FIRST, ""),
        "b": (Why.ENTITY, "ip:9.9.9.9"),
        "c": (Why.ENTITY, "user:eve"),
    }


def test_incidents_people_know_are_not_merged() -> None:
    one = an_incident(a_finding("a", entities=("user:eve",)))
    two = an_incident(a_finding("b", 1, entities=("ip:9.9.9.9",)))
    changes = sorted_in(a_finding("c", 2, entities=("user:eve", "ip:9.9.9.9")), standing=(one, two))
    assert [change.kind for change in changes] == ["updated"]


def test_the_id_comes_from_the_earliest_finding() -> None:
    (change,) = sorted_in(a_finding("z", 0, trace_ids=("t",)), a_finding("a", 5, trace_ids=("t",)))
    assert change.incident.incident_id == incident_id("acme", "z")
    assert change.incident.opened_at == T0


def test_an_incident_resolves_when_it_was_quiet() -> None:
    incident = an_incident()
    assert sorted_in(standing=(incident,), now_s=1799) == ()
    (change,) = sorted_in(standing=(incident,), now_s=1800)
    assert (change.kind, change.incident.status, change.incident.sequence) == ("resolved", Status.RESOLVED, 2)
    assert change.incident.closed_at == T0 + timedelta(seconds=1800)
    assert change.reason == "nothing new for 30 minutes"


def test_an_acknowledged_incident_keeps_updating_and_stays_acknowledged() -> None:
    incident = replace(an_incident(), status=Status.ACKNOWLEDGED, assignee="kim")
    (change,) = sorted_in(a_finding("b", 5, entities=("user:eve",)), standing=(incident,))
    assert (change.kind, change.incident.status, change.incident.assignee) == ("updated", Status.ACKNOWLEDGED, "kim")


def test_a_resolved_incident_is_not_reopened() -> None:
    incident = replace(an_incident(), status=Status.RESOLVED, closed_at=T0)
    (change,) = sorted_in(a_finding("b", 5, entities=("user:eve",)), standing=(incident,))
    assert change.kind == "opened"
    assert change.incident.incident_id != incident.incident_id


def test_an_incident_that_is_updated_is_not_resolved_in_the_same_step() -> None:
    changes = sorted_in(a_finding("b", 1000, entities=("user:eve",)), standing=(an_incident(),), now_s=9000)
    assert [change.kind for change in changes] == ["updated"]


def test_known_findings_change_nothing() -> None:
    finding = a_finding("a", entities=("user:eve",))
    assert correlate([finding], [an_incident()], {}, T0, POLICY, known={"a"}) == ()


def test_severity_is_that_of_the_strongest_finding() -> None:
    (change,) = sorted_in(
        a_finding("a", stream="s", trace_ids=("t",), severity=50),
        a_finding("b", stream="s", trace_ids=("t",), severity=70),
    )
    assert change.incident.severity == 70


@pytest.mark.parametrize(("witnesses", "severity"), [(1, 70), (2, 75), (3, 80), (4, 85), (5, 85), (30, 85)])
def test_agreeing_detectors_add_a_bounded_bonus(witnesses: int, severity: int) -> None:
    findings = [
        a_finding(f"f{n:02}", stream="s", detector=f"d{n}", trace_ids=("t",), severity=70) for n in range(witnesses)
    ]
    (change,) = sorted_in(*findings)
    assert change.incident.severity == severity


def test_severity_never_exceeds_100_and_never_falls() -> None:
    strong = [a_finding(f"f{n}", stream="s", detector=f"d{n}", trace_ids=("t",), severity=98) for n in range(4)]
    (opened,) = sorted_in(*strong)
    assert opened.incident.severity == 100
    (updated,) = sorted_in(a_finding("z", trace_ids=("t",), severity=40), standing=(opened.incident,))
    assert updated.incident.severity == 100


def test_a_bonus_is_not_counted_twice_over_updates() -> None:
    first = an_incident(a_finding("a", stream="s", detector="d1", trace_ids=("t",), severity=60))
    (second,) = sorted_in(a_finding("b", stream="s", detector="d2", trace_ids=("t",), severity=60), standing=(first,))
    (third,) = sorted_in(
        a_finding("c", stream="s", detector="d2", trace_ids=("t",), severity=60), standing=(second.incident,)
    )
    assert (second.incident.severity, third.incident.severity) == (65, 65)


def test_the_title_says_what_the_strongest_finding_found_and_how_much_more() -> None:
    summary = "New pair user root from 10.0.0.9 in sshd"
    entities = ("user:root", "ip:10.0.0.9")
    (change,) = sorted_in(
        a_finding("a", entities=entities, severity=60, summary=summary),
        a_finding("b", 1, entities=entities, severity=50),
        a_finding("c", 2, entities=entities, severity=50),
    )
    assert change.incident.title == "New pair user root from 10.0.0.9 in sshd, and 2 more"


def test_of_equally_rare_entities_the_title_names_the_one_the_summary_names() -> None:
    finding = a_finding("a", summary="23 lines of ip 203.0.113.9", entities=("domain:a.example", "ip:203.0.113.9"))
    (change,) = sorted_in(finding)
    assert change.incident.title == "23 lines of ip 203.0.113.9"


def test_the_title_keeps_its_lead_until_something_stronger_comes() -> None:
    first = an_incident(a_finding("a", trace_ids=("t",), severity=60, summary="First"))
    (weaker,) = sorted_in(a_finding("b", trace_ids=("t",), severity=55, summary="Weaker"), standing=(first,))
    assert weaker.incident.title == "First, and 1 more"
    (stronger,) = sorted_in(
        a_finding("c", trace_ids=("t",), severity=90, summary="Stronger"), standing=(weaker.incident,)
    )
    assert stronger.incident.title == "Stronger, and 2 more"


def test_entities_are_cut_to_the_heaviest() -> None:
    entities = tuple(f"user:u{n:02}" for n in range(10))
    rarity = {entity: n / 10 for n, entity in enumerate(entities)}
    (change,) = sorted_in(a_finding("a", entities=entities), rarity=rarity, policy=Policy(entities_max=3))
    assert change.incident.entities == {"user:u09": 0.9, "user:u08": 0.8, "user:u07": 0.7}


def test_more_open_incidents_than_allowed_resolve_the_stalest() -> None:
    standing = tuple(an_incident(a_finding(f"f{n}", n)) for n in range(5))
    changes = sorted_in(standing=standing, now_s=60, policy=Policy(open_max=3))
    assert [(change.kind, change.incident.opened_at) for change in changes] == [
        ("resolved", T0),
        ("resolved", T0 + timedelta(seconds=1)),
    ]


def test_only_updates_worth_telling_are_notable() -> None:
    incident = an_incident(a_finding("f0", stream="s", trace_ids=("t",), severity=60))
    notable = []
    for n in range(1, 9):
        finding = a_finding(f"f{n}", n, stream="s", trace_ids=("t",), severity=75 if n == 4 else 60)
        (change,) = sorted_in(finding, standing=(incident,))
        incident = change.incident
        notable.append(change.notable)
    #                    2     3      4     5     6      7      8     9 findings; 75 comes with the fifth
    assert notable == [True, False, True, True, False, False, True, False]


def test_the_reason_is_a_sentence() -> None:
    (change,) = sorted_in(
        a_finding("b", 1, entities=("user:eve",)),
        a_finding("c", 2, trace_ids=("t",)),
        standing=(an_incident(a_finding("a", entities=("user:eve",), trace_ids=("t",))),),
    )
    assert change.reason == "shares user:eve; same trace t"
