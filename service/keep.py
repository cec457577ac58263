"""Keeps what a step understood: files of events, then incidents, findings, counts, messages and the offset at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

import polars as pl
import structlog

from alerts.budget import Budget, admit
from alerts.correlate import correlate
from alerts.incident import Change
from alerts.linking import Policy
from alerts.silence import silenced
from detectors.panel import DetectorStatus
from service.counting import entity_counts, stream_counts, template_counts
from service.rarity import Habit, History, weights
from service.recent import COLUMNS, RecentLines, empty
from service.step import OutOfStepError, Portion, StepReport, StepSettings, Understood
from storage.events import EventStore
from storage.rows import LineRow
from storage.store import Store
from storage.transaction import Transaction
from tocsin.errors import CorruptionError
from tocsin.finding import Finding

log = structlog.get_logger(__name__)

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Where results go and by what rules.

    Attributes:
        clock: the time on the wall, for what people read.
        base_url: where people read on, for the links in messages.
        passing: called with each of `service.step.POINTS` as it is passed.
    """

    store: Store
    events: EventStore
    settings: StepSettings
    policy: Policy
    clock: Callable[[], datetime]
    base_url: str = ""
    passing: Callable[[str], None] = lambda _point: None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """What becomes of a tenant's findings."""

    changes: tuple[Change, ...]
    over_budget: tuple[Finding, ...]
    muted: tuple[Finding, ...]


def keep(
    shelf: Shelf,
    understood: Understood,
    recent: Mapping[str, RecentLines],
    statuses: Mapping[str, tuple[DetectorStatus, ...]],
) -> StepReport:
    """Keep a step, whole or not at all. Repeating it after a failure gives the same rows and files.

    Args:
        shelf: where to.
        understood: by `Pipeline.understand`.
        recent: lines at hand, by tenant.
        statuses: of the detectors by tenant, when it is time to write them.

    Raises:
        OutOfStepError: the offset is not where this step begins.
    """
    if not understood.is_written:
        understood.segments = [
            segment
            for portion in understood.portions
            if portion.records.height
            for segment in shelf.events.write(portion.tenant, portion.records, understood.first, understood.after - 1)
        ]
        understood.is_written = True
    shelf.passing("written")
    at = shelf.clock()
    changes: list[Change] = []
    with shelf.store.begin() as transaction:
        if transaction.offset() != understood.first:
            raise OutOfStepError(f"journal: entry {understood.first} was processed by another worker")
        for portion in understood.portions:
            changes += _keep_portion(shelf, transaction, portion, recent, at)
        shelf.passing("decided")
        _keep_arrivals(transaction, understood)
        for tenant, rows in statuses.items():
            transaction.put_detectors(tenant, rows, at)
        transaction.advance(understood.first, understood.after)
        shelf.passing("kept")
    shelf.passing("committed")
    return StepReport(
        after=understood.after,
        lines=sum(portion.records.height for portion in understood.portions),
        findings=sum(len(portion.findings) for portion in understood.portions),
        changes=sum(change.notable for change in changes),
    )


def _keep_arrivals(transaction: Transaction, understood: Understood) -> None:
    for batch in understood.batches:
        if batch.identity is not None:
            transaction.put_batch(batch.tenant, batch.stream, batch.identity, batch.fingerprint, batch.observed_time)
        if batch.rejected:
            transaction.put_dead_letters(batch.tenant, batch.stream, batch.rejected, batch.observed_time)
    for segment in understood.segments:
        transaction.put_segment(segment)


