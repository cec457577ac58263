from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from ingest.journal import Entry, Journal, JournalReader, JournalSettings, forget
from ingest.journal_care import ASIDE_NAME, check, set_aside
from ingest.recovery import Disk
from ingest.segment import END_NAME, HEADER_BYTES, PREAMBLE_BYTES, pack, read_end, segment_path, segments
from tocsin.errors import CorruptionError, FullError, StorageError, TooLargeError

ROOT = Path(__file__).parents[3]
SMALL = JournalSettings(segment_bytes_max=400, frame_bytes_max=80, disk_free_bytes_min=0)


class BlockedDisk(Disk):
    """Syncs when it is told to."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.syncs = 0

    def sync(self, descriptor: int) -> None:
        self.reached.set()
        assert self.go_on.wait(10)
        self.syncs += 1
        super().sync(descriptor)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    journal = Journal(folder, SMALL)
    yield journal
    journal.close()


def everything(folder: Path, offset: int = 0) -> list[Entry]:
    return JournalReader(folder).read(offset, entries_max=10**6, bytes_max=10**9)


def fill(folder: Path, count: int) -> list[bytes]:
    entries = [f"entry {number} ".encode() * 3 for number in range(count)]
    journal = Journal(folder, SMALL)
    for entry in entries:
        journal.append(entry).result(10)
    journal.close()
    return entries


def turn_bit(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_entries_are_numbered_from_zero_and_read_back_in_order(journal: Journal, folder: Path) -> None:
    futures = [journal.append(bytes([number])) for number in range(10)]
    assert [future.result(10) for future in futures] == list(range(10))
    assert everything(folder) == [Entry(number, bytes([number])) for number in range(10)]
    assert journal.next_offset == 10


def test_numbers_go_on_after_a_restart(folder: Path) -> None:
    entries = fill(folder, 30)
    journal = Journal(folder, SMALL)
    assert journal.append(b"next").result(10) == 30
    journal.close()
    assert [entry.payload for entry in everything(folder)] == [*entries, b"next"]


def test_an_empty_entry_is_an_entry(journal: Journal, folder: Path) -> None:
    journal.append(b"").result(10)
    assert everything(folder) == [Entry(0, b"")]


def test_an_entry_larger_than_a_segment_is_kept_whole(journal: Journal, folder: Path) -> None:
    large = os.urandom(5000)
    journal.append(b"before").result(10)
    journal.append(large).result(10)
    journal.append(b"after").result(10)
    assert [entry.payload for entry in everything(folder)] == [b"before", large, b"after"]


def test_many_writers_share_few_syncs(folder: Path) -> None:
    disk = BlockedDisk()
    journal = Journal(folder, JournalSettings(disk_free_bytes_min=0), disk=disk)
    begun = disk.syncs
    disk.go_on.clear()
    disk.reached.clear()
    first = journal.append(b"first")
    assert disk.reached.wait(10)
    with ThreadPoolExecutor(16) as threads:
        futures = list(threads.map(journal.append, [b"%d" % number for number in range(1000)]))
    disk.go_on.set()
    wait([first, *futures], timeout=10)
    assert disk.syncs - begun == 2
    assert sorted(future.result() for future in futures) == list(range(1, 1001))
    journal.close()


def test_nobody_reads_an_entry_before_it_is_synced(folder: Path) -> None:
    disk = BlockedDisk()
    journal = Journal(folder, SMALL, disk=disk)
    reader = JournalReader(folder)
    disk.go_on.clear()
    disk.reached.clear()
    future = journal.append(b"entry" * 100)
    assert disk.reached.wait(10)
    assert segment_path(folder, 0).stat().st_size > PREAMBLE_BYTES
    assert not future.done()
    assert reader.read(0, entries_max=9, bytes_max=10**6) == []
    assert reader.last_offset == -1
    disk.go_on.set()
    assert future.result(10) == 0
    assert len(reader.read(0, entries_max=9, bytes_max=10**6)) == 1
    journal.close()


def test_another_process_reads_while_it_grows(folder: Path) -> None:
    count = 300
    program = f"""
from pathlib import Path
from ingest.journal import JournalReader
reader, offset = JournalReader(Path({str(folder)!r})), 0
while offset < {count}:
    for entry in reader.read(offset, entries_max=7, bytes_max=200):
        assert entry.offset == offset and entry.payload == b"%d" % offset, entry
        offset += 1
