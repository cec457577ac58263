"""The timeline of an incident: one lane a detector, one mark a finding, as numbers for an SVG.

Across, everything is a percentage, so that the drawing stretches with the page and its text does not. Down, pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.schemas import Finding
from api.words import severity_bars

_LANE_HEIGHT = 44
_AXIS_HEIGHT = 24
_MARGIN = 2.0  # percent left free at both sides, so that a mark is never cut
_BAR_MIN = 2.0  # percent; what is shorter is drawn as a dot
_TICKS_MAX = 5
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 604_800)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One finding."""

    x: float  # percent
    width: float  # percent; 0 is a dot
    bars: int  # of the severity mark
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """The findings of one detector."""

    detector: str
    y: int  # of the marks' middle
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A time on the axis."""

    x: float  # percent
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Everything the template draws."""

    height: int
    seconds: bool  # whether the ticks are less than a minute apart
    lanes: tuple[Lane, ...]
    ticks: tuple[Tick, ...]


def timeline(findings: Sequence[Finding]) -> Timeline | None:
    """Lay the findings out; None when there are none."""
    if not findings:
        return None
    start = min(finding.start_at for finding in findings)
    end = max(finding.end_at for finding in findings)
    span = max(end - start, timedelta(seconds=10))
    scale = (100 - 2 * _MARGIN) / span.total_seconds()

    def x(at: datetime) -> float:
        return round(_MARGIN + (at - start).total_seconds() * scale, 2)

    step_s = _step_s(span)
    names = sorted({finding.detector for finding in findings})
    lanes = tuple(
        Lane(
            detector=name,
            y=index * _LANE_HEIGHT + 30,
            marks=tuple(_mark(finding, x) for finding in findings if finding.detector == name),
        )
        for index, name in enumerate(names)
    )
    return Timeline(
        height=len(lanes) * _LANE_HEIGHT + _AXIS_HEIGHT,
        seconds=step_s < 60,
        lanes=lanes,
        ticks=tuple(Tick(x=x(at), time=at) for at in _ticks(start, span, step_s)),
    )


def _mark(finding: Finding, x: Callable[[datetime], float]) -> Mark:
    left, right = x(finding.start_at), x(finding.end_at)
    wide = right - left >= _BAR_MIN
    return Mark(
        x=left if wide else (left + right) / 2,
        width=right - left if wide else 0.0,
        bars=severity_bars(finding.severity),
        label=f"{finding.severity} {finding.summary}",
    )


def _step_s(span: timedelta) -> float:
    total_s = span.total_seconds()
    return next((step for step in _STEPS_S if total_s / step <= _TICKS_MAX), total_s / _TICKS_MAX)


def _ticks(start: datetime, span: timedelta, step_s: float) -> Iterator[datetime]:
    first = -(-start.timestamp() // step_s) * step_s
    while first <= start.timestamp() + span.total_seconds():
        yield datetime.fromtimestamp(first, start.tzinfo)
        first += step_s
