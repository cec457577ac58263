"""Says in words what came too often, too seldom or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import polars as pl

from detectors.volume.counts import DISTINCT, ENTITY, ERRORS, NEWCOMER, TEMPLATE
from detectors.volume.units import SILENCE, Part
from detectors.words import messages, said
from tocsin.finding import Reason

_CHARS = 120  # of an example line
_NONE = 0.5  # fewer are said to be none


def explain(unit: Mapping[str, Any], parts: Sequence[Part]) -> tuple[Reason, ...]:
    """Reasons of one SCORES row, the strongest first."""
    if not parts:
        summary = f"{unit['stream']} was silent" if unit["unit"] == SILENCE else f"lines of {unit['stream']} as usual"
        return (Reason(kind="series", summary=f"{summary} from {_span(unit)}", event_id=_first(unit)),)
    return tuple(_reason(unit, part) for part in parts)


def _reason(unit: Mapping[str, Any], part: Part) -> Reason:
    if unit["unit"] == SILENCE:
        summary = f"{unit['stream']} has been silent since {_at(unit['start'])}"
        expected = f"about {_number(part.expected)} lines by {_at(unit['end'])}"
        actual = "no line"
    else:
        what, of = _what(part), _unit_of(part)
        quiet = part.count == 0
        more = part.count > part.expected
        comparison = "no longer seen" if quiet else f"{_number(part.count)} {of}"
        ratio = _ratio(part)
        summary = f"{what} in {unit['stream']}: {comparison} from {_span(unit)}{ratio}"
        expected = f"{'at most' if more else 'at least'} about {_number(part.expected)} {of}"
        if part.expected < _NONE:
            expected = "none"
        if quiet:
            expected = f"about {_number(part.expected)} {of} since the last one"
        actual = f"{_number(part.count)} {of}"
    return Reason(
        kind="series",
        summary=summary,
        expected=expected,
        actual=actual,
        event_id=part.event_id or None,
        payload={
            "series": part.name or part.text or "lines",
            "stream": unit["stream"],
            "count": part.count,
            "expected": round(part.expected, 3),
            "from": _iso(unit["start"]),
            "to": _iso(unit["end"]),
            "score": round(part.score, 3),
        },
    )


def _what(part: Part) -> str:
    if part.facet == ERRORS:
        return "error lines"
    if part.facet == TEMPLATE:
        return f'lines like "{_message(part.text)}"'
    if part.facet == ENTITY:
        return f"lines that name {said(part.text)}"
    if part.facet == NEWCOMER:
        return f"the new {said(part.text)}" if ":" in part.name else f'new lines like "{_message(part.text)}"'
    if part.facet == DISTINCT:
        return f"different values of {part.text}"
    return "lines"


def _message(text: str) -> str:
    return str(messages(pl.Series([text]), _CHARS)[0])


def _unit_of(part: Part) -> str:
    return "values" if part.facet == DISTINCT else "lines"


def _ratio(part: Part) -> str:
    if part.count == 0 or part.expected <= 0:
        return ""
    if part.count > part.expected:
        return f", {_number(part.count / part.expected)} times the usual" if part.expected >= 1 else ", usually none"
    return f", {100 * part.count / part.expected:.0f} % of the usual"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def _span(unit: Mapping[str, Any]) -> str:
    start, end = unit["start"], unit["end"]
    return f"{_at(start)} to {end:%H:%M}" if start.date() == end.date() else f"{_at(start)} to {_at(end)}"


def _at(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M")


def _iso(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _first(unit: Mapping[str, Any]) -> str | None:
    return next(iter(unit["event_ids"]), None)
