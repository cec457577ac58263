from __future__ import annotations

from datetime import UTC, datetime, timedelta

from api.schemas import Finding
from api.timeline import timeline

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def a_finding(detector: str = "novelty", start_s: float = 0, end_s: float = 0, severity: int = 60) -> Finding:
    return Finding(
        finding_id=f"{detector}{start_s}",
        incident_id="inc_1",
        tenant="default",
        stream="shop",
        detector=detector,
        start_at=NOW + timedelta(seconds=start_s),
        end_at=NOW + timedelta(seconds=end_s),
        score=1.0,
        p_value=0.001,
        severity=severity,
        summary="a line never seen before",
        expected=None,
        actual=None,
        entities=[],
        held_by=None,
        evidence=[],
    )


def test_without_findings_there_is_no_timeline() -> None:
    assert timeline([]) is None


def test_each_detector_has_a_lane_of_its_own() -> None:
    drawing = timeline([a_finding("volume", 0, 60), a_finding("novelty", 30, 30), a_finding("novelty", 50, 50)])
    assert drawing is not None
    assert [(lane.detector, len(lane.marks)) for lane in drawing.lanes] == [("novelty", 2), ("volume", 1)]
    assert len({lane.y for lane in drawing.lanes}) == 2


def test_nothing_is_drawn_outside_the_drawing() -> None:
    drawing = timeline([a_finding(start_s=at, end_s=at + 5) for at in range(0, 4000, 7)])
    assert drawing is not None
    for mark in drawing.lanes[0].marks:
        assert 0 <= mark.x <= 100
        assert mark.x + mark.width <= 100


def test_a_moment_is_a_dot_and_a_stretch_is_a_bar() -> None:
    drawing = timeline([a_finding(start_s=0, end_s=0), a_finding(start_s=100, end_s=900)])
    assert drawing is not None
    dot, bar = drawing.lanes[0].marks
    assert dot.width == 0
    assert bar.width > 50


def test_ticks_are_round_times_and_few() -> None:
    for span_s in (1, 59, 3600, 90_000, 40 * 86_400):
        drawing = timeline([a_finding(start_s=3, end_s=span_s + 3)])
        assert drawing is not None
        assert 1 <= len(drawing.ticks) <= 6
        assert all(0 <= tick.x <= 100 for tick in drawing.ticks)


def test_a_single_moment_still_has_a_timeline() -> None:
    drawing = timeline([a_finding()])
    assert drawing is not None
    assert len(drawing.lanes[0].marks) == 1
