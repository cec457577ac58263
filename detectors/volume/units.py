"""Makes units of weighed steps: one a stream and interval, told by the few series that explain it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from detectors.detector import SCORES
from detectors.table import Rows
from detectors.volume.counts import DISTINCT, ENTITY, NEWCOMER, SECOND_NS, TEMPLATE, TOTAL, Counts
from detectors.volume.series import Series
from detectors.volume.settings import VolumeSettings
from detectors.volume.weigh import Step, Weighed
from tocsin.record import TIME

#: Unit of an interval of a stream, and of a silence of a whole stream.
LINES, SILENCE = "volume", "silence"

_TELLING = 0.5  # a series is told beside the strongest from this share of its score
_WHOLE = 0.8  # the stream itself is told first from this share: it says it in one number


@dataclass(frozen=True, slots=True)
class Part:
    """One series of a unit: what it counted and what was expected."""

    facet: int
    name: str  # template id or entity, "" for a stream's own
    text: str  # for a person
    count: float
    expected: float
    score: float
    event_id: str  # latest of the lines counted, "" where there is none


@dataclass(frozen=True, slots=True)
class Unit:
    """One SCORES row with what explains it."""

    unit: str
    stream: str
    start: int  # ns
    end: int  # ns
    score: float
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams of a step, in its order."""

    names: tuple[str, ...]
    quiet_from: Rows  # ns: the end of the latest interval with lines
    latest: tuple[str, ...]  # event id of the latest line
    ripe: tuple[bool, ...]  # has enough history to be scored


def units_of(step: Step, weighed: Weighed, series: Series, streams: Streams, settings: VolumeSettings) -> list[Unit]:
    """Units of the ripe streams of a closed step."""
    width = settings.interval_s * SECOND_NS
    best, order, bounds = _by_stream(weighed, len(streams.names))
    silent = np.ones(len(streams.names), np.bool_)
    lines = (series["facet"][weighed.rows] == TOTAL) & (weighed.count > 0)
    silent[weighed.place[lines]] = False
    units = []
    for place, name in enumerate(streams.names):
        if not streams.ripe[place]:
            continue
        rows = order[bounds[place] : bounds[place + 1]]
        end = int(step.interval[place] + 1) * width
        start = int(streams.quiet_from[place]) if silent[place] else end - int(step.steps[place]) * width
        parts = _parts(rows, weighed, series, step.counts, settings) if best[place] > 0 else ()
        if silent[place]:
            parts = tuple(replace(part, event_id=streams.latest[place]) for part in parts)
        units.append(Unit(SILENCE if silent[place] else LINES, name, start, end, float(best[place]), parts))
    return units


def frame_of(units: Iterable[Unit]) -> pl.DataFrame:
    """SCORES of units."""
    rows: Mapping[str, list[Any]] = {name: [] for name in SCORES}
    for unit in units:
        named = [part for part in unit.parts if part.name]
        rows["unit"].append(unit.unit)
        rows["stream"].append(unit.stream)
        rows["entities"].append(sorted({part.name for part in named if _is_entity(part)}))
        rows["template_ids"].append(sorted({part.name for part in named if not _is_entity(part)}))
        rows["start"].append(unit.start)
        rows["end"].append(unit.end)
        rows["score"].append(unit.score)
        rows["event_ids"].append(list(dict.fromkeys(part.event_id for part in unit.parts if part.event_id)))
    numbers = {name: pl.Int64() if dtype == TIME else dtype for name, dtype in SCORES.items()}
    return pl.DataFrame([pl.Series(name, rows[name], numbers[name]).cast(dtype) for name, dtype in SCORES.items()])


def _is_entity(part: Part) -> bool:
    return ":" in part.name  # template ids are hex digits


def _by_stream(weighed: Weighed, streams: int) -> tuple[Any, Rows, Rows]:
    """Best score of each stream, the rows by stream, and where each stream begins in them."""
    best = np.zeros(streams)
    np.maximum.at(best, weighed.place, weighed.score)
    order = np.argsort(weighed.place, kind="stable")
    bounds = np.searchsorted(weighed.place[order], np.arange(streams + 1))
    return best, order, bounds


def _parts(rows: Rows, weighed: Weighed, series: Series, counts: Counts, settings: VolumeSettings) -> tuple[Part, ...]:
    """The strongest series among some rows; the whole stream before its parts where it is nearly as strong."""
    score = weighed.score[rows]
    facet = series["facet"][weighed.rows[rows]]
    rank = np.where(facet == TOTAL, score / _WHOLE, score)
    # Rows of equal rank by key, not by place: the place depends on which were forgotten before.
    order = np.lexsort((series["key"][weighed.rows[rows]], -rank))
    order = order[score[order] >= _TELLING * score.max()][: settings.reasons_max]
    return tuple(_part(int(row), weighed, series, counts) for row in rows[order])


def _part(row: int, weighed: Weighed, series: Series, counts: Counts) -> Part:
    known = int(weighed.rows[row])
    facet, example = int(series["facet"][known]), int(weighed.example[row])
    name, text = series.texts.get(int(series["key"][known]), ("", ""))
    event_id = ""
    if example >= 0:
        event_id, its_name, its_text = counts.line(example)
        if facet in {NEWCOMER, TEMPLATE, ENTITY}:
            name, text = its_name, its_text
    return Part(
        facet=facet,
        name="" if facet == DISTINCT else name,
        text=text,
        count=float(weighed.count[row]),
        expected=float(weighed.bar[row]),
        score=float(weighed.score[row]),
        event_id=event_id,
    )
