"""The journal's files: segments made of frames, and the published end of what is durable.

A segment is named after its first entry, `<20 digits>.seg`:

    "TOCSINJ1"  first entry u64
    frame*

and a frame holds the entries of one commit, or a part of them:

    "TJFR"  entries u32  first entry u64  stored bytes u32  plain bytes u32  crc32 of them  crc32 of this header
    zstd( length of each entry u32 ...  entries )

All numbers are little-endian. A frame without stored bytes stands for entries that were lost and set aside.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cramjam

from tocsin.errors import CorruptionError

SUFFIX = ".seg"
END_NAME = "end"
PREAMBLE_BYTES = 16
HEADER_BYTES = 32

_MAGIC = b"TOCSINJ1"
FRAME_MAGIC = b"TJFR"
_PREAMBLE = struct.Struct("<8sQ")
_HEADER = struct.Struct("<4sIQIIII")
_END = struct.Struct("<QQQI")
_CRC = struct.Struct("<I")
_END_READS = 4  # a write of 28 bytes that is seen half is over before the second look
_PLAIN_BYTES_MAX = 2**31  # far above any entry; a header that says more is damaged


@dataclass(frozen=True, slots=True)
class Frame:
    """The header of a frame."""

    first: int  # offset of its first entry
    count: int
    stored_bytes: int
    plain_bytes: int
    checksum: int

    @property
    def after(self) -> int:
        """Offset of the entry behind the last."""
        return self.first + self.count

    @property
    def size(self) -> int:
        """Bytes in the segment, header included."""
        return HEADER_BYTES + self.stored_bytes


@dataclass(frozen=True, slots=True)
class End:
    """Where the durable entries end: published by the writer after each sync, read by everybody else.

    It lies in a file of its own, written in place and never synced. That is enough: it is written after the sync that
    makes it true, so whatever of it survives a crash is at most too old, and the writer publishes it anew when it has
    recovered. A reader thus asks 28 bytes whether there is something new, and cannot see an entry that a power cut
    could take back. A half-written one fails its checksum and is read again.
    """

    segment: int  # name of the segment
    position: int  # bytes of it that are durable
    after: int  # offset of the entry behind the last durable one


def segment_path(folder: Path, first: int) -> Path:
    """Where the segment lies that begins with entry `first`."""
    return folder / f"{first:020d}{SUFFIX}"


def segments(folder: Path) -> list[int]:
    """First entries of the segments there are, in order."""
    return sorted(int(path.stem) for path in folder.glob(f"*{SUFFIX}") if path.stem.isdigit())


def preamble(first: int) -> bytes:
    """The beginning of a segment."""
    return _PREAMBLE.pack(_MAGIC, first)


def check_preamble(data: bytes, first: int) -> bool:
    """Whether a segment begins as that of entry `first` must."""
    return data == preamble(first)


def pack(first: int, entries: Sequence[bytes], level: int) -> bytes:
    """A frame of `entries`."""
    lengths = struct.pack(f"<{len(entries)}I", *map(len, entries))
    plain = b"".join((lengths, *entries))
    stored = bytes(cramjam.zstd.compress(plain, level=level))
    return _header(Frame(first, len(entries), len(stored), len(plain), zlib.crc32(stored))) + stored


def pack_gap(first: int, after: int) -> bytes:
    """A frame that stands for the lost entries from `first` to before `after`."""
    return _header(Frame(first, after - first, 0, 0, 0))


def read_header(data: bytes) -> Frame | None:
    """The header in `data`; None when it is none."""
    if len(data) != HEADER_BYTES or data[:4] != FRAME_MAGIC:
        return None
    _, count, first, stored_bytes, plain_bytes, checksum, own = _HEADER.unpack(data)
    if own != zlib.crc32(data[:-4]) or plain_bytes > _PLAIN_BYTES_MAX:
        return None
    return Frame(first, count, stored_bytes, plain_bytes, checksum)


def unpack(frame: Frame, stored: bytes) -> list[bytes] | None:
    """The entries of a frame, none for a gap; None when the stored bytes are damaged."""
    if frame.stored_bytes == 0:
        return []
    if len(stored) != frame.stored_bytes or zlib.crc32(stored) != frame.checksum:
        return None
    plain = memoryview(bytearray(frame.plain_bytes))
    try:
        size = cramjam.zstd.decompress_into(stored, plain)
    except cramjam.DecompressionError:
        return None
    at = 4 * frame.count
    if size != frame.plain_bytes or at > size:
        return None
    entries = []
    for length in struct.unpack_from(f"<{frame.count}I", plain):
        entries.append(bytes(plain[at : at + length]))
        at += length
    return entries if at == size else None


def frame_at(descriptor: int, position: int) -> Frame | None:
    """The header at `position` of a file; None when there is none."""
    return read_header(os.pread(descriptor, HEADER_BYTES, position))


def entries_at(descriptor: int, position: int, frame: Frame) -> list[bytes] | None:
    """The entries of the frame at `position` of a file; None when they are damaged."""
    return unpack(frame, os.pread(descriptor, frame.stored_bytes, position + HEADER_BYTES))


def pack_end(end: End) -> bytes:
    """What the end's file holds."""
    body = _END.pack(end.segment, end.position, end.after, 0)[:-4]
    return body + _CRC.pack(zlib.crc32(body))


def read_end(folder: Path) -> End | None:
    """The published end; None when there is none yet, or it did not survive a crash."""
    for _ in range(_END_READS):
        try:
            data = (folder / END_NAME).read_bytes()
        except FileNotFoundError:
            return None
        if len(data) == _END.size and _CRC.unpack(data[-4:])[0] == zlib.crc32(data[:-4]):
            return End(*_END.unpack(data)[:3])
    return None


def damaged(path: Path, position: int, detail: str) -> CorruptionError:
    """The error of a segment that does not read back."""
    return CorruptionError(f"{path}, position {position}: {detail}")


def _header(frame: Frame) -> bytes:
    fields = (FRAME_MAGIC, frame.count, frame.first, frame.stored_bytes, frame.plain_bytes, frame.checksum, 0)
    body = _HEADER.pack(*fields)[:-4]
    return body + _CRC.pack(zlib.crc32(body))
