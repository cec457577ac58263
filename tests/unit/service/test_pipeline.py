from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from alerts.linking import Policy
from alerts.silence import Matcher, Silence
from detectors.panel import PanelSettings
from ingest.batch import Batch, Rejected, encode, tick
from ingest.journal import Entry
from ingest.parse import ParseSettings
from service.keep import Shelf
from service.line_names import LineNames
from service.pipeline import Pipeline, PipelineSettings
from service.step import OutOfStepError, StepSettings
from storage.events import EventStore
from storage.store import Store, StoreSettings, database_url
from tocsin.errors import StateError
from tocsin.identity import event_ids
from tocsin.record import LINES
from tocsin.state import State, load_state, save_state

START = datetime(2026, 3, 2, 8, tzinfo=UTC)
USERS = ("ann", "bob", "cid", "dee")


def lines_of(rows: list[tuple[datetime, str]]) -> pl.DataFrame:
    columns = {name: [None] * len(rows) for name in LINES} | {
        "position": list(range(len(rows))),
        "time": [at for at, _ in rows],
        "body": [body for _, body in rows],
    }
    return pl.DataFrame(columns, schema=LINES)


def a_batch(rows: list[tuple[datetime, str]], *, stream: str = "auth", **fields: object) -> Batch:
    values = {
        "tenant": "default",
        "stream": stream,
        "observed_time": rows[-1][0] + timedelta(seconds=1),
        "identity": None,
        "fingerprint": "f",
        "lines": lines_of(rows),
    }
    return Batch(**(values | fields))  # type: ignore[arg-type]  # as the test wants


def ordinary(minutes: int, *, begin: datetime = START, per_minute: int = 6) -> list[tuple[datetime, str]]:
    """Logins of the same four users, again and again."""
    gap = timedelta(minutes=1) / per_minute
    return [
        (begin + number * gap, f"session opened for user {USERS[number % 4]} from 10.0.0.{number % 4 + 1}")
        for number in range(minutes * per_minute)
    ]


def odd(at: datetime) -> list[tuple[datetime, str]]:
    """Something that never happened before."""
    return [(at, "kernel module rootkit loaded by user mallory from 203.0.113.9")]


@dataclass
class Bench:
    """A pipeline over a real database and real files, and a journal that is a list."""

    folder: Path
    settings: PipelineSettings
    store: Store
    policy: Policy = field(default_factory=Policy)
    now: datetime = datetime(2026, 3, 3, tzinfo=UTC)
    entries: list[Entry] = field(default_factory=list)
    failing_at: str = ""

    def __post_init__(self) -> None:
        self.events = EventStore(self.folder / "events")
        self.pipeline = self.new()

    def new(self, offset: int = 0) -> Pipeline:
        shelf = Shelf(
            store=self.store,
            events=self.events,
            settings=self.settings.step,
            policy=self.policy,
            clock=lambda: self.now,
            base_url="http://tocsin.test",
            passing=self.passing,
        )
        return Pipeline(self.settings, shelf, offset=offset)

    def passing(self, point: str) -> None:
        if point == self.failing_at:
            raise RuntimeError(point)

    def append(self, *batches: Batch) -> list[Entry]:
        for batch in batches:
            self.entries.append(Entry(offset=len(self.entries), payload=encode(batch)))
        return self.entries[-len(batches) :]

    def take(self, *batches: Batch) -> None:
        """One step for all of them."""
        self.pipeline.step(self.append(*batches))

    def kept(self) -> pl.DataFrame:
        """All events that count."""
        far = timedelta(days=3650)
        return self.events.read(self.store.reads.segments(), START - far, START + far)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from a_bench(tmp_path)


def a_bench(tmp_path: Path, step: StepSettings | None = None) -> Iterator[Bench]:
    settings = PipelineSettings(
        step=step or StepSettings(), parse=ParseSettings(), panel=PanelSettings(detectors=("novelty",)), detectors={}
    )
    store = Store(database_url(StoreSettings(), tmp_path), StoreSettings())
    store.open()
    yield Bench(tmp_path, settings, store)
    store.close()


def incidents(bench: Bench) -> list[tuple[str, str]]:
    return [(row.status, row.title) for row in bench.store.reads.incidents("default", limit=100).rows]


def test_every_line_is_in_the_events_once_under_the_id_of_its_place(bench: Bench) -> None:
    bench.take(a_batch(ordinary(2)), a_batch(ordinary(1), stream="web"))
    bench.take(a_batch(ordinary(1)))
    expected = [
        *event_ids("default", "auth", "0", range(12)),
        *event_ids("default", "web", "1", range(6)),
        *event_ids("default", "auth", "2", range(6)),
    ]
    assert sorted(bench.kept()["event_id"]) == sorted(expected)


def test_equal_lines_are_not_merged(bench: Bench) -> None:
    bench.take(a_batch([(START, "the same")] * 3))
    assert bench.kept().height == 3


