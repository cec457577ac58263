"""The journal against a list, under torn writes, short writes, failed syncs, full disks, flipped bits and restarts."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ingest.journal import Journal, JournalReader, JournalSettings, forget
from ingest.journal_care import check
from ingest.recovery import Disk
from ingest.segment import END_NAME, PREAMBLE_BYTES, segment_path, segments
from tocsin.errors import CorruptionError, FullError, StorageError

SMALL = JournalSettings(segment_bytes_max=400, frame_bytes_max=80, disk_free_bytes_min=0, bytes_max=10**9)
payloads = st.lists(st.binary(max_size=120), min_size=1, max_size=6)


class FaultyDisk(Disk):
    """Fails or takes a picture of the folder on demand, and knows how much of each file was synced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.synced: dict[int, int] = {}  # inode -> bytes that a power cut cannot take
        self.write_most = 2**30
        self.full_after: int | None = None  # bytes
        self.sync_fails = False
        self.picture_in: int | None = None  # calls until the machine dies
        self.picture: Path | None = None
        self.synced_then: dict[str, int] = {}  # by name, when the picture was taken

    def write(self, descriptor: int, data: bytes, position: int) -> int:
        size = min(len(data), self.write_most)
        if self.full_after is not None:
            size = min(size, self.full_after)
            if size == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            self.full_after -= size
        written = super().write(descriptor, bytes(data[:size]), position)
        self._dies()
        return written

    def sync(self, descriptor: int) -> None:
        self._dies()
        if self.sync_fails:
            raise OSError(errno.EIO, "Input/output error")
        super().sync(descriptor)
        status = os.fstat(descriptor)
        self.synced[status.st_ino] = status.st_size

    def _dies(self) -> None:
        if self.picture_in is None or self.picture is not None:
            return
        if self.picture_in == 0:
            self.take_picture()
        self.picture_in -= 1

    def take_picture(self) -> None:
        self.picture = self.folder.with_name(f"{self.folder.name}-")
        shutil.copytree(self.folder, self.picture)
        self.synced_then = {path.name: self.synced.get(path.stat().st_ino, 0) for path in self.folder.glob("*.seg")}


@dataclass(frozen=True)
class PowerCut:
    """What becomes of bytes that were written and not synced."""

    calls: int  # of write and sync, until the machine dies
    kept: float  # share of the unsynced bytes that reach the disk
    flips: Sequence[float]  # places among those where a bit turns
    zeroed: bool  # whether the first half of those never reached it
    end: str  # "kept", "missing", "torn" or "old"


power_cuts = st.builds(
    PowerCut,
    calls=st.integers(0, 5),
    kept=st.floats(0, 1),
    flips=st.lists(st.floats(0, 1, exclude_max=True), max_size=2),
    zeroed=st.booleans(),
    end=st.sampled_from(["kept", "missing", "torn", "old"]),
)


