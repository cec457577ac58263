"""How many are expected, how surprising a count is, and how both are learned. Arrays of series, no loops.

The expected number of an interval is that of its hour of the week, drawn towards the hour of the day, drawn towards the
usual level, times how the last hour compares with what was expected of it. Counts scatter like a negative binomial with
variance m + a m^2; a is learned from the errors of the forecasts themselves, which is what a forecast is unsure by.
The surprise of a count is -log10 of its tail. Zeros in a row are one event: with a, the chance that nothing comes while
q lines are expected is (1 + a q)^(-1/a), so that a silence becomes certain, but slowly where a series is unsteady. The
silence of a stream teaches nothing for a day, or its own zeros would soon excuse it.

A surprise is divided by the third worst that the series has shown, or by what any series shows now and then: the score
says how many times worse than its usual worst a series does. What was seen three times is a habit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from detectors.table import Rows
from detectors.volume.counts import TOTAL
from detectors.volume.series import (
    DAY_HOURS,
    DAYS,
    ERRORS_N,
    EXCESS,
    LEVEL,
    LEVEL_N,
    RECENT,
    RECENT_USUAL,
    SQUARE,
    Series,
)
from detectors.volume.settings import VolumeSettings

Floats = NDArray[np.float64]

_SPREAD = 0.3  # the a of a series nobody knows: a factor of 1.5 is common
_SPREAD_N = 12.0  # intervals that this prior is worth
_SPREAD_MIN, _SPREAD_MAX = 0.02, 1_000.0  # no forecast is surer than 14 %
_BACKOFF = 6.0  # intervals that the coarser mean is worth against the finer one
_SHIFT_LINES = 5.0  # lines that "no change of level" is worth
_SHIFT_MAX = 10.0  # the last hour changes the expectation by no larger factor
_CLIP = 8.0  # errors beyond so many deviations are learned as so many: one incident must not become the baseline
_DECADES_MAX = 300.0  # what a double can say
_YOUNG = 36.0  # a series of so many intervals has to do twice as bad, one of a third four times


@dataclass(frozen=True, slots=True)
class Expected:
    """What an interval should bring, for some rows of Series."""

    usual: Floats  # by the season alone
    now: Floats  # with the present level
    spread: Floats  # a of the variance m + a m^2

    @property
    def low(self) -> Floats:
        """What it takes at least to be no drop: after a burst the usual number is no drop."""
        return np.minimum(self.usual, self.now)

    @property
    def high(self) -> Floats:
        """What is no burst yet: after a drop the usual number is no burst."""
        return np.maximum(self.usual, self.now)

    def at(self, mask: NDArray[np.bool_] | slice) -> Expected:
        """Some of its rows."""
        return Expected(self.usual[mask], self.now[mask], self.spread[mask])


def expect(series: Series, rows: Rows, hour: Rows) -> Expected:
    """Forecast one interval of each row, in its hour of the week."""
    sums = series["sums"][rows]
    level = sums[:, LEVEL] / np.maximum(sums[:, LEVEL_N], 1e-9)
    of_day, of_hour = _season(series["season"], rows, hour)
    days_n, hours_n = _season(series["season_n"], rows, hour)
    daily = (of_day + _BACKOFF * level) / (days_n + _BACKOFF)
    usual = (of_hour + _BACKOFF * daily) / (hours_n + _BACKOFF)
    shift = (sums[:, RECENT] + _SHIFT_LINES) / (sums[:, RECENT_USUAL] + _SHIFT_LINES)
    now = usual * np.clip(shift, 1 / _SHIFT_MAX, _SHIFT_MAX)
    seen = np.clip(sums[:, EXCESS] / np.maximum(sums[:, SQUARE], 1e-9), 0.0, _SPREAD_MAX)
    weight = sums[:, ERRORS_N]
    spread = np.maximum((seen * weight + _SPREAD * _SPREAD_N) / (weight + _SPREAD_N), _SPREAD_MIN)
    return Expected(usual=usual, now=now, spread=spread)


def _season(season: NDArray[np.float32], rows: Rows, hour: Rows) -> tuple[Floats, NDArray[np.float32]]:
    """What is remembered of each row's hour of the day, on all days; and of its hour of the week."""
    day, of_day = np.divmod(hour, DAY_HOURS)
    days = np.empty((len(rows), DAYS), np.float32)
    # The rows of a step have an hour in common, or few.
    for each in np.flatnonzero(np.bincount(of_day)):
        here = of_day == each
        days[here] = season[:, each][rows[here]]
    return days.sum(axis=1, dtype=np.float64), days[np.arange(len(rows)), day]


def surprise_high(count: Floats, mean: Floats, spread: Floats) -> Floats:
    """-log10 of the chance of `count` or more."""
    size = 1.0 / spread
    tail = betainc(np.maximum(count, 1e-9), size, mean / (size + mean))
    return _decades(np.where(count > 0, tail, 1.0))


def surprise_low(count: Floats, mean: Floats, spread: Floats) -> Floats:
    """-log10 of the chance of `count` or fewer."""
    size = 1.0 / spread
    return _decades(betainc(size, count + 1.0, size / (size + mean)))


