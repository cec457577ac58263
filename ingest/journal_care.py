"""What an operator does with a damaged journal: see what is wrong, and set it aside so that the rest can be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ingest.recovery import open_end
from ingest.segment import (
    FRAME_MAGIC,
    HEADER_BYTES,
    PREAMBLE_BYTES,
    End,
    Frame,
    pack_end,
    pack_gap,
    preamble,
    read_end,
    read_header,
    segment_path,
    segments,
    unpack,
)
from tocsin.state import write_durably

ASIDE_NAME = "damaged"


@dataclass(frozen=True, slots=True)
class Problem:
    """A place of the journal that does not read back."""

    path: Path
    position: int
    first: int  # the first entry that is lost
    after: int  # the entry behind the last that is lost
    detail: str

    def __str__(self) -> str:
        lost = f"entries {self.first} to {self.after - 1} are lost" if self.first < self.after else "no entry is lost"
        return f"{self.path}, position {self.position}: {self.detail}; {lost}"


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a segment: a frame that reads back, or a hole before the next one that does."""

    position: int
    size: int
    first: int
    after: int
    detail: str  # "" where it reads back


def check(folder: Path) -> list[Problem]:
    """Every place that does not read back, oldest first. Changes nothing and may run beside the service."""
    end = read_end(folder)
    names = segments(folder)
    problems: list[Problem] = []
    for first, following in zip(names, [*names[1:], None], strict=True):
        path = segment_path(folder, first)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue  # forgotten meanwhile
        problems += [
            Problem(path, piece.position, piece.first, piece.after, piece.detail)
            for piece in _pieces(data, first, following, end)
            if piece.detail
        ]
    if end is not None and names and end.segment > names[-1]:
        path = segment_path(folder, end.segment)
        problems.append(Problem(path, 0, end.segment, end.after, "the newest segment is missing"))
    return problems


def set_aside(folder: Path) -> list[Problem]:
    """Make a damaged journal readable again: lost entries are marked as lost, all others keep their offsets.

    The damaged segments are kept in `damaged/`. Not while the service runs: it writes to the newest segment.

    Returns:
        What was set aside.
    """
    problems = check(folder)
    end = read_end(folder)
    names = segments(folder)
    for path in dict.fromkeys(problem.path for problem in problems):
        first = int(path.stem)
        following = next((name for name in names if name > first), None)
        if path.exists():
            (folder / ASIDE_NAME).mkdir(exist_ok=True)
            data = path.read_bytes()
            write_durably(folder / ASIDE_NAME / path.name, data)
            pieces = list(_pieces(data, first, following, end))
        else:
            assert end is not None, "only the published end knows of a segment that is missing"
            data, pieces = b"", [_Piece(0, 0, first, end.after, "missing")]
        content = preamble(first) + b"".join(_kept(piece, data) for piece in pieces)
        write_durably(path, content)
        if following is None:
            _publish(folder, End(first, len(content), pieces[-1].after if pieces else first))
    return problems


def _kept(piece: _Piece, data: bytes) -> bytes:
    if not piece.detail:
        return data[piece.position : piece.position + piece.size]
    return pack_gap(piece.first, piece.after) if piece.first < piece.after else b""


def _publish(folder: Path, end: End) -> None:
    descriptor = open_end(folder)
    try:
        os.pwrite(descriptor, pack_end(end), 0)
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _pieces(data: bytes, first: int, following: int | None, end: End | None) -> Iterator[_Piece]:
    """The parts of a segment, as far as it was acknowledged.

    Args:
        data: the segment.
        first: its first entry.
        following: first entry of the next segment; None for the newest.
        end: what is published.
    """
    # Behind the published end of the newest segment lies what nobody was told of: not a problem, whatever it is.
    published = end if following is None and end is not None and end.segment == first else None
    durable = published.position if published else len(data)
    after = published.after if published else following
    if data[:PREAMBLE_BYTES] != preamble(first) and (following is not None or published):
        yield _Piece(0, PREAMBLE_BYTES, first, first, "not the beginning of a segment")
    position, expected = PREAMBLE_BYTES, first
    while position < durable:
        frame = _sound(data, position)
        if frame is not None and frame.first == expected:
            yield _Piece(position, frame.size, expected, frame.after, "")
            position, expected = position + frame.size, frame.after
            continue
        found = _next_sound(data, position + 1, durable, expected)
        if found is None:
            break
        yield _Piece(position, found[0] - position, expected, found[1].first, "damaged")
        position, expected = found[0], found[1].first
    if after is not None and (position < durable or expected < after):
        detail = "damaged" if position < len(data) else "cut short"
        yield _Piece(position, max(0, durable - position), expected, after, detail)


def _next_sound(data: bytes, start: int, stop: int, expected: int) -> tuple[int, Frame] | None:
    """The next frame that reads back and does not go back in the numbers."""
    position = data.find(FRAME_MAGIC, start, stop)
    while position >= 0:
        frame = _sound(data, position)
        if frame is not None and frame.first >= expected:
            return position, frame
        position = data.find(FRAME_MAGIC, position + 1, stop)
    return None


def _sound(data: bytes, position: int) -> Frame | None:
    frame = read_header(data[position : position + HEADER_BYTES])
    if frame is None:
        return None
    begin = position + HEADER_BYTES
    return frame if unpack(frame, data[begin : begin + frame.stored_bytes]) is not None else None
