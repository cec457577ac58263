"""What the worker does by the clock beside its loop: signs of life, compaction, retention, pruning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSettings:
    """How often, in seconds."""

    beat_s: float = 5.0  # /readyz misses a worker after 30 s, six beats
    stuck_s: float = 300.0  # a loop that has not come round for so long is not alive; the longest step took seconds
    compaction_s: float = 60.0  # small files of the last minutes become one; SQL opens every file it reads
    retention_s: float = 600.0  # files of events past their days
    prune_s: float = 3600.0  # rows past theirs


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Something done again and again."""

    name: str
    every_s: float
    run: Callable[[], object]


@contextmanager
def scheduled(*jobs: Job) -> Iterator[None]:
    """Do the jobs in turn while the block lasts, each for the first time after its pause; one thread, no overlaps."""
    scheduler = BackgroundScheduler(
        timezone=UTC,
        executors={"default": ThreadPoolExecutor(1)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )
    for job in jobs:
        scheduler.add_job(_guarded, "interval", seconds=job.every_s, args=(job,), id=job.name)
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown(wait=True)


def _guarded(job: Job) -> None:
    try:
        job.run()
    except Exception as error:  # the scheduler's loop: a job that fails is tried again at its next time
        log.warning("job_failed", job=job.name, error=str(error), exc_info=not str(error))