def surprise_quiet(quiet: Floats, expected: Expected, whole: NDArray[np.bool_], settings: VolumeSettings) -> Floats:
    """-log10 of the chance that nothing comes while `quiet` lines are expected.

    Of a `whole` stream the bunches of an hour add up, and hours are independent. A template or an entity may just be
    over: its silence is one bunch that did not come.
    """
    hours = np.where(whole, np.maximum(quiet / (settings.hour * np.maximum(expected.low, 1e-6)), 1.0), 1.0)
    spread = bunched(expected.spread, np.where(whole, quiet / hours, expected.low), settings.burst_lines)
    decades = hours * np.log1p(spread * quiet / hours) / (spread * np.log(10.0))
    return np.asarray(np.minimum(decades, _DECADES_MAX), np.float64)


def bunched(spread: Floats, mean: Floats, burst_lines: float) -> Floats:
    """Spread of a series whose lines come in bunches: the variance of a small mean is that of its bunches."""
    return np.asarray(spread + (burst_lines - 1.0) / np.maximum(mean, 1e-6), np.float64)


def habit(series: Series, rows: Rows, side: str, settings: VolumeSettings) -> Floats:
    """The surprise that each row shows now and then, the unit of its score; larger while it is young."""
    usual = settings.decades_usual * (1.0 + _YOUNG / np.maximum(series["age"][rows], 1.0))
    return np.asarray(np.maximum(usual, series[side][rows, -1]), np.float64)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What some rows are to learn from one step; a step is one interval, or several without a single line."""

    rows: Rows
    count: Floats
    steps: Floats  # intervals; more than one only with count 0
    interval: Rows  # the last one
    hour: Rows
    expected: Expected
    high: Floats  # surprise upwards, 0 where there was none
    low: Floats  # surprise downwards; of a run of zeros only when it has ended
    quiet: Floats  # expected since the last line, after this step

    def at(self, mask: NDArray[np.bool_]) -> Lesson:
        """The lesson of some of its rows."""
        return Lesson(
            rows=self.rows[mask],
            count=self.count[mask],
            steps=self.steps[mask],
            interval=self.interval[mask],
            hour=self.hour[mask],
            expected=self.expected.at(mask),
            high=self.high[mask],
            low=self.low[mask],
            quiet=self.quiet[mask],
        )


def learn(series: Series, lesson: Lesson, settings: VolumeSettings) -> None:
    """Learn counts; what is far off the expectation only in part."""
    series["quiet"][lesson.rows] = lesson.quiet
    lesson = lesson.at(~_is_silence(series, lesson, settings))
    rows, steps, mean = lesson.rows, lesson.steps, lesson.expected.now
    deviation = np.sqrt(mean * settings.burst_lines + lesson.expected.spread * mean**2)
    known = series["age"][rows] > 0
    reach = _CLIP * deviation + settings.deviation_min
    count = np.where(known, np.clip(lesson.count, mean - reach, mean + reach), lesson.count)
    _add(series, lesson, count, known, settings)
    distinct, place = np.unique(steps, return_inverse=True)  # one, or few: powers are dear
    keep = ((1.0 - 1.0 / settings.season_memory) ** distinct)[place]
    day, of_day = np.divmod(lesson.hour, DAY_HOURS)
    season, season_n = series["season"], series["season_n"]
    season[rows, of_day, day] = season[rows, of_day, day] * keep + count
    season_n[rows, of_day, day] = season_n[rows, of_day, day] * keep + (1.0 - keep) * settings.season_memory
    fade = (0.5 ** (distinct * settings.interval_s / (settings.peaks_halflife_days * 86_400.0)))[place]
    for side, surprise in (("high", lesson.high), ("low", lesson.low)):
        series[side][rows] = _peaks(series[side][rows] * fade[:, None], surprise)
    series["seen"][rows] = np.where(lesson.count > 0, lesson.interval, series["seen"][rows])
    series["age"][rows] += steps


def _is_silence(series: Series, lesson: Lesson, settings: VolumeSettings) -> NDArray[np.bool_]:
    """Which rows are streams in the first day of a silence worth telling."""
    lasts = lesson.interval - series["seen"][lesson.rows]
    return np.asarray(
        (series["facet"][lesson.rows] == TOTAL)
        & (lesson.quiet >= settings.deviation_min / 2)
        & (lasts <= 24.0 * settings.hour),
        np.bool_,
    )


def _add(series: Series, lesson: Lesson, count: Floats, known: NDArray[np.bool_], settings: VolumeSettings) -> None:
    """Decay the sums over the steps and add what came: a count once, an expectation at every step."""
    mean = lesson.expected.now
    steps, place = np.unique(lesson.steps, return_inverse=True)
    halflives = [settings.recent_halflife] * 2 + [settings.level_halflife] * 5
    decay = np.asarray(0.5 ** (1.0 / np.array(halflives)), np.float64)
    keep = np.asarray(decay ** steps[:, None], np.float64)
    times = (1.0 - keep) / (1.0 - decay)
    times[:, [RECENT, LEVEL]] = 1.0
    error = (count - mean) ** 2 - mean
    added = (count, lesson.expected.usual, count, np.ones(len(count)), error * known, mean**2 * known, known)
    series["sums"][lesson.rows] = (
        series["sums"][lesson.rows] * keep[place] + np.column_stack(added).astype(np.float64) * times[place]
    )


def _peaks(peaks: Floats, surprise: Floats) -> Floats:
    """Insert one surprise a row into its worst ones, descending."""
    worse = np.flatnonzero(surprise > peaks[:, -1])
    peaks[worse] = -np.sort(-np.column_stack([peaks[worse], surprise[worse]]), axis=1)[:, :-1]
    return peaks


def _decades(tail: Floats) -> Floats:
    return np.asarray(-np.log10(np.clip(tail, 10.0**-_DECADES_MAX, 1.0)), np.float64)