def _keep_portion(
    shelf: Shelf, transaction: Transaction, portion: Portion, recent: Mapping[str, RecentLines], at: datetime
) -> tuple[Change, ...]:
    tenant, records = portion.tenant, portion.records
    # Decided before the counts of this step are added: what is rare is what was rare before.
    verdict = _judged(shelf, transaction, portion)
    lines = _lines(shelf, transaction, verdict, recent[tenant])
    transaction.put_changes(verdict.changes, at=at, lines=lines, base_url=shelf.base_url)
    transaction.put_findings(verdict.over_budget, at=at, held_by="budget", lines=lines)
    transaction.put_findings(verdict.muted, at=at, held_by="silence", lines=lines)
    if records.height:
        transaction.put_templates(tenant, portion.templates, template_counts(records))
        transaction.put_streams(tenant, stream_counts(records))
        transaction.put_entities(tenant, entity_counts(records))
    transaction.set_clock(tenant, portion.now)
    return verdict.changes


def _judged(shelf: Shelf, transaction: Transaction, portion: Portion) -> _Verdict:
    tenant, now = portion.tenant, portion.now
    known = transaction.known_findings([finding.finding_id for finding in portion.findings])
    fresh = [finding for finding in portion.findings if finding.finding_id not in known]
    silences = transaction.silences(tenant, now)
    muted = tuple(finding for finding in fresh if silenced(finding, silences, now) is not None)
    muted_ids = {finding.finding_id for finding in muted}
    heard = [finding for finding in fresh if finding.finding_id not in muted_ids]
    standing = transaction.open_incidents(tenant)
    rarity = _rarity(transaction, portion, heard) if heard else {}
    changes = correlate(heard, standing, rarity, now, shelf.policy)
    budget = Budget(incidents_per_day=ceil(portion.per_day))  # a part of an incident counts as one
    admission = admit(changes, transaction.opened_since(tenant, now - _DAY), budget)
    over_budget = tuple(finding for change in admission.refused for finding in change.findings)
    return _Verdict(changes=admission.admitted, over_budget=over_budget, muted=muted)


def _rarity(transaction: Transaction, portion: Portion, findings: Sequence[Finding]) -> dict[str, float]:
    entities = sorted({entity for finding in findings for entity in finding.entities})
    began = transaction.began_at(portion.tenant) or portion.now
    history = History(events=transaction.event_count(portion.tenant), began=began, now=portion.now)
    known = transaction.entities(portion.tenant, entities)
    return weights({entity: Habit(count=count, first=first) for entity, (count, first) in known.items()}, history)


def _lines(shelf: Shelf, transaction: Transaction, verdict: _Verdict, recent: RecentLines) -> dict[str, LineRow]:
    """The raw lines worth keeping with the findings: from memory, and what is no longer there from the files."""
    findings = [*(finding for change in verdict.changes for finding in change.findings), *verdict.over_budget]
    findings += verdict.muted
    wanted = {finding.finding_id: _evidence(finding, shelf.settings.evidence_lines_max) for finding in findings}
    at_hand = recent.find({event_id for ids in wanted.values() for event_id in ids})
    have = set(at_hand["event_id"])
    absent = [finding for finding in findings if not have.issuperset(wanted[finding.finding_id])]
    found = [at_hand, *(_stored(shelf, transaction, finding, wanted[finding.finding_id]) for finding in absent)]
    return {row["event_id"]: LineRow(**row) for row in pl.concat(found).iter_rows(named=True)}


def _stored(shelf: Shelf, transaction: Transaction, finding: Finding, event_ids: Sequence[str]) -> pl.DataFrame:
    """Lines out of the files. A damaged one is no reason not to tell what was found."""
    files = transaction.segments(finding.tenant, finding.start_at, finding.end_at)
    try:
        events = shelf.events.read(files, finding.start_at, finding.end_at)
    except CorruptionError as error:
        log.warning("evidence_unreadable", finding=finding.finding_id, error=str(error))
        return empty()
    return events.filter(pl.col("event_id").is_in(pl.Series(event_ids, dtype=pl.String).implode())).select(COLUMNS)


def _evidence(finding: Finding, lines_max: int) -> list[str]:
    """Events whose lines are kept: those that reasons rest on, then the first."""
    cited = [reason.event_id for reason in finding.reasons if reason.event_id is not None]
    return list(dict.fromkeys([*cited, *finding.event_ids]))[:lines_max]
