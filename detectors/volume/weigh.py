"""Weighs the counts of one step of some streams: how surprising is each series beyond what its stream did as a whole?

The counts of a burst are the same lines seen three ways: the stream, its templates, its entities. So the expectation of
a template or an entity follows the stream's own factor, and only what deviates beyond it scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.hashing import Hashes
from detectors.table import Rows
from detectors.volume.counts import ENTITY, TEMPLATE, TOTAL, Counts, distinct_of
from detectors.volume.forecast import (
    Expected,
    Floats,
    bunched,
    expect,
    habit,
    surprise_high,
    surprise_low,
    surprise_quiet,
)
from detectors.volume.series import Series
from detectors.volume.settings import VolumeSettings


@dataclass(frozen=True, slots=True)
class Step:
    """What happened in one step of some streams; a step is one interval, or several without a line."""

    streams: Hashes  # sorted
    interval: Rows  # of each stream, the last one
    steps: Floats  # of each stream, how many
    hour: Rows  # of each stream, of the week
    counts: Counts  # of these intervals


@dataclass(frozen=True, slots=True)
class Weighed:
    """One row for each known series of the streams of a step."""

    rows: Rows  # of Series
    place: Rows  # of the stream in the step
    count: Floats
    example: Rows  # row of the counts frame behind the count, -1 where it is 0
    expected: Expected
    bar: Floats  # the expectation that was compared with
    high: Floats  # surprise upwards in decades, 0 where not off enough
    low: Floats  # downwards
    quiet: Floats  # expected since the last line
    ended: Floats  # surprise of the run of zeros that ends here
    score: Floats  # surprise over habit; 0 where nothing is to be told


def weigh(series: Series, step: Step, settings: VolumeSettings, *, closed: bool) -> Weighed:
    """Compare counts with what was expected.

    Args:
        series: what is known.
        step: what happened.
        settings: of the detector.
        closed: the intervals are over; while they are not, only too many can be told.
    """
    place = np.searchsorted(step.streams, series["stream"])
    place = np.minimum(place, len(step.streams) - 1)
    rows = np.flatnonzero(step.streams[place] == series["stream"])
    place = place[rows]
    count, example = _counts(series, step.counts, settings)
    count, example = count[rows], example[rows]
    expected = expect(series, rows, step.hour[place])
    facet = series["facet"][rows]
    high_bar, low_bar = _bars(expected, count, place, facet)
    ripe = series["age"][rows] >= settings.history_min
    high = _too_many(count, high_bar, expected.spread, ripe, settings)
    low, quiet, ended = np.zeros(len(rows)), np.zeros(len(rows)), np.zeros(len(rows))
    told = np.ones(len(rows), np.bool_)
    if closed:
        steady = ripe & ((facet == TOTAL) | (facet == TEMPLATE) | (facet == ENTITY))
        low = _too_few(count, low_bar, expected.spread, steady, settings)
        before = series["quiet"][rows]
        quiet = np.where(count == 0, before + step.steps[place] * expected.low, 0.0)
        silence = _silence(quiet, expected, facet, steady, settings)
        ended = np.where(count > 0, _silence(before, expected, facet, steady, settings), 0.0)
        low = np.maximum(low, silence)
        told = (count > 0) | _tells(facet, before, quiet, _stream_is_silent(count, place, facet), settings)
    score = np.maximum(high / habit(series, rows, "high", settings), low / habit(series, rows, "low", settings) * told)
    bar = np.where(high > 0, high_bar, np.where(quiet > 0, quiet, low_bar))
    return Weighed(rows, place, count, example, expected, bar, high, low, quiet, ended, score)


def _counts(series: Series, counts: Counts, settings: VolumeSettings) -> tuple[Floats, Rows]:
    """Count of each known series and the row of `counts` behind it; those made of others included."""
    result, example = np.zeros(len(series)), np.full(len(series), -1, np.int64)
    group, value = counts.group, counts.value
    found = series.find(counts.key)
    known = found >= 0
    result[found[known]] = value[known]
    example[found[known]] = np.flatnonzero(known)
    young = np.where(known, series["age"][found] < settings.history_min, True) if len(series) else ~known
    young = np.flatnonzero(young & (group != 0))
    newcomers = series.find(group[young])
    young, newcomers = young[newcomers >= 0], newcomers[newcomers >= 0]
    np.maximum.at(result, newcomers, value[young])
    busiest = value[young] == result[newcomers]
    example[newcomers[busiest]] = young[busiest]  # the last assignment wins
    entities = np.flatnonzero(counts.facet == ENTITY)
    different = series.find(distinct_of(group[entities]))
    there = different >= 0
    np.add.at(result, different[there], 1.0)
    example[different[there]] = entities[there]
    return result, example


def _bars(expected: Expected, count: Floats, place: Rows, facet: NDArray[np.int8]) -> tuple[Floats, Floats]:
    """What is compared with upwards and downwards: the parts of a stream move with it."""
    whole = facet == TOTAL
    more, less = np.ones(int(place.max(initial=0)) + 1), np.ones(int(place.max(initial=0)) + 1)
    more[place[whole]] = np.maximum(count[whole] / np.maximum(expected.high[whole], 1.0), 1.0)
    less[place[whole]] = np.minimum(count[whole] / np.maximum(expected.low[whole], 1.0), 1.0)
    return (
        expected.high * np.where(whole, 1.0, more[place]),
        expected.low * np.where(whole, 1.0, less[place]),
    )


def _too_many(count: Floats, bar: Floats, spread: Floats, ripe: NDArray[np.bool_], settings: VolumeSettings) -> Floats:
    off = ripe & (count - bar >= np.maximum(settings.deviation_min, settings.ratio_min * bar))
    high = np.zeros(len(count))
    high[off] = surprise_high(count[off], bar[off], bunched(spread[off], bar[off], settings.burst_lines))
    return high


def _too_few(count: Floats, bar: Floats, spread: Floats, ripe: NDArray[np.bool_], settings: VolumeSettings) -> Floats:
    off = ripe & (count > 0) & (bar - count >= np.maximum(settings.deviation_min, settings.ratio_min * bar))
    low = np.zeros(len(count))
    low[off] = surprise_low(count[off], bar[off], bunched(spread[off], bar[off], settings.burst_lines))
    return low


def _silence(
    quiet: Floats, expected: Expected, facet: NDArray[np.int8], ripe: NDArray[np.bool_], settings: VolumeSettings
) -> Floats:
    off = ripe & (quiet >= settings.deviation_min)
    low = np.zeros(len(quiet))
    low[off] = surprise_quiet(quiet[off], expected.at(off), facet[off] == TOTAL, settings)
    return low


def _stream_is_silent(count: Floats, place: Rows, facet: NDArray[np.int8]) -> NDArray[np.bool_]:
    silent = np.ones(int(place.max(initial=0)) + 1, np.bool_)
    whole = facet == TOTAL
    silent[place[whole]] = count[whole] == 0
    return silent[place]


def _tells(
    facet: NDArray[np.int8],
    before: Floats,
    quiet: Floats,
    silent: NDArray[np.bool_],
    settings: VolumeSettings,
) -> NDArray[np.bool_]:
    """Is a run of zeros told at this step? A stream's always: it is one finding. A part's each time it has doubled."""
    doubled = np.floor(np.log2(np.maximum(quiet, 1e-9) / settings.deviation_min)) > np.floor(
        np.log2(np.maximum(before, 1e-9) / settings.deviation_min)
    )
    return np.where(facet == TOTAL, silent, doubled & ~silent)
