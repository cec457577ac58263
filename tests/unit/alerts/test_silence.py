"""Silences."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.silence import Matcher, Silence, silenced
from tocsin.errors import InputError
from tocsin.finding import Finding

T0 = datetime(2026, 3, 1, tzinfo=UTC)
FINDING = Finding(
    finding_id="f",
    tenant="acme",
    stream="sshd.eu",
    detector="novelty",
    start_at=T0,
    end_at=T0,
    score=1.0,
    p_value=0.01,
    severity=50,
    summary="",
    expected=None,
    actual=None,
    entities=("user:eve", "ip:10.0.0.9"),
    trace_ids=(),
    template_ids=("f00",),
    event_ids=(),
    reasons=(),
)


def a_silence(matcher: Matcher, **given: Any) -> Silence:
    silence = Silence(
        silence_id="s1",
        tenant="acme",
        matcher=matcher,
        starts_at=T0,
        ends_at=T0 + timedelta(hours=1),
        author="kim",
        reason="planned work",
    )
    return replace(silence, **given)


@pytest.mark.parametrize(
    "matcher",
    [
        Matcher(entity="user:eve"),
        Matcher(entity="ip:10.0.*"),
        Matcher(detector="novelty"),
        Matcher(stream="sshd*"),
        Matcher(template_id="f00"),
        Matcher(entity="user:eve", severity_below=51),
        Matcher(entity="user:eve", detector="novelty", stream="sshd.eu", template_id="f00", severity_below=100),
    ],
)
def test_a_finding_is_silenced_when_all_that_is_given_holds(matcher: Matcher) -> None:
    silence = a_silence(matcher)
    assert silenced(FINDING, [silence], T0) is silence


@pytest.mark.parametrize(
    "matcher",
    [
        Matcher(entity="user:ev"),
        Matcher(entity="user:eve", detector="volume"),
        Matcher(stream="sshd"),
        Matcher(template_id="f01"),
        Matcher(entity="user:eve", severity_below=50),
    ],
)
def test_a_finding_is_not_silenced_when_one_thing_does_not_hold(matcher: Matcher) -> None:
    assert silenced(FINDING, [a_silence(matcher)], T0) is None


def test_a_silence_holds_from_its_start_until_before_its_end() -> None:
    silence = a_silence(Matcher(entity="user:eve"))
    times = {T0 - timedelta(seconds=1): False, T0: True, T0 + timedelta(minutes=59): True, silence.ends_at: False}
    assert {now: silenced(FINDING, [silence], now) is not None for now in times} == times


def test_a_silence_of_another_tenant_does_not_count() -> None:
    assert silenced(FINDING, [a_silence(Matcher(entity="user:eve"), tenant="other")], T0) is None


@pytest.mark.parametrize("given", [{"author": " "}, {"reason": ""}, {"reason": "x" * 1001}])
def test_a_silence_without_author_or_reason_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(InputError):
        a_silence(Matcher(entity="user:eve"), **given)


def test_a_silence_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(InputError, match="ends_at"):
        replace(a_silence(Matcher(entity="user:eve")), ends_at=T0)


def test_a_silence_without_time_zone_is_refused() -> None:
    with pytest.raises(InputError, match="time zone"):
        replace(a_silence(Matcher(entity="user:eve")), starts_at=T0.replace(tzinfo=None))


def test_a_matcher_of_everything_is_refused() -> None:
    with pytest.raises(InputError, match="name an entity"):
        Matcher(severity_below=50)


def test_a_matcher_says_what_is_wrong_with_it() -> None:
    with pytest.raises(InputError, match="kind:value"):
        Matcher(entity="eve")
    with pytest.raises(InputError, match="severity_below"):
        Matcher(entity="user:eve", severity_below=0)
