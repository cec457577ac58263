"""Looks through files without a service: learns on the first part, watches the rest, and says what was unusual."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import Any

import polars as pl

from alerts.budget import Budget, admit
from alerts.correlate import correlate
from alerts.incident import Incident, Status
from alerts.linking import Policy
from detectors.panel import Panel, PanelSettings
from ingest.limits import Limits
from ingest.parse import Parser, ParseSettings
from service.chunks import Format
from service.rarity import Habit, History, weights
from service.scan_input import TENANT, Table, read_table
from tocsin.errors import InputError
from tocsin.finding import Finding

_DAY = timedelta(days=1)
_DECIMALS = 4  # of a score in the file of scores: a hundredth of a percent of a p-value

#: Called with what is being done and how much of it is done, in [0, 1]; None where that is not known.
Progress = Callable[[str, float | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOptions:
    """How files are looked through."""

    format: Format = "auto"  # by the beginning of each file
    train_fraction: float = 0.5  # of the lines, in time order; a half is what users have when they know nothing
    budget_per_day: float = 10.0  # incidents a day of the file's own time; a file shorter than a day gets a day's
    windows_max: int = 120  # of time, in which the detectors are given the watched part
    window_records: int = 50  # but no more windows than hold so many records on average: each costs some 10 ms
    window_s_min: float = 60.0  # but none is shorter than this
    limits: Limits = field(default_factory=Limits)
    parse: ParseSettings = field(default_factory=ParseSettings)
    panel: PanelSettings = field(default_factory=PanelSettings)
    detectors: Mapping[str, Mapping[str, object]] = field(default_factory=dict)  # options by detector
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if not 0.0 <= self.train_fraction < 1.0:
            raise InputError(f"--train-fraction: {self.train_fraction} is not in [0, 1)")
        if self.budget_per_day < 0:
            raise InputError(f"--budget: {self.budget_per_day} incidents a day are less than none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanned:
    """An incident and its findings, strongest first."""

    incident: Incident
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanResult:
    """What was found."""

    lines: int  # of the input, empty and unreadable ones too
    streams: tuple[str, ...]
    trained: int  # events that were learned without a word
    watched: int
    watched_from: datetime | None  # None when nothing was watched
    watched_to: datetime | None
    incidents: tuple[Scanned, ...]  # gravest first, then by time
    held_back: int  # incidents that the budget did not let through
    numbers: Mapping[str, int]  # event id -> line, of the events in findings
    texts: Mapping[str, str]  # event id -> the line itself, likewise
    scores: pl.DataFrame  # `line`, `score`: one row a line of input
    notes: tuple[str, ...]  # what the reader should know about the input
    seconds: float

    def document(self) -> dict[str, Any]:
        """The object that `scan --json` prints."""
        return {
            "lines": self.lines,
            "streams": list(self.streams),
            "incidents": [_incident(each, self.numbers) for each in self.incidents],
        }

    def write_scores(self, path: Path) -> None:
        """Write one score a line of input as CSV.

        Raises:
            InputError: the file cannot be written.
        """
        try:
            self.scores.write_csv(path, float_precision=_DECIMALS)
        except OSError as error:
            reason = error.strerror or str(error).partition(" (os error")[0]
            raise InputError(f"{path}: cannot be written: {reason}") from error


def scan(
    paths: Sequence[str], options: ScanOptions, *, now: datetime, progress: Progress = lambda _what, _share: None
) -> ScanResult:
    """Look through files.

    Args:
        paths: of the files; `-` is standard input. Their lines are numbered from 1 through all of them.
        options: how.
        now: the time; log lines without a year are taken to be of the year before it.
        progress: told how far it is.

    Raises:
        InputError: a file cannot be read or is no log; the message names it and the place.
    """
    began = time.monotonic()
    table = read_table(
        paths,
        options.format,
        options.limits,
        Parser(options.parse),
        now=now,
        tell=lambda share: progress("reading", share),
    )
    trained = int(table.records.height * options.train_fraction)
    panel = Panel(TENANT, options.panel, options.detectors)
    progress("learning", None)
    panel.learn(table.records.head(trained))
    watching = _Watching(table, options)
    rest = table.records.slice(trained)
    told: list[pl.DataFrame] = []
    done = 0
    for window in _windows(rest, options):
        at = _newest(window)
        findings = panel.watch(window, now=at, budget_per_day=options.budget_per_day)
        told.append(panel.last_scores)
        done += window.height
        watching.take(findings, at, trained + done)
        progress("watching", done / rest.height)
    incidents = watching.incidents()
    findings_shown = [finding for each in incidents for finding in each.findings]
    wanted = table.lines_of({event for finding in findings_shown for event in events_of(finding)})
    return ScanResult(
        lines=table.lines,
        streams=table.streams,
        trained=trained,
        watched=rest.height,
        watched_from=_oldest(rest) if rest.height else None,
        watched_to=_newest(rest) if rest.height else None,
        incidents=incidents,
        held_back=watching.held_back,
        numbers=dict(wanted.select("event_id", "line").iter_rows()),
        texts=dict(wanted.select("event_id", "body").iter_rows()),
        scores=table.scores(told),
        notes=table.notes,
        seconds=time.monotonic() - began,
    )


class _Watching:
    """Findings sorted into incidents as they come."""

    def __init__(self, table: Table, options: ScanOptions) -> None:
        self.held_back = 0
        self._table = table
        self._policy = options.policy
        self._budget = Budget(incidents_per_day=ceil(options.budget_per_day))
        self._incidents: dict[str, Incident] = {}
        self._findings: dict[str, list[Finding]] = {}
        self._known: set[str] = set()

    def take(self, findings: Sequence[Finding], now: datetime, seen: int) -> None:
        """Correlate new findings.

        Args:
            findings: of one window.
            now: event time at its end.
            seen: records up to then.
        """
        standing = [incident for incident in self._incidents.values() if incident.status != Status.RESOLVED]
        fresh = [finding for finding in findings if finding.finding_id not in self._known]
        if not fresh and not standing:
            return
        self._known |= {finding.finding_id for finding in fresh}
        rarity = self._rarity(fresh, now, seen)
        changes = correlate(fresh, standing, rarity, now, self._policy)
        opened = [each.severity for each in self._incidents.values() if each.opened_at > now - _DAY]
        admission = admit(changes, opened, self._budget)
        self.held_back += len(admission.refused)
        for change in admission.admitted:
            name = change.incident.incident_id
            self._incidents[name] = change.incident
            self._findings.setdefault(name, []).extend(change.findings)

    def incidents(self) -> tuple[Scanned, ...]:
        """All of them, gravest first, then by time."""
        gravest = sorted(self._incidents.values(), key=lambda each: (-each.severity, each.opened_at, each.incident_id))
        return tuple(
            Scanned(
                incident=incident,
                findings=tuple(
                    sorted(self._findings[incident.incident_id], key=lambda each: (-each.severity, each.start_at))
                ),
            )
            for incident in gravest
        )

    def _rarity(self, findings: Sequence[Finding], now: datetime, seen: int) -> dict[str, float]:
        if not findings:
            return {}
        entities = {entity for finding in findings for entity in finding.entities}
        habits = {
            entity: Habit(count=count, first=first) for entity, count, first in self._table.habits(entities, seen)
        }
        began = _oldest(self._table.records)
        return weights(habits, History(events=seen, began=began, now=now))


def _windows(records: pl.DataFrame, options: ScanOptions) -> Iterator[pl.DataFrame]:
    """The records in windows of time; windows without records are not given."""
    if records.is_empty():
        return
    span_s = (_newest(records) - _oldest(records)).total_seconds()
    count = min(options.windows_max, max(1, records.height // max(options.window_records, 1)))
    width_s = max(options.window_s_min, ceil(span_s / count))
    window = records["time"].dt.truncate(f"{int(width_s)}s")
    bounds = [0, *(window != window.shift(1)).fill_null(value=False).arg_true().to_list(), records.height]
    for begin, end in pairwise(bounds):
        yield records.slice(begin, end - begin)


def _incident(scanned: Scanned, numbers: Mapping[str, int]) -> dict[str, Any]:
    incident = scanned.incident
    return {
        "incident_id": incident.incident_id,
        "severity": incident.severity,
        "title": incident.title,
        "start_at": min(finding.start_at for finding in scanned.findings),
        "end_at": max(finding.end_at for finding in scanned.findings),
        "detectors": list(incident.detectors),
        "entities": list(incident.entities),
        "findings": [
            {
                "detector": finding.detector,
                "severity": finding.severity,
                "p_value": finding.p_value,
                "summary": finding.summary,
                "lines": line_numbers(finding, numbers),
            }
            for finding in scanned.findings
        ],
    }


def events_of(finding: Finding) -> list[str]:
    """The events that a finding rests on: those its reasons cite first."""
    cited = [reason.event_id for reason in finding.reasons if reason.event_id is not None]
    return list(dict.fromkeys([*cited, *finding.event_ids]))


def line_numbers(finding: Finding, numbers: Mapping[str, int]) -> list[int]:
    """The lines of input that a finding rests on, ascending."""
    return sorted(numbers[event] for event in events_of(finding) if event in numbers)


def _newest(records: pl.DataFrame) -> datetime:
    newest = records["time"].max()
    assert isinstance(newest, datetime), "there are records and each has a time"
    return newest


def _oldest(records: pl.DataFrame) -> datetime:
    oldest = records["time"].min()
    assert isinstance(oldest, datetime), "there are records and each has a time"
    return oldest
