from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import orjson
import polars as pl
import pytest

from service.simulate import INCIDENTS, Simulation, simulate
from tocsin.errors import InputError

_TUESDAY = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture(scope="module")
def planted() -> Simulation:
    return simulate(7, _TUESDAY, 24)


@pytest.fixture(scope="module")
def day(planted: Simulation) -> dict[str, pl.DataFrame]:
    return planted.streams


@pytest.fixture(scope="module")
def quiet_day() -> dict[str, pl.DataFrame]:
    return simulate(7, _TUESDAY, 24, ()).streams


def test_the_same_seed_writes_the_same_lines(day: dict[str, pl.DataFrame]) -> None:
    again = simulate(7, _TUESDAY, 24).streams
    assert all(frame.equals(again[stream]) for stream, frame in day.items())


def test_another_seed_writes_another_day(day: dict[str, pl.DataFrame]) -> None:
    assert not simulate(8, _TUESDAY, 24).streams["web"].equals(day["web"])


def test_a_day_is_the_same_in_every_range_that_holds_it(quiet_day: dict[str, pl.DataFrame]) -> None:
    *_, last = simulate(7, _TUESDAY - timedelta(days=2), 72, ()).days()
    assert all(frame.equals(last[stream]) for stream, frame in quiet_day.items())


def test_every_stream_is_in_time_order_and_inside_the_range(day: dict[str, pl.DataFrame]) -> None:
    for frame in day.values():
        assert frame["time"].is_sorted()
        assert frame["time"].min() >= _TUESDAY  # type: ignore[operator]
        assert frame["time"].max() < _TUESDAY + timedelta(days=1)  # type: ignore[operator]


def test_a_dozen_services_write_logs_beside_audit_events_transactions_and_metrics(day: dict[str, pl.DataFrame]) -> None:
    assert len(day) == 17
    assert {"audit", "transactions", "clicks", "metrics"} < day.keys()
    assert all(len(frame) > 100 for frame in day.values())
    assert sum(len(frame) for frame in day.values()) > 50_000


def test_no_line_holds_an_unfilled_place_or_a_line_break(day: dict[str, pl.DataFrame]) -> None:
    lines = pl.concat([frame["line"] for frame in day.values()])
    assert lines.null_count() == 0
    assert not lines.str.contains(r"<[a-z_]+>|\n|None|null").any()


@pytest.mark.parametrize("stream", ["gateway", "search", "clicks", "transactions", "audit", "metrics"])
def test_json_streams_hold_one_object_a_line(day: dict[str, pl.DataFrame], stream: str) -> None:
    times = [orjson.loads(line) for line in day[stream]["line"]]
    assert all("time" in event or "@timestamp" in event for event in times)


def test_a_trace_is_followed_from_the_gateway_through_the_services(day: dict[str, pl.DataFrame]) -> None:
    paid = (
        day["gateway"]
        .filter(pl.col("line").str.contains("/api/payments"))["line"]
        .str.extract('"trace_id":"([0-9a-f]+)"')
    )
    authorised = set(day["payment"]["line"].str.extract(r"\[([0-9a-f]{32})\]"))
    assert set(paid) <= authorised


def test_customers_come_in_the_evening_and_staff_by_day(quiet_day: dict[str, pl.DataFrame]) -> None:
    def share(stream: str, first: int, last: int) -> float:
        hours = quiet_day[stream]["time"].dt.hour()
        return float(hours.is_between(first, last).sum()) / len(hours)

    assert share("clicks", 17, 22) > 3 * share("clicks", 2, 7)
    assert share("audit", 8, 17) > 0.7


def test_the_weekend_is_quiet_in_the_office_and_busy_in_the_shop() -> None:
    saturday = simulate(7, _TUESDAY + timedelta(days=4), 24, ()).streams
    tuesday = simulate(7, _TUESDAY, 24, ()).streams
    assert len(saturday["audit"]) < 0.5 * len(tuesday["audit"])
    assert len(saturday["clicks"]) > len(tuesday["clicks"])


def test_normal_days_hold_errors_deploys_scans_and_new_customers(quiet_day: dict[str, pl.DataFrame]) -> None:
    week = simulate(7, _TUESDAY - timedelta(days=4), 120, ()).streams
    for stream, pattern in (
        ("gateway", '"status":502'),
        ("payment", "was reset, attempt"),
        ("cluster", "Rolling out"),
        ("auth", "Invalid user"),
        ("web", "zgrab"),
        ("scheduler", "nightly-orders"),
    ):
        assert week[stream]["line"].str.contains(pattern, literal=True).any(), pattern
    newest = f'"c{12 * ((_TUESDAY - datetime(1970, 1, 1, tzinfo=UTC)).days) + 1}'
    assert quiet_day["clicks"]["line"].str.contains(newest[:-1], literal=True).any()


