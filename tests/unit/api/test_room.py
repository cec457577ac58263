from __future__ import annotations

import threading

import pytest

from api.problems import ProblemError
from api.room import Room


def test_as_many_as_fit_are_inside_at_once() -> None:
    room = Room(inside_max=2, waiting_max=1, wait_s=0.0)
    with room.enter("queries"), room.enter("queries"), pytest.raises(ProblemError) as refused, room.enter("queries"):
        pass
    assert refused.value.status == 503
    assert "queries" in refused.value.detail


def test_who_leaves_makes_room() -> None:
    room = Room(inside_max=1, waiting_max=0, wait_s=0.0)
    for _ in range(3):
        with room.enter("queries"):
            pass


def test_who_failed_inside_makes_room_too() -> None:
    room = Room(inside_max=1, waiting_max=0, wait_s=0.0)
    with pytest.raises(ValueError, match="inside"), room.enter("queries"):
        raise ValueError("inside")
    with room.enter("queries"):
        pass


def test_one_who_waits_comes_in_when_somebody_leaves() -> None:
    room = Room(inside_max=1, waiting_max=1, wait_s=10.0)
    came_in = threading.Event()

    def wait() -> None:
        with room.enter("queries"):
            came_in.set()

    with room.enter("queries"):
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not came_in.is_set()
    waiting.join(10)
    assert came_in.is_set()


def test_more_than_the_chairs_are_refused_at_once() -> None:
    room = Room(inside_max=1, waiting_max=0, wait_s=60.0)
    with room.enter("queries"), pytest.raises(ProblemError, match="waiting"), room.enter("queries"):
        pass
