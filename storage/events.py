"""Events as Parquet files: `<tenant>/<day>/<first>-<last>.parquet`, named by the journal entries they came from.

A file counts from the transaction that names it in `t_segments`. One without a row is what a crash left behind: it is
written again under the same name, or swept away at the next start.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from storage.rows import Segment
from tocsin.errors import CorruptionError, FullError, StorageError
from tocsin.record import RECORDS, empty_records
from tocsin.state import sync_folder, write_durably


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSettings:
    """How events are kept, and for how long."""

    zstd_level: int = 3  # on log lines level 9 saves 8 % more and takes four times as long
    row_group_rows: int = 65_536  # a query that names a time reads whole groups
    step_days_max: int = 8  # files one step writes for a tenant; a batch may name a million days
    files_max: int = 64  # of a tenant and day, before small ones become one; opening a file costs a query 0.2 ms
    merged_rows_max: int = 500_000  # of a file made of small ones
    merged_bytes_max: int = 16_777_216  # compressed; merging holds the lines in memory, about ten times as much
    grace_s: float = 300.0  # a file that no longer counts stays for the queries that still read it
    days: float = 90.0  # of event time, by the tenant's latest event; incidents keep the lines they rest on
    bytes_max: int = 107_374_182_400  # 100 GiB of all tenants; beyond it the oldest days go


class EventStore:
    """The folder of event files.

    Attributes:
        folder: where they are.
        settings: limits.
    """

    def __init__(self, folder: Path, settings: EventSettings | None = None) -> None:
        self.folder = folder
        self.settings = settings or EventSettings()

    def write(self, tenant: str, records: pl.DataFrame, first_offset: int, last_offset: int) -> tuple[Segment, ...]:
        """Make records durable, one file a day of event time; each counts once `put_segment` has kept it.

        Args:
            tenant: whose records they are.
            records: RECORDS of this tenant.
            first_offset: journal entry of the first of them.
            last_offset: journal entry of the last of them.

        Raises:
            FullError: the disk is full.
            StorageError: the folder cannot be written.
        """
        name = f"{first_offset:012d}-{last_offset:012d}"
        return tuple(
            self._write(Path(tenant, day, f"{name}.parquet"), part, first_offset, last_offset)
            for day, part in self._by_day(records)
        )

    def merge(self, segments: Sequence[Segment]) -> Segment:
        """Write the events of several files of one tenant and day into one, which does not count yet."""
        records = self._load(segments).sort("time", maintain_order=True)
        first = min(segment.first_offset for segment in segments)
        last = max(segment.last_offset for segment in segments)
        sources = "\n".join(sorted(segment.path for segment in segments))
        mark = blake2b(sources.encode(), digest_size=6).hexdigest()
        folder = Path(segments[0].path).parent
        return self._write(folder / f"{first:012d}-{last:012d}-{mark}.parquet", records, first, last)

    def read(self, segments: Sequence[Segment], start: datetime, end: datetime) -> pl.DataFrame:
        """RECORDS from `start` to `end`, both included, sorted by time.

        Args:
            segments: of the tenant, by `Reads.segments` or `Transaction.segments`.
            start: aware.
            end: aware.

        Raises:
            CorruptionError: a file is missing or damaged.
        """
        inside = [segment for segment in segments if segment.start_at <= end and segment.end_at >= start]
        if not inside:
            return empty_records()
        frames = [self._load([segment]).filter(pl.col("time").is_between(start, end)) for segment in inside]
        return pl.concat(frames).sort("time", maintain_order=True)

    def path_of(self, segment: Segment) -> Path:
        """Where a file is."""
        return self.folder / segment.path

    def remove(self, path: str) -> None:
        """Delete a file, and its folder when it was the last; one that is gone already is fine.

        Raises:
            StorageError: the folder cannot be written.
        """
        file = self.folder / path
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{file}: {error.strerror or error}") from error
        try:
            file.parent.rmdir()
        except OSError:
            return  # there are others

    def files(self) -> list[str]:
        """Every file in the folder, also those half-written, relative to it."""
        found = [path for pattern in ("*.parquet", "*.parquet.tmp") for path in self.folder.glob(f"*/*/{pattern}")]
        return sorted(str(path.relative_to(self.folder)) for path in found)

    def _by_day(self, records: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
        """The records of each day; what is beyond `step_days_max` days goes with the day that has most."""
        dated = records.sort("time", maintain_order=True).with_columns(_day=pl.col("time").dt.date())
        counts = dated.group_by("_day").len().sort(["len", "_day"], descending=[True, True])
        if counts.height == 0:
            return []
        kept = counts["_day"].head(self.settings.step_days_max)
        dated = dated.with_columns(_day=pl.when(pl.col("_day").is_in(kept.implode())).then("_day").otherwise(kept[0]))
        parts = dated.partition_by("_day", maintain_order=True, include_key=True)
        named = [(part["_day"][0].isoformat(), part.drop("_day")) for part in parts]
        return sorted(named, key=lambda item: item[0])

    def _write(self, path: Path, records: pl.DataFrame, first_offset: int, last_offset: int) -> Segment:
        content = io.BytesIO()
        records.select(list(RECORDS)).write_parquet(
            content,
            compression="zstd",
            compression_level=self.settings.zstd_level,
            row_group_size=self.settings.row_group_rows,
        )
        file = self.folder / path
        try:
            _make_folders(self.folder, file.parent)
            write_durably(file, content.getvalue())
        except OSError as error:
            kind = FullError if error.errno in {28, 122} else StorageError  # ENOSPC, EDQUOT
            raise kind(f"{file}: {error.strerror or error}") from error
        times = records["time"]
        start_ns, end_ns = times.dt.timestamp("ns").min(), times.dt.timestamp("ns").max()
        assert isinstance(start_ns, int)
        assert isinstance(end_ns, int)
        return Segment(
            tenant=path.parts[0],
            path=str(path),
            first_offset=first_offset,
            last_offset=last_offset,
            rows=records.height,
            bytes=content.tell(),
            start_at=_EPOCH + timedelta(microseconds=start_ns // 1000),
            end_at=_EPOCH + timedelta(microseconds=-(-end_ns // 1000)),
        )

    def _load(self, segments: Sequence[Segment]) -> pl.DataFrame:
        frames = []
        for segment in segments:
            file = self.path_of(segment)
            try:
                frame = pl.read_parquet(file, glob=False)
            except (OSError, PolarsError) as error:
                raise CorruptionError(f"{file}: {str(error).splitlines()[0]}") from error
            frames.append(_as_records(frame))
        return pl.concat(frames)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _as_records(frame: pl.DataFrame) -> pl.DataFrame:
    """The columns of RECORDS, null where a file of an older version lacks one."""
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in RECORDS.items()
    )


def _make_folders(root: Path, folder: Path) -> None:
    """Make `folder` and those above it up to `root`, each name durable."""
    if folder.is_dir():
        return
    if folder != root:
        _make_folders(root, folder.parent)
    folder.mkdir(mode=0o700, parents=folder == root, exist_ok=True)
    sync_folder(folder.parent)
