from datetime import UTC, datetime, timedelta
from typing import Any

from service.receiver import Received
from service.simulate import Planted
from service.verdict import is_about, verdict

_NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
_LABELS = {"p1": "brute_force", "p2": "brute_force", "q1": "bad_deploy"}


def _planted(kind: str = "brute_force", *, silent: bool = False) -> Planted:
    return Planted(
        kind=kind,
        start=_NOON,
        end=_NOON + timedelta(minutes=20),
        streams=("auth",),
        entities=("user:eve", "ip:193.46.255.17"),
        strangers=() if silent else ("ip:193.46.255.17",),
        sentence="Somebody guesses.",
        claimed_by=("novelty",),
        silent=silent,
    )


def _finding(
    *, minutes: float = 5, lines: tuple[str, ...] = (), entities: tuple[str, ...] = (), stream: str = "auth"
) -> dict[str, Any]:
    at = _NOON + timedelta(minutes=minutes)
    return {
        "detector": "novelty",
        "stream": stream,
        "start_at": at.isoformat(),
        "end_at": (at + timedelta(minutes=5)).isoformat(),
        "entities": list(entities),
        "lines": [{"event_id": name, "text": ""} for name in lines],
        "reasons": [{"event_id": lines[0] if lines else None}],
    }


def _message(*findings: dict[str, Any], incident: str = "inc_1", at: float = 1.0) -> Received:
    data = {"incident": {"id": incident, "title": f"title of {incident}"}, "findings": list(findings)}
    return Received(message_id=f"msg_{incident}_{at}", at=at, body={"type": "incident.opened", "data": data})


def test_a_finding_that_shows_planted_lines_is_about_their_incident() -> None:
    assert is_about(_finding(lines=("p1", "p2", "n1")), _planted(), _LABELS)


def test_a_finding_that_shows_mostly_normal_lines_is_not() -> None:
    assert not is_about(_finding(lines=("p1", "n1", "n2")), _planted(), _LABELS)


def test_a_finding_that_shows_lines_of_another_incident_is_not() -> None:
    assert not is_about(_finding(lines=("q1",)), _planted(), _LABELS)


def test_a_finding_that_names_a_stranger_is_about_the_incident() -> None:
    assert is_about(_finding(entities=("ip:193.46.255.17",)), _planted(), _LABELS)


def test_the_same_user_and_stream_at_the_same_time_are_not_enough() -> None:
    assert not is_about(_finding(entities=("user:eve",)), _planted(), _LABELS)


def test_a_finding_before_or_long_after_the_incident_is_not_about_it() -> None:
    assert not is_about(_finding(minutes=-10, lines=("p1",)), _planted(), _LABELS)
    assert not is_about(_finding(minutes=40, lines=("p1",)), _planted(), _LABELS)


def test_a_silence_is_found_by_a_finding_about_the_silent_stream_only() -> None:
    silence = _planted("silent_source", silent=True)
    assert is_about(_finding(), silence, {})
    assert not is_about(_finding(stream="cart"), silence, {})


def test_incidents_without_a_finding_about_anything_planted_are_false_alarms() -> None:
    result = verdict(
        [
            _message(_finding(lines=("p1",)), _finding(lines=("n1",)), incident="inc_1"),
            _message(_finding(lines=("n2",)), incident="inc_2", at=2.0),
        ],
        [_planted()],
        _LABELS,
    )
    assert result.false_alarms == {"inc_2": "title of inc_2"}
    assert result.true_alarms == 1


def test_an_incident_that_turns_out_to_be_planted_later_is_no_false_alarm() -> None:
    messages = [_message(_finding(lines=("n1",))), _message(_finding(lines=("p1",)), at=2.0)]
    result = verdict(messages, [_planted()], _LABELS)
    assert result.false_alarms == {}
    assert result.hits["brute_force"].received_at == 2.0


def test_the_first_message_counts_and_all_detectors_are_named() -> None:
    other = _finding(minutes=6, lines=("p2",)) | {"detector": "volume"}
    result = verdict([_message(_finding(lines=("p1",))), _message(other, at=2.0)], [_planted()], _LABELS)
    hit = result.hits["brute_force"]
    assert hit.received_at == 1.0
    assert hit.evident_at == _NOON + timedelta(minutes=10)
    assert hit.detectors == ("novelty", "volume")