def test_a_normal_day_holds_no_planted_line(quiet_day: dict[str, pl.DataFrame]) -> None:
    assert all(frame["planted"].null_count() == len(frame) for frame in quiet_day.values())


def test_every_incident_is_planted_once_with_its_truth(planted: Simulation, day: dict[str, pl.DataFrame]) -> None:
    assert [truth.kind for truth in planted.truth] == list(INCIDENTS)
    for truth in planted.truth:
        kinds = {stream for stream, frame in day.items() if (frame["planted"] == truth.kind).any()}
        assert truth.silent or kinds & set(truth.streams), truth.kind


def test_planted_lines_lie_inside_the_time_of_their_incident(planted: Simulation, day: dict[str, pl.DataFrame]) -> None:
    for truth in planted.truth:
        for frame in day.values():
            times = frame.filter(pl.col("planted") == truth.kind)["time"]
            late = timedelta(hours=1)  # goodbyes of sessions come later
            assert times.is_between(truth.start, truth.end + late).all(), truth.kind


def test_strangers_are_named_by_planted_lines_only(
    planted: Simulation, day: dict[str, pl.DataFrame], quiet_day: dict[str, pl.DataFrame]
) -> None:
    for truth in planted.truth:
        for stranger in truth.strangers:
            value = stranger.partition(":")[2]
            assert not any(frame["line"].str.contains(value, literal=True).any() for frame in quiet_day.values())
            assert any(frame["line"].str.contains(value, literal=True).any() for frame in day.values())


def test_a_silent_source_says_nothing_until_it_is_back(planted: Simulation, day: dict[str, pl.DataFrame]) -> None:
    (truth,) = [each for each in planted.truth if each.silent]
    (stream,) = truth.streams
    times = day[stream]["time"]
    assert not times.is_between(truth.start, truth.end, closed="left").any()
    assert (times > truth.end).any()


def test_fraud_replays_one_script_to_the_second(day: dict[str, pl.DataFrame]) -> None:
    clicks = day["clicks"].filter(pl.col("planted") == "fraud_ring")
    sessions = clicks.with_columns(pl.col("line").str.json_path_match("$.session_id").alias("session"))
    gaps = sessions.group_by("session").agg(pl.col("time").diff().drop_nulls().alias("gaps"))
    assert len(gaps) == 14
    assert gaps["gaps"].n_unique() == 1


def test_an_incident_that_does_not_fit_the_range_is_left_out() -> None:
    morning = simulate(7, _TUESDAY, 10)
    assert [truth.kind for truth in morning.truth] == ["odd_hour_change", "disk_full", "brute_force", "scraper"]


def test_incidents_are_planted_on_the_last_day_by_the_clock_of_the_shop() -> None:
    end = datetime(2026, 11, 24, 15, 30, tzinfo=UTC)
    shop = simulate(7, end - timedelta(days=2), 48, offset=timedelta(hours=8, minutes=30))
    assert [truth.kind for truth in shop.truth] == list(INCIDENTS)
    change = shop.truth[0]
    assert change.start == end - timedelta(days=1) + timedelta(hours=3, minutes=17)


def test_chunks_hold_every_line_once_in_time_order(planted: Simulation, day: dict[str, pl.DataFrame]) -> None:
    chunks = list(planted.chunks(timedelta(minutes=50)))
    assert chunks[0].start == planted.start
    assert chunks[-1].end == planted.end
    assert all(before.end == after.start for before, after in pairwise(chunks))
    for stream, frame in day.items():
        assert pl.concat([chunk.streams[stream] for chunk in chunks if stream in chunk.streams]).equals(frame)


def test_an_unknown_incident_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="'earthquake' is unknown"):
        simulate(7, _TUESDAY, 24, ("earthquake",))


def test_a_written_simulation_says_which_lines_were_planted(tmp_path: Path, planted: Simulation) -> None:
    planted.write(tmp_path)
    lines = (tmp_path / "auth.log").read_text().splitlines()
    labels = pl.read_csv(tmp_path / "planted.csv").filter(pl.col("stream") == "auth", pl.col("kind") == "brute_force")
    assert all("193.46.255.17" in lines[number - 1] or "mlopez" in lines[number - 1] for number in labels["line"])
    truth = orjson.loads((tmp_path / "truth.json").read_bytes())
    assert [each["kind"] for each in truth] == list(INCIDENTS)