print(offset)
"""
    journal = Journal(folder, SMALL)
    reader = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE)
    for number in range(count):
        journal.append(b"%d" % number).result(10)
    output, _ = reader.communicate(timeout=60)
    journal.close()
    assert output.strip() == b"300"
    assert len(segments(folder)) > 3


def test_reading_stops_at_the_limits_but_gives_one_entry_at_least(journal: Journal, folder: Path) -> None:
    for _ in range(10):
        journal.append(b"x" * 50).result(10)
    reader = JournalReader(folder)
    assert [entry.offset for entry in reader.read(2, entries_max=3, bytes_max=10**6)] == [2, 3, 4]
    assert [entry.offset for entry in reader.read(2, entries_max=9, bytes_max=120)] == [2, 3]
    assert [entry.offset for entry in reader.read(2, entries_max=9, bytes_max=1)] == [2]
    assert reader.read(10, entries_max=9, bytes_max=1) == []


def test_a_reader_may_come_before_the_writer(tmp_path: Path) -> None:
    reader = JournalReader(tmp_path / "not there")
    assert reader.read(0, entries_max=1, bytes_max=1) == []
    assert (reader.first_offset, reader.last_offset) == (0, -1)


def test_forgetting_removes_whole_segments_and_never_the_newest(folder: Path) -> None:
    entries = fill(folder, 40)
    names = segments(folder)
    reader = JournalReader(folder)
    assert reader.read(0, entries_max=1, bytes_max=1) == [Entry(0, entries[0])]
    forget(folder, names[2] + 1)
    assert segments(folder) == names[2:]
    assert reader.first_offset == names[2]
    with pytest.raises(StorageError, match="forgotten"):
        everything(folder)
    # The reader still holds the file it was reading, and finds its way from there.
    following = reader.read(names[2], entries_max=100, bytes_max=10**6)
    assert [entry.payload for entry in following] == entries[names[2] :]
    forget(folder, 1000)
    assert segments(folder) == names[-1:]
    assert Journal(folder, SMALL).next_offset == 40


def test_a_backlog_over_its_limit_is_refused_until_it_is_forgotten(folder: Path) -> None:
    limits = JournalSettings(
        segment_bytes_max=4096, bytes_max=16_384, pending_bytes_max=10**9, disk_free_bytes_min=0, room_s=0
    )
    journal = Journal(folder, limits)
    for _ in range(15):
        journal.append(os.urandom(1000)).result(10)
    with pytest.raises(FullError, match="backlog"):
        journal.append(os.urandom(1000))
    forget(folder, journal.next_offset)
    assert journal.append(os.urandom(1000)).result(10) == 15
    journal.close()


def test_the_last_of_the_disk_is_left_to_others(folder: Path) -> None:
    journal = Journal(folder, JournalSettings(disk_free_bytes_min=2**60))
    with pytest.raises(FullError, match="disk"):
        journal.append(b"x")
    journal.close()


def test_entries_that_wait_are_limited_in_bytes(folder: Path) -> None:
    disk = BlockedDisk()
    journal = Journal(folder, JournalSettings(pending_bytes_max=100, disk_free_bytes_min=0), disk=disk)
    disk.go_on.clear()
    disk.reached.clear()
    taken = [journal.append(b"x" * 60)]
    assert disk.reached.wait(10)
    taken.append(journal.append(b"x" * 120))  # alone it may be larger than all of them
    with pytest.raises(FullError, match="wait"):
        journal.append(b"x")
    disk.go_on.set()
    assert [future.result(10) for future in taken] == [0, 1]
    assert journal.append(b"x").result(10) == 2
    journal.close()


def test_an_entry_over_its_limit_is_refused(folder: Path) -> None:
    journal = Journal(folder, JournalSettings(entry_bytes_max=10, disk_free_bytes_min=0))
    with pytest.raises(TooLargeError, match="11 bytes"):
        journal.append(b"x" * 11)
    journal.close()


def test_a_closed_journal_takes_nothing_but_has_written_all(folder: Path) -> None:
    journal = Journal(folder, SMALL)
    future = journal.append(b"x")
    journal.close()
    journal.close()
    assert future.result(0) == 0
    with pytest.raises(StorageError, match="closed"):
        journal.append(b"y")


def test_after_a_failed_sync_nothing_is_taken_any_more(folder: Path) -> None:
    class FailingDisk(Disk):
        fails = False

        def sync(self, descriptor: int) -> None:
            if self.fails:
                raise OSError(errno.EIO, "Input/output error")
            super().sync(descriptor)

    disk = FailingDisk()
    journal = Journal(folder, SMALL, disk=disk)
    journal.append(b"kept").result(10)
    disk.fails = True
    with pytest.raises(StorageError, match="disk failed"):
        journal.append(b"lost").result(10)
    disk.fails = False
    with pytest.raises(StorageError, match="disk failed"):
        journal.append(b"refused")
    journal.close()
    assert [entry.payload for entry in everything(folder)] == [b"kept"]
    assert Journal(folder, SMALL).next_offset == 1


def test_a_torn_tail_is_cut_and_what_lay_behind_it_never_comes_back(folder: Path) -> None:
    fill(folder, 2)
    path = segment_path(folder, 0)
    torn = bytearray(pack(2, [b"torn!"], 1))
    torn[-1] ^= 1
    # A whole frame behind the torn one, as when the pages of one commit reach the disk in another order.
    path.write_bytes(path.read_bytes() + torn + pack(3, [b"ghost"], 1))
    journal = Journal(folder, SMALL)
    assert journal.append(b"fresh").result(10) == 2
    journal.close()
    assert Journal(folder, SMALL).next_offset == 3
    assert [entry.payload for entry in everything(folder, 2)] == [b"fresh"]


def test_whole_frames_behind_the_published_end_are_kept(folder: Path) -> None:
    fill(folder, 2)
    path = segment_path(folder, 0)
    path.write_bytes(path.read_bytes() + pack(2, [b"written, not acknowledged"], 1))
    assert Journal(folder, SMALL).next_offset == 3


def test_an_acknowledged_entry_that_is_damaged_stops_the_journal_with_its_place(folder: Path) -> None:
    fill(folder, 3)
    turn_bit(segment_path(folder, 0), PREAMBLE_BYTES + HEADER_BYTES + 3)
    with pytest.raises(CorruptionError, match=f"{segment_path(folder, 0)}, position {PREAMBLE_BYTES}: "):
        Journal(folder, SMALL)


def test_an_acknowledged_tail_that_is_missing_stops_the_journal(folder: Path) -> None:
    fill(folder, 3)
    path = segment_path(folder, 0)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CorruptionError, match="acknowledged"):
        Journal(folder, SMALL)


@pytest.mark.parametrize("all_of_them", [True, False])
def test_missing_segments_stop_the_journal(folder: Path, *, all_of_them: bool) -> None:
    fill(folder, 40)
    for first in segments(folder) if all_of_them else segments(folder)[-1:]:
        segment_path(folder, first).unlink()
    with pytest.raises(CorruptionError, match="missing"):
        Journal(folder, SMALL)


def test_a_segment_that_was_not_finished_being_created_is_no_loss(folder: Path) -> None:
    fill(folder, 3)
    segment_path(folder, 3).write_bytes(b"TOCS")
    journal = Journal(folder, SMALL)
    assert journal.append(b"x").result(10) == 3
    journal.close()


def test_a_journal_shorter_than_what_was_processed_is_refused(folder: Path) -> None:
    fill(folder, 3)
    with pytest.raises(CorruptionError, match="processed"):
        Journal(folder, SMALL, processed=4)
    Journal(folder, SMALL, processed=3).close()


def test_a_new_journal_goes_on_where_a_lost_one_was_processed(folder: Path) -> None:
    journal = Journal(folder, SMALL, processed=100)
    assert journal.append(b"x").result(10) == 100
    assert everything(folder, 100) == [Entry(100, b"x")]
    journal.close()


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be opened"):
        Journal(tmp_path / "file" / "journal", SMALL)


def test_damage_in_the_middle_is_named_and_can_be_set_aside(folder: Path) -> None:
    entries = fill(folder, 40)
    names = segments(folder)
    path = segment_path(folder, names[1])
    turn_bit(path, PREAMBLE_BYTES + HEADER_BYTES + 5)
    lost = names[1]  # each entry was a commit of its own
    Journal(folder, SMALL).close()  # old damage does not keep new lines out
    with pytest.raises(CorruptionError, match=f"{path}, position {PREAMBLE_BYTES}: "):
        everything(folder)
    problems = check(folder)
    assert [(problem.path, problem.position, problem.first, problem.after) for problem in problems] == [
        (path, PREAMBLE_BYTES, lost, lost + 1)
    ]
    assert str(problems[0]) == f"{path}, position {PREAMBLE_BYTES}: damaged; entries {lost} to {lost} are lost"
    damaged = path.read_bytes()
    assert set_aside(folder) == problems
    assert check(folder) == []
    assert (folder / ASIDE_NAME / path.name).read_bytes() == damaged
    assert everything(folder) == [Entry(at, entry) for at, entry in enumerate(entries) if at != lost]
    assert Journal(folder, SMALL).next_offset == 40


def test_a_missing_segment_can_be_set_aside_too(folder: Path) -> None:
    entries = fill(folder, 40)
    names = segments(folder)
    segment_path(folder, names[1]).unlink()
    assert [(problem.first, problem.after) for problem in check(folder)] == [(names[1], names[2])]
    set_aside(folder)
    assert [entry.payload for entry in everything(folder)] == entries[: names[1]] + entries[names[2] :]


@pytest.mark.parametrize("whole", [True, False])
def test_a_lost_tail_is_set_aside_without_using_its_numbers_again(folder: Path, *, whole: bool) -> None:
    entries = fill(folder, 40)
    newest = segments(folder)[-1]
    path = segment_path(folder, newest)
    if whole:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: PREAMBLE_BYTES + 7])
    assert len(set_aside(folder)) == 1
    assert check(folder) == []
    journal = Journal(folder, SMALL)
    assert journal.append(b"x").result(10) == 40
    journal.close()
    assert [entry.payload for entry in everything(folder)] == [*entries[:newest], b"x"]


def test_a_sound_journal_has_no_problems(folder: Path) -> None:
    fill(folder, 20)
    assert check(folder) == []
    assert set_aside(folder) == []
    (folder / END_NAME).unlink()
    assert check(folder) == []


def test_a_damaged_end_is_published_anew(folder: Path) -> None:
    fill(folder, 5)
    (folder / END_NAME).write_bytes(b"\xff" * 28)
    assert read_end(folder) is None
    assert everything(folder) == []  # nothing is known to be durable
    Journal(folder, SMALL).close()
    assert len(everything(folder)) == 5
