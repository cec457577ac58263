"""The contract of a detector, for every detector in the registry."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from detectors.detector import SCORES, Detector
from detectors.registry import DETECTORS, build
from tocsin.errors import SettingsError, StateError
from tocsin.record import TIME, empty_records
from tocsin.state import State, load_state, save_state

Records = Callable[..., pl.DataFrame]
DAY = timedelta(days=1)
END = timedelta(hours=36)  # of the shop's history

#: Options that make memory small enough to fill in a test.
SMALL: dict[str, dict[str, object]] = {
    "novelty": {"values_max": 500, "values_per_group_max": 200, "groups_max": 600, "texts_max": 300},
    "volume": {"series_max": 300, "series_per_group_max": 50, "streams_max": 20, "open_max": 400},
}

every_detector = pytest.mark.parametrize("name", sorted(DETECTORS))


def taught(name: str, history: pl.DataFrame, options: dict[str, object] | None = None, chunk: int = 512) -> Detector:
    detector = build(name, options or {})
    for begin in range(0, len(history), chunk):
        detector.fit(history.slice(begin, chunk))
    return detector


def same(one: State, other: State) -> bool:
    return (
        (one.kind, one.version, one.words, sorted(one.arrays))
        == (other.kind, other.version, other.words, sorted(other.arrays))
        and all(
            array.dtype == other.arrays[key].dtype and np.array_equal(array, other.arrays[key])
            for key, array in one.arrays.items()
        )
        and sorted(one.children) == sorted(other.children)
        and all(same(child, other.children[key]) for key, child in one.children.items())
    )


def size_of(state: State) -> int:
    return (
        sum(array.nbytes for array in state.arrays.values())
        + len(str(state.words))
        + sum(size_of(child) for child in state.children.values())
    )


@every_detector
def test_scores_have_the_declared_schema_and_are_finite(name: str, shop: Records) -> None:
    detector = taught(name, shop())
    scores = detector.score(shop(seed=1, after=END))
    assert scores.schema == pl.Schema(SCORES)
    assert scores.height > 0
    assert scores.null_count().sum_horizontal().item() == 0
    assert scores["score"].is_finite().all()
    assert (scores["start"] <= scores["end"]).all()


@every_detector
def test_scoring_never_learns(name: str, shop: Records, burst: Records) -> None:
    detector = taught(name, shop())
    before = detector.state()
    strange = burst(after=END)
    first = detector.score(strange)
    assert same(before, detector.state())
    assert detector.score(strange).equals(first)


@every_detector
def test_looking_changes_nothing(name: str, shop: Records, burst: Records) -> None:
    looked_at, left_alone = taught(name, shop()), taught(name, shop())
    strange, later = burst(after=END), shop(seed=2, after=END + timedelta(hours=1))
    for unit in looked_at.score(strange).head(50).iter_rows(named=True):
        looked_at.explain(unit)
    looked_at.state()
    looked_at.advance(strange["time"][-1] + DAY)
    looked_at.fit(strange)
    left_alone.fit(strange)
    assert same(looked_at.state(), left_alone.state())
    assert looked_at.score(later).equals(left_alone.score(later))


@every_detector
def test_state_survives_the_disk_bit_for_bit(name: str, shop: Records, burst: Records, tmp_path: Path) -> None:
    detector = taught(name, shop())
    save_state(detector.state(), tmp_path / "state")
    loaded = load_state(tmp_path / "state")
    assert loaded is not None
    twin = build(name, {})
    twin.restore(loaded)
    assert same(twin.state(), detector.state())
    strange, later = burst(after=END), shop(seed=2, after=END + timedelta(hours=1))
    for each in (detector, twin):
        each.fit(strange)
    assert same(twin.state(), detector.state())
    assert twin.score(later).equals(detector.score(later))


@every_detector
def test_the_state_of_another_detector_or_version_is_refused(name: str) -> None:
    detector = build(name, {})
    mine = detector.state()
    for foreign in (State(kind="other", version=mine.version), State(kind=mine.kind, version=mine.version + 1)):
        with pytest.raises(StateError):
            detector.restore(foreign)


@every_detector
def test_a_damaged_state_is_refused(name: str, shop: Records) -> None:
    state = taught(name, shop(500)).state()
    with pytest.raises(StateError):
        build(name, {}).restore(State(kind=state.kind, version=state.version, words=state.words))


@every_detector
def test_an_empty_batch_is_a_batch(name: str, shop: Records) -> None:
    fresh, knowing = build(name, {}), taught(name, shop(500))
    for detector in (fresh, knowing):
        before = detector.state()
        assert detector.score(empty_records()).equals(pl.DataFrame(schema=SCORES))
        detector.fit(empty_records())
        assert same(before, detector.state())


@every_detector
def test_a_detector_that_knows_nothing_scores_everything_the_same(name: str, shop: Records) -> None:
    scores = build(name, {}).score(shop(300))
    assert scores["score"].n_unique() <= 1


@every_detector
def test_every_unit_can_be_explained(name: str, shop: Records, burst: Records) -> None:
    detector = taught(name, shop())
    scores = pl.concat([detector.score(pl.concat([shop(300, 1.0, after=END, seed=3), burst(after=END)]).sort("time"))])
    assert (scores["score"] > 0).any()
    for unit in scores.sort("score", descending=True).head(200).iter_rows(named=True):
        reasons = detector.explain(unit)
        assert reasons
        for reason in reasons:
            assert reason.summary
            assert reason.event_id is None or reason.event_id in unit["event_ids"]


@every_detector
def test_the_reasons_of_an_anomaly_say_what_was_expected_and_what_came(
    name: str, shop: Records, burst: Records
) -> None:
    detector = taught(name, shop())
    scores = detector.score(burst(after=END))
    worst = scores.sort("score", descending=True).row(0, named=True)
    first = detector.explain(worst)[0]
    assert first.expected
    assert first.actual
    assert first.event_id in worst["event_ids"]


@every_detector
def test_a_unit_of_a_restored_detector_can_be_explained(name: str, shop: Records, burst: Records) -> None:
    detector = taught(name, shop())
    units = detector.score(burst(after=END)).sort("score", descending=True).head(5)
    twin = build(name, {})
    twin.restore(detector.state())
    for unit in units.iter_rows(named=True):
        assert twin.explain(unit)[0].summary


@every_detector
def test_the_same_history_gives_the_same_scores(name: str, shop: Records) -> None:
    batch = shop(seed=1, after=END)
    one, other = taught(name, shop()).score(batch), taught(name, shop()).score(batch)
    assert one.equals(other)


@every_detector
def test_order_within_a_timestamp_does_not_matter(name: str, shop: Records) -> None:
    def coarse(records: pl.DataFrame, seed: int | None) -> pl.DataFrame:
        records = records.with_columns(pl.col("time").dt.truncate("30m").cast(TIME))
        return records if seed is None else records.sample(fraction=1.0, shuffle=True, seed=seed).sort("time")

    history, batch = shop(), shop(600, 3.0, after=END, seed=1)
    detectors = [taught(name, coarse(history, seed), chunk=len(history)) for seed in (None, 5)]
    assert same(detectors[0].state(), detectors[1].state())
    scores = [detector.score(coarse(batch, seed)) for detector, seed in zip(detectors, (None, 6), strict=True)]
    assert scores[0].equals(scores[1])


@every_detector
def test_a_gross_anomaly_ranks_first(name: str, shop: Records, burst: Records) -> None:
    detector = taught(name, shop())
    normal = shop(600, 3.0, after=END, seed=1)
    strange = burst(after=END + timedelta(hours=2))
    scores = detector.score(pl.concat([normal, strange]).sort("time")).sort("score", descending=True)
    events = set(strange["event_id"])
    assert events & set(scores["event_ids"][0].to_list())
    normal = scores.filter(~pl.col("event_ids").list.eval(pl.element().is_in(list(events))).list.any())
    assert (scores["score"][0] > 1.5 * normal["score"]).all()


@every_detector
def test_what_was_never_seen_does_not_raise(name: str, shop: Records, burst: Records) -> None:
    detector = taught(name, shop(1_000))
    odd = burst(50, after=END, kind="never", user="nobody", ip="::1", stream="unheard-of").with_columns(
        pl.lit("").alias("body"),
        pl.lit([], dtype=pl.List(pl.String)).alias("entities"),
        pl.lit("{}").alias("attributes"),
        pl.lit("0" * 16).alias("template_id"),
    )
    for batch in (
        odd,
        burst(50, after=END, stream="unheard-of"),
        burst(50, after=-30 * DAY),
        burst(50, after=900 * DAY),
    ):
        assert detector.score(batch)["score"].is_finite().all()
        detector.fit(batch)
        detector.advance(batch["time"][-1] + DAY)


@every_detector
def test_memory_is_bounded(name: str, shop: Records) -> None:
    detector = build(name, SMALL[name])
    sizes = []
    for day in range(8):
        flood = shop(3_000, 12.0, after=day * DAY, seed=day).with_columns(
            pl.concat_list(pl.format("ip:10.{}.{}", pl.lit(day), pl.int_range(pl.len()))).alias("entities"),
            pl.format("s{}-{}", pl.lit(day), pl.int_range(pl.len()) % 30).alias("stream"),
            (pl.int_range(pl.len()) % 700 + 1000 * day).cast(pl.String).str.zfill(16).alias("template_id"),
        )
        for begin in range(0, len(flood), 1_000):
            detector.score(flood.slice(begin, 1_000))
            detector.fit(flood.slice(begin, 1_000))
        sizes.append(size_of(detector.state()))
    assert max(sizes[4:]) < 1.3 * max(sizes[:4])


@every_detector
def test_an_unknown_option_is_refused_by_name(name: str) -> None:
    with pytest.raises(SettingsError, match=f"detectors.{name}.colour"):
        build(name, {"colour": "red"})
    some = next(iter(SMALL[name]))
    with pytest.raises(SettingsError, match=f"detectors.{name}.{some}"):
        build(name, {some: "many"})


def test_an_unknown_detector_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="novelty, volume"):
        build("crystal-ball", {})
