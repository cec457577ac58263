"""What keeps the folder of events small and quick: merging small files, retention, sweeping up after a crash."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import PurePath

import structlog

from storage.events import EventSettings, EventStore
from storage.rows import Segment
from storage.segments import (
    drop_segments,
    dropped_before,
    find_segments,
    forget_segments,
    known_paths,
    put_segments,
)
from storage.store import Store

log = structlog.get_logger(__name__)

_STEP = 4  # a file that is so many times larger than all smaller ones together is left alone: it would be written often


def sweep(store: Store, events: EventStore) -> int:
    """Delete files that no row names; returns how many. For the start of the worker, before it writes."""
    with store.database.read() as connection:
        known = known_paths(connection)
    orphans = [path for path in events.files() if path not in known]
    for path in orphans:
        events.remove(path)
    if orphans:
        log.info("event_files_swept", files=len(orphans))
    return len(orphans)


def compact(store: Store, events: EventStore, now: datetime) -> int:
    """Merge the small files of every day that has many; returns how many files became fewer.

    A crash at any point loses nothing: the new file counts in the same transaction in which the old ones stop to.
    """
    days: defaultdict[str, list[Segment]] = defaultdict(list)
    for segment in store.reads.segments():
        days[str(PurePath(segment.path).parent)].append(segment)
    merged = 0
    for segments in days.values():
        if len(segments) <= events.settings.files_max:
            continue
        for group in groups(segments, events.settings):
            merged += _merge(store, events, group, now)
    return merged


def groups(segments: Sequence[Segment], settings: EventSettings) -> list[list[Segment]]:
    """Which files of one day to merge, in the order of the journal: each group becomes one file."""
    small: list[Segment] = []
    rows = 0
    for segment in sorted(segments, key=lambda each: (each.rows, each.path)):
        if len(small) > 1 and segment.rows > _STEP * rows:
            break
        small.append(segment)
        rows += segment.rows
    found: list[list[Segment]] = [[]]
    for segment in sorted(small, key=lambda each: (each.first_offset, each.path)):
        group = [*found[-1], segment]
        if (
            sum(each.rows for each in group) > settings.merged_rows_max
            or sum(each.bytes for each in group) > settings.merged_bytes_max
        ):
            found.append([segment])
        else:
            found[-1] = group
    return [group for group in found if len(group) > 1]


def retain(store: Store, events: EventStore, now: datetime) -> int:
    """Drop files that are too old or beyond the bytes; delete those dropped a while ago. Returns how many were dropped.

    Age is event time and counts from the tenant's latest event, so that a history that is loaded today stays.
    """
    settings = events.settings
    segments = store.reads.segments()
    latest: dict[str, datetime] = {}
    for segment in segments:
        latest[segment.tenant] = max(segment.end_at, latest.get(segment.tenant, segment.end_at))
    age = timedelta(days=settings.days)
    old = {segment.path for segment in segments if min(latest[segment.tenant], now) - segment.end_at > age}
    left = sorted((each for each in segments if each.path not in old), key=lambda each: (each.end_at, each.path))
    excess = sum(segment.bytes for segment in left) - settings.bytes_max
    for segment in left:
        if excess <= 0:
            break
        old.add(segment.path)
        excess -= segment.bytes
    with store.database.write() as connection:
        dropped = drop_segments(connection, sorted(old), now) if old else 0
    _delete_dropped(store, events, now - timedelta(seconds=settings.grace_s))
    if dropped:
        log.info("event_files_dropped", files=dropped)
    return dropped


def _merge(store: Store, events: EventStore, group: Sequence[Segment], now: datetime) -> int:
    merged = events.merge(group)
    with store.database.write() as connection:
        present = {segment.path for segment in find_segments(connection, group[0].tenant)}
        if not present.issuperset(segment.path for segment in group):
            return 0  # retention was quicker; the new file is an orphan
        put_segments(connection, [merged])
        drop_segments(connection, [segment.path for segment in group], now)
    log.info("event_files_merged", files=len(group), rows=merged.rows, bytes=merged.bytes)
    return len(group) - 1


def _delete_dropped(store: Store, events: EventStore, before: datetime) -> None:
    with store.database.read() as connection:
        paths = dropped_before(connection, before)
    for path in paths:
        events.remove(path)
    if paths:
        with store.database.write() as connection:
            forget_segments(connection, paths)
