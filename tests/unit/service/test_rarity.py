from datetime import UTC, datetime, timedelta

import pytest

from service.rarity import Habit, History, weights

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
NOW = BEGAN + timedelta(days=10)
HISTORY = History(events=1_000_000, began=BEGAN, now=NOW)


def weight(count: int, *, age: timedelta, history: History = HISTORY) -> float:
    return weights({"ip:1.2.3.4": Habit(count=count, first=history.now - age)}, history)["ip:1.2.3.4"]


def test_an_entity_of_every_line_weighs_nothing() -> None:
    assert weight(1_000_000, age=timedelta(days=10)) == 0.0


def test_an_old_entity_of_few_lines_weighs_much() -> None:
    assert weight(3, age=timedelta(days=9)) == pytest.approx(0.9, abs=0.01)


def test_an_entity_that_appeared_an_hour_ago_weighs_much_however_often_it_came_since() -> None:
    assert weight(300_000, age=timedelta(hours=1)) > 0.9


def test_an_entity_is_new_for_a_day() -> None:
    assert weight(300_000, age=timedelta(days=1)) < 0.1


def test_in_the_first_hour_everything_is_new_so_being_new_says_little() -> None:
    young = History(events=1000, began=NOW - timedelta(minutes=40), now=NOW)
    assert weight(1000, age=timedelta(minutes=40), history=young) < 0.5


def test_an_entity_that_was_never_seen_is_left_out() -> None:
    assert weights({}, HISTORY) == {}
