"""`tocsin doctor`: looks at every part of an installation, changes nothing, and says what to do about what is wrong."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from api.guard import is_loopback
from ingest.journal import JournalReader
from ingest.journal_care import check
from service.lock import owner_of
from service.settings import Settings
from storage.events import EventStore
from storage.schema import version_of
from storage.store import Store, database_url
from tocsin.errors import StorageError, TocsinError

Verdict = Literal["ok", "warn", "fail"]

_AHEAD = timedelta(minutes=5)  # clocks of hosts with time synchronisation differ by seconds
_SHOWN_MAX = 3  # names in one line
_SPARE = 4  # free space below so many times the limit is worth a word


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    detail: str
    advice: str = ""  # what to do, when it is not ok


def as_row(check: Check) -> dict[str, str]:
    """A check by names of columns."""
    return {"check": check.name, "verdict": check.verdict, "detail": check.detail, "advice": check.advice}


def examine(settings: Settings, now: datetime) -> list[Check]:
    """Look at everything.

    Args:
        settings: read without an error, which is a check of its own.
        now: the time.
    """
    checks = [Check(name="settings", verdict="ok", detail="in order (tocsin config check shows them)")]
    checks += _folder(settings)
    if checks[-1].verdict == "fail":
        return checks
    checks += [_disk(settings), _journal(settings)]
    with _store(settings) as opened:
        if isinstance(opened, Check):
            return [*checks, opened]
        checks.append(Check(name="database", verdict="ok", detail=f"version {version_of(opened.database)}"))
        at = _Place(settings=settings, store=opened, now=now)
        for look in (_processes, _keys, _worker, _events, _detectors, _webhooks, _clocks):
            checks += _guarded(look, at)
    return checks


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What is looked at when the database can be read."""

    settings: Settings
    store: Store
    now: datetime


def _guarded(look: Callable[[_Place], Iterator[Check]], at: _Place) -> list[Check]:
    try:
        return list(look(at))
    except TocsinError as error:
        return [Check(name=look.__name__.strip("_"), verdict="fail", detail=str(error))]


def _folder(settings: Settings) -> Iterator[Check]:
    folder = settings.data
    name = "data folder"
    if not folder.is_dir():
        yield Check(
            name=name, verdict="fail", detail=f"{folder}: not there", advice="tocsin run makes it, or see --data"
        )
        return
    probe = folder / f".probe-{os.getpid()}"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        advice = f"let user {os.geteuid()} write to it"
        yield Check(name=name, verdict="fail", detail=f"{folder}: cannot be written: {error.strerror}", advice=advice)
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o007:
        advice = f"it holds log lines and secrets: chmod 700 {folder}"
        yield Check(name=name, verdict="warn", detail=f"{folder}: everybody may look into it ({mode:o})", advice=advice)
        return
    yield Check(name=name, verdict="ok", detail=f"{folder}: writable")


def _disk(settings: Settings) -> Check:
    usage = shutil.disk_usage(settings.data)
    limit = settings.journal.disk_free_bytes_min
    detail = f"{usage.free / 2**30:.1f} of {usage.total / 2**30:.1f} GiB free"
    advice = "free some, or keep events for fewer days (events.retention_days)"
    if usage.free < limit:
        refused = f"{detail}; below {limit / 2**20:.0f} MiB lines are refused (journal.disk_free_bytes_min)"
        return Check(name="disk", verdict="fail", detail=refused, advice=advice)
    return Check(name="disk", verdict="warn" if usage.free < _SPARE * limit else "ok", detail=detail, advice=advice)


def _journal(settings: Settings) -> Check:
    folder = settings.data / "journal"
    if not folder.is_dir():
        return Check(name="journal", verdict="ok", detail="empty")
    try:
        problems = check(folder)
    except (TocsinError, OSError) as error:
        return Check(name="journal", verdict="fail", detail=str(error))
    if problems:
        more = f", and {len(problems) - 1} more places" if len(problems) > 1 else ""
        advice = "restore the file from a backup while the service is stopped"
        return Check(name="journal", verdict="fail", detail=f"{problems[0]}{more}", advice=advice)
    reader = JournalReader(folder)
    span = f"entries {reader.first_offset} to {reader.last_offset}"
    kept = reader.last_offset >= reader.first_offset
    return Check(name="journal", verdict="ok", detail=f"{span}, all readable" if kept else "empty")


@contextmanager
def _store(settings: Settings) -> Iterator[Store | Check]:
    """The database as it is: not brought up to date, which is for the service to do."""
    if not settings.store.url and not (settings.data / "tocsin.sqlite").exists():
        yield Check(name="database", verdict="warn", detail="not there yet", advice="tocsin run makes it")
        return
    with closing(Store(database_url(settings.store, settings.data), settings.store, settings.body)) as store:
        try:
            version_of(store.database)
        except StorageError as error:
            unusable = str(error)
        else:
            yield store
            return
    yield Check(name="database", verdict="fail", detail=unusable, advice="use the Tocsin that wrote it, or a newer one")


