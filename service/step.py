"""What one step of the pipeline works on: its limits, what it understood, what it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from ingest.batch import Batch
from ingest.parse import Template
from storage.rows import Segment
from tocsin.errors import StorageError
from tocsin.finding import Finding

#: Between any two of these a process may die. The crash tests end it at each of them.
POINTS = (
    "read",  # entries of the journal are in memory
    "asked",  # the database told which batches came before
    "understood",  # parser and detectors learned from them
    "written",  # the events are in files, which do not count yet
    "decided",  # inside the transaction: incidents are changed, nothing is committed
    "kept",  # inside the transaction: everything is written, nothing is committed
    "committed",
    "copied",  # what parser and detectors know is copied for a snapshot
    "saved",  # the snapshot is on the disk
    "forgotten",  # what is before the snapshot is gone from the journal
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSettings:
    """How much one step takes on."""

    entries_max: int = 512  # journal entries; a shipper that sends single lines makes many small ones
    bytes_max: int = 32 * 2**20  # of entries; frames of their lines are a few times that
    lines_max: int = 100_000  # about a second of work; one entry may hold more, it is then a step of its own
    watch_rows_max: int = 20_000  # records the detectors see at once; more are given in parts, in time order
    recent_rows_max: int = 200_000  # lines of a tenant at hand for evidence; older ones are read from their files
    recent_bytes_max: int = 32 * 2**20  # the same, whichever is reached first
    evidence_lines_max: int = 10  # raw lines kept of one finding; a message shows 5, the page 50 of an incident
    lag_s_max: float = 3600.0  # events older than this when they come are history: no clock moves them on
    names_max: int = 1_000_000  # of lines that senders named, 8 bytes each: what they may send again in another request
    detectors_s: float = 5.0  # how often the state of the detectors is written for people to see


#: Names a batch: tenant, stream, the sender's identity.
BatchKey = tuple[str, str, str]


class OutOfStepError(StorageError):
    """Another worker has processed what this one was about to."""


class UnansweredError(StorageError):
    """The database did not answer before the step changed anything; the same step may be begun again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the database knew before the step."""

    seen: dict[BatchKey, datetime]  # batches that came before: when
    per_day: dict[str, float]  # incidents a day, by tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """What one tenant has in a step."""

    tenant: str
    now: datetime  # its event time after the step
    records: pl.DataFrame
    findings: tuple[Finding, ...]
    templates: tuple[Template, ...]
    per_day: float  # incidents the tenant wants to read a day


@dataclass(slots=True, kw_only=True)
class Understood:
    """A step after the journal was read and before anything is kept; it can be kept again until that works."""

    first: int  # journal entries [first, after)
    after: int
    batches: Sequence[Batch]  # those that came for the first time
    portions: Sequence[Portion]
    segments: list[Segment] = field(default_factory=list)
    is_written: bool = False  # the segments are on the disk


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What a step did."""

    after: int  # the next entry
    lines: int
    findings: int
    changes: int  # of incidents, that people should be told of