class JournalMachine(RuleBasedStateMachine):
    """Every acknowledged entry is read back exactly once, in order; none is invented."""

    @initialize()
    def start(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        self.folder = self.root / "journal"
        self.model: list[bytes] = []
        self.first_end: bytes | None = None
        self.open()
        self.first_end = (self.folder / END_NAME).read_bytes()

    def open(self) -> None:
        self.disk = FaultyDisk(self.folder)
        for path in self.folder.glob("*.seg"):
            self.disk.synced[path.stat().st_ino] = path.stat().st_size
        self.journal = Journal(self.folder, SMALL, disk=self.disk)
        self.reader = JournalReader(self.folder)

    def teardown(self) -> None:
        self.journal.close()
        self.reader.close()
        shutil.rmtree(self.root)

    def everything(self) -> list[bytes]:
        reader = JournalReader(self.folder)
        entries = reader.read(reader.first_offset, entries_max=10**6, bytes_max=10**9)
        reader.close()
        assert [entry.offset for entry in entries] == list(
            range(reader.first_offset, len(entries) + reader.first_offset)
        )
        return [entry.payload for entry in entries]

    @rule(entries=payloads, at_once=st.integers(1, 200))
    def append(self, entries: list[bytes], at_once: int) -> None:
        self.disk.write_most = at_once
        futures = [self.journal.append(entry) for entry in entries]
        assert [future.result(10) for future in futures] == list(range(len(self.model), len(self.model) + len(entries)))
        self.disk.write_most = 2**30
        self.model += entries

    @rule(entry=st.binary(max_size=120), room=st.integers(0, 40))
    def append_to_a_full_disk(self, entry: bytes, room: int) -> None:
        self.disk.full_after = room
        with pytest.raises(FullError):
            self.journal.append(entry).result(10)
        self.disk.full_after = None

    @rule(entry=st.binary(max_size=120))
    def fail_to_sync(self, entry: bytes) -> None:
        self.disk.sync_fails = True
        with pytest.raises(StorageError):
            self.journal.append(entry).result(10)
        self.disk.sync_fails = False
        with pytest.raises(StorageError):
            self.journal.append(entry).result(10)
        self.restart()

    @rule()
    def restart(self) -> None:
        self.journal.close()
        self.open()
        assert self.journal.next_offset == len(self.model)

    @rule(entries=payloads, cut=power_cuts)
    def lose_power(self, entries: list[bytes], cut: PowerCut) -> None:
        self.disk.picture_in = cut.calls
        futures = [self.journal.append(entry) for entry in entries]
        for future in futures:
            future.result(10)
        if self.disk.picture is None:
            self.disk.take_picture()
            self.model += entries
            entries = []
        self.journal.close()
        picture = self.disk.picture
        assert picture is not None
        self._cut(picture, cut)
        # Entries acknowledged before the picture was taken are durable in it.
        self.folder = picture
        self.open()
        kept = self.everything()
        first = self.reader.first_offset
        durable = self.model[first:]
        assert kept[: len(durable)] == durable
        assert kept[len(durable) :] == entries[: len(kept) - len(durable)]
        self.model = self.model[:first] + kept

    def _cut(self, picture: Path, cut: PowerCut) -> None:
        for path in picture.glob("*.seg"):
            content = bytearray(path.read_bytes())
            safe = min(self.disk.synced_then.get(path.name, 0), len(content))
            del content[safe + round(cut.kept * (len(content) - safe)) :]
            unsafe = len(content) - safe
            if cut.zeroed:
                content[safe : safe + unsafe // 2] = bytes(unsafe // 2)
            for flip in cut.flips:
                if unsafe:
                    content[safe + int(flip * unsafe)] ^= 16
            path.write_bytes(content)
        end_path = picture / END_NAME
        if cut.end == "missing":
            end_path.unlink()
        elif cut.end == "torn":
            end_path.write_bytes(end_path.read_bytes()[:13])
        elif cut.end == "old" and self.first_end:
            end_path.write_bytes(self.first_end)

    @rule(part=st.floats(0, 1))
    def forget(self, part: float) -> None:
        before = int(part * len(self.model))
        first = self.reader.first_offset
        forget(self.folder, before)
        assert first <= self.reader.first_offset <= max(first, before)
        if self.reader.first_offset > 0:
            with pytest.raises(StorageError):
                self.reader.read(0, entries_max=1, bytes_max=1)

    @rule(part=st.floats(0, 1), entries_max=st.integers(1, 9), bytes_max=st.integers(1, 300))
    def read(self, part: float, entries_max: int, bytes_max: int) -> None:
        offset = max(self.reader.first_offset, int(part * len(self.model)))
        entries = self.reader.read(offset, entries_max=entries_max, bytes_max=bytes_max)
        assert [entry.payload for entry in entries] == self.model[offset : offset + len(entries)]
        assert bool(entries) == (offset < len(self.model))
        assert len(entries) <= entries_max
        assert len(entries) <= 1 or sum(len(entry.payload) for entry in entries) <= bytes_max

    @precondition(lambda self: len(self.model) > self.reader.first_offset)
    @rule(place=st.floats(0, 1, exclude_max=True), which=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def turn_an_acknowledged_bit(self, place: float, which: float, bit: int) -> None:
        names = segments(self.folder)
        path = segment_path(self.folder, names[int(which * len(names))])
        content = bytearray(path.read_bytes())
        at = PREAMBLE_BYTES + int(place * (len(content) - PREAMBLE_BYTES))
        if at >= len(content):
            return  # nothing was written to it yet
        content[at] ^= 1 << bit
        newest = int(path.stem) == names[-1]
        self.journal.close()
        path.write_bytes(content)
        assert [problem.path for problem in check(self.folder)] == [path]
        if newest:
            with pytest.raises(CorruptionError, match=path.name):
                Journal(self.folder, SMALL)
        with pytest.raises(CorruptionError, match=path.name):
            self.everything()
        content[at] ^= 1 << bit
        path.write_bytes(content)
        self.open()

    @invariant()
    def every_acknowledged_entry_is_there_once_and_in_order(self) -> None:
        assert self.everything() == self.model[self.reader.first_offset :]
        assert check(self.folder) == []


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