def _processes(at: _Place) -> Iterator[Check]:
    for part, what in (("api", "HTTP process"), ("worker", "worker")):
        owner = owner_of(at.settings.data, part)
        if owner is None:
            yield Check(name=what, verdict="warn", detail="not running", advice=f"tocsin run --data {at.settings.data}")
        else:
            yield Check(name=what, verdict="ok", detail=f"process {owner}")


def _keys(at: _Place) -> Iterator[Check]:
    keys = [key for key in at.store.keys.all() if key.revoked_at is None and (key.expires_at or at.now) >= at.now]
    if keys:
        yield Check(name="keys", verdict="ok", detail=f"{len(keys)} in use")
    elif is_loopback(at.settings.api.host):
        detail = "none: everyone on this machine may read and change everything"
        yield Check(name="keys", verdict="warn", detail=detail, advice="tocsin key create")
    else:
        detail = f"none, so the service does not start on {at.settings.api.host}"
        yield Check(name="keys", verdict="fail", detail=detail, advice="tocsin key create")


def _worker(at: _Place) -> Iterator[Check]:
    worker = at.store.reads.worker()
    if worker.beat_at is None:
        yield Check(name="heartbeat", verdict="warn", detail="the worker was never there", advice="tocsin run")
        return
    silent = at.now - worker.beat_at
    lag = max(0, JournalReader(at.settings.data / "journal").last_offset + 1 - worker.offset)
    detail = f"{silent.total_seconds():.0f} s ago, {lag:,} journal entries behind"
    running = owner_of(at.settings.data, "worker") is not None
    if silent < -_AHEAD:
        advice = "the clock of this machine went back; set up time synchronisation"
        yield Check(name="heartbeat", verdict="fail", detail=f"in the future: {worker.beat_at:%F %T}Z", advice=advice)
    elif running and silent.total_seconds() > at.settings.api.ready_heartbeat_s_max:
        yield Check(name="heartbeat", verdict="fail", detail=detail, advice="the worker hangs: look into its log")
    elif lag > at.settings.api.ready_lag_entries_max:
        advice = "it takes lines faster than it looks through them: look into its log, or give it a faster machine"
        yield Check(name="heartbeat", verdict="warn", detail=detail, advice=advice)
    else:
        yield Check(name="heartbeat", verdict="ok", detail=detail)


def _events(at: _Place) -> Iterator[Check]:
    events = EventStore(at.settings.data / "events", at.settings.events)
    missing, rows, count = [], 0, 0
    for segment in at.store.reads.segments():
        rows, count = rows + segment.rows, count + 1
        path = events.path_of(segment)
        if not path.is_file() or path.stat().st_size != segment.bytes:
            missing.append(segment.path)
    if missing:
        named = ", ".join(missing[:_SHOWN_MAX])
        detail = f"{len(missing)} of {count} files are gone or cut: {named}"
        yield Check(name="events", verdict="fail", detail=detail, advice="restore them from a backup")
    else:
        yield Check(name="events", verdict="ok", detail=f"{rows:,} events in {count} files, all there")


def _detectors(at: _Place) -> Iterator[Check]:
    for tenant in at.store.reads.tenants():
        for row in at.store.reads.detectors(tenant):
            failed = row.state == "failed"
            yield Check(
                name=f"detector {row.detector}, {tenant}",
                verdict="fail" if failed else "ok",
                detail=f"{row.state}: {row.detail}" if row.detail else row.state,
                advice="the log of the worker says why" if failed else "",
            )


def _webhooks(at: _Place) -> Iterator[Check]:
    tenants = sorted({*at.store.reads.tenants(), *(key.tenant for key in at.store.keys.all()), "default"})
    for tenant in tenants:
        for hook in at.store.reads.webhooks(tenant):
            name = f"webhook {hook.webhook_id}, {tenant}"
            latest = at.store.reads.deliveries(tenant, webhook_id=hook.webhook_id, limit=1).rows
            if not hook.enabled:
                advice = "it said 410 Gone, or somebody switched it off"
                yield Check(name=name, verdict="warn", detail="disabled", advice=advice)
            elif not latest:
                yield Check(name=name, verdict="ok", detail="nothing was sent to it yet")
            elif latest[0].status == "dead" or (latest[0].status == "pending" and latest[0].attempts):
                reason = latest[0].reason or "no reason given"
                advice = f"tocsin webhook test {hook.webhook_id} --tenant {tenant}"
                yield Check(name=name, verdict="fail", detail=f"{latest[0].status}: {reason}", advice=advice)
            else:
                yield Check(name=name, verdict="ok", detail=latest[0].status)


def _clocks(at: _Place) -> Iterator[Check]:
    ahead = [
        f"{row.stream} of {tenant} ({row.last_seen:%F %T}Z)"
        for tenant in at.store.reads.tenants()
        for row in at.store.reads.streams(tenant)
        if row.last_seen > at.now + _AHEAD
    ]
    if ahead:
        detail = f"events from the future in {len(ahead)} streams: {', '.join(ahead[:_SHOWN_MAX])}"
        advice = "the sender's clock or time zone is wrong, or this machine's clock is behind"
        yield Check(name="clocks", verdict="warn", detail=detail, advice=advice)
    else:
        yield Check(name="clocks", verdict="ok", detail="no event is from the future")