def test_a_batch_that_comes_again_with_its_identity_is_taken_once(bench: Bench) -> None:
    batch = a_batch(ordinary(1), identity="key-1")
    bench.take(batch, batch)
    bench.take(batch)
    assert bench.kept().height == 6
    assert bench.store.reads.batch_fingerprint("default", "auth", "key-1") == "f"


def named(names: list[str | None]) -> Batch:
    batch = a_batch([(START + timedelta(seconds=place), f"line {name}") for place, name in enumerate(names)])
    return replace(batch, lines=batch.lines.with_columns(pl.Series("identity", names, dtype=pl.String)))


def test_a_line_that_its_sender_named_is_taken_once_in_whatever_request_it_comes(bench: Bench) -> None:
    bench.take(named(["a", "b", "b", None]))
    bench.take(named(["c", "b", None]))
    bench.take(named(["a"]))
    assert sorted(bench.kept()["body"]) == ["line None", "line None", "line a", "line b", "line c"]


def test_the_names_of_lines_are_known_after_a_restart_and_bounded() -> None:
    names = LineNames(6)
    assert names.new_lines(named(["a", "b"])).lines.height == 2
    again = LineNames(6)
    again.restore(names.state())
    assert again.new_lines(named(["a", "c", "d"])).lines["body"].to_list() == ["line c", "line d"]
    assert again.new_lines(named(["b", "e", "f", "g"])).lines.height == 3
    assert again.new_lines(named(["a"])).lines.height == 1


def test_a_line_that_could_not_be_read_is_a_dead_letter_and_the_others_are_kept(bench: Bench) -> None:
    poison = Rejected(line=2, detail="line 2: not JSON", raw=b"{oops")
    bench.take(a_batch(ordinary(1), rejected=(poison,)))
    letters = bench.store.reads.dead_letters("default", limit=10).rows
    assert [(letter.line, letter.detail, letter.raw) for letter in letters] == [(2, "line 2: not JSON", "{oops")]
    assert bench.kept().height == 6


def test_streams_templates_and_entities_are_counted(bench: Bench) -> None:
    bench.take(a_batch(ordinary(2)))
    bench.take(a_batch(ordinary(2)))
    assert [(row.stream, row.event_count) for row in bench.store.reads.streams("default")] == [("auth", 24)]
    templates = bench.store.reads.templates("default", limit=10).rows
    assert sum(template.event_count for template in templates) == 24
    ann = bench.store.reads.entity("default", "user:ann")
    assert ann is not None
    assert (ann.event_count, ann.first_seen) == (6, START)


def test_something_new_after_hours_of_the_same_opens_an_incident_with_its_line(bench: Bench) -> None:
    bench.take(a_batch(ordinary(120)))
    bench.take(a_batch(odd(START + timedelta(minutes=121))))
    [(status, _)] = incidents(bench)
    assert status == "open"
    [row] = bench.store.reads.incidents("default", limit=1).rows
    assert "user:mallory" in row.entities
    [line] = bench.store.reads.incident_lines("default", row.incident_id, 10)
    assert line.body == odd(START)[0][1]


def test_a_silenced_entity_opens_no_incident_but_its_finding_is_kept(bench: Bench) -> None:
    bench.store.desk.add_silence(
        Silence(
            silence_id="s",
            tenant="default",
            matcher=Matcher(entity="user:mallory"),
            starts_at=START,
            ends_at=START + timedelta(days=1),
            author="ops",
            reason="a drill",
        )
    )
    bench.take(a_batch(ordinary(120)))
    bench.take(a_batch(odd(START + timedelta(minutes=121))))
    assert incidents(bench) == []
    held = bench.store.reads.findings("default", limit=10).rows
    assert {finding.held_by for finding in held} == {"silence"}


def test_what_is_over_the_budget_opens_nothing_and_its_findings_are_kept(bench: Bench) -> None:
    bench.store.desk.set_budget("default", 1)
    bench.take(a_batch(ordinary(1200)))
    bodies = ("rootkit loaded by mallory", "disk on fire in rack seven", "who unplugged everything here now")
    bench.take(a_batch([(START + timedelta(minutes=1201 + 30 * n), body) for n, body in enumerate(bodies)]))
    assert len(incidents(bench)) == 1
    held = [row.held_by for row in bench.store.reads.findings("default", limit=50).rows]
    assert sorted(held, key=str) == [None, "budget", "budget"]


def test_time_that_passes_without_lines_resolves_a_quiet_incident(bench: Bench) -> None:
    bench.take(a_batch(ordinary(120)))
    late = START + timedelta(minutes=121)
    bench.take(a_batch(odd(late)))
    bench.take(tick(late + timedelta(minutes=20)))
    assert [status for status, _ in incidents(bench)] == ["open"]
    bench.take(tick(late + timedelta(minutes=40)))
    assert [status for status, _ in incidents(bench)] == ["resolved"]


