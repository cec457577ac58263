from datetime import UTC, datetime, timedelta

import pytest

from service.event_time import Clocks
from tocsin.errors import StateError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def test_a_tenant_without_events_has_no_time() -> None:
    assert Clocks(3600.0).now("default") is None


def test_event_time_never_goes_back() -> None:
    clocks = Clocks(3600.0)
    clocks.seen("default", NOON, NOON)
    clocks.seen("default", NOON - timedelta(hours=2), NOON)
    assert clocks.now("default") == NOON


def test_a_tick_moves_a_tenant_on_behind_the_wall_by_its_lag() -> None:
    clocks = Clocks(3600.0)
    clocks.seen("default", NOON, NOON + 5 * SECOND)
    assert clocks.ticked(NOON + 65 * SECOND) == {"default": NOON + 60 * SECOND}
    assert clocks.now("default") == NOON + 60 * SECOND


def test_a_tick_does_not_move_a_tenant_whose_events_are_history() -> None:
    clocks = Clocks(3600.0)
    clocks.seen("default", NOON, NOON + timedelta(days=2))
    assert clocks.ticked(NOON + timedelta(days=3)) == {}


def test_a_tick_from_before_the_newest_event_moves_nothing() -> None:
    clocks = Clocks(3600.0)
    clocks.seen("default", NOON, NOON)
    assert clocks.ticked(NOON - SECOND) == {}


def test_the_words_give_back_the_same_clocks() -> None:
    clocks = Clocks(3600.0)
    clocks.seen("a", NOON, NOON + SECOND / 3)
    clocks.seen("b", NOON + SECOND, NOON)
    restored = Clocks(3600.0)
    restored.restore(clocks.words())
    assert restored.words() == clocks.words()
    assert restored.ticked(NOON + 9 * SECOND) == clocks.ticked(NOON + 9 * SECOND)


@pytest.mark.parametrize("words", [{"a": 1}, {"a": ["yesterday", 0]}, {"a": [None, 0]}])
def test_foreign_words_are_refused(words: dict[str, object]) -> None:
    with pytest.raises(StateError):
        Clocks(3600.0).restore(words)
