"""Opening a journal after a crash: what a torn write left behind is cut off, what was acknowledged must be there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ingest.segment import (
    END_NAME,
    PREAMBLE_BYTES,
    End,
    check_preamble,
    damaged,
    entries_at,
    frame_at,
    pack_end,
    preamble,
    read_end,
    segment_path,
    segments,
)
from tocsin.errors import CorruptionError
from tocsin.state import sync_folder

_COPY_BYTES = 4 * 2**20


class Disk:
    """The calls by which bytes become durable. A test replaces them to have them fail."""

    def write(self, descriptor: int, data: bytes, position: int) -> int:
        """Write some of `data`; returns how much."""
        return os.pwrite(descriptor, data, position)

    def sync(self, descriptor: int) -> None:
        """Return when what was written is durable."""
        os.fdatasync(descriptor)

    def write_all(self, descriptor: int, data: bytes, position: int) -> None:
        """Write all of `data`."""
        left = memoryview(data)
        while left:
            written = self.write(descriptor, left, position)  # type: ignore[arg-type]  # any buffer
            left = left[written:]
            position += written


@dataclass(slots=True)
class Tail:
    """The segment that is written to."""

    descriptor: int
    segment: int  # its first entry
    position: int  # its durable bytes
    after: int  # offset of the next entry

    def end(self) -> End:
        """What is published of it."""
        return End(self.segment, self.position, self.after)


def open_tail(folder: Path, disk: Disk, processed: int) -> Tail:
    """Recover the newest segment, or begin the first.

    Only the newest segment is looked at, and only behind its published end may something be cut: there lies what was
    never acknowledged. What is kept from there is written again before it is published, because a page whose sync
    failed may be clean in memory and absent on disk.

    Args:
        folder: of the journal.
        disk: how to write.
        processed: the offset that a reader has got to. A new journal begins there, an old one must reach it.

    Raises:
        CorruptionError: durable bytes are missing or damaged.
    """
    names = segments(folder)
    end = read_end(folder)
    if names and not _has_preamble(folder, names[-1]):
        path = segment_path(folder, names[-1])
        if path.stat().st_size > PREAMBLE_BYTES or (end and end.segment >= names[-1]):
            raise damaged(path, 0, "not the beginning of a segment")
        path.unlink()  # the crash came while it was created; nothing was ever in it
        first = names.pop()
        if not names:
            return create_segment(folder, first, disk)
    if not names:
        if end is not None and end.after > processed:
            raise CorruptionError(f"{folder}: all segments are missing; they held entries up to {end.after - 1}")
        return create_segment(folder, processed, disk)
    if end is not None and end.segment > names[-1]:
        raise CorruptionError(f"{segment_path(folder, end.segment)}: the newest segment is missing")
    tail = _recover(folder, names[-1], end, disk)
    if tail.after < processed:
        os.close(tail.descriptor)
        raise CorruptionError(
            f"{folder}: the journal ends at entry {tail.after}, but entries up to {processed} were processed before"
        )
    return tail


def create_segment(folder: Path, first: int, disk: Disk) -> Tail:
    """Begin a segment, durably.

    Raises:
        OSError: it cannot be; no file is left behind.
    """
    path = segment_path(folder, first)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
    try:
        disk.write_all(descriptor, preamble(first), 0)
        disk.sync(descriptor)
        sync_folder(folder)
    except OSError:
        os.close(descriptor)
        path.unlink()
        raise
    return Tail(descriptor, first, PREAMBLE_BYTES, first)


def publish(descriptor: int, tail: Tail) -> None:
    """Tell readers where the durable entries end now."""
    os.pwrite(descriptor, pack_end(tail.end()), 0)


def open_end(folder: Path) -> int:
    """The file that holds the published end."""
    return os.open(folder / END_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)


def _has_preamble(folder: Path, first: int) -> bool:
    with segment_path(folder, first).open("rb") as file:
        return check_preamble(file.read(PREAMBLE_BYTES), first)


def _recover(folder: Path, first: int, end: End | None, disk: Disk) -> Tail:
    path = segment_path(folder, first)
    durable = end.position if end is not None and end.segment == first else PREAMBLE_BYTES
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        position, after = PREAMBLE_BYTES, first
        while (frame := frame_at(descriptor, position)) and frame.first == after:
            if entries_at(descriptor, position, frame) is None:
                break
            position += frame.size
            after = frame.after
        if position < durable:
            raise damaged(path, position, f"the entries from {after} on were acknowledged and do not read back")
        os.ftruncate(descriptor, position)
        for at in range(durable, position, _COPY_BYTES):
            disk.write_all(descriptor, os.pread(descriptor, min(_COPY_BYTES, position - at), at), at)
        disk.sync(descriptor)
        sync_folder(folder)
    except (CorruptionError, OSError):
        os.close(descriptor)
        raise
    return Tail(descriptor, first, position, after)
