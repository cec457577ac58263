"""Reading the journal from another process while it grows at one end and is forgotten at the other."""

from __future__ import annotations

import os
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from ingest.segment import (
    PREAMBLE_BYTES,
    End,
    check_preamble,
    damaged,
    entries_at,
    frame_at,
    read_end,
    segment_path,
    segments,
)
from tocsin.errors import CorruptionError, StorageError


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the journal."""

    offset: int
    payload: bytes


@dataclass(slots=True)
class _Cursor:
    """An open segment and the frame that was read last."""

    descriptor: int
    segment: int  # its first entry
    position: int  # behind the frame
    first: int  # the frame's first entry
    after: int  # the entry behind its last
    entries: list[bytes]  # none where they were lost


class JournalReader:
    """Reads durable entries. Not for several threads at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cursor: _Cursor | None = None

    @property
    def first_offset(self) -> int:
        """The oldest entry that is still there, or would be."""
        return next(iter(segments(self._folder) if self._folder.exists() else []), 0)

    @property
    def last_offset(self) -> int:
        """The newest durable entry; one less than `first_offset` when there is none."""
        end = read_end(self._folder)
        return self.first_offset - 1 if end is None else end.after - 1

    def read(self, offset: int, *, entries_max: int, bytes_max: int) -> list[Entry]:
        """Durable entries from `offset` on, in order; none when there is nothing new.

        At least one where there is one, whatever its size. Entries that were lost and set aside are skipped.

        Raises:
            CorruptionError: a segment is damaged or missing.
            StorageError: the entry was forgotten.
        """
        found: list[Entry] = []
        size = 0
        end = read_end(self._folder)
        try:
            while end is not None and offset < end.after and len(found) < entries_max:
                cursor = self._frame_of(offset, end)
                if not cursor.entries:
                    offset = cursor.after
                    continue
                payload = cursor.entries[offset - cursor.first]
                size += len(payload)
                if found and size > bytes_max:
                    break
                found.append(Entry(offset, payload))
                offset += 1
        except (StorageError, OSError):
            self.close()  # the next read looks at the files anew
            raise
        return found

    def close(self) -> None:
        """Close the files."""
        if self._cursor is not None:
            os.close(self._cursor.descriptor)
            self._cursor = None

    def _frame_of(self, offset: int, end: End) -> _Cursor:
        """The frame that holds an entry before `end`."""
        cursor = self._cursor
        if cursor is None or not cursor.first <= offset <= cursor.after:
            self.close()
            cursor = self._cursor = self._open(_segment_of(self._folder, offset))
        while cursor.after <= offset:
            if cursor.segment != end.segment and cursor.position == os.fstat(cursor.descriptor).st_size:
                self.close()
                cursor = self._cursor = self._open(cursor.after)
            else:
                self._advance(cursor, offset)
        return cursor

    def _advance(self, cursor: _Cursor, offset: int) -> None:
        """Go to the next frame; it is unpacked only when it holds entry `offset`."""
        path = segment_path(self._folder, cursor.segment)
        frame = frame_at(cursor.descriptor, cursor.position)
        if frame is None:
            raise damaged(path, cursor.position, f"no frame, where entry {cursor.after} should begin")
        if frame.first != cursor.after:
            raise damaged(path, cursor.position, f"entry {frame.first}, where {cursor.after} should be")
        entries = entries_at(cursor.descriptor, cursor.position, frame) if frame.after > offset else []
        if entries is None:
            raise damaged(
                path, cursor.position, f"entries {frame.first} to {frame.after - 1} do not match their checksum"
            )
        cursor.position += frame.size
        cursor.first, cursor.after, cursor.entries = frame.first, frame.after, entries

    def _open(self, first: int) -> _Cursor:
        path = segment_path(self._folder, first)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            oldest = self.first_offset
            if first < oldest:
                raise StorageError(f"{self._folder}: entries before {oldest} were forgotten") from None
            raise CorruptionError(f"{path}: the segment is missing") from None
        if not check_preamble(os.pread(descriptor, PREAMBLE_BYTES, 0), first):
            os.close(descriptor)
            raise damaged(path, 0, "not the beginning of a segment")
        return _Cursor(descriptor, first, PREAMBLE_BYTES, first, first, [])


def _segment_of(folder: Path, offset: int) -> int:
    names = segments(folder)
    at = bisect_right(names, offset)
    if at == 0:
        raise StorageError(f"{folder}: entry {offset} was forgotten; the oldest is {names[0] if names else 'gone too'}")
    return names[at - 1]