def test_a_backfill_of_old_lines_has_no_clock_that_ticks(bench: Bench) -> None:
    today = START + timedelta(days=30)
    bench.take(a_batch(ordinary(120), observed_time=today))
    bench.take(a_batch(odd(START + timedelta(minutes=121)), observed_time=today))
    bench.take(tick(today + timedelta(hours=1)))
    assert [status for status, _ in incidents(bench)] == ["open"]


@pytest.mark.parametrize("point", ["decided", "kept"])
def test_a_failure_in_the_transaction_leaves_nothing_and_the_step_can_be_kept_again(bench: Bench, point: str) -> None:
    understood = bench.pipeline.understand(bench.append(a_batch(ordinary(3))))
    bench.failing_at = point
    with pytest.raises(RuntimeError):
        bench.pipeline.keep(understood)
    assert bench.store.reads.worker().offset == 0
    assert bench.kept().height == 0
    bench.failing_at = ""
    bench.pipeline.keep(understood)
    assert bench.store.reads.worker().offset == 1
    assert bench.kept().height == 18


def test_a_step_that_another_worker_has_done_is_refused(bench: Bench) -> None:
    entries = bench.append(a_batch(ordinary(1)))
    bench.new().step(entries)
    with pytest.raises(OutOfStepError, match="entry 0 was processed"):
        bench.pipeline.step(entries)


def test_a_step_takes_as_many_entries_as_hold_its_lines_and_always_one(tmp_path: Path) -> None:
    for bench in a_bench(tmp_path, StepSettings(lines_max=10)):
        entries = bench.append(*(a_batch(ordinary(1, begin=START + timedelta(minutes=n))) for n in range(3)))
        assert bench.pipeline.step(entries).after == 1
        assert bench.pipeline.step(entries[1:]).after == 2


def test_a_snapshot_and_the_steps_after_it_give_back_the_same_memory(bench: Bench, tmp_path: Path) -> None:
    bench.take(a_batch(ordinary(60)))
    save_state(bench.pipeline.state(), tmp_path / "snapshot")
    again = a_batch(ordinary(10, begin=START + timedelta(hours=1)), identity="key-1")
    later = replace(again, observed_time=again.observed_time + timedelta(seconds=9))
    bench.take(again, later, a_batch(ordinary(20, begin=START + timedelta(minutes=70))))
    bench.take(again, later, tick(START + timedelta(minutes=95)))
    restarted = bench.new()
    saved = load_state(tmp_path / "snapshot")
    assert saved is not None
    restarted.restore(saved)
    restarted.relearn(bench.entries[1:4])
    restarted.relearn(bench.entries[4:7])
    assert restarted.offset == bench.pipeline.offset
    assert_equal(restarted.state(), bench.pipeline.state())
    assert bench.kept().height == 90 * 6


def test_learning_again_keeps_nothing_twice(bench: Bench) -> None:
    bench.take(a_batch(ordinary(120)))
    bench.take(a_batch(odd(START + timedelta(minutes=121))))
    before = (bench.kept().height, incidents(bench), bench.store.reads.streams("default"))
    restarted = bench.new()
    for entry in bench.entries:
        restarted.relearn([entry])
    assert (bench.kept().height, incidents(bench), bench.store.reads.streams("default")) == before


def test_a_foreign_state_is_refused(bench: Bench) -> None:
    with pytest.raises(StateError):
        bench.pipeline.restore(State(kind="pipeline", version=1, words={"offset": 3, "clocks": {}}))


def test_a_batch_that_is_put_aside_is_kept_line_by_line_with_the_reason(bench: Bench) -> None:
    [entry] = bench.append(a_batch(ordinary(1), identity="bad"))
    bench.pipeline.put_aside(entry, "it could not be processed")
    letters = bench.store.reads.dead_letters("default", limit=10).rows
    assert sorted(letter.raw for letter in letters) == sorted(body for _, body in ordinary(1))
    assert {letter.detail for letter in letters} == {"it could not be processed"}
    assert bench.store.reads.worker().offset == 1
    bench.take(a_batch(ordinary(1)))
    assert bench.kept().height == 6


def test_an_entry_that_cannot_even_be_decoded_is_put_aside_whole(bench: Bench) -> None:
    bench.pipeline.put_aside(Entry(offset=0, payload=b"garbage"), "it could not be processed")
    [letter] = bench.store.reads.dead_letters("default", limit=10).rows
    assert letter.raw == "garbage"
    assert "not a batch" in letter.detail


def assert_equal(left: State, right: State) -> None:
    assert (left.kind, left.version, left.words) == (right.kind, right.version, right.words)
    assert left.arrays.keys() == right.arrays.keys()
    for name, array in left.arrays.items():
        np.testing.assert_array_equal(array, right.arrays[name], err_msg=f"{left.kind} {name}")
    assert left.children.keys() == right.children.keys()
    for name, child in left.children.items():
        assert_equal(child, right.children[name])
