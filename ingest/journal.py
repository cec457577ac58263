"""The durable log between the socket and the pipeline: an entry is acknowledged when it is on disk.

One thread writes. While a sync is in flight, entries gather; the next commit takes them all, so the time of a sync is
the window of the group commit and nobody waits on purpose. After a failed sync the journal takes nothing more: the page
cache then says things about the disk that are not true.

The files are described in `ingest.segment`, reading in `ingest.journal_reader`, recovery in `ingest.recovery`.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from ingest.journal_reader import Entry, JournalReader
from ingest.recovery import Disk, create_segment, open_end, open_tail, publish
from ingest.segment import PREAMBLE_BYTES, pack, segment_path, segments
from tocsin.errors import FullError, StorageError, TooLargeError

__all__ = ["Entry", "Journal", "JournalReader", "JournalSettings", "forget"]

_MIB = 2**20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalSettings:
    """How much the journal may hold."""

    segment_bytes_max: int = 64 * _MIB  # what is forgotten at once, and what recovery reads: 0.1 s
    bytes_max: int = 8 * 1024 * _MIB  # a day of 1,000 lines/s that nobody processes; more is told to come back
    entry_bytes_max: int = 160 * _MIB  # the largest body allowed, as a frame of lines
    frame_bytes_max: int = _MIB  # entries compressed together: zstd gains nothing from more, damage costs more
    zstd_level: int = 1  # 500 MB/s; higher levels gain 10 % and cost a core
    pending_bytes_max: int = 64 * _MIB  # waiting for the disk; at 100 MB/s more would wait longer than senders do
    disk_free_bytes_min: int = 256 * _MIB  # left for the database, which must be able to say what happened
    room_s: float = 0.25  # how old the knowledge of free space may be


@dataclass(slots=True)
class _Waiting:
    payload: bytes
    future: Future[int]


class Journal:
    """The one writer of a journal folder.

    Args:
        folder: where the segments lie; made when it does not exist.
        settings: limits.
        processed: the offset that a reader has got to, see `ingest.recovery.open_tail`.
        disk: how bytes become durable.

    Raises:
        CorruptionError: acknowledged entries are missing or damaged.
        StorageError: the folder cannot be used.
    """

    def __init__(
        self, folder: Path, settings: JournalSettings, *, processed: int = 0, disk: Disk | None = None
    ) -> None:
        self._folder = folder
        self._settings = settings
        self._disk = disk or Disk()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._tail = open_tail(folder, self._disk, processed)
            self._end = open_end(folder)
            publish(self._end, self._tail)
        except OSError as error:
            raise StorageError(f"{folder}: the journal cannot be opened ({error})") from error
        self._changed = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._closing = False
        self._broken: str | None = None
        self._sealed_bytes = self._free_bytes = 0
        self._room_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    @property
    def next_offset(self) -> int:
        """Offset of the first entry that is not durable."""
        return self._tail.after

    def append(self, payload: bytes) -> Future[int]:
        """Take one entry; the future gives its offset once it is durable, or the error that kept it from being.

        Raises:
            TooLargeError: the entry is over its limit.
            FullError: there is no room for it; try again later.
            StorageError: the journal is closed, or failed for good.
        """
        size = len(payload)
        if size > self._settings.entry_bytes_max:
            raise TooLargeError(f"journal: an entry of {size} bytes, {self._settings.entry_bytes_max} are allowed")
        future: Future[int] = Future()
        future.set_running_or_notify_cancel()  # from here on it happens, whoever still waits
        with self._changed:
            if self._broken or self._closing:
                raise StorageError(self._broken or "journal: closed")
            self._check_room(size)
            self._waiting.append(_Waiting(payload, future))
            self._waiting_bytes += size
            self._changed.notify()
        return future

    def close(self) -> None:
        """Write what waits and stop. Calling it twice is harmless."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify()
        self._thread.join()
        os.close(self._tail.descriptor)
        os.close(self._end)

    def _check_room(self, size: int) -> None:
        settings = self._settings
        waiting = self._waiting_bytes + size
        if self._waiting and waiting > settings.pending_bytes_max:
            raise FullError(f"journal: {self._waiting_bytes} bytes wait for the disk already")
        now = time.monotonic()
        if now - self._room_at > settings.room_s:
            self._room_at = now
            self._look_around()
        # Uncompressed sizes, so the journal stops a little early rather than late.
        if self._sealed_bytes + self._tail.position + waiting > settings.bytes_max:
            raise FullError(f"journal: the backlog is over its limit of {settings.bytes_max} bytes")
        if self._free_bytes - waiting < settings.disk_free_bytes_min:
            raise FullError(f"journal: less than {settings.disk_free_bytes_min} bytes would be left on the disk")

    def _look_around(self) -> None:
        # Another process forgets segments, so what they hold is asked and not remembered.
        sizes = [_size(segment_path(self._folder, first)) for first in segments(self._folder)]
        disk = os.statvfs(self._folder)
        self._sealed_bytes = sum(sizes[:-1])
        self._free_bytes = disk.f_bavail * disk.f_frsize

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                group, self._waiting = self._waiting, []
                self._waiting_bytes = 0
            if not group:
                return
            try:
                offset = self._tail.after
                self._commit([waiting.payload for waiting in group])
            except (FullError, StorageError) as error:
                for waiting in group:
                    waiting.future.set_exception(error)
                continue
            for at, waiting in enumerate(group, start=offset):
                waiting.future.set_result(at)

    def _commit(self, payloads: list[bytes]) -> None:
        """Make entries durable, all or none."""
        if self._broken:
            raise StorageError(self._broken)
        data = self._frames(payloads)
        tail = self._tail
        try:
            if tail.position > PREAMBLE_BYTES and tail.position + len(data) > self._settings.segment_bytes_max:
                self._tail = create_segment(self._folder, tail.after, self._disk)
                self._sealed_bytes += tail.position
                os.close(tail.descriptor)
                tail = self._tail
            self._disk.write_all(tail.descriptor, data, tail.position)
        except OSError as error:
            raise self._undo(error) from error
        try:
            self._disk.sync(tail.descriptor)
            self._tail.position += len(data)
            self._tail.after += len(payloads)
            publish(self._end, tail)
        except OSError as error:
            self._broken = f"{self._folder}: the disk failed ({error}); restart when it is sound again"
            self._cut()
            raise StorageError(self._broken) from error

    def _undo(self, error: OSError) -> StorageError:
        """Take back a write that did not succeed."""
        if self._cut() and error.errno in _FULL:
            return FullError(f"{self._folder}: the disk is full")
        self._broken = f"{self._folder}: the disk failed ({error}); restart when it is sound again"
        return StorageError(self._broken)

    def _cut(self) -> bool:
        try:
            os.ftruncate(self._tail.descriptor, self._tail.position)
        except OSError:
            return False
        return True

    def _frames(self, payloads: list[bytes]) -> bytes:
        frames: list[bytes] = []
        begin = size = 0
        for at, payload in enumerate(payloads):
            if at > begin and size + len(payload) > self._settings.frame_bytes_max:
                frames.append(pack(self._tail.after + begin, payloads[begin:at], self._settings.zstd_level))
                begin, size = at, 0
            size += len(payload)
        frames.append(pack(self._tail.after + begin, payloads[begin:], self._settings.zstd_level))
        return b"".join(frames)


def forget(folder: Path, before: int) -> None:
    """Remove the segments all of whose entries lie before `before`. The newest stays: it knows the next offset."""
    names = segments(folder)
    for first, following in pairwise(names):
        if following <= before:
            segment_path(folder, first).unlink(missing_ok=True)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # forgotten meanwhile
        return 0
