"""Events on the disk: a file counts from its transaction on, small files become one, old ones go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from storage.events import EventSettings, EventStore
from storage.rows import Segment
from storage.store import Store, StoreSettings
from storage.store import database_url as url_of
from storage.upkeep import compact, groups, retain, sweep
from tocsin.errors import CorruptionError, FullError, StorageError
from tocsin.record import RECORDS

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAR = datetime(9000, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(url_of(StoreSettings(), tmp_path), StoreSettings())
    store.open()
    yield store
    store.close()


@pytest.fixture
def events(tmp_path: Path) -> EventStore:
    return EventStore(tmp_path / "events", EventSettings(files_max=4))


def records(times: list[datetime], offset: int = 0, tenant: str = "acme") -> pl.DataFrame:
    rows = len(times)
    return pl.DataFrame(
        {
            "event_id": [f"{offset:016x}{row:016x}" for row in range(rows)],
            "tenant": [tenant] * rows,
            "stream": ["auth"] * rows,
            "time": times,
            "observed_time": [NOW] * rows,
            "severity_number": [9] * rows,
            "body": [f"line {row}" for row in range(rows)],
            "attributes": ["{}"] * rows,
            "trace_id": [None] * rows,
            "span_id": [None] * rows,
            "template_id": ["0" * 16] * rows,
            "parameters": [["1", "2"]] * rows,
            "entities": [["user:eve"]] * rows,
        },
        schema=RECORDS,
    )


def seconds(count: int, start: datetime = NOW) -> list[datetime]:
    return [start + timedelta(seconds=second) for second in range(count)]


def keep(store: Store, events: EventStore, frame: pl.DataFrame, offset: int) -> tuple[Segment, ...]:
    segments = events.write(str(frame["tenant"][0]), frame, offset, offset)
    with store.begin() as transaction:
        for segment in segments:
            transaction.put_segment(segment)
    return segments


def all_of(store: Store, events: EventStore, tenant: str = "acme") -> pl.DataFrame:
    return events.read(store.reads.segments(tenant), datetime(1, 1, 1, tzinfo=UTC), FAR)


def test_events_come_back_as_they_were_written_in_the_order_of_time(store: Store, events: EventStore) -> None:
    frame = records(seconds(5)[::-1])
    keep(store, events, frame, 7)
    assert all_of(store, events).equals(frame.sort("time"))
    assert all_of(store, events, "other").is_empty()
    between = events.read(store.reads.segments("acme"), NOW + timedelta(seconds=1), NOW + timedelta(seconds=3))
    assert between.height == 3


def test_a_file_is_named_by_its_day_and_its_part_of_the_journal(store: Store, events: EventStore) -> None:
    segments = keep(store, events, records([NOW, NOW + timedelta(days=1)]), 7)
    assert [segment.path for segment in segments] == [
        "acme/2026-03-01/000000000007-000000000007.parquet",
        "acme/2026-03-02/000000000007-000000000007.parquet",
    ]
    assert [(segment.rows, segment.start_at == segment.end_at) for segment in segments] == [(1, True), (1, True)]


def test_nanoseconds_are_within_the_bounds_of_the_file(store: Store, events: EventStore) -> None:
    frame = records([NOW, NOW]).with_columns(time=pl.col("time").dt.offset_by("1ns"))
    (segment,) = keep(store, events, frame, 0)
    assert (segment.start_at, segment.end_at) == (NOW, NOW + timedelta(microseconds=1))


def test_a_batch_that_names_a_thousand_days_makes_a_handful_of_files(store: Store, events: EventStore) -> None:
    days = [NOW + timedelta(days=day) for day in range(1000)]
    segments = keep(store, events, records([*days, NOW]), 0)
    assert len(segments) == events.settings.step_days_max
    main = next(segment for segment in segments if "2026-03-01" in segment.path)
    assert main.rows == 1001 - (events.settings.step_days_max - 1)
    assert all_of(store, events).height == 1001


def test_a_step_that_is_repeated_writes_the_same_file_again(store: Store, events: EventStore) -> None:
    frame = records(seconds(3))
    assert events.write("acme", frame, 0, 0) == keep(store, events, frame, 0)
    assert len(events.files()) == 1


def test_files_without_a_row_are_swept_away_and_the_others_are_not(store: Store, events: EventStore) -> None:
    keep(store, events, records(seconds(3)), 0)
    events.write("acme", records(seconds(3)), 1, 1)
    (events.folder / "acme" / "2026-03-01" / "half.parquet.tmp").write_bytes(b"PAR1")
    assert sweep(store, events) == 2
    assert all_of(store, events).height == 3


def test_small_files_become_one_without_losing_a_line(store: Store, events: EventStore) -> None:
    for offset in range(6):
        keep(store, events, records(seconds(3), offset), offset)
    before = all_of(store, events)
    assert compact(store, events, NOW) == 5
    (segment,) = store.reads.segments("acme")
    assert (segment.first_offset, segment.last_offset, segment.rows) == (0, 5, 18)
    assert all_of(store, events).equals(before)
    assert compact(store, events, NOW) == 0


def test_few_files_are_left_alone(store: Store, events: EventStore) -> None:
    for offset in range(4):
        keep(store, events, records(seconds(3), offset), offset)
    assert compact(store, events, NOW) == 0


def test_a_reader_of_merged_files_has_time_to_end(store: Store, events: EventStore) -> None:
    for offset in range(6):
        keep(store, events, records(seconds(3), offset), offset)
    read_before = store.reads.segments("acme")
    compact(store, events, NOW)
    retain(store, events, NOW + timedelta(seconds=events.settings.grace_s - 1))
    assert events.read(read_before, NOW, FAR).height == 18
    retain(store, events, NOW + timedelta(seconds=events.settings.grace_s + 1))
    assert len(events.files()) == 1
    assert sweep(store, events) == 0
    with pytest.raises(CorruptionError):
        events.read(read_before, NOW, FAR)


def test_a_crash_between_the_new_file_and_its_row_loses_nothing(store: Store, events: EventStore) -> None:
    for offset in range(6):
        keep(store, events, records(seconds(3), offset), offset)
    events.merge(store.reads.segments("acme"))  # and then the power went
    assert sweep(store, events) == 1
    assert all_of(store, events).height == 18
    assert compact(store, events, NOW) == 5


def test_a_large_file_is_not_written_again_for_a_few_small_ones() -> None:
    def segment(offset: int, rows: int) -> Segment:
        return Segment(
            tenant="acme",
            path=f"acme/2026-03-01/{offset}.parquet",
            first_offset=offset,
            last_offset=offset,
            rows=rows,
            bytes=10 * rows,
            start_at=NOW,
            end_at=NOW,
        )

    settings = EventSettings(merged_rows_max=1000)
    files = [segment(0, 900), *(segment(offset, 10) for offset in range(1, 8))]
    assert groups(files, settings) == [files[1:]]
    many = [segment(offset, 300) for offset in range(7)]
    assert [len(group) for group in groups(many, settings)] == [3, 3]


def test_files_age_by_the_tenants_latest_event(store: Store, events: EventStore) -> None:
    old = NOW - timedelta(days=4000)
    keep(store, events, records([old], 0, "history"), 0)
    keep(store, events, records([NOW - timedelta(days=91)], 1), 1)
    keep(store, events, records([NOW], 2), 2)
    assert retain(store, events, NOW) == 1
    assert all_of(store, events)["event_id"].to_list() == [f"{2:016x}{0:016x}"]
    assert all_of(store, events, "history").height == 1


def test_the_oldest_files_go_when_there_are_too_many_bytes(store: Store, events: EventStore) -> None:
    segments = [
        *keep(store, events, records([NOW - timedelta(days=1)], 0), 0),
        *keep(store, events, records([NOW], 1), 1),
        *keep(store, events, records([NOW], 2, "other"), 2),
    ]
    size = sum(segment.bytes for segment in segments)
    small = EventStore(events.folder, replace(events.settings, bytes_max=size - 1))
    assert retain(store, small, NOW) == 1
    assert {segment.path for segment in store.reads.segments()} == {segment.path for segment in segments[1:]}


def test_a_damaged_file_is_named(store: Store, events: EventStore) -> None:
    (segment,) = keep(store, events, records(seconds(3)), 0)
    events.path_of(segment).write_bytes(b"PAR1 and then nothing")
    with pytest.raises(CorruptionError, match="000000000000"):
        all_of(store, events)


def test_a_file_of_an_older_version_lacks_only_its_missing_column(store: Store, events: EventStore) -> None:
    (segment,) = keep(store, events, records(seconds(3)), 0)
    file = events.path_of(segment)
    pl.read_parquet(file).drop("span_id").write_parquet(file)
    assert all_of(store, events)["span_id"].null_count() == 3


def test_a_folder_that_cannot_be_written_is_an_error_of_storage(tmp_path: Path) -> None:
    (tmp_path / "events").write_bytes(b"a file where a folder should be")
    with pytest.raises(StorageError) as raised:
        EventStore(tmp_path / "events").write("acme", records(seconds(1)), 0, 0)
    assert not isinstance(raised.value, FullError)
