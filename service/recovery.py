"""Gives the worker its memory back: the newest snapshot, then the steps that were kept after it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog

from ingest.journal import Entry, JournalReader
from service.pipeline import Pipeline, UnlearnableError
from service.snapshot import Snapshots
from storage.store import Store
from tocsin.errors import CorruptionError, StateError, StorageError

log = structlog.get_logger(__name__)

_BYTES_MAX = 32 * 2**20  # of entries read at once


def recovered(
    build: Callable[[int], Pipeline],
    snapshots: Snapshots,
    reader: JournalReader,
    store: Store,
    stopping: threading.Event,
) -> Pipeline:
    """A pipeline that knows what the database's offset says it has seen.

    Args:
        build: makes a pipeline that knows nothing, at an offset.
        snapshots: the newest is taken; without one everything the journal still has is learned again.
        reader: of the journal.
        store: the database.
        stopping: when it is set the pipeline is returned as far as it came; it must not be used.

    Raises:
        StorageError: the journal and the database do not belong together, or cannot be read.
    """
    committed = _agreed_offset(reader, store)
    unlearnable: set[int] = set()
    while True:
        pipeline = _from_snapshot(build, snapshots, committed, reader.first_offset)
        try:
            _replay(pipeline, reader, _steps(store, pipeline.offset, committed), unlearnable, stopping)
            pipeline.skip(committed)
        except UnlearnableError as error:  # it was put aside when it was new; from the snapshot again, without it
            log.warning("step_unlearnable", first=pipeline.offset, error=str(error))
            unlearnable.add(pipeline.offset)
        else:
            return pipeline


def _agreed_offset(reader: JournalReader, store: Store) -> int:
    """The next entry to process. Entries that the journal no longer has are skipped, and it is said loudly."""
    with store.begin() as transaction:
        committed = transaction.offset()
        first, after = reader.first_offset, reader.last_offset + 1
        if committed > after > 0:  # 0: the other process has not begun the journal yet; it will begin at `committed`
            raise StorageError(
                f"the journal ends at entry {after - 1}, but the database has processed it up to {committed - 1}: "
                "they do not belong together"
            )
        if committed < first:
            log.error("journal_entries_missing", first=committed, after=first)
            transaction.advance(committed, first)
            committed = first
    return committed


def _from_snapshot(
    build: Callable[[int], Pipeline], snapshots: Snapshots, committed: int, journal_first: int
) -> Pipeline:
    state = snapshots.load()
    if state is not None:
        pipeline = build(0)
        try:
            pipeline.restore(state)
        except StateError as error:
            snapshots.set_aside(str(error))
        else:
            if journal_first <= pipeline.offset <= committed:
                return pipeline
            # A database or a journal from a backup: what was learned is not what this database has seen.
            snapshots.set_aside(f"it is at entry {pipeline.offset}, the database at {committed}")
    return build(min(journal_first, committed))


def _steps(store: Store, offset: int, committed: int) -> list[tuple[int, int]]:
    if offset == committed:
        return []
    log.info("replay_started", entries=committed - offset)
    with store.begin() as transaction:
        return [step for step in transaction.steps_since(offset) if step[1] <= committed]


def _replay(
    pipeline: Pipeline,
    reader: JournalReader,
    steps: Sequence[tuple[int, int]],
    unlearnable: set[int],
    stopping: threading.Event,
) -> None:
    for first, after in steps:
        if stopping.is_set():
            return
        entries = _read(reader, first, after) if first not in unlearnable else []
        pipeline.skip(first)
        if entries:
            pipeline.relearn(entries)


def _read(reader: JournalReader, first: int, after: int) -> list[Entry]:
    """The entries of one step, without those that were lost and set aside; none when they were forgotten."""
    entries: list[Entry] = []
    while first < after:
        try:
            more = reader.read(first, entries_max=after - first, bytes_max=_BYTES_MAX)
        except CorruptionError:
            raise
        except StorageError as error:
            log.warning("step_not_in_journal", first=first, after=after, error=str(error))
            return []
        inside = [entry for entry in more if entry.offset < after]
        if not inside:
            return entries
        entries += inside
        first = inside[-1].offset + 1
    return entries
