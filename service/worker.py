"""The worker process: reads the journal, runs the pipeline, takes snapshots, delivers, keeps house."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from alerts.post import HttpChannel
from detectors.panel import DetectorStatus
from ingest.journal import Entry, JournalReader, forget
from service.attempts import Attempts
from service.courier import Post
from service.keep import Shelf
from service.lock import owned
from service.pipeline import Pipeline, PipelineSettings
from service.recovery import recovered
from service.schedule import Job, ScheduleSettings, scheduled
from service.snapshot import Snapshots
from service.step import OutOfStepError, StepReport, StepSettings, UnansweredError, Understood
from storage.database import database_url
from storage.desk import Desk
from storage.events import EventStore
from storage.prune import prune
from storage.store import Store
from storage.upkeep import compact, retain, sweep
from tocsin.errors import CorruptionError, FullError, StorageError

if TYPE_CHECKING:
    from service.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How the worker paces itself."""

    step: StepSettings = field(default_factory=StepSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    polars_threads: int = (
        1  # of a worker started by `tocsin run`; frames are small, a second thread cost 30 % more time
    )
    poll_s: float = 0.05  # how often an idle worker looks into the journal; a look costs some 20 us
    pace_s: float = (
        0.2  # from step to step when there is little to do: fewer, larger files; a tenth of the promised 2 s
    )
    snapshot_s: float = 60.0  # a restart learns again what came since; that takes less time than it took to come
    snapshot_entries_max: int = 5_000  # the same after so many entries
    attempts_max: int = (
        3  # of a step that fails or kills the process; then entries go one by one, then one is put aside
    )
    asides_max: int = 3  # entries put aside in a row; if a fourth fails too it is not the lines' fault, and it is kept
    retry_s: float = 0.5  # before the second attempt; doubled each time
    retry_s_max: float = 30.0  # a database that comes back is found within this time
    outbox_poll_s: float = 1.0  # retries that are due; new messages are announced and do not wait
    settle_s: float = 10.0  # deliveries under way get this long at a stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the loop works with.

    Attributes:
        build: makes a pipeline that knows nothing, at an offset.
        journal: the folder that `reader` reads.
        snapshots: of the pipeline.
        attempts: counts steps that were not survived.
        nudge: called when there are new messages in the outbox.
        clock: the time on the wall.
        passing: called with points of `service.step.POINTS`.
    """

    build: Callable[[int], Pipeline]
    journal: Path
    reader: JournalReader
    store: Store
    snapshots: Snapshots
    attempts: Attempts
    nudge: Callable[[], None]
    clock: Callable[[], datetime]
    passing: Callable[[str], None]


class RefusedError(StorageError):
    """The database works but does not take this step."""


class Worker:
    """The loop. What it is given is opened and closed by `run_worker`."""

    def __init__(self, settings: WorkerSettings, parts: Parts) -> None:
        self.turned_at = time.monotonic()  # when the loop last came round
        self._settings = settings
        self._parts = parts
        self._pipeline = parts.build(0)
        self._is_sound = False  # what is in memory is what the database's offset says
        self._single_until = 0  # entries before this one are processed one by one: one of them is poison
        self._failures = 0
        self._asides = 0  # entries put aside since one was processed
        self._models: dict[str, tuple[DetectorStatus, ...]] = {}  # what the snapshot under way knows
        self._saved_at = time.monotonic()

    def run(self, stopping: threading.Event) -> None:
        """Work until `stopping` is set; then the step under way is finished and a snapshot taken."""
        self._recover(stopping)
        while not stopping.is_set():
            self.turned_at = began = time.monotonic()
            entries = self._read()
            if entries:
                self._try(entries, stopping)
            self._care_for_snapshots()
            if len(entries) < self._settings.step.entries_max:
                pace_s = self._settings.pace_s if entries else self._settings.poll_s
                stopping.wait(max(0.0, began + pace_s - time.monotonic()))
        self._last_snapshot()

    def beat(self, desk: Desk, stuck_s: float) -> None:
        """Give a sign of life, if the loop comes round."""
        if time.monotonic() - self.turned_at <= stuck_s:
            desk.beat(self._parts.clock())

    def _recover(self, stopping: threading.Event) -> None:
        parts = self._parts
        self._pipeline = recovered(parts.build, parts.snapshots, parts.reader, parts.store, stopping)
        self._is_sound = not stopping.is_set()
        log.info("worker_ready", offset=self._pipeline.offset)

    def _read(self) -> Sequence[Entry]:
        step = self._settings.step
        single = self._pipeline.offset < self._single_until
        entries_max = 1 if single else step.entries_max
        return self._parts.reader.read(self._pipeline.offset, entries_max=entries_max, bytes_max=step.bytes_max)

    def _try(self, entries: Sequence[Entry], stopping: threading.Event) -> None:
        """One step. A step that fails is begun again from the snapshot, since it left memory between two states."""
        try:
            self._step(entries, stopping)
            self._failures = 0
        except OutOfStepError:
            raise
        except UnansweredError as error:
            self._failures += 1
            self._is_sound = True
            self._parts.attempts.survived()  # the step is not to blame
            log.warning("database_away", error=str(error), failures=self._failures)
            stopping.wait(self._pause_s(self._failures))
        except Exception:  # the loop outlives whatever one step raises: it logs, counts and goes on
            self._failures += 1
            log.exception("step_failed", first=entries[0].offset, entries=len(entries), failures=self._failures)
            stopping.wait(self._pause_s(self._failures))
            self._parts.snapshots.wait()
            self._recover_stubbornly(stopping)

    def _recover_stubbornly(self, stopping: threading.Event) -> None:
        """Recover, however long the database is away."""
        while not stopping.is_set():
            try:
                self._recover(stopping)
            except CorruptionError:
                raise
            except StorageError as error:
                self._failures += 1
                log.error("recovery_failed", error=str(error), failures=self._failures)  # noqa: TRY400 -- it says it all
                stopping.wait(self._pause_s(self._failures))
            else:
                return

    def _step(self, entries: Sequence[Entry], stopping: threading.Event) -> None:
        attempt = self._parts.attempts.begin(entries[0].offset, len(entries))
        if attempt.count > self._settings.attempts_max:
            if len(entries) > 1:
                log.error("step_taken_apart", first=entries[0].offset, entries=len(entries))
                self._single_until = entries[-1].offset + 1
                entries = entries[:1]
                self._parts.attempts.begin(entries[0].offset, 1)
            elif self._asides < self._settings.asides_max:
                self._put_aside(entries[0])
                return
            else:
                log.error("nothing_can_be_processed", entry=entries[0].offset, put_aside_before=self._asides)
        self._is_sound = False
        understood = self._pipeline.understand(entries)
        report = self._keep(understood, stopping)
        if report is None:
            return
        self._is_sound = True
        self._asides = 0
        self._parts.attempts.survived()
        if report.changes:
            self._parts.nudge()
        log.debug("step_kept", after=report.after, lines=report.lines, findings=report.findings)

    def _keep(self, understood: Understood, stopping: threading.Event) -> StepReport | None:
        """Keep a step, however long the disk is full or the database away; None when it was told to stop meanwhile."""
        refusals = failures = 0
        while True:
            try:
                return self._pipeline.keep(understood)
            except OutOfStepError:
                raise
            except StorageError as error:
                failures += 1
                refusals += understood.is_written and self._is_healthy(error)
                if refusals > self._settings.attempts_max:
                    raise RefusedError(f"the database refuses the step: {error}") from error
                log.warning("step_not_kept", first=understood.first, error=str(error), failures=failures)
            if refusals == 0:
                self._parts.attempts.survived()  # the step is not to blame
            self.turned_at = time.monotonic()
            if stopping.wait(self._pause_s(failures)):
                return None

    def _is_healthy(self, error: StorageError) -> bool:
        """Whether the database takes other writes."""
        if isinstance(error, FullError):
            return False
        try:
            self._parts.store.desk.beat(self._parts.clock())
        except StorageError:
            return False
        return True

    def _put_aside(self, entry: Entry) -> None:
        reason = f"journal entry {entry.offset} could not be processed in {self._settings.attempts_max} attempts"
        log.error("batch_put_aside", entry=entry.offset, reason=reason)
        self._pipeline.put_aside(entry, reason)
        self._asides += 1
        self._parts.attempts.survived()
        # At once: a replay must not meet it again, it may be of the kind that ends the process.
        self._saved(self._parts.snapshots.wait())
        self._begin_snapshot()
        self._saved(self._parts.snapshots.wait())

    def _pause_s(self, failures: int) -> float:
        return min(self._settings.retry_s * 2.0 ** min(failures - 1, 20), self._settings.retry_s_max)

    def _care_for_snapshots(self) -> None:
        snapshots, settings = self._parts.snapshots, self._settings
        try:
            self._saved(snapshots.finished())
            behind = self._pipeline.offset - snapshots.offset
            due = time.monotonic() - self._saved_at >= settings.snapshot_s or behind >= settings.snapshot_entries_max
            if behind and due and self._is_sound and not snapshots.is_writing:
                self._begin_snapshot()
        except (OSError, StorageError) as error:  # the next one may work; the journal is kept until one does
            log.warning("snapshot_failed", error=str(error))

    def _last_snapshot(self) -> None:
        snapshots = self._parts.snapshots
        try:
            self._saved(snapshots.wait())
            if self._is_sound and self._pipeline.offset > snapshots.offset:
                self._begin_snapshot()
                self._saved(snapshots.wait())
        except (OSError, StorageError) as error:  # the restart replays more, nothing is lost
            log.warning("snapshot_failed", error=str(error))

    def _begin_snapshot(self) -> None:
        self._saved_at = time.monotonic()
        self._models = self._pipeline.statuses
        self._parts.snapshots.begin(self._pipeline.state(), self._pipeline.offset)

    def _saved(self, offset: int | None) -> None:
        """Note a snapshot that is on the disk, and forget what no replay goes back to."""
        if offset is None:
            return
        at = self._parts.clock()
        with self._parts.store.begin() as transaction:
            transaction.forget_steps(offset)
            for tenant, statuses in self._models.items():
                for status in statuses:
                    transaction.put_model(tenant, status, journal_offset=offset, at=at)
        forget(self._parts.journal, offset)
        self._parts.passing("forgotten")
        log.debug("snapshot_saved", offset=offset)


def run_worker(
    settings: Settings, stopping: threading.Event, *, passing: Callable[[str], None] = lambda _point: None
) -> None:
    """Be the worker until `stopping` is set. Each part is closed in the reverse order of its opening.

    Args:
        settings: all of them.
        stopping: set by whoever catches SIGTERM.
        passing: called with each of `service.step.POINTS` as it is passed; the crash tests end the process there.

    Raises:
        LockedError: another worker runs on this data folder.
        StorageError: the data folder, the journal or the database cannot be used.
    """
    with ExitStack() as stack:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        stack.enter_context(owned(settings.data, "worker"))
        url = database_url(settings.store, settings.data)
        store = Store(url, settings.store, settings.body)
        store.open()
        stack.callback(store.close)
        outbox_store = Store(url, settings.store)  # its own connections: a long step must not delay a message
        stack.callback(outbox_store.close)
        events = EventStore(settings.data / "events", settings.events)
        sweep(store, events)
        journal = settings.data / "journal"
        reader = JournalReader(journal)
        post = Post(
            outbox_store.outbox,
            HttpChannel(settings.post, settings.address),
            settings.delivery,
            clock=_now,
            poll_s=settings.worker.outbox_poll_s,
        )
        shelf = Shelf(
            store=store,
            events=events,
            settings=settings.worker.step,
            policy=settings.policy,
            clock=_now,
            base_url=settings.base_url,
            passing=passing,
        )
        pipeline = PipelineSettings(
            step=settings.worker.step, parse=settings.parse, panel=settings.panel, detectors=settings.detectors
        )
        snapshots = Snapshots(settings.data / "state" / "pipeline", passing)
        stack.callback(snapshots.close)
        parts = Parts(
            build=lambda offset: Pipeline(pipeline, shelf, offset=offset),
            journal=journal,
            reader=reader,
            store=store,
            snapshots=snapshots,
            attempts=Attempts(settings.data / "state" / "attempts.json"),
            nudge=post.nudge,
            clock=_now,
            passing=passing,
        )
        worker = Worker(settings.worker, parts)
        house_store = Store(url, settings.store)
        stack.callback(house_store.close)
        stack.enter_context(scheduled(*_housekeeping(settings, house_store, events)))
        # The signs of life have a thread of their own: merging a day's files may take longer than people wait for one.
        schedule = settings.worker.schedule
        beat = Job(name="beat", every_s=schedule.beat_s, run=lambda: worker.beat(outbox_store.desk, schedule.stuck_s))
        stack.enter_context(scheduled(beat))
        stack.enter_context(post.running(settings.worker.settle_s))
        worker.run(stopping)


def _housekeeping(settings: Settings, store: Store, events: EventStore) -> tuple[Job, ...]:
    schedule = settings.worker.schedule
    return (
        Job(name="compaction", every_s=schedule.compaction_s, run=lambda: compact(store, events, _now())),
        Job(name="retention", every_s=schedule.retention_s, run=lambda: retain(store, events, _now())),
        Job(name="prune", every_s=schedule.prune_s, run=lambda: prune(store.database, settings.store, _now())),
    )


def _now() -> datetime:
    return datetime.now(UTC)
