"""Too many, too few, silence."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from detectors.volume.detector import VolumeDetector

Records = Callable[..., pl.DataFrame]
START = datetime(2026, 3, 2, tzinfo=UTC)
END = timedelta(hours=36)


@pytest.fixture
def taught(shop: Records) -> VolumeDetector:
    detector = VolumeDetector()
    detector.fit(shop(20_000))
    return detector


def told(detector: VolumeDetector, scores: pl.DataFrame) -> list[str]:
    """What the strong units say."""
    return [detector.explain(row)[0].summary for row in scores.filter(pl.col("score") >= 1.0).iter_rows(named=True)]


def test_a_steady_stream_that_stops_is_silent_although_nothing_arrives(taught: VolumeDetector) -> None:
    assert told(taught, taught.advance(START + END + timedelta(minutes=4))) == []
    words = told(taught, taught.advance(START + END + timedelta(hours=1)))
    assert len(words) == 3
    assert all("silent" in word for word in words)


def test_asking_for_silence_learns_nothing(taught: VolumeDetector) -> None:
    until = START + END + timedelta(hours=1)
    assert taught.advance(until).equals(taught.advance(until))


def test_one_stream_that_falls_silent_is_told_while_the_others_go_on(taught: VolumeDetector, shop: Records) -> None:
    others = shop(1_200, 2.0, after=END, seed=3).filter(pl.col("stream") != "s1")
    words = told(taught, taught.score(others))
    taught.fit(others)
    words += told(taught, taught.advance(START + END + timedelta(hours=2)))
    assert words
    assert all("s1" in word for word in words)


def test_a_burst_is_told_once_for_its_stream_with_what_it_is_made_of(taught: VolumeDetector, burst: Records) -> None:
    flood = burst(3_000, after=END)
    scores = taught.score(flood).filter(pl.col("score") >= 1.0)
    assert len(scores) <= 2
    (reason, *_) = taught.explain(scores.sort("score").row(-1, named=True))
    assert reason.kind == "series"
    assert "s0" in reason.summary
    assert "user:mallory" in scores["entities"].explode().to_list()


def test_a_few_lines_more_or_less_are_nothing(taught: VolumeDetector, shop: Records) -> None:
    scores = taught.score(shop(1_400, 2.0, after=END, seed=9))
    assert told(taught, scores) == []


def test_the_longer_a_stream_is_silent_the_surer_it_is(taught: VolumeDetector, shop: Records) -> None:
    others = shop(3_000, 5.0, after=END, seed=3).filter(pl.col("stream") != "s1")
    scores: list[float] = []
    for hour in range(1, 5):
        part = others.filter(pl.col("time").is_between(_at(hour - 1), _at(hour), closed="left"))
        told_of = pl.concat([taught.score(part), taught.advance(START + END + timedelta(hours=hour))])
        taught.fit(part)
        scores.append(max(told_of.filter(pl.col("stream") == "s1")["score"]))
    assert scores == sorted(scores)
    assert scores[-1] > 2 * scores[0] > 2


def test_streams_that_are_sent_in_turns_are_not_silent_between_their_turns(shop: Records) -> None:
    detector = VolumeDetector()
    lines = shop(20_000, 72.0)
    for part in range(36):
        arrival = pl.lit(_hour(100 + part)).cast(pl.Datetime("ns", "UTC"))
        of_part = pl.col("time").is_between(_hour(2 * part), _hour(2 * part + 2), closed="left")
        batch = lines.filter(of_part).with_columns(observed_time=arrival)
        late = pl.col("stream").is_in(["s2"] if part > 30 else [])
        for turn in (batch.filter(~late), batch.filter(late)):
            assert not [word for word in told(detector, detector.score(turn)) if "silent" in word]
            detector.fit(turn)


def _hour(hour: int) -> datetime:
    return START + timedelta(hours=hour)


def _at(hour: int) -> datetime:
    return START + END + timedelta(hours=hour)
