"""First times: of a kind of line, an entity, a value, a meeting; and what is no news."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import polars as pl
import pytest

from detectors.novelty.detector import NoveltyDetector
from detectors.novelty.settings import NoveltySettings

Records = Callable[..., pl.DataFrame]
END = timedelta(hours=36)


@pytest.fixture
def taught(shop: Records) -> NoveltyDetector:
    detector = NoveltyDetector()
    detector.fit(shop(6_000))
    return detector


def news(detector: NoveltyDetector, records: pl.DataFrame) -> list[str]:
    """Units of the records that bring something new, strongest first."""
    return detector.score(records).filter(pl.col("score") > 0).sort("score", descending=True)["unit"].to_list()


def with_field(records: pl.DataFrame, name: str, value: pl.Expr) -> pl.DataFrame:
    """Records with one attribute, a number."""
    return records.with_columns(pl.concat_str(pl.lit(f'{{"{name}":'), value, pl.lit("}")).alias("attributes"))


def test_a_stranger_and_a_new_kind_of_line_are_told_once_however_often_they_come(
    taught: NoveltyDetector, burst: Records
) -> None:
    (unit,) = news(taught, burst(500, after=END))
    assert "new entity: user:mallory" in unit
    assert "new line: " in unit


def test_two_known_things_that_never_met_are_news(taught: NoveltyDetector, burst: Records) -> None:
    (unit, *_) = news(taught, burst(1, after=END, kind="kind1", user="u3", ip="10.0.0.30"))
    assert unit.startswith("new pair: ")
    assert "user:u3" in unit
    assert "ip:10.0.0.30" in unit


def test_more_of_the_same_is_no_news(taught: NoveltyDetector, shop: Records) -> None:
    strong = taught.score(shop(600, 3.0, after=END, seed=4)).filter(pl.col("score") > 2.5)
    assert strong.is_empty()


def test_where_new_things_come_all_the_time_another_one_is_no_news(shop: Records, burst: Records) -> None:
    detector = NoveltyDetector()
    public = shop(6_000).with_columns(
        pl.concat_list(pl.format("ip:203.0.{}.{}", pl.int_range(pl.len()) // 250, pl.int_range(pl.len()) % 250)).alias(
            "entities"
        )
    )
    detector.fit(public)
    assert not [unit for unit in news(detector, burst(1, after=END, kind="kind1", user="u3")) if "ip:192" in unit]


def test_a_value_not_seen_for_a_month_is_new_again(shop: Records, burst: Records) -> None:
    detector = NoveltyDetector(NoveltySettings(age_days=1.0))
    detector.fit(shop(3_000, 12.0).filter(pl.col("entities").list.contains("user:u7")))
    detector.fit(shop(6_000, 40.0, after=timedelta(hours=20)).filter(~pl.col("entities").list.contains("user:u7")))
    units = news(detector, burst(1, after=timedelta(hours=61), kind="kind1", user="u7", ip="10.0.0.8"))
    assert "new entity: user:u7" in " ".join(units)


@pytest.mark.parametrize("name", ["eventId", "exit_code", "http.status"])
def test_a_new_code_is_news_however_many_are_known(shop: Records, name: str) -> None:
    assert f"{name}=77" in " ".join(news_of_77(shop, name, known=20))


def test_a_number_that_counts_something_is_no_news(shop: Records) -> None:
    assert news_of_77(shop, "items", known=20) == []


def test_a_number_among_few_is_a_name(shop: Records) -> None:
    assert "shard=77" in " ".join(news_of_77(shop, "shard", known=4))


def news_of_77(shop: Records, name: str, known: int) -> list[str]:
    """What is told of the value 77 of a field that had `known` others."""
    detector = NoveltyDetector()
    detector.fit(with_field(shop(6_000), name, pl.int_range(pl.len()) % known))
    return news(detector, with_field(shop(1, 1.0, after=END), name, pl.lit(77)))
