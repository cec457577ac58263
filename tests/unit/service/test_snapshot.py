from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from service.snapshot import Snapshots, copied
from tocsin.state import State


@pytest.fixture
def snapshots(tmp_path: Path) -> Iterator[Snapshots]:
    made = Snapshots(tmp_path / "state" / "pipeline", lambda _point: None)
    yield made
    made.close()


def a_state(number: int = 1) -> State:
    child = State(kind="part", version=1, words={"known": ["a"]}, arrays={"counts": np.arange(number + 3)})
    return State(kind="whole", version=1, words={"offset": number}, children={"part": child})


def test_a_snapshot_is_what_was_known_when_it_was_taken(snapshots: Snapshots) -> None:
    state = a_state()
    snapshots.begin(state, 1)
    state.children["part"].arrays["counts"][:] = 99
    state.children["part"].words["known"].append("b")
    assert snapshots.wait() == 1
    loaded = snapshots.load()
    assert loaded is not None
    assert loaded.children["part"].arrays["counts"].tolist() == [0, 1, 2, 3]
    assert loaded.children["part"].words == {"known": ["a"]}


def test_the_offset_is_told_once(snapshots: Snapshots) -> None:
    assert snapshots.finished() is None
    snapshots.begin(a_state(), 1)
    assert snapshots.is_writing
    assert snapshots.wait() == 1
    assert not snapshots.is_writing
    assert snapshots.finished() is None


def test_without_a_snapshot_nothing_is_loaded(snapshots: Snapshots) -> None:
    assert snapshots.load() is None


def test_a_damaged_snapshot_is_set_aside(snapshots: Snapshots, tmp_path: Path) -> None:
    snapshots.begin(a_state(), 1)
    snapshots.wait()
    (tmp_path / "state" / "pipeline" / "arrays.safetensors").write_bytes(b"no")
    assert snapshots.load() is None
    assert (tmp_path / "state" / "pipeline.unusable" / "state.json").exists()
    snapshots.begin(a_state(2), 2)
    assert snapshots.wait() == 2
    assert snapshots.load() is not None


def test_a_snapshot_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    snapshots = Snapshots(tmp_path / "state" / "pipeline", lambda _point: None)
    snapshots.begin(a_state(), 1)
    with pytest.raises(OSError, match="exists"):
        snapshots.wait()
    snapshots.close()


def test_a_copy_shares_nothing() -> None:
    state = a_state()
    again = copied(state)
    assert again.children["part"].arrays["counts"] is not state.children["part"].arrays["counts"]
    assert again.children["part"].words["known"] is not state.children["part"].words["known"]
