"""The doctor finds what is wrong, says what to do, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from detectors.panel import DetectorStatus
from ingest.batch import encode, tick
from ingest.journal import Journal, JournalSettings
from service.build import opened_store
from service.doctor import Check, examine
from service.lock import owned
from service.settings import Settings
from storage.events import EventStore
from storage.store import Store
from tocsin.record import RECORDS, empty_records

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SECRET = "whsec_" + "QUJD" * 8


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a data folder with a journal of three entries and a database, nobody running."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    settings = Settings(data=folder, journal=JournalSettings(disk_free_bytes_min=0))
    journal = Journal(folder / "journal", settings.journal)
    for _ in range(3):
        journal.append(encode(tick(NOW))).result()
    journal.close()
    with opened_store(settings):
        pass
    return settings


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with opened_store(settings) as store:
        yield store


def found(settings: Settings, name: str) -> Check:
    (check,) = [check for check in examine(settings, NOW) if check.name == name]
    return check


def verdicts(settings: Settings) -> dict[str, str]:
    return {check.name: check.verdict for check in examine(settings, NOW)}


def test_a_folder_that_nobody_runs_on_is_healthy_but_for_that(settings: Settings) -> None:
    assert verdicts(settings) == {
        "settings": "ok",
        "data folder": "ok",
        "disk": "ok",
        "journal": "ok",
        "database": "ok",
        "HTTP process": "warn",
        "worker": "warn",
        "keys": "warn",
        "heartbeat": "warn",
        "events": "ok",
        "clocks": "ok",
    }


def test_everything_that_is_not_ok_comes_with_advice(settings: Settings) -> None:
    assert [check.name for check in examine(settings, NOW) if check.verdict != "ok" and not check.advice] == []


def test_nothing_is_changed(settings: Settings) -> None:
    def content() -> dict[Path, bytes]:
        return {file: file.read_bytes() for file in settings.data.rglob("*") if file.is_file()}

    before = content()
    examine(settings, NOW)
    assert before.items() <= content().items()


def test_a_folder_that_is_not_there_ends_the_examination(tmp_path: Path) -> None:
    checks = examine(Settings(data=tmp_path / "none"), NOW)
    assert [check.name for check in checks] == ["settings", "data folder"]
    assert checks[-1].verdict == "fail"


def test_a_folder_everybody_may_look_into_is_worth_a_word(settings: Settings) -> None:
    settings.data.chmod(0o755)
    check = found(settings, "data folder")
    assert (check.verdict, check.advice) == ("warn", f"it holds log lines and secrets: chmod 700 {settings.data}")


def test_too_little_room_fails(settings: Settings) -> None:
    small = replace(settings, journal=JournalSettings(disk_free_bytes_min=2**60))
    assert found(small, "disk").verdict == "fail"


def test_running_processes_are_named(settings: Settings) -> None:
    with owned(settings.data, "api"), owned(settings.data, "worker"):
        assert found(settings, "HTTP process").verdict == "ok"
        assert found(settings, "worker").verdict == "ok"


def test_a_damaged_journal_is_told_with_the_place(settings: Settings) -> None:
    (segment,) = (settings.data / "journal").glob("*.seg")
    content = bytearray(segment.read_bytes())
    content[-3] ^= 0xFF
    segment.write_bytes(content)
    check = found(settings, "journal")
    assert check.verdict == "fail"
    assert segment.name in check.detail


def test_a_newer_database_is_told(settings: Settings, store: Store) -> None:
    with store.database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    check = found(settings, "database")
    assert check.verdict == "fail"
    assert "newer Tocsin" in check.detail


def test_an_address_of_the_network_without_a_key_fails(settings: Settings) -> None:
    public = replace(settings, api=replace(settings.api, host="0.0.0.0"))
    assert found(public, "keys").verdict == "fail"


def test_a_worker_that_hangs_fails_and_one_that_beats_is_well(settings: Settings, store: Store) -> None:
    store.desk.beat(NOW - timedelta(seconds=3))
    with owned(settings.data, "worker"):
        check = found(settings, "heartbeat")
        assert (check.verdict, check.detail) == ("ok", "3 s ago, 3 journal entries behind")
        store.desk.beat(NOW - timedelta(minutes=10))
        assert found(settings, "heartbeat").verdict == "fail"
    assert found(settings, "heartbeat").verdict == "ok"  # it does not run, which is told elsewhere


def test_a_clock_that_went_back_fails(settings: Settings, store: Store) -> None:
    store.desk.beat(NOW + timedelta(hours=1))
    assert found(settings, "heartbeat").verdict == "fail"


def test_a_worker_far_behind_is_worth_a_word(settings: Settings, store: Store) -> None:
    store.desk.beat(NOW)
    impatient = replace(settings, api=replace(settings.api, ready_lag_entries_max=1))
    with owned(settings.data, "worker"):
        assert found(impatient, "heartbeat").verdict == "warn"


def an_event(time: datetime) -> pl.DataFrame:
    values = {
        "event_id": "0" * 32,
        "tenant": "default",
        "stream": "app",
        "time": time,
        "observed_time": NOW,
        "severity_number": 9,
        "body": "x",
        "attributes": "{}",
        "template_id": "1" * 16,
        "parameters": [],
        "entities": [],
    }
    return pl.DataFrame([{**dict.fromkeys(RECORDS), **values}], schema=empty_records().schema)


def test_a_file_of_events_that_is_gone_or_cut_is_told(settings: Settings, store: Store) -> None:
    events = EventStore(settings.data / "events", settings.events)
    (segment,) = events.write("default", an_event(NOW), 0, 0)
    with store.begin() as transaction:
        transaction.put_segment(segment)
    assert found(settings, "events").detail == "1 events in 1 files, all there"
    path = events.path_of(segment)
    path.write_bytes(path.read_bytes()[:-1])
    assert found(settings, "events").verdict == "fail"
    path.unlink()
    assert segment.path in found(settings, "events").detail


def test_events_from_the_future_are_worth_a_word(settings: Settings, store: Store) -> None:
    counts = pl.DataFrame({"stream": ["app"], "count": [1], "first": [NOW], "last": [NOW + timedelta(hours=2)]})
    with store.begin() as transaction:
        transaction.put_streams("default", counts)
        transaction.set_clock("default", NOW)
    check = found(settings, "clocks")
    assert check.verdict == "warn"
    assert "app of default" in check.detail


def test_a_detector_that_failed_is_told(settings: Settings, store: Store) -> None:
    status = DetectorStatus(detector="volume", state="failed", detail="division by zero", units=0.0)
    with store.begin() as transaction:
        transaction.put_detectors("default", [status], NOW)
        transaction.set_clock("default", NOW)
    check = found(settings, "detector volume, default")
    assert (check.verdict, check.detail) == ("fail", "failed: division by zero")


def test_a_webhook_that_does_not_arrive_is_told(settings: Settings, store: Store) -> None:
    webhook_id = store.desk.add_webhook("default", url="https://example.com/", secret=SECRET, at=NOW).webhook_id
    name = f"webhook {webhook_id}, default"
    assert found(settings, name).detail == "nothing was sent to it yet"
    store.desk.queue_test("default", webhook_id, at=NOW)
    assert found(settings, name).verdict == "ok"
    (delivery,) = store.outbox.claim(limit=1, now=NOW)
    store.outbox.retry(
        delivery.delivery_id, at=NOW, next_at=NOW + timedelta(minutes=5), status=None, reason="no answer", ms=15_000
    )
    check = found(settings, name)
    assert (check.verdict, check.detail) == ("fail", "pending: no answer")
    assert check.advice == f"tocsin webhook test {webhook_id} --tenant default"
