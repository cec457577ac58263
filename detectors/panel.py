"""The detectors of one tenant, each with its calibration: records in, findings out, all of it in event time.

Everything runs one chunk after another: score, compare with what was normal, judge, explain, and only then learn. So
the p-value of a record never rests on the record itself, and history is scored while it is learned, which is what
makes the first live minute as well calibrated as the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Literal, TypeVar

import numpy as np
import polars as pl
import structlog
from numpy.typing import NDArray

from detectors.calibrate import Calibration, CalibrationSettings
from detectors.detector import Detector
from detectors.judge import Cut, cut_for, is_abnormal, judge
from detectors.registry import build
from detectors.runs import Runs
from tocsin.errors import StateError
from tocsin.finding import Finding
from tocsin.state import State

log = structlog.get_logger(__name__)

Result = TypeVar("Result")

KIND, VERSION = "panel", 1
_SCORED = {"event_id": pl.String(), "score": pl.Float64()}
_TOLD = 0.5  # a p-value above this says nothing about a line


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelSettings:
    """Which detectors watch a tenant and when they may speak."""

    budget_per_day: float = 10.0  # what one person on call reads with care; chosen, not measured
    noise_share: float = (
        0.3  # of the budget that normal times may spend; at 1 noise had spent it when the shop's day began
    )
    detectors: tuple[str, ...] = ("novelty", "volume")  # of `detectors.registry`, in this order
    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)  # of each detector
    units_min: int = 200  # fewer cannot support a p-value of 1 in 200, the largest that makes a finding
    learning_s: float = 3600.0  # event time without findings where nobody gave any history: no storm at first
    learning_units: float = 10_000.0  # ends it sooner: on IoTDB's first minutes 9 of 12 findings then lie in a fault
    run_s: float = 900.0  # abnormal units of a stream this close are one story for the calibration; as policy.window_s
    chunk_records: int = 8_192  # scored before they are learned; larger is faster, smaller notices repeats sooner


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorStatus:
    """What a detector is doing, for people."""

    detector: str
    state: Literal["learning", "watching", "failed"]
    detail: str
    units: float  # decayed number of units it has learned from


class _Watcher:
    """One detector with its calibration."""

    def __init__(self, detector: Detector, calibration: Calibration) -> None:
        self.detector = detector
        self.calibration = calibration
        self.runs = Runs()  # of what was judged abnormal
        self.error = ""  # of the latest batch; "" when it worked
        self.failures = 0


class Panel:
    """The detectors of one tenant. The same calls give the same findings, bit for bit, also across a restart."""

    def __init__(
        self,
        tenant: str,
        settings: PanelSettings | None = None,
        options: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        self._tenant = tenant
        self._settings = settings or PanelSettings()
        self._watchers = [
            _Watcher(build(name, (options or {}).get(name, {})), Calibration(self._settings.calibration))
            for name in self._settings.detectors
        ]
        self._clock = 0  # ns of event time up to which was learned
        self._taught = False  # somebody gave history
        self._last_scores = pl.DataFrame(schema=_SCORED)

    @property
    def last_scores(self) -> pl.DataFrame:
        """What the latest `watch` thought of each of its events: `event_id`, `score`.

        The score is -log10 of the p-value of the strongest unit that holds the event, 0 where none does.
        """
        return self._last_scores

    @property
    def failures(self) -> Mapping[str, int]:
        """How often each detector failed since the start of the process."""
        return {watcher.detector.name: watcher.failures for watcher in self._watchers}

    @property
    def status(self) -> tuple[DetectorStatus, ...]:
        """What each detector is doing."""
        return tuple(self._status(watcher) for watcher in self._watchers)

    def learn(self, records: pl.DataFrame) -> None:
        """Learn history: calibrate on it and know it, and say nothing about it."""
        for chunk in self._chunks(records):
            seconds = self._pass_time(chunk)
            for watcher in self._watchers:
                self._guarded(watcher, partial(self._learn_chunk, watcher, chunk, seconds))
        self._taught = self._taught or not records.is_empty()

    def watch(
        self, records: pl.DataFrame, *, now: datetime, budget_per_day: float | None = None
    ) -> tuple[Finding, ...]:
        """Judge new records, then learn them; then ask what is missing as of `now`.

        Args:
            records: RECORDS of this tenant; may be empty, when only time has passed.
            now: the event-time clock of the tenant.
            budget_per_day: incidents a day the tenant wants to read; None for the settings'.
        """
        budget = self._settings.budget_per_day if budget_per_day is None else budget_per_day
        findings: list[Finding] = []
        told: list[pl.DataFrame] = []
        for chunk in self._chunks(records):
            seconds = self._pass_time(chunk)
            for watcher in self._watchers:
                done = self._guarded(watcher, partial(self._watch_chunk, watcher, chunk, seconds, budget))
                if done is not None:
                    findings += done[0]
                    told.append(done[1])
        for watcher in self._watchers:
            findings += self._guarded(watcher, partial(self._missing, watcher, now, budget)) or ()
        self._last_scores = _strongest(records, told)
        return tuple(findings)

    def state(self) -> State:
        """Return all that is known, as plain values."""
        children: dict[str, State] = {}
        for watcher in self._watchers:
            children[watcher.detector.name] = watcher.detector.state()
            children[_calibration_of(watcher.detector.name)] = watcher.calibration.state()
        runs = {watcher.detector.name: watcher.runs.words() for watcher in self._watchers}
        words = {"tenant": self._tenant, "clock": self._clock, "taught": self._taught, "runs": runs}
        return State(kind=KIND, version=VERSION, words=words, children=children)

    def restore(self, state: State) -> None:
        """Know what `state` knows and nothing else. A detector that the state does not hold starts afresh.

        Raises:
            StateError: the state is another tenant's, or not a panel's, or damaged.
        """
        words = state.expect(KIND, VERSION).words
        if words.get("tenant") != self._tenant:
            raise StateError(f"panel of tenant {self._tenant!r} cannot take the state of {words.get('tenant')!r}")
        for watcher in self._watchers:
            name = watcher.detector.name
            if name in state.children:
                watcher.detector.restore(state.children[name])
                watcher.calibration.restore(state.children[_calibration_of(name)])
                watcher.runs = Runs(words["runs"].get(name, {}))
        self._clock = int(words["clock"])
        self._taught = bool(words["taught"])

    def _chunks(self, records: pl.DataFrame) -> Iterator[pl.DataFrame]:
        for begin in range(0, len(records), self._settings.chunk_records):
            yield records.slice(begin, self._settings.chunk_records)

    def _pass_time(self, chunk: pl.DataFrame) -> float:
        """Seconds of event time that the chunk adds to all before it."""
        times = chunk["time"].to_physical()
        begin, end = int(times.to_numpy().min()), int(times.to_numpy().max())
        seconds = max(0, end - max(self._clock, begin)) / 1e9
        self._clock = max(self._clock, end)
        return seconds

    def _guarded(self, watcher: _Watcher, step: Callable[[], Result]) -> Result | None:
        """Run one step of one detector; a detector that fails is left out, not the batch."""
        try:
            return step()
        except Exception as error:  # one of the four named loops: it logs, counts and goes on
            watcher.failures += 1
            watcher.error = f"{type(error).__name__}: {error}"
            log.warning("detector_failed", detector=watcher.detector.name, tenant=self._tenant, exc_info=True)
            return None

    def _learn_chunk(self, watcher: _Watcher, chunk: pl.DataFrame, seconds: float) -> None:
        scores = watcher.detector.score(chunk)
        p_values = watcher.calibration.p_values(scores["score"].to_numpy())
        self._calibrate(watcher, scores, p_values, seconds)
        watcher.detector.fit(chunk)
        watcher.error = ""

    def _watch_chunk(
        self, watcher: _Watcher, chunk: pl.DataFrame, seconds: float, budget: float
    ) -> tuple[tuple[Finding, ...], pl.DataFrame]:
        scores = watcher.detector.score(chunk)
        p_values = watcher.calibration.p_values(scores["score"].to_numpy())
        findings = self._judged(watcher, scores, p_values, budget, chunk)
        self._calibrate(watcher, scores, p_values, seconds)
        watcher.detector.fit(chunk)
        watcher.error = ""
        return findings, _told(scores, p_values)

    def _missing(self, watcher: _Watcher, now: datetime, budget: float) -> tuple[Finding, ...]:
        scores = watcher.detector.advance(now)
        p_values = watcher.calibration.p_values(scores["score"].to_numpy())
        return self._judged(watcher, scores, p_values, budget, None)

    def _judged(
        self,
        watcher: _Watcher,
        scores: pl.DataFrame,
        p_values: NDArray[np.float64],
        budget: float,
        chunk: pl.DataFrame | None,
    ) -> tuple[Finding, ...]:
        if scores.is_empty() or budget <= 0 or self._is_learning(watcher):
            return ()
        cut = self._cut(watcher, budget)
        return judge(watcher.detector, self._tenant, scores, p_values, cut, chunk)

    def _cut(self, watcher: _Watcher, budget: float) -> Cut:
        known = watcher.calibration
        share = budget * self._settings.noise_share
        return cut_for(share, known.units_per_day, len(self._watchers), known.units)

    def _calibrate(
        self, watcher: _Watcher, scores: pl.DataFrame, p_values: NDArray[np.float64], seconds: float
    ) -> None:
        # A unit that is not over yet is scored again when it is; only then does it count.
        over = (scores["end"].to_physical() <= self._clock).to_numpy()
        # One story is one extreme, however many units tell it: a flood must not hide what comes after it.
        abnormal = is_abnormal(p_values, self._cut(watcher, self._settings.budget_per_day))
        counts = over & ~(abnormal & ~watcher.runs.begins(scores, abnormal & over, self._settings.run_s))
        watcher.calibration.update(scores["score"].to_numpy()[counts], seconds)

    def _is_learning(self, watcher: _Watcher) -> bool:
        known = watcher.calibration
        settings = self._settings
        has_seen_enough = self._taught or known.seconds >= settings.learning_s or known.units >= settings.learning_units
        return known.units < settings.units_min or not has_seen_enough

    def _status(self, watcher: _Watcher) -> DetectorStatus:
        name, units = watcher.detector.name, watcher.calibration.units
        if watcher.error:
            return DetectorStatus(detector=name, state="failed", detail=watcher.error, units=units)
        if not self._is_learning(watcher):
            detail = f"watching: knows {units:,.0f} units"
            return DetectorStatus(detector=name, state="watching", detail=detail, units=units)
        wanted = self._settings.units_min
        minutes, wanted_minutes = watcher.calibration.seconds / 60, self._settings.learning_s / 60
        detail = f"learning: {units:,.0f} of about {wanted:,} units seen"
        if units >= wanted:
            detail = f"learning: {minutes:,.0f} of {wanted_minutes:,.0f} minutes seen"
        return DetectorStatus(detector=name, state="learning", detail=detail, units=units)


def _calibration_of(detector: str) -> str:
    return f"{detector} calibration"


def _told(scores: pl.DataFrame, p_values: NDArray[np.float64]) -> pl.DataFrame:
    """Score of each event that a unit says something about."""
    return (
        scores.select("event_ids", pl.Series("p_value", p_values, dtype=pl.Float64))
        .filter(pl.col("p_value") < _TOLD)
        .explode("event_ids")
        .drop_nulls()
        .select(pl.col("event_ids").alias("event_id"), (-pl.col("p_value").log10()).alias("score"))
    )


def _strongest(records: pl.DataFrame, told: list[pl.DataFrame]) -> pl.DataFrame:
    best = pl.concat([pl.DataFrame(schema=_SCORED), *told]).group_by("event_id").agg(pl.col("score").max())
    return (
        records.select("event_id")
        .join(best, on="event_id", how="left", maintain_order="left")
        .with_columns(pl.col("score").fill_null(0.0))
    )
