"""The straight line from journal entries to kept incidents: read, parse, watch, correlate, keep in one transaction.

A step has two halves. `understand` changes what is in memory (parser, detectors, clocks) and touches the database only
to ask; `keep` changes the disk and can be repeated until it works. What is in memory is a function of the journal and
of the bounds of the steps, which are recorded with the offset: a snapshot and the steps after it give back the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from detectors.panel import DetectorStatus, Panel, PanelSettings
from ingest.batch import Batch, Rejected, decode_all
from ingest.journal import Entry
from ingest.parse import Parser, ParseSettings, Template
from service.event_time import Clocks
from service.keep import Shelf, keep
from service.line_names import LineNames
from service.recent import RecentLines
from service.step import Asked, BatchKey, Portion, StepReport, StepSettings, UnansweredError, Understood
from storage.transaction import Transaction
from tocsin.errors import CorruptionError, StateError, StorageError, TocsinError
from tocsin.finding import Finding
from tocsin.record import empty_records
from tocsin.state import State

_KIND, _VERSION = "pipeline", 1
_PANEL = "panel."  # in front of the tenant, in the names of the children of the state

Taken = tuple[int, Batch]  # an entry's offset and what it holds


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSettings:
    """The slices of the settings that a pipeline needs."""

    step: StepSettings
    parse: ParseSettings
    panel: PanelSettings
    detectors: Mapping[str, Mapping[str, object]]  # options by detector


class UnlearnableError(TocsinError):
    """A step cannot be learned again."""


class Pipeline:
    """What the worker knows and does. One thread."""

    def __init__(self, settings: PipelineSettings, shelf: Shelf, *, offset: int) -> None:
        """Know nothing yet.

        Args:
            settings: limits and options.
            shelf: where results are kept.
            offset: the first entry of the journal that will be given.
        """
        self.offset = offset
        self._settings = settings
        self._shelf = shelf
        self._parser = Parser(settings.parse)
        self._names = LineNames(settings.step.names_max)
        self._panels: dict[str, Panel] = {}
        self._recent: dict[str, RecentLines] = {}
        self._clocks = Clocks(settings.step.lag_s_max)
        self._statuses_at: datetime | None = None
        self._relearned: set[BatchKey] = set()  # since the snapshot; bounded by the entries after it

    @property
    def statuses(self) -> dict[str, tuple[DetectorStatus, ...]]:
        """How far the detectors of each tenant are."""
        return {tenant: panel.status for tenant, panel in sorted(self._panels.items())}

    def step(self, entries: Sequence[Entry]) -> StepReport:
        """Process entries that follow `offset`, as many as one step takes, and keep what came of them."""
        return self.keep(self.understand(entries))

    def understand(self, entries: Sequence[Entry]) -> Understood:
        """Do the first half of a step: memory changes, the disk does not.

        Should it raise, memory is somewhere between two states: restore it before going on.

        Raises:
            UnansweredError: the database is away; this alone leaves memory as it was.
        """
        assert entries, "a step has entries"
        assert entries[0].offset >= self.offset, "steps go forward; entries that the journal lost are passed over"
        taken = self._decoded(entries)
        self._shelf.passing("read")
        try:
            asked = self._ask([batch for _, batch in taken])
        except StorageError as error:
            raise UnansweredError(str(error)) from error
        self._shelf.passing("asked")
        fresh = _first_times(taken, asked.seen)
        understood = Understood(
            first=self.offset,
            after=taken[-1][0] + 1,
            batches=[batch for _, batch in fresh if batch.tenant],
            portions=self._learned(fresh, asked.per_day),
        )
        self.offset = understood.after
        self._shelf.passing("understood")
        return understood

    def keep(self, understood: Understood) -> StepReport:
        """Do the second half: files of events, then everything else in one transaction. Can be repeated."""
        return keep(self._shelf, understood, self._recent, self._due_statuses())

    def relearn(self, entries: Sequence[Entry]) -> None:
        """Go through the entries of a step that was kept already, for what parser and detectors learn from it.

        Raises:
            UnlearnableError: it was put aside when it was new, for the same reason; memory has to be restored.
        """
        assert entries[0].offset >= self.offset, "steps go forward; entries that the journal lost are passed over"
        try:
            taken = [(entry.offset, batch) for entry in entries for batch in decode_all(entry.payload)]
            asked = self._ask([batch for _, batch in taken])
            # All of them were kept, so the database knows every key, unless it is too old and was pruned. The first
            # time is the one that came when it says.
            first = [
                (offset, batch)
                for offset, batch in taken
                if batch.identity is None or asked.seen.get(_key(batch), batch.observed_time) == batch.observed_time
            ]
            fresh = _first_times(first, self._relearned)
            self._learned(fresh, asked.per_day)
            self._relearned |= {_key(batch) for _, batch in fresh if batch.identity is not None}
        except StorageError as error:
            if not isinstance(error, CorruptionError):
                raise
            raise UnlearnableError(str(error)) from error
        except Exception as error:
            raise UnlearnableError(f"journal entry {self.offset}: {error!r}") from error
        self.offset = taken[-1][0] + 1

    def skip(self, after: int) -> None:
        """Leave out entries that were put aside."""
        self.offset = after

    def put_aside(self, entry: Entry, reason: str) -> StepReport:
        """Keep the lines of an entry that cannot be processed as dead letters, and go on behind it."""
        shelf = self._shelf
        with shelf.store.begin() as transaction:
            _bury(transaction, entry, reason, shelf.clock())
            transaction.advance(self.offset, entry.offset + 1)
        self.skip(entry.offset + 1)
        return StepReport(after=self.offset, lines=0, findings=0, changes=0)

    def state(self) -> State:
        """All that is known, with the offset up to which it was seen."""
        panels = {f"{_PANEL}{tenant}": panel.state() for tenant, panel in sorted(self._panels.items())}
        words = {"offset": self.offset, "clocks": self._clocks.words()}
        knowing = {"parser": self._parser.state(), "names": self._names.state()}
        return State(kind=_KIND, version=_VERSION, words=words, children=knowing | panels)

    def restore(self, state: State) -> None:
        """Know what `state` knows and nothing else.

        Raises:
            StateError: it is not a pipeline's, or a part of it is damaged or of another version.
        """
        words = state.expect(_KIND, _VERSION).words
        try:
            self._parser.restore(state.children["parser"])
            self._names.restore(state.children["names"])
            self._clocks.restore(words["clocks"])
            self._panels.clear()
            for name, child in state.children.items():
                if name.startswith(_PANEL):
                    self._panel(name.removeprefix(_PANEL)).restore(child)
            self.offset = int(words["offset"])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"pipeline: {error!r}") from error

    def _decoded(self, entries: Sequence[Entry]) -> list[Taken]:
        """The batches of the first entries: as many as hold `lines_max` lines, at least one."""
        taken: list[Taken] = []
        lines = 0
        for entry in entries:
            batches = decode_all(entry.payload)
            lines += sum(batch.lines.height for batch in batches)
            if taken and lines > self._settings.step.lines_max:
                break
            taken += [(entry.offset, batch) for batch in batches]
        return taken

    def _ask(self, batches: Sequence[Batch]) -> Asked:
        keys = sorted({_key(batch) for batch in batches if batch.identity is not None})
        tenants = sorted({batch.tenant for batch in batches if batch.tenant} | self._panels.keys())
        default = self._settings.panel.budget_per_day
        with self._shelf.store.begin() as transaction:
            wanted = {tenant: transaction.budget_per_day(tenant) for tenant in tenants}
            return Asked(
                seen=transaction.seen_batches(keys),
                per_day={tenant: default if asked is None else asked for tenant, asked in wanted.items()},
            )

    def _learned(self, taken: Sequence[Taken], per_day: Mapping[str, float]) -> list[Portion]:
        """Parse and watch; one portion for each tenant that has new events or whose time has passed."""
        frames: defaultdict[str, list[pl.DataFrame]] = defaultdict(list)
        before = {tenant: self._clocks.now(tenant) for tenant in per_day}
        fresh = [(self._names.new_lines(batch), offset) for offset, batch in taken if batch.tenant]
        arrived = [(batch, offset) for batch, offset in fresh if batch.lines.height]
        for (batch, _), records in zip(arrived, self._parser.parse_all(arrived), strict=True):
            frames[batch.tenant].append(records)
            self._clocks.seen(batch.tenant, _newest(records), batch.observed_time)
        ticks = [batch.observed_time for _, batch in taken if not batch.tenant]
        if ticks:
            self._clocks.ticked(ticks[-1])
        templates: defaultdict[str, list[Template]] = defaultdict(list)
        for template in self._parser.new_templates():
            templates[template.tenant].append(template)
        return [
            self._portion(tenant, frames[tenant], now, templates[tenant], per_day[tenant])
            for tenant in sorted(per_day)
            if (now := self._clocks.now(tenant)) is not None and (frames[tenant] or now != before[tenant])
        ]

    def _portion(
        self, tenant: str, frames: list[pl.DataFrame], now: datetime, templates: Sequence[Template], per_day: float
    ) -> Portion:
        records = pl.concat([empty_records(), *frames]).sort("time", maintain_order=True)
        self._recent_of(tenant).add(records)
        return Portion(
            tenant=tenant,
            now=now,
            records=records,
            findings=self._watch(tenant, records, now, per_day),
            templates=tuple(templates),
            per_day=per_day,
        )

    def _watch(self, tenant: str, records: pl.DataFrame, now: datetime, per_day: float) -> tuple[Finding, ...]:
        """What the detectors find; many records are given in parts, so that those of a backfill learn on the way."""
        panel = self._panel(tenant)
        found: dict[str, Finding] = {}
        size = self._settings.step.watch_rows_max
        for begin in range(0, max(records.height, 1), size):
            part = records.slice(begin, size)
            is_last = begin + size >= records.height
            findings = panel.watch(part, now=now if is_last else _newest(part), budget_per_day=per_day)
            found |= {finding.finding_id: finding for finding in findings}
        return tuple(found.values())

    def _panel(self, tenant: str) -> Panel:
        if tenant not in self._panels:
            self._panels[tenant] = Panel(tenant, self._settings.panel, self._settings.detectors)
        return self._panels[tenant]

    def _recent_of(self, tenant: str) -> RecentLines:
        if tenant not in self._recent:
            step = self._settings.step
            self._recent[tenant] = RecentLines(rows_max=step.recent_rows_max, bytes_max=step.recent_bytes_max)
        return self._recent[tenant]

    def _due_statuses(self) -> dict[str, tuple[DetectorStatus, ...]]:
        """How far the detectors are, every few seconds: it is for people, and every step would be a write each."""
        now = self._shelf.clock()
        pause = timedelta(seconds=self._settings.step.detectors_s)
        if self._statuses_at is not None and now - self._statuses_at < pause:
            return {}
        self._statuses_at = now
        return self.statuses


def _key(batch: Batch) -> BatchKey:
    return (batch.tenant, batch.stream, batch.identity or "")


def _first_times(taken: Sequence[Taken], seen: Collection[BatchKey]) -> list[Taken]:
    """Leave out what came before, also earlier in the same step."""
    known = set(seen)
    fresh: list[Taken] = []
    for offset, batch in taken:
        if batch.identity is not None:
            if _key(batch) in known:
                continue
            known.add(_key(batch))
        fresh.append((offset, batch))
    return fresh


def _newest(records: pl.DataFrame) -> datetime:
    newest = records["time"].max()
    assert isinstance(newest, datetime), "there are records and each has a time"
    return newest


def _bury(transaction: Transaction, entry: Entry, reason: str, at: datetime) -> None:
    try:
        batches = decode_all(entry.payload)
    except CorruptionError as error:
        rejected = (Rejected(line=1, detail=f"{reason}; {error}", raw=entry.payload),)
        transaction.put_dead_letters("default", f"journal-{entry.offset}", rejected, at)
        return
    for batch in batches:
        lines = zip(batch.lines["position"], batch.lines["body"], batch.lines["attributes"], strict=True)
        unread = tuple(
            Rejected(line=position + 1, detail=reason, raw=f"{body or ''}\t{attributes or ''}".strip().encode())
            for position, body, attributes in lines
        )
        transaction.put_dead_letters(batch.tenant, batch.stream, (*batch.rejected, *unread), at)
        if batch.identity is not None:
            transaction.put_batch(batch.tenant, batch.stream, batch.identity, batch.fingerprint, batch.observed_time)
